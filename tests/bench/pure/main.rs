//! The parts of a request's way that touch no socket, each done a thousand times in a function of
//! its own, whose instructions `tests/bench/gate` counts.

#[path = "../../gate/world.rs"]
#[expect(dead_code, reason = "the tests of the gate make other worlds too")]
mod world;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use http::request::Parts;
use http::{HeaderName, Request};
use jiff::Timestamp;
use keygate::gate::{Facts, Identity, Snapshot, Stripper, Transport, decide};
use keygate::keys::{ApiKey, Digester, Name};
use keygate::proxy::{Intake, flaw, passes};

const TIMES: usize = 1000;
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HEAD: &[u8] = b"GET /things/17?full=1 HTTP/1.1\r\nHost: api.example:8443\r\n\
    Authorization: Bearer a-key-of-these-tests\r\nUser-Agent: curl/8.9.1\r\nAccept: */*\r\n\
    Accept-Encoding: gzip, deflate, br\r\nX-Trace: 0af7651916cd43dd8448eb211c80319c\r\n\r\n";

fn snapshot() -> Snapshot {
    let mut keys = vec![world::key("used", world::KEY)];
    keys.extend((0..1000).map(|n| world::key(&format!("k{n}"), &format!("another-key-{n:06}"))));
    let mut routes: Vec<_> = ["/things", "/things/{id}", "/things/{id}/parts", "/files/{*rest}"]
        .map(world::route)
        .into_iter()
        .collect();
    routes.push(keygate::gate::Route {
        permissions: vec![Name::new("users:read").expect("a name")],
        ..world::route("/users/{id}")
    });
    let mut account = world::account("acme");
    account.permissions = Some(world::permissions(&["things:read", "things:write"]));
    world::snapshot(world::world(vec![account], keys, routes))
}

fn request(path: &str, key: &str) -> Parts {
    let request = Request::get(path)
        .header("host", "api.example:8443")
        .header("authorization", format!("Bearer {key}"))
        .header("user-agent", "curl/8.9.1")
        .header("accept", "*/*")
        .header("accept-encoding", "gzip, deflate, br")
        .header("x-trace", "0af7651916cd43dd8448eb211c80319c");
    request.body(()).expect("a request").into_parts().0
}

fn decided(parts: &Parts, snapshot: &Snapshot, permitted: bool) {
    let (path, headers) = (parts.uri.path(), &parts.headers);
    let facts = Facts::new(&parts.method, path, Transport::Tls, (CLIENT, false), headers, false);
    let verdict = decide(black_box(&facts), snapshot, Timestamp::UNIX_EPOCH);
    assert_eq!(black_box(verdict).outcome.is_ok(), permitted, "{path}");
}

#[inline(never)]
fn case_decide_permit(snapshot: &Snapshot, parts: &Parts) {
    (0..TIMES).for_each(|_| decided(parts, snapshot, true));
}

#[inline(never)]
fn case_decide_unknown_key(snapshot: &Snapshot, parts: &Parts) {
    (0..TIMES).for_each(|_| decided(black_box(parts), snapshot, false));
}

#[inline(never)]
fn case_decide_missing_permission(snapshot: &Snapshot, parts: &Parts) {
    (0..TIMES).for_each(|_| decided(black_box(black_box(parts)), snapshot, false));
}

#[inline(never)]
fn case_key_hash_and_lookup(snapshot: &Snapshot) {
    for _ in 0..TIMES {
        let digest = Digester::Sha256.digest(&ApiKey::new(black_box(world::KEY.as_bytes())));
        assert!(black_box(snapshot.table().find(&digest)).is_some());
    }
}

#[inline(never)]
fn case_guard_head() {
    for _ in 0..TIMES {
        assert!(black_box(flaw(black_box(HEAD))).is_none());
    }
}

#[inline(never)]
fn case_guard_connection(input: &[u8]) {
    assert_eq!(black_box(passes(black_box(input))), input.len());
}

#[inline(never)]
fn case_intake(parts: &Parts) {
    for _ in 0..TIMES {
        let intake = Intake::of(black_box(parts), CLIENT, &[], None);
        assert!(black_box(&intake).host.is_ok());
    }
}

#[inline(never)]
fn case_reserved_names(stripper: &Stripper, names: &[HeaderName]) {
    for _ in 0..TIMES {
        assert!(!names.iter().any(|name| stripper.drops(black_box(name))));
    }
}

fn main() {
    let snapshot = snapshot();
    let permitted = request("/things/17?full=1", world::KEY);
    let unknown = request("/things/17?full=1", "a-key-that-nobody-issued");
    let forbidden = request("/users/17", world::KEY);
    let stripper = Stripper::new(&Identity::default(), None);
    let names: Vec<HeaderName> = permitted.headers.keys().cloned().collect();
    case_decide_permit(&snapshot, &permitted);
    case_decide_unknown_key(&snapshot, &unknown);
    case_decide_missing_permission(&snapshot, &forbidden);
    case_key_hash_and_lookup(&snapshot);
    case_guard_head();
    case_guard_connection(&HEAD.repeat(TIMES));
    case_intake(&permitted);
    case_reserved_names(&stripper, &names);
}
