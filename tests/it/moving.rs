//! A key that a reload moves to another account while one of its requests waits for a slot.

use crate::actors::setup::{OTHER, WRITE, WRITE_TWO, usual_keys};
use crate::limits::{Scene, answered, limited};

#[test]
fn who_is_of_another_account_when_it_leaves_the_queue_is_counted_there() {
    let scene = Scene::new(&limited("10s", "account"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let moves = scene.insert(WRITE_TWO, "moves");
    let other = scene.insert(OTHER, "other");
    scene.arrived(2);
    scene.inside(3);
    let at = "id = \"acme-write-two\"\naccount = ";
    let keys = usual_keys().replace(&format!("{at}\"acme\""), &format!("{at}\"other\""));
    assert_ne!(keys, usual_keys());
    let generation = scene.sidecar.generation();
    scene.sidecar.replace("keys.toml", keys);
    scene.sidecar.reloaded(generation);
    scene.turnstile.allow(1);
    answered(first).ok();
    // The account that it has left has its slot again, the one that it has come to has none.
    let next = scene.insert(WRITE, "next");
    scene.arrived(3);
    assert_eq!(scene.names(), ["first", "other", "next"]);
    scene.turnstile.allow(4);
    for client in [other, next, moves] {
        answered(client).ok();
    }
    let seen = scene.origin.requests();
    assert_eq!(seen[3].value("x-account-id"), Some("other"));
}
