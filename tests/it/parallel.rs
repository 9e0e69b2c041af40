//! Many at once: each request has its own caller, its own answer, and nobody else's.

use std::thread;

use crate::actors::client::bearer;
use crate::actors::origin::Origin;
use crate::actors::setup::{OTHER, READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::{Fields, values};
use crate::actors::{eventually, setup};

/// Who calls, by which key, and as which account the upstream must see it; `None`: not at all.
const CALLERS: [(&str, Option<&str>); 4] = [
    (WRITE, Some("acme")),
    (OTHER, Some("other")),
    ("nobodys-key-0123456789abcdef", None),
    (READ, Some("acme")),
];

fn check(response: &crate::actors::client::Response, token: &str, account: Option<&str>) {
    let Some(account) = account else {
        assert_eq!(response.status, 401, "{token}");
        return;
    };
    response.ok();
    let echo = response.json();
    assert_eq!(echo["path"], format!("/{token}"));
    let fields: Fields = serde_json::from_value(echo["headers"].clone()).unwrap();
    assert_eq!(values(&fields, "x-account-id"), [account], "{token}");
    assert_eq!(values(&fields, "x-token"), [token]);
}

#[test]
fn answers_are_never_mixed_up() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    thread::scope(|scope| {
        for worker in 0..8 {
            let sidecar = &sidecar;
            scope.spawn(move || {
                let mut client = sidecar.client();
                let http2 = sidecar.http2();
                for round in 0..48 {
                    let (key, account) = CALLERS[(worker + round) % CALLERS.len()];
                    let token = format!("{worker}-{round}");
                    let fields = [bearer(key), format!("x-token: {token}")];
                    let fields = fields.each_ref().map(String::as_str);
                    let target = format!("/{token}");
                    check(&client.get(&target, &fields), &token, account);
                    check(&http2.get(&target, &fields), &token, account);
                }
            });
        }
    });
    // A quarter of the callers are unknown; two protocols.
    assert_eq!(origin.count(), 8 * 48 / 4 * 3 * 2);
}

#[test]
fn streams_of_one_connection_are_never_mixed_up() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let http2 = sidecar.http2();
    let mut streams = Vec::new();
    for round in 0..100 {
        let (key, account) = CALLERS[round % CALLERS.len()];
        let token = format!("s{round}");
        let fields = [bearer(key), format!("x-token: {token}")];
        let fields = fields.each_ref().map(String::as_str);
        let stream = http2.open("GET", &format!("/{token}"), &fields, true);
        streams.push((stream, token, account));
    }
    for (mut stream, token, account) in streams {
        check(&stream.response(), &token, account);
    }
}

#[test]
fn a_reload_in_the_middle_of_many_requests_breaks_none() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let generation = sidecar.generation();
    thread::scope(|scope| {
        for worker in 0..4 {
            let sidecar = &sidecar;
            scope.spawn(move || {
                let mut client = sidecar.client();
                let mut rounds = 0;
                eventually("ten reloads", || {
                    let token = format!("{worker}-{rounds}");
                    let fields = [bearer(WRITE), format!("x-token: {token}")];
                    let fields = fields.each_ref().map(String::as_str);
                    check(&client.get(&format!("/{token}"), &fields), &token, Some("acme"));
                    rounds += 1;
                    (sidecar.generation() >= generation + 10).then_some(())
                });
            });
        }
        let mut last = generation;
        for round in 0..10 {
            let more = setup::key("extra", "acme", &format!("extra-key-{round:020}"), "");
            sidecar.replace("keys.toml", setup::usual_keys() + &more);
            last = sidecar.reloaded(last);
        }
    });
}
