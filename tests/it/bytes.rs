//! Messages in their awkward forms: refused, or passed on as exactly one.

use crate::actors::client::{Client, Response, bearer, head};
use crate::actors::origin::{After, Origin};
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;

fn scene() -> (Origin, Sidecar) {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    (origin, sidecar)
}

/// Sends a request line with a `Host` and a key.
fn ask(sidecar: &Sidecar, line: &str, host: &str) -> (Client, Response) {
    let mut client = sidecar.client();
    let bytes = format!("{line}\r\nHost: {host}\r\n{}\r\n\r\n", bearer(READ));
    client.send(bytes.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<_>>());
    let response = client.response("GET");
    (client, response)
}

#[test]
fn a_target_has_a_path_of_its_own_and_the_host_that_it_says() {
    let (origin, sidecar) = scene();
    for (line, host) in [
        ("GET keygate.test HTTP/1.1", "keygate.test"),
        ("GET keygate.test:443 HTTP/1.1", "keygate.test:443"),
        ("GET * HTTP/1.1", "keygate.test"),
        ("OPTIONS * HTTP/1.1", "keygate.test"),
        ("GET a HTTP/1.1", "keygate.test"),
        ("GET ?a HTTP/1.1", "keygate.test"),
        ("GET //a HTTP/1.1", "keygate.test"),
        ("GET http:///a HTTP/1.1", "keygate.test"),
        ("GET http://other.test/a HTTP/1.1", "keygate.test"),
        ("GET http://keygate.test:1/a HTTP/1.1", "keygate.test"),
        ("GET http://user@keygate.test/a HTTP/1.1", "keygate.test"),
        ("GET /a<b HTTP/1.1", "keygate.test"),
        ("GET /a>b HTTP/1.1", "keygate.test"),
        ("GET /a`b HTTP/1.1", "keygate.test"),
        ("GET /a?b=\"c\" HTTP/1.1", "keygate.test"),
        ("GET /a?<b> HTTP/1.1", "keygate.test"),
        ("GET http:// HTTP/1.1", "keygate.test"),
        ("GET /a HTTP/1.1", "keygate.test/b"),
        ("GET /a HTTP/1.1", "user@keygate.test"),
        ("GET /a HTTP/1.1", "keygate.test, other.test"),
        ("GET /a HTTP/1.1", "keygate.test other.test"),
        ("GET /a HTTP/1.1", ""),
        ("GET /a HTTP/1.1", "\u{e9}.test"),
        ("GET /a HTTP/1.1", "keygate\u{1}.test"),
        ("GET /a HTTP/1.1", "keygate.test\u{7f}"),
        ("GET /a HTTP/1.1", "keygate\t.test"),
        ("GET /a HTTP/1.1", "keygate.test\r\nHost: keygate.test"),
        ("GET /a HTTP/1.1", "keygate.test\r\nHost: other.test"),
    ] {
        let (_, response) = ask(&sidecar, line, host);
        assert!((400..404).contains(&response.status), "{line} {host}: {response:?}");
        assert!(response.value("x-request-id").is_some(), "{line} {host}: {response:?}");
    }
    assert_eq!(origin.count(), 0);
    let (_, response) = ask(&sidecar, "GET http://keygate.test/a?b HTTP/1.1", "keygate.test");
    response.ok();
    assert_eq!(
        (origin.only().target.as_str(), origin.only().value("host")),
        ("/a?b", Some("keygate.test"))
    );
}

#[test]
fn what_is_unusual_and_has_one_reading_is_one_request() {
    let (origin, sidecar) = scene();
    let key = bearer(READ);
    let long = format!("/{}", "a".repeat(16_000));
    let many: String = (0..90).map(|n| format!("X-{n}: {}\r\n", "b".repeat(100))).collect();
    let cases = [
        ("\r\nGET /a HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n".to_owned(), "/a"),
        ("GET /b HTTP/1.1\r\nHOST:h\r\nKEY   \r\n\r\n".to_owned(), "/b"),
        (format!("GET {long} HTTP/1.1\r\nHost: h\r\nKEY\r\n\r\n"), long.as_str()),
        (format!("GET /c HTTP/1.1\r\nHost: h\r\nKEY\r\n{many}\r\n"), "/c"),
        ("GET /d HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nKEY\r\n\r\n".to_owned(), "/d"),
        ("GET /e HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nKEY\r\n\r\n".to_owned(), "/e"),
        ("GET /f HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nKEY\r\n\r\nok".to_owned(), "/f"),
    ];
    let mut client = sidecar.client();
    for (text, target) in cases {
        // Byte by byte it is the same.
        let bytes = text.replace("KEY", &key);
        match bytes.len() < 1000 {
            true => bytes.as_bytes().chunks(7).for_each(|piece| client.send(piece)),
            false => client.send(&bytes),
        }
        client.response("GET").ok();
        assert_eq!(origin.last().target, target);
    }
    assert_eq!(origin.count(), 7);
}

#[test]
fn an_expectation_is_met_once_or_passed_over() {
    let (origin, sidecar) = scene();
    let key = bearer(WRITE);
    for (line, interim) in [
        ("Expect: 100-continue", vec![100]),
        ("Expect: 100-CONTINUE", vec![100]),
        ("Expect: something-else", vec![]),
        ("Expect:", vec![]),
        ("Expect: 100-continue, 100-continue", vec![]),
        ("Expect: 100-continue\r\nExpect: 100-continue", vec![100]),
        ("Expect: 100-continue;a=b", vec![]),
    ] {
        let mut client = sidecar.client();
        client.send(head("POST", "/", &[&key, line, "Content-Length: 4"]));
        client.send("body");
        let response = client.response("POST");
        response.ok();
        // It may have been sent before anyone could say so.
        assert!(response.interim.is_empty() || response.interim == interim, "{line}");
        assert!(!origin.last().has("expect"), "{line}");
        assert_eq!(origin.last().body, b"body", "{line}");
        client.request("GET", "/next", &[&key]).ok();
    }
    // Without a body there is nothing to go on with.
    let mut client = sidecar.client();
    let response = client.request("GET", "/", &[&key, "Expect: 100-continue"]);
    assert_eq!((response.status, response.interim.as_slice()), (200, &[][..]));
    // HTTP/1.0 knows no interim answers.
    let mut client = sidecar.client();
    client.send(format!(
        "POST / HTTP/1.0\r\nHost: h\r\n{key}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody"
    ));
    let response = client.response("POST");
    assert_eq!((response.status, response.interim.as_slice()), (200, &[][..]));
    assert_eq!(origin.count(), 16);
}

#[test]
fn interim_answers_without_end_are_given_up() {
    let origin = Origin::tcp(|exchange| {
        exchange.drain();
        while exchange.send("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(100)) {}
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin).upstream("timeout = \"1s\""));
    let response = sidecar.get("/", &[&bearer(READ)]);
    assert!(matches!(response.status, 502 | 504), "{response:?}");
    origin.wait("its connection to be given up", |state| state.open == 0);
}

#[test]
fn a_body_where_there_can_be_none_is_not_the_next_answer() {
    let origin = Origin::tcp(|exchange| {
        exchange.drain();
        let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        exchange.send(match exchange.request.target.as_str() {
            "/head" => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{evil}", evil.len()),
            "/204" => format!("HTTP/1.1 204 No Content\r\n\r\n{evil}"),
            "/304" => format!("HTTP/1.1 304 Not Modified\r\n\r\n{evil}"),
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood".to_owned(),
        });
        After::Keep
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let (key, mut client) = (bearer(READ), sidecar.client());
    for (method, target) in [("HEAD", "/head"), ("GET", "/204"), ("GET", "/304")] {
        let response = client.request(method, target, &[&key]);
        assert!(response.body.is_empty(), "{target}: {response:?}");
        assert_eq!(client.get("/good", &[&key]).body, b"good", "after {target}");
        let http2 = sidecar.http2();
        assert!(http2.request(method, target, &[&key], b"").body.is_empty(), "{target}");
        assert_eq!(http2.get("/good", &[&key]).body, b"good", "after {target} over HTTP/2");
    }
}
