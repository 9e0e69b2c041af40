//! A token is worth what its key is worth now: at its next request, whatever happened to the key.

use std::fs;

use serde_json::json;

use super::*;
use crate::actors::eventually;
use crate::actors::scripts;

/// A program with a token of each kind, and a way to change the keys.
struct Stage {
    origin: Origin,
    sidecar: Sidecar,
    server: String,
    profile: String,
}

impl Stage {
    fn new() -> Self {
        Self::of(Setup::listen, "")
    }

    fn of(change: fn(Setup, &str) -> Setup, lines: &str) -> Self {
        let origin = Origin::echo();
        let sidecar = Sidecar::start(&change(signed(&origin), lines));
        let server = login(&sidecar, SERVER);
        let profile = simple(&sidecar, OPEN, json!({ "customId": "anna" }));
        ask(&sidecar, &server).ok();
        ask(&sidecar, &profile).ok();
        Self { origin, sidecar, server, profile }
    }

    /// Puts other keys in force.
    fn keys(&self, text: impl AsRef<[u8]>) {
        let generation = self.sidecar.generation();
        self.sidecar.replace("keys.toml", text);
        self.sidecar.reloaded(generation);
    }

    /// The same keys with a text in the place of another.
    fn edit(&self, what: &str, with: &str) {
        let text = self.sidecar.read("keys.toml");
        assert!(text.contains(what), "{what}");
        self.keys(text.replacen(what, with, 1));
    }

    #[track_caller]
    fn dead(&self, token: &str, status: u16, reason: &str) {
        let seen = self.origin.count();
        let counted = self.sidecar.refusals(reason);
        assert_eq!(ask(&self.sidecar, token).status, status);
        assert_eq!(refresh(&self.sidecar, token).status, status);
        assert_eq!(self.sidecar.refusals(reason), counted + 2);
        assert_eq!(self.origin.count(), seen);
    }
}

const SERVER_ID: &str = "id = \"server\"";

#[test]
fn revoking_a_key_ends_its_tokens_at_once_and_no_others() {
    let stage = Stage::new();
    stage.edit(SERVER_ID, "revoked = 2026-01-01T00:00:00Z\nid = \"server\"");
    stage.dead(&stage.server, 401, "revoked_key");
    ask(&stage.sidecar, &stage.profile).ok();
    stage.edit("revoked = 2026-01-01T00:00:00Z\n", "");
    ask(&stage.sidecar, &stage.server).ok();
}

#[test]
fn the_revocations_file_ends_tokens_also_while_the_configuration_is_broken() {
    let origin = Origin::echo();
    let setup = signed(&origin).file("revoked.txt", "");
    let sidecar = Sidecar::start(&setup.config("[keys]\nrevocations = \"revoked.txt\"\n"));
    let token = login(&sidecar, SERVER);
    ask(&sidecar, &token).ok();
    let generation = sidecar.generation();
    fs::write(sidecar.path("tokens.pem"), "broken").unwrap();
    sidecar.replace("revoked.txt", "server\n");
    sidecar.reloaded(generation);
    ask(&sidecar, &token).refused(401, "invalid_credential");
    assert_eq!(sidecar.refusals("revoked_key"), 1);
    // What signed before still does.
    simple(&sidecar, OPEN, json!({ "email": "a@b" }));
}

#[test]
fn a_key_that_is_deleted_or_replaced_under_its_id_ends_its_tokens() {
    let stage = Stage::new();
    let before = stage.sidecar.read("keys.toml");
    stage.edit(SERVER_ID, "id = \"renamed\"");
    stage.dead(&stage.server, 401, "invalid_token");
    stage.keys(&before);
    ask(&stage.sidecar, &stage.server).ok();
    let digest = crate::actors::setup::sha256;
    stage.edit(&digest(SERVER), &digest("another-key-0123456789abcdef"));
    stage.dead(&stage.server, 401, "invalid_token");
    let fresh = login(&stage.sidecar, "another-key-0123456789abcdef");
    ask(&stage.sidecar, &fresh).ok();
    stage.keys(&before);
    stage.dead(&fresh, 401, "invalid_token");
}

#[test]
fn a_key_that_expires_ends_its_tokens_without_a_reload() {
    let stage = Stage::new();
    let soon = keygate::clock::now() + std::time::Duration::from_secs(2);
    stage.edit(SERVER_ID, &format!("expires = {soon}\nid = \"server\""));
    let generation = stage.sidecar.generation();
    stage.sidecar.turns_away(&stage.server);
    assert!(keygate::clock::now() >= soon);
    stage.dead(&stage.server, 401, "expired_key");
    assert_eq!(stage.sidecar.generation(), generation);
}

#[test]
fn disabling_an_account_ends_the_tokens_of_its_keys() {
    let stage = Stage::new();
    stage.edit("id = \"acme\"", "disabled = true\nid = \"acme\"");
    stage.dead(&stage.server, 403, "account_disabled");
    stage.dead(&stage.profile, 403, "account_disabled");
    stage.edit("disabled = true\n", "");
    ask(&stage.sidecar, &stage.server).ok();
}

#[test]
fn what_a_key_may_do_is_what_its_tokens_may_do() {
    let routes = "[[route]]\npath = \"/send\"\npermissions = [\"send\"]\n";
    let stage = Stage::of(Setup::config, routes);
    let ask = |method: &str, path: &str| {
        let fields = [bearer(&stage.server), "Content-Length: 0".to_owned()];
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        stage.sidecar.client().request(method, path, &fields)
    };
    ask("POST", "/send").ok();
    stage.edit(SERVER_ID, "permissions = [\"look\"]\nid = \"server\"");
    ask("POST", "/send").refused(403, "missing_permission");
    ask("POST", "/a").ok();
    assert_eq!(stage.origin.last().value("x-permissions"), Some("look"));
    stage.edit("permissions = [\"look\"]", "permissions = [\"send\"]");
    ask("POST", "/send").ok();
    stage.edit("access = \"write\"", "access = \"read\"");
    ask("POST", "/send").refused(403, "method_not_allowed_for_key");
    ask("GET", "/send").ok();
    assert_eq!(stage.origin.last().value("x-key-access"), Some("read"));
}

#[test]
fn a_token_never_outlives_the_kind_or_the_login_that_made_it() {
    let stage = Stage::new();
    // A profile's token is no key to all profiles.
    let before = stage.sidecar.read("keys.toml");
    let open = "kind = \"profile\"\naccess = \"write\"\nsimple_auth = {}";
    stage.edit(open, "kind = \"workspace\"\naccess = \"write\"");
    stage.dead(&stage.profile, 401, "invalid_token");
    stage.keys(&before);
    ask(&stage.sidecar, &stage.profile).ok();
    stage.edit(open, "kind = \"profile\"\naccess = \"write\"");
    stage.dead(&stage.profile, 401, "invalid_token");
    stage.keys(&before);
    stage.edit("access = \"write\"", "access = \"write\"\nkind = \"profile\"\nsimple_auth = {}");
    stage.dead(&stage.server, 401, "invalid_token");
}

#[test]
fn addresses_are_asked_of_tokens_at_each_request() {
    let origin = Origin::echo();
    let from = |address: &str| format!("X-Forwarded-For: {address}");
    let setup = signed(&origin).listen("trusted_proxies = [\"127.0.0.1/32\"]");
    let more = "ips = [\"192.0.2.0/24\", \"2001:db8::/32\"]";
    let sidecar = Sidecar::start(&setup.keys(keys(more)));
    let body = json!({ "apiKey": SERVER }).to_string();
    let enter = |address: &str| {
        let mut client = sidecar.client();
        client.post(LOGIN, &[&from(address), "Connection: close"], body.as_bytes())
    };
    enter("198.51.100.1").refused(403, "ip_not_allowed");
    let token = token_of(&enter("192.0.2.7"));
    let ask = |path: &str, address: &str| sidecar.get(path, &[&bearer(&token), &from(address)]);
    for path in ["/a", REFRESH] {
        for good in ["192.0.2.8", "2001:db8::1"] {
            ask(path, good).ok();
        }
        for bad in ["198.51.100.1", "127.0.0.1", "2001:db9::1"] {
            ask(path, bad).refused(403, "ip_not_allowed");
        }
    }
    let generation = sidecar.generation();
    sidecar.replace("keys.toml", keys("ips = [\"198.51.100.0/24\"]"));
    sidecar.reloaded(generation);
    ask("/a", "192.0.2.8").refused(403, "ip_not_allowed");
    ask("/a", "198.51.100.1").ok();
}

#[test]
fn a_stream_that_a_token_opened_ends_with_its_key_and_not_with_the_token() {
    let origin = Origin::tcp(scripts::events);
    let setup = signed(&origin).set("tokens.lifetime=4s");
    let sidecar = Sidecar::start(&setup);
    let token = login(&sidecar, SERVER);
    let mut client = sidecar.client();
    client.send(crate::actors::client::head("GET", "/stream", &[&bearer(&token)]));
    let (response, mut left) = client.response_head("GET");
    assert_eq!(response.status, 200);
    eventually("the token to end", || (refresh(&sidecar, &token).status == 401).then_some(()));
    assert!(client.piece(&mut left).is_ok_and(|piece| piece.is_some()));
    let generation = sidecar.generation();
    let text = sidecar.read("keys.toml");
    sidecar.replace("keys.toml", text.replace(SERVER_ID, "id = \"renamed\""));
    sidecar.reloaded(generation);
    let cut = eventually("the stream to be cut", || client.piece(&mut left).err());
    assert_eq!(cut, "cut");
}
