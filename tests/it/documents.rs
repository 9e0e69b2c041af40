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

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

struct Stage {
    origin: Origin,
    sidecar: Sidecar,
}

impl Stage {
    fn new(config: &str) -> Self {
        let origin = Origin::echo();
        let setup = Setup::before(&origin).config(config).file("ca.pem", TRUSTED.pem());
        let sidecar = Sidecar::start(&setup);
        Self { origin, sidecar }
    }

    /// With a preset as it is written by `keygate init`.
    fn preset(name: &str, keys: String) -> Self {
        let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/presets");
        let config = std::fs::read_to_string(presets.join(name).join("keygate.toml")).unwrap();
        let origin = Origin::echo();
        let setup = Setup::whole(&config, &origin).keys(keys).file("ca.pem", TRUSTED.pem());
        let sidecar = Sidecar::start(&setup);
        Self { origin, sidecar }
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
fn python() -> String {
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
fn python_requests_with_a_command_in_the_body() {
    let said = "acme\n403 missing_permission\n400 invalid_body\n";
    let stage = polyteia();
    assert_eq!(stage.run(&python(), "polyteia-requests.py", WRITE), said);
    assert_eq!(stage.origin.count(), 1);
}
