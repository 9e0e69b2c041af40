//! The form of HTTP/2 requests: what breaks RFC 9113 is refused, and harms nobody else.

use crate::actors::client::bearer;
use crate::actors::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, Frames,
    GOAWAY, HEADERS, Outcome, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE,
    REFUSED_STREAM, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block, frame, literal, request,
};
use crate::actors::origin::Origin;
use crate::actors::scripts;
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;

fn authorization(key: &str) -> String {
    format!("Bearer {key}")
}

/// Plays each list of fields as a request of its own, and holds what becomes of it against what
/// should, as [`Outcome::summary`] says it. Whatever it is, the connection serves the next.
fn hold(cases: &[(&str, &[(&str, &str)])]) {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let credential = authorization(WRITE);
    let mut found = Vec::new();
    for (wanted, fields) in cases {
        let mut frames = Frames::connect(sidecar.https);
        let fields = [fields, &[("authorization", credential.as_str())][..]].concat();
        let seen = origin.count();
        let outcome = frames.ask(1, &block(&fields)).summary();
        found.push((outcome.clone(), (*wanted).to_owned(), format!("{fields:?}")));
        let passed = origin.count() - seen;
        assert_eq!(passed, usize::from(outcome == "ok"), "{fields:?}");
        if !outcome.starts_with("ended") {
            let next = request("GET", "/", &[("authorization", &credential)]);
            assert_eq!(frames.ask(3, &next).summary(), "ok", "after {fields:?}");
        }
    }
    let wrong: Vec<_> = found.iter().filter(|(found, wanted, _)| found != wanted).collect();
    assert!(wrong.is_empty(), "(found, wanted, fields): {wrong:#?}");
}

const METHOD: (&str, &str) = (":method", "GET");
const POST: (&str, &str) = (":method", "POST");
const SCHEME: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", "keygate.test");
const PATH: (&str, &str) = (":path", "/");

#[test]
fn pseudo_fields_stand_first_once_and_are_known() {
    hold(&[
        ("ok", &[METHOD, SCHEME, AUTHORITY, PATH]),
        ("ok", &[PATH, AUTHORITY, SCHEME, METHOD]),
        ("reset 1", &[METHOD, SCHEME, AUTHORITY, ("a", "b"), PATH]),
        ("reset 1", &[METHOD, SCHEME, AUTHORITY, PATH, PATH]),
        ("reset 1", &[METHOD, METHOD, SCHEME, AUTHORITY, PATH]),
        ("reset 1", &[METHOD, SCHEME, SCHEME, AUTHORITY, PATH]),
        ("reset 1", &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH]),
        ("reset 1", &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]),
        ("ended 1", &[METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "a")]),
        ("ended 1", &[METHOD, SCHEME, AUTHORITY, PATH, ("", "a")]),
        ("reset 1", &[SCHEME, AUTHORITY, PATH]),
        ("reset 1", &[METHOD, AUTHORITY, PATH]),
        ("reset 1", &[METHOD, SCHEME, AUTHORITY]),
        ("ended 1", &[(":method", ""), SCHEME, AUTHORITY, PATH]),
        ("ended 1", &[(":method", "GE T"), SCHEME, AUTHORITY, PATH]),
        ("reset 1", &[METHOD, (":scheme", "ht tp"), AUTHORITY, PATH]),
    ]);
}

#[test]
fn a_path_begins_with_a_slash_and_has_no_fragment() {
    let path = |path| [METHOD, SCHEME, AUTHORITY, (":path", path)];
    hold(&[
        ("ok", &path("/a?b")),
        ("reset 1", &path("")),
        ("reset 1", &path("a")),
        ("ambiguous_path", &path("*")),
        ("ambiguous_path", &path("?a")),
        ("reset 1", &path("http://keygate.test/")),
        ("ambiguous_path", &path("/a#b")),
        ("ambiguous_path", &path("/#")),
        ("ambiguous_path", &path("#")),
        ("ambiguous_path", &path("/a?b#c")),
        ("ambiguous_path", &path("/a/../b")),
        ("ambiguous_path", &path("//a")),
        ("ambiguous_path", &path("/a\\b")),
        ("reset 1", &path("/a b")),
        ("reset 1", &path("/a\r\nb: c")),
        ("reset 1", &path("/a\0")),
    ]);
}

#[test]
fn a_request_names_one_host() {
    let host = |host| [METHOD, SCHEME, AUTHORITY, PATH, ("host", host)];
    hold(&[
        ("ok", &host("keygate.test")),
        ("ok", &host("KEYGATE.test")),
        ("ok", &[METHOD, SCHEME, PATH, ("host", "keygate.test")]),
        ("malformed_request", &host("other.test")),
        ("malformed_request", &host("keygate.test:443")),
        (
            "malformed_request",
            &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "keygate.test"), ("host", "keygate.test")],
        ),
        ("malformed_request", &[METHOD, SCHEME, PATH]),
        ("malformed_request", &[METHOD, SCHEME, (":authority", "user@keygate.test"), PATH]),
        ("reset 1", &[METHOD, SCHEME, (":authority", "keygate.test/a"), PATH]),
        ("reset 1", &[METHOD, SCHEME, (":authority", ""), PATH]),
    ]);
}

#[test]
fn fields_are_lower_case_and_none_is_of_a_connection() {
    let with = |field| [METHOD, SCHEME, AUTHORITY, PATH, field];
    hold(&[
        ("ended 1", &with(("X-Upper", "a"))),
        ("ended 1", &with(("x-Upper", "a"))),
        ("ended 1", &with(("x y", "a"))),
        ("ended 1", &with(("x:y", "a"))),
        ("ended 1", &with(("x-y", "a\r\nb: c"))),
        ("ended 1", &with(("x-y", "a\0"))),
        ("reset 1", &with(("connection", "close"))),
        ("reset 1", &with(("connection", "x-account-id"))),
        ("reset 1", &with(("keep-alive", "1"))),
        ("reset 1", &with(("proxy-connection", "close"))),
        ("reset 1", &with(("transfer-encoding", "chunked"))),
        ("reset 1", &with(("upgrade", "websocket"))),
        ("reset 1", &with(("upgrade", "h2c"))),
        ("reset 1", &with(("te", "gzip"))),
        ("reset 1", &with(("te", "trailers, gzip"))),
        ("ok", &with(("te", "trailers"))),
        ("ok", &with(("http2-settings", "AAMAAABk"))),
    ]);
}

#[test]
fn a_length_is_said_once_and_kept() {
    let get = |length| [METHOD, SCHEME, AUTHORITY, PATH, ("content-length", length)];
    let two = |method, one, two| {
        [
            (":method", method),
            SCHEME,
            AUTHORITY,
            PATH,
            ("content-length", one),
            ("content-length", two),
        ]
    };
    hold(&[
        ("ok", &get("0")),
        ("reset 1", &get("1")),
        ("reset 1", &get("-1")),
        ("reset 1", &get("+0")),
        ("reset 1", &get("0, 0")),
        ("reset 1", &get("a")),
        ("reset 1", &get("18446744073709551616")),
        ("malformed_request", &two("GET", "0", "0")),
        ("no reason", &two("HEAD", "0", "0")), // An answer to HEAD has no body.
        ("malformed_request", &two("POST", "0", "0")),
        ("reset 1", &two("GET", "0", "1")),
        ("reset 1", &two("GET", "1", "0")),
        ("reset 1", &two("HEAD", "0", "1")),
        ("reset 1", &two("POST", "0", "1")),
        ("reset 1", &[POST, SCHEME, AUTHORITY, PATH, ("content-length", "3")]),
    ]);
}

#[test]
fn a_tunnel_is_never_opened() {
    hold(&[
        ("malformed_request", &[(":method", "CONNECT"), (":authority", "keygate.test:443")]),
        ("reset 1", &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH]),
        ("reset 1", &[(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, AUTHORITY, PATH]),
        ("reset 1", &[METHOD, (":protocol", "websocket"), SCHEME, AUTHORITY, PATH]),
    ]);
}

/// A body that is not as long as its head says never arrives whole.
#[test]
fn a_body_of_another_length_is_cut() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    for (length, body) in [("3", "ab"), ("3", "abcd"), ("0", "a")] {
        let mut frames = Frames::connect(sidecar.https);
        let credential = authorization(WRITE);
        let fields = [("authorization", credential.as_str()), ("content-length", length)];
        let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "/", &fields));
        let data = frame(DATA, END_STREAM, 1, body.as_bytes());
        if length == "0" {
            // Such a request is whole with its head: what follows must be there to be seen.
            frames.send([head, data].concat());
        } else {
            frames.send(head);
            frames.send(data);
        }
        assert_eq!(frames.outcome(1), Outcome::Reset(PROTOCOL_ERROR), "{length} {body}");
        assert!(frames.synchronize());
    }
    assert!(origin.requests().iter().all(|seen| !seen.complete), "{:?}", origin.requests());
}

#[test]
fn trailers_come_once_and_have_no_pseudo_fields() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let credential = authorization(WRITE);
    let head = request("POST", "/", &[("authorization", &credential), ("trailer", "x-check")]);
    for (wanted, flags, trailers) in [
        ("ok", WHOLE, block(&[("x-check", "1"), ("x-account-id", "forged"), ("host", "forged")])),
        ("reset 1", END_HEADERS, block(&[("x-check", "1")])),
        // The library drops it, and everybody else has never seen it.
        ("ok", WHOLE, block(&[(":path", "/other")])),
        ("reset 1", WHOLE, block(&[("connection", "close")])),
        ("ended 1", WHOLE, block(&[("X-Check", "1")])),
    ] {
        let mut frames = Frames::connect(sidecar.https);
        frames.send(frame(HEADERS, END_HEADERS, 1, &head));
        frames.send(frame(DATA, 0, 1, b"abc"));
        frames.send(frame(HEADERS, flags, 1, &trailers));
        assert_eq!(frames.outcome(1).summary(), wanted, "{trailers:?}");
        assert_eq!(frames.synchronize(), !wanted.starts_with("ended"));
    }
    let complete: Vec<_> = origin.requests().into_iter().filter(|seen| seen.complete).collect();
    let trailers = complete.iter().map(|seen| {
        assert_eq!(seen.target, "/");
        seen.trailers.iter().map(|(name, _)| name.as_str()).collect()
    });
    assert_eq!(trailers.collect::<Vec<Vec<_>>>(), [vec!["x-check"], vec![]]);
}

#[test]
fn a_marked_request_is_refused_whoever_marks_it() {
    let fields = |value| [METHOD, SCHEME, AUTHORITY, PATH, ("keygate-flaw", value)];
    hold(&[("malformed_request", &fields("")), ("ambiguous_path", &fields("#"))]);
}

#[test]
fn a_fragment_is_seen_in_the_table_too() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut frames = Frames::connect(sidecar.https);
    let credential = authorization(READ);
    let rest = block(&[METHOD, SCHEME, AUTHORITY, ("authorization", &credential)]);
    let path = literal(0x40, ":path", "/a#b");
    assert_eq!(frames.ask(1, &[path, rest.clone()].concat()).summary(), "ambiguous_path");
    assert_eq!(frames.ask(3, &[vec![0xbe], rest.clone()].concat()).summary(), "ambiguous_path");
    assert_eq!(frames.ask(5, &[vec![0x84], rest].concat()).summary(), "ok");
    assert_eq!(origin.count(), 1);
}

#[test]
fn more_fields_than_anyone_needs_are_refused() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let credential = authorization(READ);
    for (count, wanted) in [(251, "ok"), (252, "malformed_request"), (1500, "malformed_request")] {
        let mut frames = Frames::connect(sidecar.https);
        let fields = vec![("a", "b"); count];
        let fields = [&fields[..], &[("authorization", &credential)]].concat();
        assert_eq!(frames.ask(1, &request("GET", "/", &fields)).summary(), wanted, "{count}");
        assert!(frames.synchronize());
    }
}

/// What breaks the connection's own rules ends it, with the code that says why, and no other.
#[test]
fn frames_that_break_the_rules_end_their_connection_alone() {
    let origin = Origin::tcp(scripts::hang);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let credential = authorization(READ);
    let head = request("GET", "/", &[("authorization", &credential)]);
    let mut bystander = Frames::connect(sidecar.https);
    bystander.open(1, &head);
    let most = [0x7f, 0xff, 0xff, 0xff];
    for (code, bytes) in [
        (FRAME_SIZE_ERROR, frame(DATA, 0, 1, &[0; 16_385])),
        (FRAME_SIZE_ERROR, frame(HEADERS, WHOLE, 1, &[0x82; 16_385])),
        (FRAME_SIZE_ERROR, frame(PING, 0, 0, &[0; 20_000])),
        (PROTOCOL_ERROR, frame(PING, 0, 0, &[0; 7])),
        (PROTOCOL_ERROR, frame(PING, 0, 1, &[0; 8])),
        (PROTOCOL_ERROR, frame(SETTINGS, 0, 0, &[0; 5])),
        (PROTOCOL_ERROR, frame(SETTINGS, 0, 1, &[])),
        (PROTOCOL_ERROR, frame(SETTINGS, 1, 0, &[])),
        (PROTOCOL_ERROR, frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        (PROTOCOL_ERROR, frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
        (PROTOCOL_ERROR, frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (FLOW_CONTROL_ERROR, frame(WINDOW_UPDATE, 0, 0, &most)),
        (PROTOCOL_ERROR, frame(DATA, 0, 0, b"a")),
        (PROTOCOL_ERROR, frame(DATA, 0, 1, b"a")),
        (PROTOCOL_ERROR, frame(RST_STREAM, 0, 1, &[0; 4])),
        (PROTOCOL_ERROR, frame(RST_STREAM, 0, 0, &[0; 4])),
        (PROTOCOL_ERROR, frame(HEADERS, WHOLE, 0, &head)),
        (PROTOCOL_ERROR, frame(HEADERS, WHOLE, 2, &head)),
        (PROTOCOL_ERROR, frame(PRIORITY, 0, 0, &[0; 5])),
        (PROTOCOL_ERROR, frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
        (PROTOCOL_ERROR, frame(CONTINUATION, END_HEADERS, 1, &head)),
        (PROTOCOL_ERROR, [frame(HEADERS, 1, 1, &head), frame(PING, 0, 0, &[0; 8])].concat()),
        (PROTOCOL_ERROR, frame(HEADERS, WHOLE, 1, &[0x80])),
        (PROTOCOL_ERROR, frame(HEADERS, WHOLE, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    ] {
        let mut frames = Frames::connect(sidecar.https);
        frames.send(&bytes);
        let name = format!("{:?}", &bytes[..bytes.len().min(20)]);
        assert_eq!(frames.ended(), Some(code), "{name}");
    }
    let mut frames = Frames::silent(sidecar.https);
    frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX");
    assert_eq!(frames.ended(), None);
    let mut frames = Frames::silent(sidecar.https);
    frames.send([PREFACE, &frame(GOAWAY, 0, 0, &[0; 8])].concat());
    frames.ended();
    assert!(bystander.synchronize());
    assert_eq!(origin.count(), 1);
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let origin = Origin::tcp(scripts::hang);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut frames = Frames::connect(sidecar.https);
    let credential = authorization(READ);
    let head = request("GET", "/", &[("authorization", &credential)]);
    for number in 0..300 {
        frames.open(2 * number + 1, &head);
    }
    for number in 256..300 {
        assert_eq!(frames.outcome(2 * number + 1), Outcome::Reset(REFUSED_STREAM), "{number}");
    }
    assert!(frames.synchronize());
    origin.wait("all that are allowed", |state| state.requests.len() == 256);
}

/// HTTP/2 is spoken over TLS alone, and only where both have chosen it.
#[test]
fn nobody_speaks_http2_in_clear_or_over_http1() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).listen("http_accepts = \"everything\"");
    let sidecar = Sidecar::start(&setup);
    let upgrade =
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"];
    for mut client in [sidecar.plain(), sidecar.client()] {
        let credential = bearer(READ);
        client.get("/", &[&upgrade[..], &[&credential]].concat()).ok();
        let seen = origin.last();
        assert!(!seen.has("http2-settings") && !seen.has("upgrade") && !seen.has("connection"));
    }
    let seen = origin.count();
    for mut client in [sidecar.plain(), sidecar.client()] {
        client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        client.response("PRI").refused(400, "malformed_request");
        assert!(client.closed());
    }
    assert_eq!(origin.count(), seen);
}
