//! The documents' own client lines, run as they stand there but for host and key.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::actors::origin::Origin;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{OTHER, READ, Setup, WRITE, account, key};
use crate::actors::sidecar::Sidecar;

const PERSONYZE: &str = "[credentials]\nbearer = false\nbasic = { username = \"api\" }\n\
                         [responses]\nformat = \"text\"\n\
                         no_credential = { body = \"Please, log in\" }\n\
                         unknown_key = { status = 400, body = \"Invalid API key\" }\n";
const USETIX: &str = "[credentials]\nrequires_json = true\n\
                      [responses]\nmethod_not_allowed_for_key = { status = 401 }\n";

pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

struct Stage {
    origin: Origin,
    sidecar: Sidecar,
    /// What the scripts are told beside the key.
    told: &'static [(&'static str, &'static str)],
}

impl Stage {
    fn new(config: &str) -> Self {
        let origin = Origin::echo();
        let setup = Setup::before(&origin).config(config).file("ca.pem", TRUSTED.pem());
        let sidecar = Sidecar::start(&setup);
        Self { origin, sidecar, told: &[] }
    }

    /// With a preset as it is written by `keygate init`.
    fn preset(name: &str, keys: String) -> Self {
        let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/presets");
        let config = std::fs::read_to_string(presets.join(name).join("keygate.toml")).unwrap();
        let origin = Origin::echo();
        let setup = Setup::whole(&config, &origin).keys(keys).file("ca.pem", TRUSTED.pem());
        let sidecar = Sidecar::start(&setup);
        Self { origin, sidecar, told: &[] }
    }

    /// Runs a program with what the clients need in its environment; what it printed.
    #[track_caller]
    fn run(&self, program: &str, script: &str, key: &str) -> String {
        let port = self.sidecar.https.port();
        let plain = self.sidecar.http.unwrap().port();
        let output = Command::new(program)
            .arg(clients().join(script))
            .env("BASE", format!("localhost:{port}"))
            .env("PLAIN", format!("localhost:{plain}"))
            .env("KEY", key)
            .envs(self.told.iter().copied())
            .env("CA", self.sidecar.path("ca.pem"))
            .env("NODE_EXTRA_CA_CERTS", self.sidecar.path("ca.pem"))
            .env("REQUESTS_CA_BUNDLE", self.sidecar.path("ca.pem"))
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .env("NO_PROXY", "*")
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; run tests/clients/install.sh"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}\n{complaint}");
        said
    }
}

/// The interpreter that has the libraries which the scripts need.
pub(crate) fn python() -> String {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/bin/python");
    if target.exists() { target.display().to_string() } else { "python3".to_owned() }
}

#[test]
fn curl_with_the_key_in_the_url() {
    let stage = Stage::new(PERSONYZE);
    assert_eq!(stage.run("sh", "personyze-curl-url.sh", READ), "200\n");
    let seen = stage.origin.only();
    assert_eq!(seen.target, "/rest/users/where/internal_id=42");
    assert_eq!(seen.value("x-account-id"), Some("acme"));
    assert!(!seen.has("authorization"));
    assert_eq!(stage.run("sh", "personyze-curl-url.sh", "nobodys-key-0123456789"), "400\n");
}

#[test]
fn curl_with_the_key_in_the_header() {
    let stage = Stage::new(PERSONYZE);
    assert_eq!(stage.run("sh", "personyze-curl-header.sh", READ), "200\n");
    assert_eq!(stage.origin.only().value("x-account-id"), Some("acme"));
}

#[test]
fn curl_in_clear_is_told_to_use_https() {
    let stage = Stage::new(PERSONYZE);
    assert_eq!(stage.run("sh", "personyze-curl-plain.sh", READ), "HTTPS is required\n401\n");
    assert_eq!(stage.origin.count(), 0);
}

#[test]
fn python_requests() {
    let stage = Stage::new(PERSONYZE);
    assert_eq!(stage.run(&python(), "personyze-requests.py", READ), "acme\n400 Invalid API key\n");
    assert_eq!(stage.origin.count(), 1);
}

#[test]
fn node_fetch() {
    let stage = Stage::new(PERSONYZE);
    assert_eq!(stage.run("node", "personyze-fetch.mjs", READ), "acme\n401 Please, log in\n");
    assert_eq!(stage.origin.count(), 1);
}

#[test]
fn curl_with_a_bearer_token_that_asks_for_json() {
    let stage = Stage::new(USETIX);
    assert_eq!(stage.run("sh", "usetix-curl.sh", READ), "200\n401\n401\n");
    assert_eq!(stage.run("sh", "usetix-curl.sh", WRITE), "200\n200\n401\n");
    assert_eq!(stage.origin.count(), 3);
}

/// Two accounts: one that may make data sets, and one that may do nothing.
fn polyteia() -> Stage {
    let keys = [
        account("acme", "permissions = [\"create_dataset\", \"list_workspaces\"]"),
        account("other", "permissions = []"),
        key("acme-key", "acme", WRITE, ""),
        key("other-key", "other", OTHER, ""),
    ];
    Stage::preset("polyteia", keys.concat())
}

#[test]
fn curl_with_a_command_in_the_body() {
    let stage = polyteia();
    assert_eq!(stage.run("sh", "polyteia-curl.sh", WRITE), "200\n401\n400\n");
    let seen = stage.origin.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api"));
    assert_eq!(seen.value("x-account-id"), Some("acme"));
    assert!(!seen.has("authorization"));
    let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["params"]["slug"], "customers_list");
    assert_eq!(stage.run("sh", "polyteia-curl.sh", OTHER), "403\n401\n400\n");
    assert_eq!(stage.run("sh", "polyteia-curl.sh", "nobodys-key-0123456789"), "401\n401\n401\n");
    assert_eq!(stage.origin.count(), 1);
}

#[test]
fn an_accounts_permissions_are_those_of_its_keys_at_every_moment() {
    let stage = polyteia();
    let mut client = stage.sidecar.client();
    let bearer = format!("Authorization: Bearer {OTHER}");
    let fields = [bearer.as_str(), "Content-Type: application/json"];
    let body = br#"{"command": "create_dataset"}"#;
    client.post("/api", &fields, body).refused(403, "missing_permission");
    let generation = stage.sidecar.generation();
    let nothing = "permissions = []";
    let keys = stage.sidecar.read("keys.toml");
    stage.sidecar.replace("keys.toml", keys.replace(nothing, "permissions = [\"create_*\"]"));
    let generation = stage.sidecar.reloaded(generation);
    client.post("/api", &fields, body).ok();
    stage.sidecar.replace("keys.toml", keys);
    stage.sidecar.reloaded(generation);
    client.post("/api", &fields, body).refused(403, "missing_permission");
}

#[test]
fn python_requests_with_a_command_in_the_body() {
    let said = "acme\n403 missing_permission\n400 invalid_body\n";
    let stage = polyteia();
    assert_eq!(stage.run(&python(), "polyteia-requests.py", WRITE), said);
    assert_eq!(stage.origin.count(), 1);
}

const GUID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const APP: &str = "acme-profile-key-0123456789abcdef";
const SALT: &str = "three-grains-of-it";

/// A workspace with a key for everything, and one for the profiles of its application.
fn synerise() -> Stage {
    let app = "kind = \"profile\"\nsimple_auth.salt = \"three-grains-of-it\"\n\
               events.deny = [\"points.add\"]\nattributes.allow = [\"firstName\"]";
    let keys = [
        account(GUID, ""),
        key("workspace-key", GUID, WRITE, "basic = true"),
        key("profile-key", GUID, APP, app),
    ];
    let told = &[("ACCOUNT", GUID), ("APP", APP), ("SALT", SALT)];
    Stage { told, ..Stage::preset("synerise", keys.concat()) }
}

#[test]
fn curl_with_keys_that_are_exchanged_for_tokens() {
    let stage = synerise();
    let workspace = "200\n200\n200\n401\n401\n";
    let profile = "profile\n401\n200\n403\n403\n200\n403\n200\n403\n";
    assert_eq!(stage.run("sh", "synerise-curl.sh", WRITE), format!("{workspace}{profile}"));
    let seen = stage.origin.requests();
    assert_eq!(seen.len(), 6);
    for request in &seen {
        assert_eq!(request.value("x-account-id"), Some(GUID));
        assert!(!request.has("authorization"));
    }
    let profiles: Vec<_> = seen.iter().map(|seen| seen.value("x-profile-id")).collect();
    assert_eq!(profiles, [[None; 3], [Some("anna@example.com"); 3]].concat());
}

#[test]
fn python_requests_with_a_workspaces_token() {
    let stage = synerise();
    let workspace = format!("{GUID} workspace\n").repeat(3);
    let refused = "400 invalid_body\n".repeat(2);
    let said = stage.run(&python(), "synerise-requests.py", WRITE);
    assert_eq!(said, format!("{workspace}{refused}"));
    assert_eq!(stage.origin.count(), 3);
}

#[test]
fn node_fetch_with_a_profiles_token() {
    let stage = synerise();
    let said =
        "u%201 7 %C5%BC%C3%B3%C5%82w@example.com\n403 wrong_profile\n403 event_not_allowed\n";
    assert_eq!(stage.run("node", "synerise-fetch.mjs", WRITE), said);
    assert_eq!(stage.origin.count(), 1);
}
