//! The actors among themselves, without the program: what they would not notice, no test shows.

use std::net::{SocketAddr, TcpListener};

use crate::actors::client::{Client, head};
use crate::actors::origin::{After, Origin};
use crate::actors::pki::{Authority, TRUSTED};
use crate::actors::scripts::{echo, events, fixed, hang, websocket};
use crate::actors::wire::values;

fn address(origin: &Origin) -> SocketAddr {
    origin.url.rsplit('/').next().unwrap().parse().unwrap()
}

fn plain(origin: &Origin) -> Client {
    Client::plain(address(origin))
}

#[test]
fn the_upstream_notes_every_header_body_and_trailer() {
    let origin = Origin::echo();
    let mut client = plain(&origin);
    let response = client.post("/a%20b?c", &["X-One: 1", "X-One: 2"], b"body");
    assert_eq!(response.json()["path"], "/a%20b?c");
    assert_eq!(origin.last().values("x-one"), ["1", "2"]);
    client.send(head("POST", "/", &["Transfer-Encoding: chunked"]));
    client.send("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n");
    client.response("POST").ok();
    let seen = origin.last();
    assert_eq!((seen.body.as_slice(), seen.complete), (&b"abcde"[..], true));
    assert_eq!(values(&seen.trailers, "x-t"), ["1"]);
    assert_eq!((origin.count(), origin.connections()), (2, 1));
}

#[test]
fn the_client_tells_a_whole_body_from_a_cut_one() {
    for (answer, whole) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfour", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n", false),
        ("HTTP/1.1 200 OK\r\n\r\nfour", true),
    ] {
        let origin = Origin::tcp(fixed(answer, || After::Close));
        let response = plain(&origin).get("/", &[]);
        assert_eq!(
            (response.body.as_slice(), response.complete),
            (&b"four"[..], whole),
            "{answer:?}"
        );
    }
}

#[test]
fn the_upstream_notices_when_the_client_leaves() {
    for script in [hang, events, websocket] {
        let origin = Origin::tcp(script);
        let mut client = plain(&origin);
        client.send(head("GET", "/", &["Upgrade: websocket"]));
        origin.wait("the request", |state| state.requests.len() == 1);
        assert!(!origin.only().gone);
        drop(client);
        origin.wait("the leaving", |state| state.requests[0].gone && state.open == 0);
    }
    let origin = Origin::echo();
    let mut client = plain(&origin);
    client.send(head("POST", "/", &["Content-Length: 9"]));
    drop(client);
    origin.wait("the leaving", |state| state.requests.iter().any(|seen| seen.gone));
}

#[test]
fn the_client_trusts_its_own_authority_alone() {
    let trusted = Origin::tls(&TRUSTED.issue(), echo);
    Client::tls(address(&trusted)).get("/", &[]).ok();
    let other = Origin::tls(&Authority::new().issue(), echo);
    assert!(Client::tls_with(address(&other), TRUSTED.client(&[])).is_err());
}

#[test]
fn an_upstream_can_come_back_on_its_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let origin = Origin::listening(TcpListener::bind(address).unwrap(), echo);
    plain(&origin).get("/", &[]).ok();
}
