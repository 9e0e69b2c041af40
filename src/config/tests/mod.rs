//! Tests of whole configurations: a directory with everything that they can name, and what comes
//! of reading it.

mod example;
mod keyring;
mod told;
mod values;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use rcgen::CertificateParams;
use rcgen::KeyPair;
use rcgen::PKCS_ECDSA_P256_SHA256;
use rcgen::PKCS_ECDSA_P384_SHA384;
use rcgen::PKCS_ED25519;
use rcgen::date_time_ymd;

use super::Config;
use super::load;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A directory with everything that a configuration can name.
fn stage() -> tempfile::TempDir {
    let stage = tempfile::tempdir().unwrap();
    let tls = stage.path().join("tls");
    fs::create_dir(&tls).unwrap();
    for (name, from, until) in
        [("server", 2026, 2027), ("other", 2026, 2027), ("old", 2019, 2020), ("new", 2029, 2030)]
    {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        write(&tls.join(format!("{name}.crt")), params.self_signed(&key).unwrap().pem());
        write(&tls.join(format!("{name}.key")), key.serialize_pem());
    }
    let key = fs::read_to_string(tls.join("server.key")).unwrap();
    write(&tls.join("encrypted.key"), key.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    write(&tls.join("torn.key"), key.lines().take(2).collect::<Vec<_>>().join("\n"));
    sign(stage.path());
    write(&stage.path().join("keys.toml"), "# none\n");
    write(&stage.path().join("revoked.txt"), "");
    write(&stage.path().join("notes.txt"), "not PEM\n");
    write(&stage.path().join("binary.toml"), b"x = \"\xff\"\n");
    write(&stage.path().join("pepper"), "0123456789abcdef\n");
    write(&stage.path().join("short-pepper"), "hunter2\n");
    stage
}

/// Keys that sign tokens, and some that do not.
fn sign(stage: &Path) {
    let tokens = stage.join("tokens");
    fs::create_dir(&tokens).unwrap();
    for (name, algorithm) in [
        ("ed25519.pem", &PKCS_ED25519),
        ("readable.pem", &PKCS_ED25519),
        ("p256.pem", &PKCS_ECDSA_P256_SHA256),
        ("p256-old.pem", &PKCS_ECDSA_P256_SHA256),
        ("p384.pem", &PKCS_ECDSA_P384_SHA384),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        write(&tokens.join(name), key.serialize_pem());
    }
    fs::copy(tokens.join("ed25519.pem"), tokens.join("ed25519-again.pem")).unwrap();
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(tokens.join("readable.pem"), readable).unwrap();
    let p256 = fs::read_to_string(tokens.join("p256.pem")).unwrap();
    write(&tokens.join("sec1.pem"), p256.replace("PRIVATE", "EC PRIVATE"));
    write(&tokens.join("rsa-1024.pem"), include_bytes!("../../../tests/config/short-rsa.pem"));
}

/// The configuration that a text says, with overrides.
fn config(stage: &Path, text: &str, overrides: &[&str]) -> Config {
    write(&stage.join("keygate.toml"), text);
    let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let loaded = load(&stage.join("keygate.toml"), &overrides, now());
    assert!(!loaded.problems.fatal(), "{}", loaded.problems.render(false));
    loaded.config.unwrap()
}

/// The least that a configuration must say.
const LEAST: &str = r#"
[listen]
https = "127.0.0.1:8443"
[tls]
certificate = "tls/server.crt"
private_key = "tls/server.key"
[upstream]
url = "http://127.0.0.1:3000"
"#;
