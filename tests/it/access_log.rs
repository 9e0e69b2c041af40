//! The access log, as somebody reads it who was told the id of a request.

use crate::actors::client::{Response, bearer};
use crate::actors::log::Line;
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::Sidecar;

const ROUTES: &str = r#"
# What everybody may read.
[[route]]
path = "/open"

[[route]]

path = "/guarded/{*rest}"
kind = "profile"

[[route]]
path = "/shadowed"
kind = "profile"
enforce = false
"#;

fn start() -> (Origin, Sidecar) {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(ROUTES));
    (origin, sidecar)
}

/// The one line of the access log with an id.
fn line(sidecar: &Sidecar, id: &str) -> Line {
    let ours = |line: &Line| line.member("request_id").is_some_and(|found| found == id);
    let line = sidecar.logged(0, &format!("a request with the id {id}"), ours);
    let text = sidecar.log.text();
    let lines = text.lines().filter(|line| line.contains(&format!("{id:?}"))).count();
    assert_eq!(lines, 1, "{text}");
    line
}

/// Asserts that a line's place is the header of the route of a path, in the file that was written.
#[track_caller]
fn stands_at(line: &Line, sidecar: &Sidecar, path: &str) {
    let text = sidecar.read("keygate.toml");
    let field = text.lines().position(|line| line == format!("path = {path:?}")).expect("a path");
    let headers = text.lines().take(field).enumerate();
    let header = headers.filter(|(_, line)| *line == "[[route]]").last().expect("a header").0;
    let place = format!("{}:{}", sidecar.path("keygate.toml").display(), header + 1);
    assert_eq!(line.member("place").expect("a place"), &place);
}

fn id(answer: &Response) -> &str {
    answer.value("x-request-id").expect("an id")
}

#[test]
fn the_id_of_a_refusal_finds_its_reason_and_the_place_of_its_route() {
    let (_origin, sidecar) = start();
    let answer = sidecar.get("/guarded/a?secret=1", &[&bearer(READ)]);
    answer.refused(403, "kind_not_allowed");
    let line = line(&sidecar, id(&answer));
    assert_eq!(line.member("reason").expect("a reason"), "kind_not_allowed");
    assert_eq!(line.member("key").expect("a key"), "acme-read");
    assert_eq!(line.member("path").expect("a path"), "/guarded/a");
    stands_at(&line, &sidecar, "/guarded/{*rest}");
}

#[test]
fn a_clients_own_id_finds_it_too() {
    let (_origin, sidecar) = start();
    let answer = sidecar.get("/open", &["X-Request-Id: order-4711"]);
    answer.refused(401, "no_credential");
    assert_eq!(id(&answer), "order-4711");
    let line = line(&sidecar, "order-4711");
    assert_eq!(line.member("reason").expect("a reason"), "no_credential");
    stands_at(&line, &sidecar, "/open");
}

#[test]
fn what_would_have_been_refused_has_its_place_and_what_no_route_takes_has_none() {
    let (_origin, sidecar) = start();
    sidecar.get("/shadowed", &[&bearer(READ), "X-Request-Id: shadow-1"]).ok();
    let shadow = line(&sidecar, "shadow-1");
    assert_eq!(shadow.member("outcome").expect("an outcome"), "shadow");
    assert_eq!(shadow.member("reason").expect("a reason"), "kind_not_allowed");
    stands_at(&shadow, &sidecar, "/shadowed");
    let answer = sidecar.get("/nowhere", &[&bearer(READ), "X-Request-Id: nowhere-1"]);
    answer.refused(403, "no_route");
    let nowhere = line(&sidecar, "nowhere-1");
    assert_eq!(nowhere.member("reason").expect("a reason"), "no_route");
    assert!(nowhere.member("place").is_none(), "{}", nowhere.text);
}
