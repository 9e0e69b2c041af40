//! What HTTP/1.1 says beside a status comes from whoever answers.

use crate::actors::client::{Client, bearer, head};
use crate::actors::origin::{After, Origin};
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::parse_head;

/// The first line of the answer to a request.
fn first_line(client: &mut Client, target: &str, fields: &[&str]) -> String {
    client.send(head("GET", target, fields));
    let head = client.wire.head().unwrap().expect("an answer");
    parse_head(&head).0
}

/// Answers with what the path says, for a first line.
fn says(line: &'static str) -> Origin {
    Origin::tcp(move |exchange| {
        exchange.drain();
        let line: Vec<u8> = line.chars().map(|char| u8::try_from(char).unwrap()).collect();
        exchange.send([&line, &b"\r\ncontent-length: 0\r\n\r\n"[..]].concat());
        After::Keep
    })
}

#[test]
fn an_upstreams_own_phrase_is_passed_on() {
    for (said, passed) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 200 Fine, thanks", "HTTP/1.1 200 Fine, thanks"),
        ("HTTP/1.1 404 No such\tuser", "HTTP/1.1 404 No such\tuser"),
        ("HTTP/1.1 503 Zurück in Kürze", "HTTP/1.1 503 Zurück in Kürze"),
        ("HTTP/1.0 200 Old", "HTTP/1.1 200 Old"),
        ("HTTP/1.1 599 Own", "HTTP/1.1 599 Own"),
        // Where it has none, the usual one stands, and none where there is none.
        ("HTTP/1.1 404 ", "HTTP/1.1 404 Not Found"),
        ("HTTP/1.1 404", "HTTP/1.1 404 Not Found"),
        ("HTTP/1.1 599 ", "HTTP/1.1 599 "),
        ("HTTP/1.1 599", "HTTP/1.1 599 "),
    ] {
        let origin = says(said);
        let sidecar = Sidecar::start(&Setup::before(&origin));
        let mut client = sidecar.client();
        // The second comes on a connection that was used before, on both sides.
        for _ in 0..2 {
            assert_eq!(first_line(&mut client, "/", &[&bearer(READ)]), passed, "{said:?}");
        }
        let mut stream = sidecar.http2().open("GET", "/", &[&bearer(READ)], true);
        assert_eq!(format!("{}", stream.head().status), said.get(9..12).unwrap(), "{said:?}");
    }
}

#[test]
fn a_phrase_that_would_end_the_line_is_no_answer() {
    for said in
        ["HTTP/1.1 200 O\rK", "HTTP/1.1 200 O\nK", "HTTP/1.1 200 O\0K", "HTTP/1.1 200 \u{7f}"]
    {
        let origin = says(said);
        let sidecar = Sidecar::start(&Setup::before(&origin));
        sidecar.client().get("/", &[&bearer(READ)]).refused(502, "upstream_unreachable");
    }
}

#[test]
fn a_refusal_by_a_status_of_ones_own_has_no_phrase() {
    let setup = Setup::before(&Origin::echo())
        .config("[responses]\nno_credential = { status = 499 }\nunknown_key = { status = 418 }");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    assert_eq!(first_line(&mut client, "/", &[]), "HTTP/1.1 499 ");
    let mut client = sidecar.client();
    let fields = ["Authorization: Bearer unknown-but-well-formed"];
    assert_eq!(first_line(&mut client, "/", &fields), "HTTP/1.1 418 I'm a teapot");
}
