//! Where one message ends and the next begins: both sides, and we, see it the same.

use crate::actors::client::{bearer, head};
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::Framing;

/// A request that would pass if it were taken for one.
fn smuggled() -> String {
    format!("GET /smuggled HTTP/1.1\r\nHost: keygate.test\r\n{}\r\n\r\n", bearer(WRITE))
}

#[test]
fn a_refused_body_is_never_read_as_a_request() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let body = smuggled();
    let mut client = sidecar.client();
    client.post("/", &[&bearer(READ)], body.as_bytes()).refused(403, "method_not_allowed_for_key");
    client.post("/", &[], body.as_bytes()).refused(401, "no_credential");
    client.send(head("POST", "/", &["Transfer-Encoding: chunked"]));
    client.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    client.response("POST").refused(401, "no_credential");
    // The connection is still in step.
    client.get("/next", &[&bearer(READ)]).ok();
    assert_eq!(origin.only().target, "/next");
}

#[test]
fn a_refused_body_that_is_too_long_to_read_away_closes_the_connection() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/", &["Content-Length: 10000000"]));
    let response = client.response("POST");
    response.refused(401, "no_credential");
    assert_eq!(response.value("connection"), Some("close"));
    let _ = client.wire.write(smuggled().as_bytes());
    assert!(client.closed());
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_refused_body_without_a_length_is_not_read_as_a_request_either() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/", &["Transfer-Encoding: chunked"]));
    let (piece, hidden) = ("x".repeat(40_000), smuggled());
    let chunk = |data: &str| format!("{:x}\r\n{data}\r\n", data.len());
    for _ in 0..5 {
        let _ = client.wire.write((chunk(&piece) + &chunk(&hidden)).as_bytes());
    }
    client.response("POST").refused(401, "no_credential");
    let _ = client.wire.write((chunk(&hidden) + "0\r\n\r\n").as_bytes());
    assert!(client.closed());
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_refused_body_does_not_disturb_other_streams() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let http2 = sidecar.http2();
    for _ in 0..20 {
        let mut refused = http2.open("POST", "/", &[&bearer(READ)], false);
        refused.send(&vec![b'x'; 200_000], false);
        let response = refused.head();
        assert_eq!(response.status, 403);
        http2.request("POST", "/", &[&bearer(WRITE)], &vec![b'y'; 100_000]).ok();
    }
    assert_eq!(origin.count(), 20);
}

#[test]
fn a_refusal_arrives_although_the_client_keeps_sending() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/", &["Content-Length: 500000"]));
    // As much as will be taken: the answer must not be lost in a reset.
    let _ = client.wire.write(&vec![b'x'; 500_000]);
    client.response("POST").refused(401, "no_credential");
    assert_eq!(origin.count(), 0);
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    let key = bearer(READ);
    let requests = [head("GET", "/1", &[&key]), head("GET", "/2", &[]), head("GET", "/3", &[&key])];
    client.send(requests.concat());
    assert_eq!(client.response("GET").json()["path"], "/1");
    client.response("GET").refused(401, "no_credential");
    assert_eq!(client.response("GET").json()["path"], "/3");
}

#[test]
fn a_client_of_http_1_0_is_served() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(format!("GET /old HTTP/1.0\r\n{}\r\n\r\n", bearer(READ)));
    client.response("GET").ok();
    assert!(client.closed());
    assert_eq!(origin.only().target, "/old");
}

#[test]
fn a_body_without_one_end_is_refused_and_hides_no_request() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let key = bearer(WRITE);
    let endless = format!("Content-Length: {}", u128::from(u64::MAX) + 1);
    let cases: &[&[&str]] = &[
        &["Content-Length: 4", "Transfer-Encoding: chunked"],
        &["Transfer-Encoding: chunked", "Content-Length: 4"],
        &["Content-Length: 5", "Content-Length: 5"],
        &["Content-Length: 4", "Content-Length: 5"],
        &["Content-Length: 5, 5"],
        &["Content-Length: +5"],
        &["Content-Length: -5"],
        &["Content-Length: 0x5"],
        &["Content-Length: 5 5"],
        &["Content-Length: 5."],
        &["Content-Length:"],
        &["Content_Length: 5"],
        &[&endless],
        &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        &["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        &["Transfer-Encoding: gzip, chunked"],
        &["Transfer-Encoding: chunked, gzip"],
        &["Transfer-Encoding: xchunked"],
        &["Transfer-Encoding: \"chunked\""],
        &["Transfer-Encoding: chunked;a=b"],
        &["Transfer-Encoding:"],
        &["Transfer-Encoding : chunked"],
        &["Transfer_Encoding: chunked"],
        &[" Transfer-Encoding: chunked"],
        &["X: y", " Transfer-Encoding: chunked"],
        &["Transfer-Encoding: chunked\u{0}"],
        &["Transfer-Encoding: \u{b}chunked"],
        &["Transfer-Encoding: chunked,"],
        &["Transfer-Encoding: , chunked"],
    ];
    for (done, fields) in (1u64..).zip(cases) {
        let mut client = sidecar.client();
        let mut bytes = head("POST", "/", &[&[&*key], *fields].concat());
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes.extend_from_slice(smuggled().as_bytes());
        client.send(bytes);
        let response = client.response("POST");
        response.refused(400, "malformed_request");
        assert!(response.value("x-request-id").is_some(), "{fields:?}");
        assert!(client.closed(), "{fields:?}");
        eventually("it to be counted", || {
            (sidecar.refusals("malformed_request") == done).then_some(())
        });
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_head_without_one_reading_is_refused_and_nothing_after_it_is_read() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let key = bearer(READ);
    let many: String = (0..101).map(|n| format!("X-{n}: a\r\n")).collect();
    let large = format!("X: {}\r\n", "a".repeat(70_000));
    let line = "a".repeat(70_000);
    let cases = [
        "GET / HTTP/1.1\nHost: h\nKEY\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nKEY\r\nX\u{e9}: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: h\r\nKEY\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h:+80\r\nKEY\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h:80x\r\nKEY\r\n\r\n",
        "GET http://h:+80/ HTTP/1.1\r\nHost: h:+80\r\nKEY\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: h\r\nKEY\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\nKEY\r\n\r\n",
        "GET / http/1.1\r\nHost: h\r\nKEY\r\n\r\n",
        "GET /\r\nHost: h\r\nKEY\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &format!("GET / HTTP/1.1\r\nHost: h\r\nKEY\r\n{many}\r\n"),
        &format!("GET / HTTP/1.1\r\nHost: h\r\nKEY\r\n{large}\r\n"),
        &format!("GET /{line} HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n"),
    ];
    for (done, case) in (1u64..).zip(cases) {
        let shown: String = case.chars().take(80).collect();
        let mut client = sidecar.client();
        // One that is good before it is answered all the same.
        client.send(head("GET", "/before", &[&key]));
        client.response("GET").ok();
        let bytes: Vec<u8> = case.replace("KEY", &key).chars().map(|c| c as u8).collect();
        client.send([bytes.as_slice(), smuggled().as_bytes()].concat());
        let response = client.response("GET");
        response.refused(400, "malformed_request");
        assert!(response.value("x-request-id").is_some(), "{shown:?}");
        assert!(client.closed(), "{shown:?}");
        eventually("it to be counted", || {
            (sidecar.refusals("malformed_request") == done).then_some(())
        });
    }
    assert!(origin.requests().iter().all(|seen| seen.target == "/before"));
}

/// Whoever sends it may still be sending when the answer and the end have come.
#[test]
fn a_head_that_is_far_too_large_is_refused_before_it_is_read_whole() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let key = bearer(READ);
    let fields = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: a\r\n")).collect() };
    let large = "a".repeat(1 << 20);
    let before = sidecar.peak_memory();
    for case in [
        format!("GET / HTTP/1.1\r\nHost: h\r\n{key}\r\n{}\r\n", fields(1_000)),
        format!("GET / HTTP/1.1\r\nHost: h\r\n{key}\r\n{}\r\n", fields(100_000)),
        format!("GET / HTTP/1.1\r\nHost: h\r\n{key}\r\nX: {large}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\n{key}\r\n{large}: a\r\n\r\n"),
        format!("GET /{large} HTTP/1.1\r\nHost: h\r\n{key}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {large}\r\n{key}\r\n\r\n"),
        format!("{large} / HTTP/1.1\r\nHost: h\r\n{key}\r\n\r\n"),
    ] {
        let refused = sidecar.refusals("malformed_request");
        let mut client = sidecar.client();
        // It need not take what it does not want.
        let _ = client.wire.write(case.as_bytes());
        eventually("the refusal", || {
            (sidecar.refusals("malformed_request") > refused).then_some(())
        });
        assert_eq!(sidecar.refusals("malformed_request"), refused + 1);
    }
    let more = sidecar.peak_memory() - before;
    assert!(more < 4 << 20, "{more} bytes");
    assert_eq!(origin.count(), 0);
}

#[test]
fn chunks_that_break_their_framing_break_the_request() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let key = bearer(WRITE);
    for chunks in [
        "g\r\nbody",
        "+4\r\nbody\r\n",
        "0x4\r\nbody\r\n",
        " 4\r\nbody\r\n",
        "4 \r\nbody\r\n",
        "4\nbody\r\n",
        "4;a\nbody\r\n",
        "4\r\nbodyX\r\n",
        "4\r\nbody\n",
        "4\r\nbody0\r\n\r\n",
        "fffffffffffffffff\r\nbody",
        "4\r\nbody\r\n0\r\n\n",
        "4\r\nbody\r\n0\r\nX: y\n\r\n",
        "\r\n4\r\nbody\r\n",
        &format!("4;{}\r\nbody\r\n", "a".repeat(20_000)),
        &format!("0\r\nX: {}\r\n\r\n", "a".repeat(40_000)),
    ] {
        let mut client = sidecar.client();
        client.send(head("POST", "/", &[&key, "Transfer-Encoding: chunked"]));
        client.send([chunks.as_bytes(), smuggled().as_bytes()].concat());
        let response = client.response("POST");
        assert_eq!(response.status, 400, "{chunks:?}: {response:?}");
        assert!(client.closed(), "{chunks:?}");
    }
    assert!(origin.requests().iter().all(|seen| seen.target == "/" && !seen.complete));
}

#[test]
fn a_host_that_is_no_host_is_refused() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let key = bearer(READ);
    for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a/b\r\n", "Host: u@a\r\n", "Host: a b\r\n"] {
        let mut client = sidecar.client();
        client.send(format!("GET / HTTP/1.1\r\n{hosts}{key}\r\n\r\n"));
        assert_eq!(client.response("GET").status, 400, "{hosts:?}");
    }
    let mut client = sidecar.client();
    client.send(format!("GET http://other.test/ HTTP/1.1\r\nHost: keygate.test\r\n{key}\r\n\r\n"));
    assert_eq!(client.response("GET").status, 400);
    assert_eq!(origin.count(), 0);
    let mut client = sidecar.client();
    let target = "https://keygate.test/absolute?q";
    client.send(head("GET", target, &[&key]));
    client.response("GET").ok();
    assert_eq!(origin.only().target, "/absolute?q");
    for (target, upstream) in [("https://keygate.test?q", "/?q"), ("https://keygate.test", "/")] {
        client.send(head("GET", target, &[&key]));
        client.response("GET").ok();
        assert_eq!(origin.last().target, upstream);
    }
}

#[test]
fn what_we_write_upstream_is_framed_by_us() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("POST", "/", &[&bearer(WRITE), "Transfer-Encoding: Chunked"]));
    client.send("4;extension=\"x\"\r\nbody\r\n0\r\n\r\n");
    client.response("POST").ok();
    let seen = origin.only();
    assert_eq!(seen.body, b"body");
    assert_eq!(Framing::of(&seen.fields, Framing::ToClose), Framing::Chunked);
    assert!(!seen.has("content-length"));
}
