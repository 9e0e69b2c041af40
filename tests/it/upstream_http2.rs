//! An upstream that speaks HTTP/2.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::actors::client::{bearer, dial, head};
use crate::actors::http2::{Http2, Stream};
use crate::actors::origin2::Origin2;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::values;
use crate::actors::{eventually, never};

fn plays(origin: &Origin2, setup: &Setup) {
    let sidecar = Sidecar::start(setup);
    let http2 = sidecar.http2();
    let response = http2.get("/a%20b?c", &[&bearer(READ), "x-account-id: forged"]);
    response.ok();
    assert_eq!(response.body, b"ok");
    let mut stream = http2.open("POST", "/", &[&bearer(WRITE)], false);
    stream.send(b"abc", false);
    stream.send_trailers(&["x-check: 1", "x_account_id: forged", "authorization: Bearer forged"]);
    let response = stream.response();
    response.ok();
    assert_eq!(
        (response.body.as_slice(), values(&response.trailers, "x-sum")),
        (&b"abc"[..], vec!["1"])
    );
    http2.get("/", &[]).refused(401, "no_credential");

    let seen = origin.seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    let head = &seen[0].head;
    assert_eq!(head.uri().path_and_query().unwrap(), "/a%20b?c");
    assert_eq!(head.uri().authority().unwrap(), "keygate.test");
    let accounts: Vec<_> = head.headers().get_all("x-account-id").iter().collect();
    assert_eq!(accounts, ["acme"]);
    assert!(!head.headers().contains_key("authorization"));
    assert!(!head.headers().contains_key("connection"));
    assert_eq!(seen[1].body, b"abc");
    let trailers = seen[1].trailers.as_ref().expect("trailers");
    assert_eq!(trailers["x-check"], "1");
    assert!(!trailers.contains_key("x_account_id"));
    assert!(!trailers.contains_key("authorization"));
    assert_eq!(*origin.connections.lock().unwrap(), 1);
}

#[test]
fn in_clear_where_it_is_configured() {
    let origin = Origin2::start(None);
    plays(&origin, &Setup::before_url(&origin.url).upstream("protocol = \"http2\""));
}

#[test]
fn over_tls_by_what_both_can() {
    let origin = Origin2::start(Some(&TRUSTED.issue()));
    let setup = Setup::before_url(&origin.url)
        .upstream("protocol = \"auto\"\nca = \"ca.pem\"")
        .file("ca.pem", TRUSTED.pem());
    plays(&origin, &setup);
}

/// From the first on: whoever comes while it is opened waits for it.
#[test]
fn many_requests_share_one_connection() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).set("workers=1").upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    let http2 = sidecar.http2();
    let open = |_| http2.open("GET", "/", &[&bearer(READ)], true);
    let mut streams: Vec<_> = (0..50).map(open).collect();
    streams.iter_mut().for_each(|stream| stream.response().ok());
    assert_eq!(origin.seen.lock().unwrap().len(), 50);
    assert_eq!(*origin.connections.lock().unwrap(), 1);
}

/// Some answers have no end for hours.
#[test]
fn more_requests_than_a_connection_takes_go_on_another() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).set("workers=1").upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    let hold = |http2: &Http2| {
        (0..50).map(|_| http2.open("GET", "/hold", &[&bearer(READ)], true)).collect::<Vec<_>>()
    };
    let clients = [sidecar.http2(), sidecar.http2()];
    let held = clients.each_ref().map(hold);
    eventually("all of them", || (origin.seen.lock().unwrap().len() == 100).then_some(()));
    assert_eq!(*origin.connections.lock().unwrap(), 1);
    let mut client = sidecar.client();
    for _ in 0..3 {
        client.get("/", &[&bearer(READ)]).ok();
    }
    assert_eq!(*origin.connections.lock().unwrap(), 2);
    // What ends makes room, on whichever it was.
    held.into_iter().flatten().for_each(Stream::reset);
    for all in [203, 303] {
        let held = clients.each_ref().map(hold);
        eventually("all of them", || (origin.seen.lock().unwrap().len() == all).then_some(()));
        held.into_iter().flatten().for_each(Stream::reset);
    }
    assert_eq!(*origin.connections.lock().unwrap(), 2);
    // Who is refused on one is not asked to wait for the same on another of the same age.
    client.get("/reset/7", &[&bearer(READ)]).refused(502, "upstream_unreachable");
    assert_eq!(*origin.connections.lock().unwrap(), 3);
}

#[test]
fn those_who_lose_a_connection_share_the_next_one() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).set("workers=1").upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    sidecar.get("/", &[&bearer(READ)]).ok();
    let http2 = sidecar.http2();
    let held: Vec<_> =
        (0..20).map(|_| http2.open("GET", "/hold", &[&bearer(READ)], true)).collect();
    let seen = || origin.seen.lock().unwrap().len();
    eventually("all of them", || (seen() == 21).then_some(()));
    sidecar.client().post("/abort", &[&bearer(WRITE)], b"x").refused(502, "upstream_unreachable");
    eventually("all of them again", || (seen() == 41).then_some(()));
    assert_eq!(*origin.connections.lock().unwrap(), 2);
    drop(held);
}

/// Nobody waits for the time of a connection after another.
#[test]
fn those_who_wait_for_a_connection_that_fails_fail_together() {
    // The one who waits to be accepted leaves no room for others, whom the system keeps waiting.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _first = dial(address).unwrap();
    let more = "protocol = \"http2\"\nconnect_timeout = \"1s\"";
    let setup = Setup::before_url(&format!("http://{address}")).set("workers=1").upstream(more);
    let sidecar = Sidecar::start(&setup);
    let began = Instant::now();
    let http2 = sidecar.http2();
    let open = |_| http2.open("GET", "/", &[&bearer(READ)], true);
    let mut streams: Vec<_> = (0..10).map(open).collect();
    for stream in &mut streams {
        stream.response().refused(502, "upstream_unreachable");
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(sidecar.metric("keygate_upstream_errors_total", &["kind=\"connect\""]), 10.0);
}

/// What comes for one must wait until he takes it; what comes for others must not wait for him.
#[test]
fn clients_that_do_not_read_keep_nobody_waiting() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).set("workers=1").upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    let slow = sidecar.http2();
    let paths = ["/long"; 70].into_iter().chain(["/drops"; 20]);
    let mut streams: Vec<_> =
        paths.map(|path| slow.open("GET", path, &[&bearer(READ)], true)).collect();
    streams.iter_mut().for_each(|stream| drop(stream.head()));
    let mut other = sidecar.client();
    assert!(never(Duration::from_millis(500), || {
        other.get("/", &[&bearer(READ)]).body != b"ok"
    }));
    assert_eq!(*origin.connections.lock().unwrap(), 1);
    drop(streams);
}

#[test]
fn a_connection_that_the_upstream_ends_is_replaced() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    for _ in 0..3 {
        client.get("/last", &[&bearer(READ)]).ok();
        client.get("/", &[&bearer(READ)]).ok();
        client.get("/abort", &[&bearer(READ)]).refused(502, "upstream_unreachable");
        client.post("/", &[&bearer(WRITE)], b"abc").ok();
    }
    assert_eq!(origin.seen.lock().unwrap().len(), 9);
}

#[test]
fn an_answer_that_is_reset_without_an_error_is_not_whole() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    client.send(head("GET", "/torn", &[&bearer(READ)]));
    let (_, mut left) = client.response_head("GET");
    assert_eq!(client.piece(&mut left), Ok(Some(b"half".to_vec())));
    origin.tear.notify_one();
    assert_ne!(client.piece(&mut left), Ok(None));

    for (method, body) in [("GET", &b""[..]), ("POST", b""), ("POST", b"abc")] {
        let mut stream = sidecar.http2().open(method, "/torn", &[&bearer(WRITE)], body.is_empty());
        if !body.is_empty() {
            stream.send(body, true);
        }
        stream.head();
        assert_eq!(stream.piece().unwrap().unwrap(), "half");
        origin.tear.notify_one();
        assert!(stream.piece().is_err(), "{method} {body:?}");
    }
}

/// As an upstream does that has read enough (RFC 9113, section 8.1).
#[test]
fn an_answer_that_is_reset_without_an_error_after_its_end_is_whole() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    for _ in 0..50 {
        let mut stream = sidecar.http2().open("POST", "/enough", &[&bearer(WRITE)], false);
        stream.send(b"abc", false);
        stream.head();
        let mut body = Vec::new();
        while let Some(piece) = stream.piece().unwrap() {
            body.extend_from_slice(&piece);
        }
        assert_eq!(body, b"ok");
    }
}

/// Whoever asks has less patience than we have with the upstream.
#[test]
fn a_connection_on_which_all_wait_in_vain_is_used_no_more_though_each_leaves_early() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url)
        .set("workers=1")
        .upstream("protocol = \"http2\"\ntimeout = \"3s\"");
    let sidecar = Sidecar::start(&setup);
    sidecar.client().get("/", &[&bearer(READ)]).ok();
    let is_answered = |path: &str| {
        let mut client = sidecar.client();
        client.wire.socket.patience(Duration::from_millis(500));
        client.send(head("GET", path, &[&bearer(READ)]));
        matches!(client.wire.fill(), Ok(1..))
    };
    assert!(!is_answered("/freeze"));
    eventually("a request that is answered", || is_answered("/").then_some(()));
    assert_eq!(*origin.connections.lock().unwrap(), 2);
    // Nobody's time was over.
    assert_eq!(sidecar.metric("keygate_upstream_errors_total", &["timeout"]), 0.0);
}

#[test]
fn a_request_that_is_reset_is_repeated_only_where_nothing_was_done() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).set("workers=1").upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).ok();
    let mut asked = |method: &str, path: &str, body: &[u8]| {
        let before = origin.seen.lock().unwrap().len();
        let length = format!("Content-Length: {}", body.len());
        client.send([head(method, path, &[&bearer(WRITE), &length]), body.to_vec()].concat());
        client.response(method).refused(502, "upstream_unreachable");
        origin.seen.lock().unwrap().len() - before
    };
    // INTERNAL_ERROR, CANCEL, REFUSED_STREAM (RFC 9113, section 7).
    for (path, method, body, times) in [
        ("/reset/2", "GET", &b""[..], 1),
        ("/reset/8", "GET", b"", 1),
        ("/reset/2", "POST", b"", 1),
        ("/reset/7", "GET", b"", 2),
        ("/reset/7", "POST", b"", 2),
        ("/reset/7", "POST", b"abc", 1),
        // An answer that is refused here would be the same.
        ("/large/200", "GET", b"", 1),
    ] {
        assert_eq!(asked(method, path, body), times, "{method} {path} {body:?}");
    }
    // A body of trailers alone has gone out with the first of them.
    let before = origin.seen.lock().unwrap().len();
    let mut stream = sidecar.http2().open("POST", "/reset/7", &[&bearer(WRITE)], false);
    stream.send_trailers(&["x-check: 1"]);
    stream.response().refused(502, "upstream_unreachable");
    let seen = origin.seen.lock().unwrap();
    let sums = seen[before..].iter().map(|seen| seen.trailers.as_ref().map(http::HeaderMap::len));
    assert_eq!(sums.collect::<Vec<_>>(), [Some(1)]);
    // Where it said that it did nothing, nobody asks again.
    assert_eq!(*origin.connections.lock().unwrap(), 3);
    eventually("the others to be closed", || {
        (sidecar.metric("keygate_upstream_connections", &[]) == 1.0).then_some(())
    });
}

#[test]
fn a_connection_on_which_nothing_is_answered_is_used_no_more() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url)
        .set("workers=1")
        .upstream("protocol = \"http2\"\ntimeout = \"3s\"");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).ok();
    client.get("/freeze", &[&bearer(READ)]).refused(504, "upstream_timeout");
    client.get("/", &[&bearer(READ)]).ok();
    assert_eq!(*origin.connections.lock().unwrap(), 2);
}

#[test]
fn a_connection_on_which_others_are_answered_outlives_a_request_that_is_not() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url)
        .set("workers=1")
        .upstream("protocol = \"http2\"\ntimeout = \"3s\"");
    let sidecar = Sidecar::start(&setup);
    let (mut slow, mut other) = (sidecar.client(), sidecar.client());
    slow.send(head("GET", "/hold", &[&bearer(READ)]));
    eventually("the request", || (!origin.seen.lock().unwrap().is_empty()).then_some(()));
    other.get("/", &[&bearer(READ)]).ok();
    slow.response("GET").refused(504, "upstream_timeout");
    other.get("/", &[&bearer(READ)]).ok();
    assert_eq!(*origin.connections.lock().unwrap(), 1);
}

#[test]
fn a_head_may_be_as_large_as_over_http1() {
    let origin = Origin2::start(None);
    let setup = Setup::before_url(&origin.url).upstream("protocol = \"http2\"");
    let sidecar = Sidecar::start(&setup);
    let response = sidecar.client().get("/large/100", &[&bearer(READ)]);
    response.ok();
    assert_eq!(response.value("x-large").map(str::len), Some(100 * 1024));
}

/// An upgrade is asked for by HTTP/1.1, which such an upstream does not speak.
#[test]
fn a_websocket_is_refused_and_nothing_else() {
    let certified = TRUSTED.issue();
    for (origin, kind, more) in [
        (Origin2::start(None), "reset", "protocol = \"http2\""),
        (Origin2::start(Some(&certified)), "tls", "protocol = \"auto\"\nca = \"ca.pem\""),
    ] {
        let setup = Setup::before_url(&origin.url).upstream(more).file("ca.pem", TRUSTED.pem());
        let sidecar = Sidecar::start(&setup);
        let fields = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            &bearer(READ),
        ];
        sidecar.client().get("/ws", &fields).refused(502, "upstream_unreachable");
        let kind = format!("kind=\"{kind}\"");
        assert_eq!(sidecar.metric("keygate_upstream_errors_total", &[&kind]), 1.0, "{kind}");
        sidecar.get("/", &[&bearer(READ)]).ok();
    }
}
