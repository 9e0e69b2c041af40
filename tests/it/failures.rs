//! An upstream that is down, slow or wrong, and clients that go away: each ends in an answer, and
//! leaves nothing behind.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::actors::client::{bearer, head};
use crate::actors::origin::{After, Origin};
use crate::actors::scripts::{echo, events, fixed, hang, websocket};
use crate::actors::setup::{READ, Setup, WRITE, account, key};
use crate::actors::sidecar::Sidecar;
use crate::actors::{Cue, eventually, never};

#[test]
fn an_upstream_that_is_down_is_a_502_and_recovers_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sidecar = Sidecar::start(&Setup::before_url(&format!("http://{address}")));
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).refused(502, "upstream_unreachable");
    client.post("/", &[&bearer(WRITE)], b"x").refused(502, "upstream_unreachable");
    assert_eq!(sidecar.counted("failed", Some("upstream_unreachable")), 2);
    assert!(sidecar.metric("keygate_upstream_errors_total", &[]) >= 2.0);
    let origin = Origin::listening(TcpListener::bind(address).unwrap(), echo);
    client.get("/", &[&bearer(READ)]).ok();
    assert_eq!(origin.count(), 1);
}

/// The rest of the body cannot be told from a next request, so there can be none.
#[test]
fn an_answer_to_a_body_that_nobody_reads_says_that_the_connection_ends() {
    let sidecar = Sidecar::start(&Setup::before_url("http://127.0.0.1:9"));
    let key = bearer(WRITE);
    for length in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = sidecar.client();
        client.send(head("POST", "/", &[&key, length]));
        let response = client.response("POST");
        response.refused(502, "upstream_unreachable");
        assert_eq!(response.value("connection"), Some("close"), "{length}");
    }
    let mut client = sidecar.client();
    for _ in 0..2 {
        let response = client.post("/", &[&key], b"x");
        response.refused(502, "upstream_unreachable");
        assert_eq!(response.value("connection"), None);
    }
}

#[test]
fn an_upstream_may_be_given_by_name() {
    let origin = Origin::echo();
    let url = origin.url.replace("127.0.0.1", "localhost");
    let sidecar = Sidecar::start(&Setup::before_url(&url));
    sidecar.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn an_upstream_that_hangs_is_a_504_in_the_configured_time() {
    let origin = Origin::tcp(hang);
    let sidecar = Sidecar::start(&Setup::before(&origin).upstream("timeout = \"300ms\""));
    let began = Instant::now();
    sidecar.get("/", &[&bearer(READ)]).refused(504, "upstream_timeout");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
    origin.wait("the cancellation", |state| state.requests.iter().all(|seen| seen.gone));
    assert_eq!(sidecar.http2().get("/", &[&bearer(READ)]).status, 504);
}

#[test]
fn an_upstream_that_hangs_in_the_body_cuts_the_answer() {
    let origin = Origin::tcp(|exchange| {
        exchange.drain();
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.");
        exchange.wait_gone();
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin).upstream("timeout = \"2s\""));
    let response = sidecar.client().get("/", &[&bearer(READ)]);
    assert_eq!(
        (response.status, response.body.as_slice(), response.complete),
        (200, &b"half."[..], false)
    );
    let mut stream = sidecar.http2().open("GET", "/", &[&bearer(READ)], true);
    let response = stream.response();
    assert_eq!((response.status, response.complete), (200, false));
    origin.wait("the cancellation", |state| state.requests.iter().all(|seen| seen.gone));
}

#[test]
fn what_is_not_http_is_a_502() {
    let garbage: [&str; 11] = [
        "\u{16}\u{3}\u{1}garbage\r\n\r\n",
        "hello\r\n\r\n",
        "<html>HTTP/0.9</html>",
        "HTTP/1.1 1200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab",
        "",
    ];
    for answer in garbage {
        let origin = Origin::tcp(fixed(answer, || After::Close));
        let sidecar = Sidecar::start(&Setup::before(&origin));
        let response = sidecar.client().get("/", &[&bearer(READ)]);
        assert_eq!(response.status, 502, "{answer:?}: {response:?}");
        assert_eq!(sidecar.http2().get("/", &[&bearer(READ)]).status, 502, "{answer:?}");
        assert_eq!(origin.connections(), origin.count(), "not used again after {answer:?}");
    }
}

#[test]
fn bytes_after_an_answer_do_not_become_the_next_one() {
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
                    HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let origin = Origin::tcp(fixed(smuggled, || After::Keep));
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    for _ in 0..3 {
        assert_eq!(client.get("/", &[&bearer(READ)]).body, b"ok");
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_body_that_breaks_off_is_broken_for_the_client_too() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ] {
        let origin = Origin::tcp(fixed(answer, || After::Close));
        let sidecar = Sidecar::start(&Setup::before(&origin));
        let response = sidecar.client().get("/", &[&bearer(READ)]);
        assert_eq!((response.status, response.complete), (200, false), "{answer:?}");
        let response = sidecar.http2().get("/", &[&bearer(READ)]);
        assert_eq!((response.status, response.complete), (200, false), "{answer:?} on HTTP/2");
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole() {
    let answer = "HTTP/1.0 200 OK\r\n\r\nall of it";
    let origin = Origin::tcp(fixed(answer, || After::Close));
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let response = sidecar.client().get("/", &[&bearer(READ)]);
    response.ok();
    assert_eq!(response.body, b"all of it");
}

#[test]
fn a_client_that_goes_away_before_the_answer_cancels_the_upstream_request() {
    let origin = Origin::tcp(hang);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("GET", "/h1", &[&bearer(READ)]));
    origin.wait("the request", |state| state.requests.len() == 1);
    drop(client);
    origin.wait("the cancellation", |state| state.requests.first().is_some_and(|seen| seen.gone));

    let client = sidecar.http2();
    let stream = client.open("GET", "/h2", &[&bearer(READ)], true);
    origin.wait("the request", |state| state.requests.len() == 2);
    stream.reset();
    origin.wait("the cancellation", |state| state.requests[1].gone);
    client.request("GET", "/", &[], b"").refused(401, "no_credential");
}

#[test]
fn a_client_that_goes_away_during_the_answer_cancels_the_upstream_request() {
    let origin = Origin::tcp(events);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("GET", "/h1", &[&bearer(READ)]));
    let (_, mut left) = client.response_head("GET");
    assert!(client.piece(&mut left).unwrap().is_some());
    drop(client);
    origin.wait("the cancellation", |state| state.requests.first().is_some_and(|seen| seen.gone));

    let client = sidecar.http2();
    let mut stream = client.open("GET", "/h2", &[&bearer(READ)], true);
    stream.head();
    assert!(stream.piece().unwrap().is_some());
    stream.reset();
    origin.wait("the cancellation", |state| state.requests[1].gone);
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_its_body_cancels_the_upstream_request() {
    let origin = Origin::tcp(echo);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/h1", &[&bearer(WRITE), "Content-Length: 100"]));
    client.send("half");
    origin.wait("the half", |state| state.requests.iter().any(|seen| seen.body == b"half"));
    drop(client);
    origin.wait("the cancellation", |state| state.requests.first().is_some_and(|seen| seen.gone));

    // Without an error it is not whole either.
    for (at, reason) in [(1, h2::Reason::CANCEL), (2, h2::Reason::NO_ERROR)] {
        let client = sidecar.http2();
        let mut stream = client.open("POST", "/h2", &[&bearer(WRITE)], false);
        stream.send(b"half", false);
        origin.wait("the half", |state| {
            state.requests.get(at).is_some_and(|seen| seen.body == b"half")
        });
        stream.reset_for(reason);
        origin.wait("the end", |state| state.requests[at].gone || state.requests[at].complete);
    }
    assert!(!origin.requests().iter().any(|seen| seen.complete));
}

/// Also where the body is read here, and what came of it could be taken for all of it.
#[test]
fn a_body_that_is_judged_and_reset_without_an_error_goes_nowhere() {
    let origin = Origin::echo();
    let routes = "[[route]]\npath = \"/judged\"\npermissions = [\"a\"]\n\
                  content_type = \"application/json\"\npermission_from = \"/command\"\n\
                  [[route]]\npath = \"/free\"\n";
    let more = "access = \"write\"\npermissions = [\"a\", \"b\"]";
    let keys = account("acme", "") + &key("may", "acme", WRITE, more);
    let sidecar = Sidecar::start(&Setup::before(&origin).config(routes).keys(keys));
    let client = sidecar.http2();
    let ask = [&*bearer(WRITE), "content-type: application/json"];
    // Answered in order, it tells that what was sent before has come.
    let reached = || assert_eq!(client.get("/free", &[&bearer(WRITE)]).status, 200);
    for whole in [false, true] {
        let mut stream = client.open("POST", "/judged", &ask, false);
        stream.send(br#"{"command":"b"}"#, whole);
        reached();
        match whole {
            true => assert_eq!(stream.head().status, 200),
            false => stream.reset_for(h2::Reason::NO_ERROR),
        }
        reached();
        let judged = origin.requests().iter().filter(|seen| seen.target == "/judged").count();
        assert_eq!(judged, usize::from(whole));
    }
}

const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

#[test]
fn a_websocket_passes_after_a_permit() {
    let origin = Origin::tcp(websocket);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    let response = client.get("/ws", &[&UPGRADE[..], &[&bearer(READ)]].concat());
    assert_eq!(response.status, 101, "{response:?}");
    assert_eq!(response.value("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for text in ["\u{81}\u{5}hello", "again"] {
        client.send(text);
        while client.wire.buffer.len() < text.len() {
            assert_ne!(client.wire.fill().unwrap(), 0);
        }
        assert_eq!(std::mem::take(&mut client.wire.buffer), text.as_bytes());
    }
    let seen = origin.only();
    assert_eq!(seen.value("x-account-id"), Some("acme"));
    assert!(!seen.has("authorization"));
    drop(client);
    origin
        .wait("the client's leaving", |state| state.requests.first().is_some_and(|seen| seen.gone));
}

#[test]
fn a_websocket_may_be_silent_longer_than_any_timeout() {
    let origin = Origin::tcp(websocket);
    let setup = Setup::before(&origin)
        .upstream("timeout = \"1s\"")
        .config("[[route]]\npath = \"/{*rest}\"\ntimeout = \"1500ms\"");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    let response = client.get("/ws", &[&UPGRADE[..], &[&bearer(READ)]].concat());
    assert_eq!(response.status, 101);
    assert!(never(Duration::from_millis(2500), || origin.only().gone));
    client.send("still here");
    assert_ne!(client.wire.fill().unwrap(), 0);
}

#[test]
fn a_websocket_does_not_pass_without_a_permit() {
    let origin = Origin::tcp(websocket);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.get("/ws", &UPGRADE).refused(401, "no_credential");
    // And what follows is read as HTTP, not passed on.
    client
        .get("/ws", &[&UPGRADE[..], &[&bearer("no-such-key-0123456789")]].concat())
        .refused(401, "invalid_credential");
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_upgrade_that_the_upstream_refuses_is_an_ordinary_answer() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.get("/ws", &[&UPGRADE[..], &[&bearer(READ)]].concat()).ok();
    client.get("/", &[&bearer(READ)]).ok();
    assert_eq!(origin.count(), 2);
}

#[test]
fn one_slow_answer_does_not_hold_up_another() {
    let cue = Arc::<Cue>::default();
    let held = Arc::clone(&cue);
    let origin = Origin::tcp(move |exchange| {
        if exchange.request.target == "/slow" {
            held.wait();
        }
        echo(exchange)
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let client = sidecar.http2();
    let mut slow = client.open("GET", "/slow", &[&bearer(READ)], true);
    origin.wait("the slow one", |state| state.requests.len() == 1);
    for _ in 0..10 {
        client.get("/", &[&bearer(READ)]).ok();
    }
    cue.raise();
    slow.response().ok();
    eventually("nothing in flight", || {
        (sidecar.metric("keygate_in_flight_requests", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_client_that_does_not_read_holds_the_upstream_back() {
    let sent = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&sent);
    let origin = Origin::tcp(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while exchange.send(&piece) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("GET", "/", &[&bearer(READ)]));
    let (response, _) = client.response_head("GET");
    assert_eq!(response.status, 200);
    let http2 = sidecar.http2();
    let mut stream = http2.open("GET", "/", &[&bearer(READ)], true);
    assert_eq!(stream.head().status, 200);
    // What the sockets hold, and no more: 2 streams, a few MiB each.
    assert!(never(Duration::from_millis(500), || sent.load(Ordering::SeqCst) > 40));
    drop(client);
    stream.reset();
    origin.wait("the end", |state| state.requests.iter().all(|seen| seen.gone));
}

#[test]
fn a_connection_that_still_expects_a_body_is_not_used_again() {
    let origin = Origin::tcp(|exchange| {
        if exchange.request.method == "GET" {
            return echo(exchange);
        }
        // Answered before the body has come; what comes next is still that body.
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly");
        After::Keep
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/", &[&bearer(WRITE), "Content-Length: 1000"]));
    client.send("half");
    assert_eq!(client.response("POST").body, b"early");
    for _ in 0..4 {
        sidecar.get("/next", &[&bearer(READ)]).ok();
    }
    drop(client);
    let http2 = sidecar.http2();
    let mut stream = http2.open("POST", "/", &[&bearer(WRITE)], false);
    stream.send(b"half", false);
    assert_eq!(stream.response().body, b"early");
    stream.reset();
    for _ in 0..4 {
        http2.get("/next", &[&bearer(READ)]).ok();
    }
    for seen in origin.requests() {
        assert!(!String::from_utf8_lossy(&seen.body).contains("GET"), "{seen:?}");
    }
}
