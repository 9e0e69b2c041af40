//! The access log in a file of its own: what stands in its lines, which requests have one, and what
//! becomes of it when somebody takes the file away.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use rustix::process::Signal;
use serde_json::Value;

use crate::actors::client::{bearer, head};
use crate::actors::origin::{After, Origin};
use crate::actors::scripts::hold;
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::{Sidecar, refuses};
use crate::actors::{Cue, eventually, never};

const ROUTES: &str = r#"
[[route]]
path = "/open/{*rest}"

[[route]]
path = "/guarded"
kind = "profile"

[[route]]
path = "/shadowed"
kind = "profile"
enforce = false

[[route]]
path = "/queued"
in_flight = { max = 1, queue = "10s" }
"#;

const FILE: &str = "[access_log]\nfile = \"access.log\"\n";

fn start(log: &str) -> (Origin, Sidecar) {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(log).config(ROUTES));
    (origin, sidecar)
}

/// The lines of files; each of them must be one.
fn lines<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<Value> {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let text: String = paths.into_iter().map(read).collect();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}"));
    text.lines().map(parse).collect()
}

/// The one line of a request with an id.
fn line(sidecar: &Sidecar, id: &str) -> Value {
    let path = sidecar.path("access.log");
    let find = || {
        let mut found = lines([path.as_path()]);
        found.retain(|line| line["keygate.request_id"] == id);
        assert!(found.len() < 2, "{found:?}");
        found.pop()
    };
    eventually(&format!("the line of {id}"), find)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_seconds(value: &Value) -> bool {
    value.as_f64().is_some_and(|seconds| (0.0..15.0).contains(&seconds))
}

/// Every member that the table in the source names.
fn documented() -> BTreeSet<String> {
    let source = include_str!("../../src/observe/line.rs");
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let names = rows.filter_map(|row| row.split(" | ").next());
    let names = names.flat_map(|names| names.split(", ")).map(|name| name.trim_matches('`'));
    names.map(str::to_owned).collect()
}

/// What stands in for such a head within keygate is nobody's request.
#[test]
fn of_a_head_that_cannot_be_read_nothing_is_invented() {
    let (_origin, sidecar) = start(FILE);
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        let mut client = sidecar.client();
        client.send(head);
        let answer = client.response("GET");
        assert_eq!(answer.status, status, "{head:?}");
        let line = line(&sidecar, answer.value("x-request-id").unwrap());
        for member in [
            "http.request.method",
            "http.request.method_original",
            "url.path",
            "network.protocol.version",
            "server.address",
            "server.port",
        ] {
            assert!(line.get(member).is_none(), "{member}: {line}");
        }
        assert_eq!(line["client.address"], "127.0.0.1");
        assert_eq!(line["http.response.status_code"], status);
    }
}

#[test]
fn a_line_tells_all_that_is_known_of_a_request_in_documented_members_and_stderr_tells_nothing() {
    let (origin, sidecar) = start(&format!("{FILE}user_agent = true\n"));
    let mut client = sidecar.client();
    let fields = [&*bearer(WRITE), "X-Request-Id: r-1", "User-Agent: till/7", "Host: api.test:81"];
    let answer = client.post("/open/things/17?api_key=hush", &fields, b"12345");
    answer.ok();
    let line = line(&sidecar, "r-1");
    let ids = format!("00-{}-{}-03", text(&line["trace_id"]), text(&line["span_id"]));
    assert_eq!(origin.last().value("traceparent"), Some(&*ids));
    for (member, value) in [
        ("http.request.method", "POST"),
        ("url.scheme", "https"),
        ("url.path", "/open/things/17"),
        ("http.route", "/open/{*rest}"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("server.address", "api.test"),
        ("user_agent.original", "till/7"),
        ("keygate.outcome", "forwarded"),
        ("keygate.account", "acme"),
        ("keygate.key_id", "acme-write"),
    ] {
        assert_eq!(line[member], value, "{member}");
    }
    for (member, value) in [
        ("http.response.status_code", 200),
        ("http.request.body.size", 5),
        ("http.response.body.size", answer.body.len()),
        ("server.port", 81),
        ("keygate.generation", 1),
    ] {
        assert_eq!(line[member], value, "{member}");
    }
    for member in ["http.server.request.duration", "keygate.overhead", "keygate.upstream.duration"]
    {
        assert!(is_seconds(&line[member]), "{member}: {}", line[member]);
    }
    let place = line["keygate.place"].as_str().unwrap();
    assert!(place.contains("keygate.toml:"), "{place}");
    let at: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
    let age = keygate::clock::now().duration_since(at).as_secs();
    assert!((0..15).contains(&age), "{at}");
    let mut seen: BTreeSet<String> = line.as_object().unwrap().keys().cloned().collect();
    // These are told of other requests only.
    for member in ["error.type", "keygate.reason", "http.request.method_original"] {
        assert!(seen.insert(member.to_owned()), "{member}");
    }
    assert_eq!(seen, documented());
    let mode = fs::metadata(sidecar.path("access.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    sidecar.get("/guarded", &[&bearer(READ)]).refused(403, "kind_not_allowed");
    let mark = sidecar.log.mark();
    sidecar.signal(Signal::HUP);
    sidecar.logged(mark, "the reload", |line| line.message() == "reloaded");
    let said = sidecar.log.text();
    assert!(!said.contains("keygate::access") && !said.contains("kind_not_allowed"), "{said}");
}

#[test]
fn whatever_did_not_go_through_has_a_line_though_no_permit_has_one() {
    let origin = Origin::tcp(|exchange| {
        if exchange.request.target == "/open/broken" {
            return After::Close;
        }
        exchange.send("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
        After::Keep
    });
    let setup = Setup::before(&origin).config(FILE).config("permits = 0\n").config(ROUTES);
    let sidecar = Sidecar::start(&setup);
    let key = bearer(WRITE);
    for (id, target, key, outcome, reason, error) in [
        ("refused", "/guarded", &*key, "refused", "kind_not_allowed", None),
        (
            "stranger",
            "/open/a",
            "Authorization: Bearer secret-of-somebody",
            "refused",
            "unknown_key",
            None,
        ),
        ("shadow", "/shadowed", &*key, "shadow", "kind_not_allowed", Some("503")),
        (
            "broken",
            "/open/broken",
            &*key,
            "failed",
            "upstream_unreachable",
            Some("upstream_unreachable"),
        ),
    ] {
        sidecar.get(target, &[key, &format!("X-Request-Id: {id}")]);
        let line = line(&sidecar, id);
        assert_eq!(line["keygate.outcome"], outcome, "{id}");
        assert_eq!(line["keygate.reason"], reason, "{id}");
        assert_eq!(line.get("error.type").and_then(Value::as_str), error, "{id}");
    }
    sidecar.get("/open/a", &[&key, "X-Request-Id: permit"]);
    sidecar.get("/guarded", &[&key, "X-Request-Id: last"]);
    line(&sidecar, "last");
    let log = sidecar.read("access.log");
    assert!(!log.contains("permit\""), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn who_leaves_before_anything_is_decided_has_a_line_too() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let sidecar = Sidecar::start(&Setup::before(&origin).config(FILE).config(ROUTES));
    let key = bearer(WRITE);
    let mut first = sidecar.client();
    first.send(head("GET", "/queued", &[&key]));
    origin.wait("the first", |state| state.requests.len() == 1);
    let mut second = sidecar.client();
    second.send(head("GET", "/queued", &[&key, "X-Request-Id: gone"]));
    eventually("the second to wait", || {
        (sidecar.metric("keygate_in_flight_requests", &[]) > 1.0).then_some(())
    });
    drop(second);
    let line = line(&sidecar, "gone");
    assert_eq!(line["keygate.outcome"], "failed");
    assert_eq!(line["keygate.reason"], "abandoned");
    assert_eq!(line["error.type"], "abandoned");
    assert_eq!(line["url.path"], "/queued");
    assert_eq!(line["keygate.key_id"], "acme-write");
    assert!(line.get("http.response.status_code").is_none());
    cue.raise();
    first.response("GET").ok();
}

#[test]
fn permits_are_turned_up_and_down_while_it_runs() {
    let (_origin, sidecar) = start(FILE);
    let config = sidecar.read("keygate.toml");
    let mut client = sidecar.client();
    let mut ask = |round: &str, count: usize| {
        for number in 0..count {
            let id = format!("X-Request-Id: {round}-{number}-");
            client.get("/open/a", &[&bearer(READ), &id]).ok();
        }
        // The lines of a worker keep their order.
        client.get("/guarded", &[&bearer(READ), &format!("X-Request-Id: {round}-end")]);
        line(&sidecar, &format!("{round}-end"));
        sidecar.read("access.log").matches(&format!("\"{round}-")).count() - 1
    };
    assert_eq!(ask("all", 50), 50);
    for (round, share, range) in
        [("few", "0.1", 15..=25), ("none", "0.0", 0..=0), ("again", "1.0", 200..=200)]
    {
        let before = sidecar.generation();
        sidecar.replace(
            "keygate.toml",
            config.replace("[access_log]", &format!("[access_log]\npermits = {share}")),
        );
        sidecar.reloaded(before);
        let count = ask(round, 200);
        assert!(range.contains(&count), "{round}: {count}");
    }
}

#[test]
fn a_file_that_is_renamed_is_made_anew_without_a_word_and_at_once_with_a_signal() {
    let (_origin, sidecar) = start(FILE);
    let (path, old) = (sidecar.path("access.log"), sidecar.path("access.log.1"));
    let ask = |id: &str| sidecar.get("/open/a", &[&bearer(READ), &format!("X-Request-Id: {id}")]);
    ask("one");
    line(&sidecar, "one");
    fs::rename(&path, &old).unwrap();
    sidecar.signal(Signal::HUP);
    eventually("a new file", || path.exists().then_some(()));
    ask("two");
    line(&sidecar, "two");
    assert_eq!(lines([old.as_path()]).len(), 1);
    fs::remove_file(&path).unwrap();
    eventually("a new file with lines", || {
        ask("three");
        fs::metadata(&path).ok().filter(|file| file.len() > 0)
    });
}

/// The disk of the log may hang, and a key that is revoked is revoked.
#[test]
fn a_reload_of_keys_does_not_open_the_log() {
    let (_origin, sidecar) = start(FILE);
    let (told, seen) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let event = event.unwrap();
        let is = |name: &str| event.paths.iter().any(|path| path.ends_with(name));
        if is("mark") || (is("access.log") && matches!(event.kind, EventKind::Access(_))) {
            // Whoever has seen enough hears no more.
            let _ = told.send(is("mark"));
        }
    })
    .unwrap();
    watcher.watch(sidecar.directory.path(), RecursiveMode::NonRecursive).unwrap();
    let keys = sidecar.read("keys.toml");
    for comment in ["# one\n", "# two\n"] {
        let before = sidecar.generation();
        sidecar.replace("keys.toml", format!("{comment}{keys}"));
        sidecar.reloaded(before);
    }
    fs::write(sidecar.path("mark"), "").unwrap();
    let first = seen.recv_timeout(Duration::from_secs(20)).expect("events are seen");
    assert!(first, "the log was opened");
    sidecar.signal(Signal::HUP);
    let mut more = std::iter::from_fn(|| seen.recv_timeout(Duration::from_secs(20)).ok());
    assert!(more.any(|mark| !mark), "it is not opened when that is asked for");
}

#[test]
fn what_was_answered_before_the_end_is_written_at_the_end_and_slow_ones_too() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let setup = Setup::before(&origin).config(FILE).config(ROUTES);
    let mut sidecar = Sidecar::start(&setup);
    let mut slow = sidecar.client();
    slow.send(head("GET", "/open/slow", &[&bearer(READ)]));
    origin.wait("it", |state| state.requests.len() == 1);
    for _ in 0..20 {
        sidecar.get("/guarded", &[&bearer(READ)]).refused(403, "kind_not_allowed");
    }
    sidecar.signal(Signal::TERM);
    cue.raise();
    slow.response("GET").ok();
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    assert_eq!(lines([sidecar.path("access.log").as_path()]).len(), 21);
}

#[test]
fn lines_on_standard_error_are_the_same_among_those_of_the_log() {
    let (_origin, sidecar) = start("[access_log]\nfile = \"stderr\"\n");
    sidecar.get("/open/a", &[&bearer(READ), "X-Request-Id: seen"]).ok();
    let told = sidecar.logged(0, "the request", |line| {
        line.member("keygate.request_id").is_some_and(|id| id == "seen")
    });
    assert_eq!(told.member("http.route").unwrap(), "/open/{*rest}");
    assert!(told.member("target").is_none(), "{}", told.text);
}

#[test]
fn http2_has_the_same_lines() {
    let (_origin, sidecar) = start(FILE);
    sidecar.http2().get("/open/a", &[&bearer(READ), "x-request-id: second"]).ok();
    let line = line(&sidecar, "second");
    assert_eq!(line["network.protocol.version"], "2");
    assert_eq!(line["server.address"], "keygate.test");
}

#[test]
fn a_log_that_cannot_be_written_keeps_it_from_starting_and_stops_no_reload() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin);
    for (said, wanted) in [
        ("file = \"none/access.log\"", "/none` does not exist"),
        ("file = \".\"", "is a directory"),
        ("file = \"\"", "`file` names no file"),
        ("file = 7", "`file` wants a string"),
        ("permits = 1.5", "`permits` cannot be 1.5"),
        ("permits = \"all\"", "`permits` wants a number from 0 to 1"),
        ("queue = \"1KiB\"", "write a size from `64KiB` to `1GiB`"),
        ("sample = 1", "unknown field `sample`"),
    ] {
        let setup = Setup::before(&origin).config(&format!("[access_log]\n{said}\n"));
        let (code, text) = refuses(&setup, |_| {});
        assert_eq!(code, Some(1), "{said}");
        assert!(text.contains(wanted), "{said}: {text}");
    }
    let sidecar = Sidecar::start(&setup.config(FILE).config(ROUTES));
    let before = sidecar.generation();
    let config = sidecar.read("keygate.toml");
    sidecar.replace("keygate.toml", config.replace("access.log", "none/access.log"));
    sidecar.reloaded(before);
    sidecar.logged(0, "that it cannot be opened", |line| {
        line.message().contains("the access log cannot be opened")
    });
    sidecar.get("/open/a", &[&bearer(READ), "X-Request-Id: still"]).ok();
    line(&sidecar, "still");
}

/// logrotate itself, with the file that is shipped, again and again while requests come.
#[test]
fn logrotate_loses_no_line_and_tears_none_under_load() {
    const ROUNDS: usize = 6;
    const CLIENTS: usize = 3;
    let logrotate = ["/usr/sbin/logrotate", "/usr/bin/logrotate"];
    let Some(logrotate) = logrotate.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("SKIPPED: there is no logrotate here");
        return;
    };
    let (_origin, sidecar) = start(FILE);
    let path = sidecar.path("access.log");
    // What the unit's signal does, where there is no unit.
    let bin = sidecar.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!("#!/bin/sh\nexec kill -HUP {}\n", sidecar.pid());
    fs::write(bin.join("systemctl"), script).unwrap();
    fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let shipped = include_str!("../../deploy/logrotate/keygate");
    let shipped = shipped.replace("/var/log/keygate/access.log", &path.display().to_string());
    // What is compressed is read by the test as it is.
    let shipped = shipped.replace("    compress\n", "");
    sidecar.replace("rotate.conf", shipped);
    fs::set_permissions(sidecar.path("rotate.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    let rotate = || {
        let done = Command::new(logrotate)
            .args(["--force", "--state"])
            .args([sidecar.path("rotate.state"), sidecar.path("rotate.conf")])
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let (done, key) = (AtomicBool::new(false), bearer(READ));
    let asked: usize = std::thread::scope(|scope| {
        let (sidecar, done, key) = (&sidecar, &done, &key);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || {
                    let (mut client, mut count) = (sidecar.client(), 0);
                    while !done.load(Relaxed) && count < 100_000 {
                        let id = format!("X-Request-Id: {number}.{count}");
                        client.get("/open/a", &[key, &id]).ok();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for round in 1..=ROUNDS {
            eventually("lines", || fs::metadata(&path).ok().filter(|file| file.len() > 20_000));
            rotate();
            assert!(sidecar.path(&format!("access.log.{round}")).exists());
        }
        done.store(true, Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    let names = (1..=ROUNDS).map(|round| sidecar.path(&format!("access.log.{round}")));
    let paths: Vec<_> = names.chain([path]).collect();
    let all = || lines(paths.iter().map(|path| path.as_path()));
    eventually("every line", || (all().len() >= asked).then_some(()));
    assert!(never(Duration::from_millis(50), || all().len() != asked));
    let ids: BTreeSet<String> = all().iter().map(|l| l["keygate.request_id"].to_string()).collect();
    assert_eq!(ids.len(), asked);
    assert!(asked > 200, "{asked} is no load");
}
