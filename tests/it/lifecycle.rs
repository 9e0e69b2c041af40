//! The life of a key: it ends at its instant, and its streams end with it.

use std::time::{Duration, Instant};

use crate::actors::client::bearer;
use crate::actors::client::{Client, head};
use crate::actors::origin::{After, Origin};
use crate::actors::scripts::{echo, events, websocket};
use crate::actors::setup::{OTHER, READ, Setup, WRITE, account, key, usual_keys};
use crate::actors::sidecar::Sidecar;
use crate::actors::{PATIENCE, eventually};

/// Streams end within a second; the rest is for a machine that has other work.
const SOON: Duration = Duration::from_millis(1900);

const SHORT: &str = "short-lived-key-0123456789abcdef";

fn expiring(after: Duration) -> (jiff::Timestamp, String) {
    let expires = keygate::clock::now() + after;
    let lines = format!("access = \"write\"\nexpires = {expires}");
    (expires, usual_keys() + &key("short", "acme", SHORT, &lines))
}

#[test]
fn a_key_is_over_at_the_instant_of_its_expiry_without_a_reload() {
    let origin = Origin::echo();
    let (expires, keys) = expiring(Duration::from_secs(8));
    let sidecar = Sidecar::start(&Setup::before(&origin).keys(keys));
    let generation = sidecar.generation();
    let mut client = sidecar.client();
    let mut forwarded = 0;
    eventually("the expiry", || {
        let before = keygate::clock::now();
        let response = client.get("/", &[&bearer(SHORT)]);
        if response.status == 200 {
            assert!(before < expires, "forwarded at {before}, expired at {expires}");
            forwarded += 1;
            return None;
        }
        response.refused(401, "invalid_credential");
        assert!(keygate::clock::now() >= expires, "refused before {expires}");
        Some(())
    });
    assert_eq!(origin.count(), forwarded);
    assert!(forwarded > 0, "it was never in force");
    assert_eq!(sidecar.refusals("expired_key"), 1);
    assert_eq!(sidecar.generation(), generation);
}

/// Reads until the stream ends, and says whether its end was a cut.
fn cut(client: &mut Client, left: &mut crate::actors::wire::Framing) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "it goes on and on");
        match client.piece(left) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Opens an event stream, makes a change, and asserts that the stream ends soon after.
#[track_caller]
fn ends_with(key: &str, keys: String, change: impl FnOnce(&Sidecar)) {
    let origin = Origin::tcp(events);
    let sidecar = Sidecar::start(&Setup::before(&origin).keys(keys));
    let mut client = sidecar.client();
    client.send(head("GET", "/", &[&bearer(key)]));
    let (response, mut left) = client.response_head("GET");
    assert_eq!(response.status, 200);
    let http2 = sidecar.http2();
    let mut stream = http2.open("GET", "/", &[&bearer(key)], true);
    stream.head();
    let mut spared = http2.open("GET", "/", &[&bearer(OTHER)], true);
    spared.head();
    change(&sidecar);
    let began = Instant::now();
    assert!(cut(&mut client, &mut left), "HTTP/1: an end that looks whole");
    while let Ok(piece) = stream.piece() {
        assert!(piece.is_some(), "HTTP/2: an end that looks whole");
        assert!(began.elapsed() < PATIENCE, "HTTP/2: it goes on and on");
    }
    let took = began.elapsed();
    assert!(took < SOON, "ended only after {took:?}");
    origin.wait("the cancellation", |state| {
        state.requests.iter().filter(|seen| seen.gone).count() == 2
    });
    assert!(spared.piece().unwrap().is_some(), "another account's stream on that connection");
}

#[test]
fn a_key_that_is_revoked_takes_its_streams_along() {
    let revoked = "id = \"acme-read\"\nrevoked = 2026-01-01T00:00:00Z";
    ends_with(READ, usual_keys(), |sidecar| {
        sidecar.replace("keys.toml", usual_keys().replace("id = \"acme-read\"", revoked));
    });
}

#[test]
fn a_key_that_is_deleted_takes_its_streams_along() {
    ends_with(READ, usual_keys(), |sidecar| {
        let keys =
            account("acme", "") + &account("other", "") + &key("other-write", "other", OTHER, "");
        sidecar.replace("keys.toml", keys);
    });
}

#[test]
fn an_account_that_is_disabled_takes_its_streams_along() {
    ends_with(READ, usual_keys(), |sidecar| {
        let keys = usual_keys().replacen("name = \"acme\"", "name = \"acme\"\ndisabled = true", 1);
        sidecar.replace("keys.toml", keys);
    });
}

#[test]
fn a_key_that_expires_takes_its_streams_along() {
    let (expires, keys) = expiring(Duration::from_secs(5));
    ends_with(SHORT, keys, |_| {
        eventually("the expiry", || (keygate::clock::now() >= expires).then_some(()));
    });
}

#[test]
fn a_key_that_dies_takes_its_websocket_along() {
    let origin = Origin::tcp(websocket);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    let fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let key = bearer(WRITE);
    let fields = [&fields[..], &[&key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]].concat();
    assert_eq!(client.get("/", &fields).status, 101);
    client.send("ping");
    assert_ne!(client.wire.fill().unwrap(), 0);
    let keys = usual_keys()
        .replace("id = \"acme-write\"", "id = \"acme-write\"\nrevoked = 2026-01-01T00:00:00Z");
    sidecar.replace("keys.toml", keys);
    let began = Instant::now();
    client.wire.buffer.clear();
    assert!(client.closed());
    assert!(began.elapsed() < SOON, "closed only after {:?}", began.elapsed());
    origin.wait("the end", |state| state.requests.first().is_some_and(|seen| seen.gone));
}

#[test]
fn a_key_that_dies_takes_a_slow_download_along() {
    let origin = Origin::tcp(|exchange| {
        if exchange.request.target != "/download" {
            return echo(exchange);
        }
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbegun");
        exchange.wait_gone();
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("GET", "/download", &[&bearer(READ)]));
    let (_, mut left) = client.response_head("GET");
    assert_eq!(client.piece(&mut left), Ok(Some(b"begun".to_vec())));
    let keys = usual_keys()
        .replace("id = \"acme-read\"", "id = \"acme-read\"\nrevoked = 2026-01-01T00:00:00Z");
    sidecar.replace("keys.toml", keys);
    let began = Instant::now();
    assert!(cut(&mut client, &mut left));
    assert!(began.elapsed() < SOON, "ended only after {:?}", began.elapsed());
    origin.wait("the cancellation", |state| state.requests.first().is_some_and(|seen| seen.gone));
}

#[test]
fn a_key_that_dies_takes_along_what_its_client_does_not_read() {
    let origin = Origin::tcp(crate::actors::scripts::flood);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("GET", "/", &[&bearer(WRITE)]));
    origin.wait("the request", |state| !state.requests.is_empty());
    let keys = usual_keys()
        .replace("id = \"acme-write\"", "id = \"acme-write\"\nrevoked = 2026-01-01T00:00:00Z");
    sidecar.replace("keys.toml", keys);
    origin.wait("the cancellation", |state| state.requests.iter().any(|seen| seen.gone));
}

#[test]
fn a_key_that_loses_nothing_keeps_its_streams() {
    let origin = Origin::tcp(events);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let http2 = sidecar.http2();
    let mut stream = http2.open("GET", "/", &[&bearer(READ)], true);
    stream.head();
    let generation = sidecar.generation();
    sidecar.replace("keys.toml", usual_keys().replace("\"acme-write\"", "\"acme-writer\""));
    sidecar.reloaded(generation);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert!(stream.piece().unwrap().is_some());
    }
}

/// Runs `keygate keys …` on the files of a running process; what it printed on stdout.
fn keys(sidecar: &Sidecar, arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keygate"))
        .arg("keys")
        .args(arguments)
        .arg("--config")
        .arg(sidecar.path("keygate.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_key_lives_from_create_to_revoke_on_one_connection() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).ok();
    let printed = keys(&sidecar, &["create", "--account", "acme", "--access", "write"]);
    let made = printed.trim();
    crate::reload::soon(&sidecar, &mut client, made, 200);
    let id = origin.last().value("x-key-id").unwrap().to_owned();
    assert_eq!(origin.last().value("x-key-access"), Some("write"));
    assert!(!sidecar.read("keys.toml").contains(made));
    keys(&sidecar, &["revoke", &id]);
    crate::reload::soon(&sidecar, &mut client, made, 401);
    client.get("/", &[&bearer(READ)]).ok();
    assert!(sidecar.refusals("revoked_key") >= 1);
}
