//! The first ten minutes: `quickstart`, the lines that it prints, a key that is revoked while its
//! connection is open, and the same directory under `run`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::actors::client::{Client, bearer};
use crate::actors::eventually;
use crate::actors::log::Transcript;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keygate");

/// A process that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it printed, up to its last line.
fn printed(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        let line = lines.next().expect("more lines").unwrap();
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Runs a line as a person would, and returns all that it showed.
fn shell(line: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(format!("{line} 2>&1")).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The second word of the line that begins with a word.
fn word<'t>(text: &'t str, first: &str) -> &'t str {
    let line = text.lines().map(str::trim).find(|line| line.starts_with(&format!("{first} ")));
    line.and_then(|line| line.split_whitespace().nth(1)).expect(first)
}

fn connect(directory: &Path, address: SocketAddr) -> Client {
    let pem = std::fs::read(directory.join("tls/server.crt")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::tls_with(address, Arc::new(config)).expect("a TLS handshake")
}

#[test]
fn from_nothing_to_a_revoked_key() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("trial");
    let mut command = Command::new(PROGRAM);
    command.arg("quickstart").arg("--dir").arg(&directory);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Transcript::of(child.stderr.take().unwrap());
    let text = printed(&mut child);
    let quickstart = Running(child);
    let (read, write) = (word(&text, "read"), word(&text, "write"));

    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("curl ")).collect();
    let [identity, read_writes, write_writes, nobody, unknown, plain, ready, metrics] = lines[..]
    else {
        panic!("other lines than expected:\n{text}");
    };
    let shown = shell(identity).to_lowercase();
    assert!(shown.contains("x-account-id") && shown.contains("acme"), "{shown}");
    assert!(shown.contains("x-permissions") && !shown.contains(read), "{shown}");
    assert!(shell(read_writes).contains(" 403"));
    assert!(shell(write_writes).to_lowercase().contains("acme"));
    assert!(shell(nobody).contains(" 401"));
    assert!(shell(unknown).contains(" 401"));
    let refused = shell(plain);
    assert!(refused.contains(" 401") && refused.contains("HTTPS is required"), "{refused}");
    assert!(shell(ready).contains("\"ready\":true"));
    assert!(shell(metrics).contains("keygate_requests_total"));

    let url = identity.rsplit("https://").next().unwrap();
    let address = url.split('/').next().unwrap().parse().unwrap();
    let mut client = connect(&directory, address);
    client.get("/", &[&bearer(read)]).ok();
    let revoke = text.lines().find(|line| line.contains(" keys revoke ")).unwrap();
    assert!(shell(revoke).contains("revoked"));
    eventually("the revocation to be in force", || {
        (client.get("/", &[&bearer(read)]).status == 401).then_some(())
    });
    client.get("/", &[&bearer(write)]).ok();
    for secret in [read, write] {
        assert!(!log.text().contains(secret), "a key in the log");
        let keys = std::fs::read_to_string(directory.join("keys.toml")).unwrap();
        assert!(!keys.contains(secret), "a key at rest");
    }
    drop(quickstart);

    let mut command = Command::new(PROGRAM);
    command.arg("run").arg("--config").arg(directory.join("keygate.toml"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Transcript::of(child.stderr.take().unwrap());
    let _running = Running(child);
    assert!(log.wait(0, |line| line.message() == "listening").is_some(), "{}", log.text());
    let mut client = connect(&directory, address);
    assert_eq!(client.get("/", &[&bearer(read)]).status, 401);
    // The echo went with the quickstart; the key is still good.
    client.get("/", &[&bearer(write)]).refused(502, "upstream_unreachable");
}
