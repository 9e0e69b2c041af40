//! Bodies that a rule wants to see: read within bounds, judged whole, forwarded byte for byte.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::actors::client::{Client, Response, bearer, head};
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup, WRITE, usual_keys};
use crate::actors::sidecar::Sidecar;
use crate::actors::{PATIENCE, eventually};

const FREE: &str = "[[route]]\npath = \"/{*rest}\"\n";
const EVENTS: &str = "[[route]]\npath = \"/events\"\nevents_from = \"/action\"\n";
const JSON: &str = "Content-Type: application/json";

fn scene(routes: &str) -> (Origin, Sidecar) {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(routes));
    (origin, sidecar)
}

/// A body of exactly so many bytes.
fn sized(length: usize) -> Vec<u8> {
    let (before, after) = (r#"{"action":"a","filler":""#, r#""}"#);
    let filler = "x".repeat(length - before.len() - after.len());
    format!("{before}{filler}{after}").into_bytes()
}

/// A body in chunks of so many bytes.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        write!(bytes, "{:x}\r\n", chunk.len()).unwrap();
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn post_chunked(client: &mut Client, target: &str, body: &[u8], size: usize) -> Response {
    let key = bearer(WRITE);
    client.send(head("POST", target, &[&key, JSON, "Transfer-Encoding: chunked"]));
    client.send(chunked(body, size));
    client.response("POST")
}

#[test]
fn an_inspected_body_is_forwarded_byte_for_byte() {
    let (origin, sidecar) = scene(EVENTS);
    let odd = " {\t\"a\\u0063tion\" :\r\n\"caf\u{e9} \\/ \\ud83d\\ude00\",  \"n\": 1.50E+2 }\n ";
    let large = sized(1 << 20);
    for body in [odd.as_bytes(), &large] {
        let mut client = sidecar.client();
        client.post("/events", &[&bearer(WRITE), JSON], body).ok();
        let seen = origin.last();
        assert!(seen.body == body && seen.complete, "with a length");
        assert_eq!(seen.value("content-length"), Some(body.len().to_string().as_str()));
        for size in [1000, 65_537] {
            post_chunked(&mut client, "/events", body, size).ok();
            assert!(origin.last().body == body, "in chunks of {size}");
        }
        let fields = [&*bearer(WRITE), JSON];
        sidecar.http2().request("POST", "/events", &fields, body).ok();
        assert!(origin.last().body == body, "over HTTP/2");
    }
    let body = odd.as_bytes();
    post_chunked(&mut sidecar.client(), "/events", body, 1).ok();
    assert_eq!(origin.last().body, body, "byte by byte");
}

#[test]
fn requests_that_are_pipelined_after_an_inspected_body_are_their_own() {
    let (origin, sidecar) = scene(&format!("{EVENTS}{FREE}"));
    let (key, mut client) = (bearer(WRITE), sidecar.client());
    let body = br#"{"action":"a"}"#;
    let mut bytes = head("POST", "/events", &[&key, JSON, "Transfer-Encoding: chunked"]);
    bytes.extend(chunked(body, 5));
    bytes.extend(head("GET", "/second", &[&key]));
    client.send(bytes);
    client.response("POST").ok();
    client.response("GET").ok();
    let seen = origin.requests();
    assert_eq!((seen[0].body.as_slice(), seen[1].target.as_str()), (body.as_slice(), "/second"));
}

#[test]
fn a_body_that_is_too_large_never_reaches_the_upstream() {
    let route = format!("{EVENTS}max_body = \"64KiB\"\n");
    let (origin, sidecar) = scene(&route);
    let key = bearer(WRITE);
    sidecar.client().post("/events", &[&key, JSON], &sized(65_536)).ok();
    let large = sized(65_537);
    // Announced: nobody reads it.
    let mut client = sidecar.client();
    client.send(head("POST", "/events", &[&key, JSON, "Content-Length: 65537"]));
    client.response("POST").refused(413, "body_too_large");
    post_chunked(&mut sidecar.client(), "/events", &large, 4096).refused(413, "body_too_large");
    let answer = sidecar.http2().request("POST", "/events", &[&key, JSON], &large);
    answer.refused(413, "body_too_large");
    assert_eq!(origin.count(), 1);
}

#[test]
fn other_routes_take_bodies_of_any_size() {
    let (origin, sidecar) = scene(&format!("{EVENTS}max_body = \"1KiB\"\n{FREE}"));
    let body = vec![b'x'; 3 << 20];
    sidecar.client().post("/upload", &[&bearer(WRITE)], &body).ok();
    assert_eq!(origin.last().body.len(), body.len());
}

#[test]
fn nobody_is_told_to_go_on_who_will_be_refused() {
    let (origin, sidecar) = scene(EVENTS);
    let ask = |key: &str, kind: &str| {
        let mut client = sidecar.client();
        let fields = [&*bearer(key), kind, "Content-Length: 14", "Expect: 100-continue"];
        client.send(head("POST", "/events", &fields));
        client
    };
    let refused = ask(READ, JSON).response("POST");
    refused.refused(403, "method_not_allowed_for_key");
    assert!(refused.interim.is_empty());
    let refused = ask(WRITE, "Content-Type: text/plain").response("POST");
    refused.refused(415, "wrong_content_type");
    assert!(refused.interim.is_empty());
    let mut client = ask(WRITE, JSON);
    let head = client.wire.head().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&head).starts_with("HTTP/1.1 100"), "{head:?}");
    client.send(br#"{"action":"a"}"#);
    client.response("POST").ok();
    assert_eq!(origin.count(), 1);
}

#[test]
fn trailers_of_an_inspected_body_are_filtered_like_any_other() {
    let (origin, sidecar) = scene(EVENTS);
    let (key, mut client) = (bearer(WRITE), sidecar.client());
    let fields = [&*key, JSON, "Transfer-Encoding: chunked", "Trailer: X-Sum, X_Account_Id"];
    let mut bytes = head("POST", "/events", &fields);
    bytes.extend(b"e\r\n{\"action\":\"a\"}\r\n0\r\nX-Sum: 1\r\nX_Account_Id: other\r\n\r\n");
    client.send(bytes);
    client.response("POST").ok();
    let trailers = origin.last().trailers;
    assert_eq!(trailers, [("x-sum".to_owned(), "1".to_owned())], "{trailers:?}");
}

#[test]
fn a_key_that_is_revoked_while_its_body_comes_is_refused() {
    let (origin, sidecar) = scene(EVENTS);
    let (key, mut client) = (bearer(WRITE), sidecar.client());
    client.send(head("POST", "/events", &[&key, JSON, "Content-Length: 14"]));
    client.send(b"{\"action\"");
    let since = sidecar.generation();
    let gone =
        usual_keys().replace("id = \"acme-write\"", "id = \"acme-write\"\nrevoked = 2026-01-01");
    sidecar.replace("keys.toml", gone);
    sidecar.reloaded(since);
    client.send(b":\"a\"}");
    let answer = client.response("POST");
    assert_eq!((answer.status, origin.count()), (401, 0));
    eventually("the refusal", || (sidecar.refusals("revoked_key") == 1).then_some(()));
}

#[test]
fn a_route_that_does_not_enforce_forwards_every_byte_of_what_is_too_large() {
    let route = format!("{EVENTS}max_body = \"1KiB\"\nenforce = false\n");
    let (origin, sidecar) = scene(&route);
    let body = sized(300_000);
    sidecar.client().post("/events", &[&bearer(WRITE), JSON], &body).ok();
    assert!(origin.last().body == body, "announced");
    post_chunked(&mut sidecar.client(), "/events", &body, 700).ok();
    assert!(origin.last().body == body, "in chunks");
    sidecar.http2().request("POST", "/events", &[&bearer(WRITE), JSON], &body).ok();
    assert!(origin.last().body == body, "over HTTP/2");
    assert_eq!(sidecar.counted("shadow", Some("body_too_large")), 3);
}

#[test]
fn who_leaves_half_way_gives_the_memory_back() {
    let origin = Origin::echo();
    let routes =
        format!("[routes]\nbody_memory = \"256KiB\"\n{EVENTS}max_body = \"200KiB\"\n{FREE}");
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&routes));
    let (key, body) = (bearer(WRITE), sized(200_000));
    for _ in 0..5 {
        // What was answered may still hold its memory for a moment, so that this one is refused.
        let first = eventually("one that holds the memory", || {
            let mut first = sidecar.client();
            first.send(head("POST", "/events", &[&key, JSON, "Content-Length: 200000"]));
            first.send(&body[..199_999]);
            let answer = post_chunked(&mut sidecar.client(), "/events", &body, 50_000);
            (answer.status == 503).then(|| {
                answer.refused(503, "overloaded");
                first
            })
        });
        // Who needs no memory is not in the way of those who hold it.
        sidecar.get("/free", &[&key]).ok();
        drop(first);
        eventually("room again", || {
            let answer = sidecar.client().post("/events", &[&key, JSON], &body);
            (answer.status == 200).then_some(())
        });
    }
}

#[test]
fn a_thousand_large_bodies_take_no_more_memory_than_there_is_for_them() {
    const CLIENTS: usize = 1000;
    const LENGTH: usize = 400_000;
    let origin = Origin::echo();
    let routes = format!(
        "[limits]\nbody_pause = \"5m\"\n[routes]\nbody_memory = \"8MiB\"\n{EVENTS}max_body = \"512KiB\"\n"
    );
    // In clear, so that a thousand connections cost little.
    let setup = Setup::before(&origin).listen("http_accepts = \"everything\"").config(&routes);
    let sidecar = Sidecar::start(&setup);
    let (key, body) = (bearer(WRITE), sized(LENGTH));
    let length = format!("Content-Length: {LENGTH}");
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(sidecar.http.unwrap()).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // A refusal may come while this is still being written, and close the connection.
        let _ = stream.write_all(&head("POST", "/events", &[&key, JSON, &length]));
        let _ = stream.write_all(&body[..LENGTH - 1]);
        streams.push(stream);
    }
    // Where it takes long, who has memory is given up in the end.
    let refused = || {
        let refused = ["overloaded", "request_timeout"].map(|reason| sidecar.refusals(reason));
        usize::try_from(refused.iter().sum::<u64>()).unwrap()
    };
    eventually("all that do not fit to be refused", || {
        let held = CLIENTS - refused();
        (held <= (8 << 20) / LENGTH).then_some(())
    });
    let peak = sidecar.peak_memory();
    assert!(refused() < CLIENTS, "none was let in");
    // A thousand connections and the program take some too; the bodies alone would be 381 MiB.
    assert!(peak < 160 << 20, "{} MiB", peak >> 20);
    drop(streams);
    eventually("room again", || {
        let answer = sidecar.plain().post("/events", &[&key, JSON], &body);
        (answer.status == 200).then_some(())
    });
}

#[test]
fn a_body_that_does_not_go_on_is_given_up() {
    let (origin, sidecar) = scene(EVENTS);
    let (key, mut client) = (bearer(WRITE), sidecar.client());
    client.send(head("POST", "/events", &[&key, JSON, "Content-Length: 14"]));
    client.send(b"{");
    client.response("POST").refused(408, "request_timeout");
    assert!(client.closed());
    assert_eq!(origin.count(), 0);
    assert!(PATIENCE > Duration::from_secs(10), "the pause that is allowed is shorter");
}
