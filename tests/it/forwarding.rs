//! Bytes in, bytes out: streamed both ways, reused both ways, and never half an answer that looks
//! like a whole one.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::actors::client::{bearer, head};
use crate::actors::origin::{After, Exchange, Origin};
use crate::actors::pki::{Authority, TRUSTED};
use crate::actors::scripts::{echo, fixed};
use crate::actors::setup::{OTHER, READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::values;
use crate::actors::{Cue, scripts};

const CHUNKED: &str = "Transfer-Encoding: chunked";

#[test]
fn a_request_body_is_streamed_not_buffered() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/", &[&bearer(WRITE), CHUNKED]));
    client.send("5\r\nfirst\r\n");
    origin.wait("the first chunk", |state| {
        state.requests.first().is_some_and(|seen| seen.body == b"first")
    });
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    client.response("POST").ok();
    assert_eq!(origin.only().body, b"firstsecond");
}

#[test]
fn a_request_body_is_streamed_over_http2() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let client = sidecar.http2();
    let mut stream = client.open("POST", "/", &[&bearer(WRITE)], false);
    stream.send(b"first", false);
    origin.wait("the first piece", |state| {
        state.requests.first().is_some_and(|seen| seen.body == b"first")
    });
    stream.send(b"second", true);
    stream.response().ok();
    assert_eq!(origin.only().body, b"firstsecond");
}

/// Answers one chunk at once and the other when told.
fn two_chunks(cue: &Arc<Cue>) -> impl Fn(&mut Exchange<'_>) -> After + use<> {
    let cue = Arc::clone(cue);
    move |exchange| {
        exchange.drain();
        exchange.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        cue.wait();
        exchange.send("6\r\nsecond\r\n0\r\n\r\n");
        After::Keep
    }
}

#[test]
fn an_answer_is_streamed_not_buffered() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(two_chunks(&cue));
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("GET", "/", &[&bearer(READ)]));
    let (response, mut left) = client.response_head("GET");
    assert_eq!(response.status, 200);
    assert_eq!(client.piece(&mut left), Ok(Some(b"first".to_vec())));
    cue.raise();
    assert_eq!(client.piece(&mut left), Ok(Some(b"second".to_vec())));
    assert_eq!(client.piece(&mut left), Ok(None));
}

#[test]
fn an_answer_is_streamed_over_http2() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(two_chunks(&cue));
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let client = sidecar.http2();
    let mut stream = client.open("GET", "/", &[&bearer(READ)], true);
    assert_eq!(stream.head().status, 200);
    assert_eq!(stream.piece().unwrap().unwrap(), "first");
    cue.raise();
    assert_eq!(stream.piece().unwrap().unwrap(), "second");
    // The end may come in an empty frame of its own.
    let rest = std::iter::from_fn(|| stream.piece().unwrap());
    assert_eq!(rest.map(|piece| piece.len()).sum::<usize>(), 0);
}

#[test]
fn trailers_pass_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                  2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n";
    let origin = Origin::tcp(fixed(answer, || After::Keep));
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let fields = [&bearer(WRITE), CHUNKED, "TE: trailers", "Trailer: X-Check"];
    let mut client = sidecar.client();
    client.send(head("POST", "/", &fields));
    client.send("3\r\nabc\r\n0\r\nX-Check: 1\r\n\r\n");
    let response = client.response("POST");
    assert_eq!(values(&origin.last().trailers, "x-check"), ["1"]);
    assert_eq!(values(&response.trailers, "x-sum"), ["2"]);

    let client = sidecar.http2();
    let mut stream =
        client.open("POST", "/", &[&bearer(WRITE), "te: trailers", "trailer: x-check"], false);
    stream.send(b"abc", false);
    stream.send_trailers(&["x-check: 2"]);
    let response = stream.response();
    assert_eq!(values(&origin.last().trailers, "x-check"), ["2"]);
    assert_eq!(values(&response.trailers, "x-sum"), ["2"]);
}

#[test]
fn connections_are_kept_alive_on_both_sides() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    for _ in 0..5 {
        client.get("/", &[&bearer(READ)]).ok();
        client.post("/", &[&bearer(WRITE)], b"body").ok();
        client.get("/", &[]).refused(401, "no_credential");
    }
    assert_eq!((origin.count(), origin.connections()), (10, 1));
}

#[test]
fn keys_that_alternate_on_one_connection_are_each_judged_alone() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    let second = sidecar.http2();
    for (key, account) in [(WRITE, "acme"), (OTHER, "other"), (WRITE, "acme"), (OTHER, "other")] {
        client.get("/", &[&bearer(key)]).ok();
        assert_eq!(origin.last().value("x-account-id"), Some(account));
        second.get("/", &[&bearer(key)]).ok();
        assert_eq!(origin.last().value("x-account-id"), Some(account));
        client.get("/", &[&bearer("nobodys-key-0123456789")]).refused(401, "invalid_credential");
    }
}

/// Answers the first request of a connection and then closes it without saying so; the second is
/// never answered.
fn stale(exchange: &mut Exchange<'_>) -> After {
    echo(exchange);
    After::Close
}

#[test]
fn a_request_that_can_be_repeated_survives_a_stale_connection() {
    let origin = Origin::tcp(stale);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    for _ in 0..20 {
        client.get("/", &[&bearer(READ)]).ok();
    }
    assert_eq!(origin.count(), 20);
}

/// Takes a second request of a connection and closes without an answer.
fn closes_on_the_second(exchange: &mut Exchange<'_>) -> After {
    if exchange.request.target == "/first" {
        return echo(exchange);
    }
    let seen = exchange.request.value("x-try").map(str::to_owned);
    exchange.drain();
    match seen.as_deref() {
        Some("always") => After::Close,
        _ if exchange.request.connection > 0 => echo(exchange),
        _ => After::Close,
    }
}

#[test]
fn a_get_is_repeated_once_where_a_pooled_connection_dies_unanswered() {
    let origin = Origin::tcp(closes_on_the_second);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.get("/first", &[&bearer(READ)]).ok();
    client.get("/second", &[&bearer(READ)]).ok();
    assert_eq!((origin.count(), origin.connections()), (3, 2));
}

#[test]
fn a_get_is_not_repeated_for_ever() {
    let origin = Origin::tcp(closes_on_the_second);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.get("/first", &[&bearer(READ)]).ok();
    client.get("/second", &[&bearer(READ), "X-Try: always"]).refused(502, "upstream_unreachable");
    assert!(origin.count() <= 3, "tried {} times", origin.count() - 1);
}

#[test]
fn a_post_with_a_body_is_never_repeated() {
    let origin = Origin::tcp(closes_on_the_second);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.get("/first", &[&bearer(WRITE)]).ok();
    let response = client.post("/second", &[&bearer(WRITE)], b"once");
    response.refused(502, "upstream_unreachable");
    assert_eq!(origin.count(), 2);
}

#[test]
fn answers_without_a_body_keep_the_connection_in_step() {
    let origin = Origin::tcp(|exchange| {
        exchange.drain();
        let answer = match exchange.request.target.as_str() {
            "/204" => "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            "/twice" => "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nend",
            "/304" => "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"x\"\r\n\r\n",
            _ if exchange.request.method == "HEAD" => {
                "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n"
            }
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nend",
        };
        exchange.send(answer);
        After::Keep
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let key = bearer(READ);
    let mut client = sidecar.client();
    for _ in 0..2 {
        let response = client.request("HEAD", "/", &[&key]);
        assert_eq!((response.status, response.value("content-length")), (200, Some("1234")));
        assert_eq!(client.get("/204", &[&key]).status, 204);
        assert_eq!(client.get("/304", &[&key]).status, 304);
        assert_eq!(client.get("/", &[&key]).body, b"end");
    }
    assert_eq!(origin.connections(), 1);
    let client = sidecar.http2();
    let response = client.request("HEAD", "/", &[&key], b"");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(client.get("/304", &[&key]).status, 304);
    let empty = client.get("/204", &[&key]);
    assert_eq!((empty.status, empty.value("content-length")), (204, None));
    let twice = client.get("/twice", &[&key]);
    assert_eq!((twice.values("content-length"), twice.body.as_slice()), (vec!["3"], &b"end"[..]));
}

const LARGE: usize = 50 << 20;

/// A body in which no piece is like another.
fn large() -> Vec<u8> {
    (0..LARGE / 4).flat_map(|word| u32::try_from(word).unwrap().to_le_bytes()).collect()
}

#[test]
fn large_bodies_arrive_whole_both_ways() {
    let body = large();
    let sent = body.clone();
    let origin = Origin::tcp(move |exchange| {
        if exchange.request.method == "POST" {
            return echo_digest(exchange);
        }
        exchange.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"));
        exchange.send(&sent);
        After::Keep
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let digest = hex(&Sha256::digest(&body));
    let mut client = sidecar.client();
    assert_eq!(client.post("/", &[&bearer(WRITE)], &body).text(), digest);
    let response = client.get("/", &[&bearer(WRITE)]);
    response.ok();
    assert!(response.body == body, "another body of {} bytes", response.body.len());
    let client = sidecar.http2();
    let response = client.get("/", &[&bearer(WRITE)]);
    response.ok();
    assert!(response.body == body, "another body of {} bytes", response.body.len());
    assert_eq!(client.request("POST", "/", &[&bearer(WRITE)], &body).text(), digest);
}

/// Answers with the digest of what arrived, without keeping it.
fn echo_digest(exchange: &mut Exchange<'_>) -> After {
    exchange.drain();
    let digest = hex(&Sha256::digest(&exchange.request.body));
    exchange.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n{digest}"));
    After::Keep
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_upstream_may_be_a_unix_socket() {
    let origin = Origin::unix(echo);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.get("/x", &[&bearer(READ)]).ok();
    client.post("/x", &[&bearer(WRITE)], b"body").ok();
    assert_eq!(origin.last().value("host"), Some("keygate.test"));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_upstream_may_speak_tls_under_a_given_authority() {
    let origin = Origin::tls(&TRUSTED.issue(), echo);
    let setup = Setup::before(&origin).upstream("ca = \"ca.pem\"").file("ca.pem", TRUSTED.pem());
    let sidecar = Sidecar::start(&setup);
    sidecar.get("/x", &[&bearer(READ)]).ok();
    assert_eq!(origin.only().value("x-account-id"), Some("acme"));
}

#[test]
fn an_upstream_under_another_authority_is_not_spoken_to() {
    let origin = Origin::tls(&Authority::new().issue(), echo);
    let setup = Setup::before(&origin).upstream("ca = \"ca.pem\"").file("ca.pem", TRUSTED.pem());
    let sidecar = Sidecar::start(&setup);
    sidecar.get("/x", &[&bearer(READ)]).refused(502, "upstream_unreachable");
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_upstream_without_a_given_authority_is_judged_by_the_systems() {
    let origin = Origin::tls(&TRUSTED.issue(), echo);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    sidecar.get("/x", &[&bearer(READ)]).refused(502, "upstream_unreachable");
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_early_answer_reaches_the_client_before_it_has_sent_everything() {
    let origin = Origin::tcp(|exchange| {
        exchange.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/", &[&bearer(WRITE), "Content-Length: 100000000"]));
    client.send("begun");
    let response = client.response("POST");
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    sidecar.get("/", &[&bearer(WRITE)]);
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_refusal_comes_before_the_client_is_told_to_go_on() {
    let origin = Origin::tcp(|exchange| {
        if exchange.request.has("expect") {
            exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        scripts::echo(exchange)
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let expecting = ["Expect: 100-continue", "Content-Length: 4"];
    let mut client = sidecar.client();
    client.send(head("POST", "/", &[&expecting[..], &[&bearer(READ)]].concat()));
    let response = client.response("POST");
    response.refused(403, "method_not_allowed_for_key");
    assert_eq!(response.interim, [0; 0]);
    assert_eq!(origin.count(), 0);

    let mut client = sidecar.client();
    client.send(head("POST", "/", &[&expecting[..], &[&bearer(WRITE)]].concat()));
    let go_on = client.wire.head().unwrap().expect("100 Continue");
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    client.send("body");
    client.response("POST").ok();
    assert_eq!(origin.only().body, b"body");
}

#[test]
fn what_the_upstream_says_to_us_alone_stays_with_us() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\n\
                  x-hop: 1\r\nx-end: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
                  content-length: 2\r\n\r\nok";
    let origin = Origin::tcp(fixed(answer, || After::Keep));
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let responses =
        [sidecar.client().get("/", &[&bearer(READ)]), sidecar.http2().get("/", &[&bearer(READ)])];
    for response in responses {
        response.ok();
        assert_eq!(response.value("x-end"), Some("1"));
        assert_eq!(response.values("set-cookie"), ["a=1", "b=2"]);
        for name in ["keep-alive", "x-hop"] {
            assert_eq!(response.value(name), None, "{response:?}");
        }
    }
}

#[test]
fn an_early_hint_does_not_pass_for_the_answer() {
    let answer = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
                  HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let origin = Origin::tcp(fixed(answer, || After::Keep));
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    for _ in 0..2 {
        assert_eq!(client.get("/", &[&bearer(READ)]).body, b"ok");
    }
    assert_eq!(sidecar.http2().get("/", &[&bearer(READ)]).body, b"ok");
}

#[test]
fn cookies_that_http2_splits_are_joined_again() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    sidecar.http2().get("/", &[&bearer(READ), "cookie: a=1", "cookie: b=2"]).ok();
    assert_eq!(origin.only().value("cookie"), Some("a=1; b=2"));
}

#[test]
fn header_fields_keep_their_bytes_and_their_order() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let fields = [&bearer(READ), "X-Byte: caf\u{e9}", "X-Many: 1", "X-Empty:", "X-Many: 2, 3"];
    sidecar.client().get("/", &fields).ok();
    sidecar.http2().get("/", &fields.map(str::to_lowercase).each_ref().map(String::as_str));
    for seen in origin.requests() {
        assert_eq!(seen.value("x-byte"), Some("caf\u{e9}"));
        assert_eq!(seen.values("x-many"), ["1", "2, 3"]);
        assert_eq!(seen.value("x-empty"), Some(""));
    }
}
