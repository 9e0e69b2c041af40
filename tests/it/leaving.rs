//! Clients that close their side of a connection before they were answered.
//!
//! One that closes its socket and one that only says that it will send no more look the same, until
//! something is written to them. So both have left: what they asked for is taken back at once.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::actors::client::{bearer, dial, head};
use crate::actors::origin::Origin;
use crate::actors::scripts::{echo, events, flood, hang, hold};
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::{Fields, values};
use crate::actors::{Cue, eventually};

fn start(origin: &Origin) -> Sidecar {
    Sidecar::start(&Setup::before(origin).listen("http_accepts = \"everything\""))
}

fn ask(sidecar: &Sidecar, fields: &[&str]) -> TcpStream {
    let mut stream = dial(sidecar.http.unwrap()).unwrap();
    stream.write_all(&head("GET", "/", fields)).unwrap();
    stream
}

fn all_that_is_said(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "it stays");
    }
    String::from_utf8(said).unwrap()
}

/// Nothing is left of a client: no request, no connection, no wish of the upstream.
fn forgotten(sidecar: &Sidecar, origin: &Origin) {
    origin.wait("the end", |state| state.requests[0].gone);
    eventually("the end of the request", || {
        (sidecar.metric("keygate_in_flight_requests", &[]) == 0.0).then_some(())
    });
    eventually("the end of the connection", || {
        (sidecar.metric("keygate_connections", &["http\""]) == 0.0).then_some(())
    });
}

#[test]
fn a_client_that_will_send_no_more_has_left() {
    for script in [hang, events] {
        let origin = Origin::tcp(script);
        let sidecar = start(&origin);
        let stream = ask(&sidecar, &[&bearer(READ)]);
        origin.wait("the request", |state| state.requests.len() == 1);
        stream.shutdown(Shutdown::Write).unwrap();
        forgotten(&sidecar, &origin);
        assert!(!all_that_is_said(stream).contains("0\r\n\r\n"), "it looks like a whole answer");
    }
}

/// A refusal waits for nobody; whether it comes depends on whether the leaving was seen first. It is
/// whole or not there, and nothing goes upstream.
#[test]
fn what_is_answered_here_comes_whole_or_not_at_all_to_whom_it_will_send_no_more() {
    let origin = Origin::echo();
    let sidecar = start(&origin);
    for _ in 0..20 {
        let stream = ask(&sidecar, &[]);
        stream.shutdown(Shutdown::Write).unwrap();
        let said = all_that_is_said(stream);
        let whole = said.starts_with("HTTP/1.1 401 ") && said.contains("no_credential");
        assert!(whole || said.is_empty(), "{said}");
    }
    assert_eq!(origin.count(), 0);
}

/// Neither is a request with a body called bad when its client has said all that it had to say.
#[test]
fn what_has_a_body_is_answered_as_it_would_be_or_not_at_all_to_whom_it_will_send_no_more() {
    let origin = Origin::echo();
    let sidecar = start(&origin);
    for _ in 0..20 {
        let mut stream = dial(sidecar.http.unwrap()).unwrap();
        let mut bytes = head("POST", "/", &[&bearer(WRITE), "Transfer-Encoding: chunked"]);
        bytes.extend_from_slice(b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n");
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let said = all_that_is_said(stream);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 200 "), "{said}");
    }
}

#[test]
fn a_client_that_breaks_off_is_forgotten_at_once() {
    for script in [hang, events, flood] {
        let origin = Origin::tcp(script);
        let sidecar = start(&origin);
        let stream = ask(&sidecar, &[&bearer(READ)]);
        origin.wait("the request", |state| state.requests.len() == 1);
        // Closed with a reset, not in order.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        forgotten(&sidecar, &origin);
    }
}

#[test]
fn a_client_that_sends_on_has_not_left() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let sidecar = start(&origin);
    let mut client = sidecar.plain();
    client.send(head("GET", "/", &[&bearer(READ)]));
    origin.wait("the request", |state| state.requests.len() == 1);
    assert!(!origin.last().gone);
    cue.raise();
    client.response("GET").ok();
}

/// Where a request was being answered is room for another: nothing of the first is left there.
#[test]
fn who_comes_after_somebody_who_left_is_answered_for_himself() {
    let origin = Origin::tcp(|exchange| match exchange.request.target.as_str() {
        "/" => hang(exchange),
        _ => echo(exchange),
    });
    let setup = Setup::before(&origin).listen("http_accepts = \"everything\"").set("workers=1");
    let sidecar = Sidecar::start(&setup);
    for round in 0..4 {
        let stream = ask(&sidecar, &[&bearer(READ)]);
        origin.wait("the request", |state| state.requests.len() == 2 * round + 1);
        drop(stream);
        origin.wait("the end", |state| state.requests[2 * round].gone);
        let response = sidecar.plain().get(&format!("/{round}"), &[&bearer(WRITE)]);
        response.ok();
        assert_eq!(response.json()["path"], format!("/{round}"));
        let fields: Fields = serde_json::from_value(response.json()["headers"].clone()).unwrap();
        assert_eq!(values(&fields, "x-key-id"), ["acme-write"]);
    }
}
