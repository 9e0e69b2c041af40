//! Worlds to decide in, loaded from text as the program loads its files.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use keygate::config;
use keygate::gate::{Denial, Facts, Grant, Snapshot, Step, Transport, decide};
use keygate::keys::{ApiKey, Digester};
use keygate::live::World;
use keygate::observe::Metrics;

/// A workspace key that may write.
pub const KEY: &str = "workspace-key-of-the-fuzzers";
/// A profile key that may write, with simple authentication and without a salt.
pub const PROFILE_KEY: &str = "profile-key-of-the-fuzzers";

/// The instant at which everything happens: 2026-11-22T12:00:00Z.
pub fn now() -> Timestamp {
    Timestamp::constant(1_795_348_800, 0)
}

/// A line of a key file: the digest of a key.
pub fn digest(key: &str) -> String {
    let digest = Digester::Sha256.digest(&ApiKey::new(key.as_bytes()));
    let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("digest = \"sha256:{hex}\"\n")
}

/// The key that signs tokens. It is always the same one, so that a token in a corpus stays valid.
pub fn signing_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// The world of a configuration without `[upstream]` and listeners, and of a key file.
pub fn world(config: &str, keys: &str) -> World {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let start = "[listen]\nhttp = \"127.0.0.1:0\"\nhttp_accepts = \"everything\"\n\
                 [upstream]\nurl = \"http://127.0.0.1:1\"\n";
    write("keygate.toml", &format!("{start}{config}"));
    write("keys.toml", keys);
    write("tokens.pem", &pem(signing_key().to_pkcs8v1().unwrap().as_ref()));
    let loaded = config::load(&directory.path().join("keygate.toml"), &[], now());
    let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.problems.render(false)));
    let keyring = config::load_keys(&config.keys, None);
    let keys = keyring.keys.unwrap_or_else(|| panic!("{}", keyring.problems.render(false)));
    World::new(&config, keys, &keyring.revocations, 1, &Metrics::new())
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

/// What is decided of a request when its body has come.
pub fn ask(
    snapshot: &Snapshot,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Grant>, Denial> {
    let client = (IpAddr::V4(Ipv4Addr::LOCALHOST), false);
    let facts = Facts::new(method, path, Transport::Tls, client, headers, !body.is_empty());
    match decide(&facts, snapshot, now()).outcome? {
        Step::Grant(grant) => Ok(Some(grant)),
        Step::Inspect(inspection) => inspection.judge(Ok(body), snapshot).outcome.map(Some),
        Step::Answer(endpoint) => {
            let answer = endpoint.answer(&facts, Ok(body), snapshot, now(), [7; 16]);
            answer.outcome.map(|_| None)
        }
    }
}
