//! The first two minutes: the quickstart's own lines, as a person pastes them; its directory as
//! ordinary configuration; and a key revoked in another terminal.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use super::actors::client::{Client, bearer};
use super::actors::eventually;
use super::actors::wire::Wire;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keygate");

/// One at a time: they all want the ports that people expect.
static PORTS: Mutex<()> = Mutex::new(());

/// A running quickstart, and what it printed.
struct Quickstart {
    _ports: MutexGuard<'static, ()>,
    child: Child,
    printed: String,
    directory: TempDir,
}

impl Quickstart {
    fn start() -> Self {
        let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["quickstart", "--dir"])
            .arg(directory.path().join("made"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut printed = String::new();
        for line in lines {
            printed.push_str(&line);
            printed.push('\n');
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        Self { _ports: ports, child, printed, directory }
    }

    fn made(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("made").join(name)
    }

    /// The printed commands that begin so.
    fn commands(&self, begin: &str) -> Vec<String> {
        let lines = self.printed.lines().filter(|line| line.starts_with(begin));
        lines.map(str::to_owned).collect()
    }

    /// The key of a tier, as it was shown.
    fn key(&self, access: &str) -> (String, String) {
        let mut lines = self.printed.lines().map(str::split_whitespace);
        let mut words = lines
            .find_map(|mut words| (words.next() == Some(access)).then_some(words))
            .expect("the key is shown");
        let (key, id) = (words.next().unwrap(), words.next().unwrap());
        (key.to_owned(), id.trim_matches(['(', ')']).to_owned())
    }

    fn address(&self) -> String {
        let config = fs::read_to_string(self.made("keygate.toml")).unwrap();
        let config: toml::Table = config.parse().unwrap();
        config["listen"]["https"].as_str().unwrap().to_owned()
    }

    fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        let pem = fs::read(self.made("tls/server.crt")).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = std::net::TcpStream::connect(self.address()).unwrap();
        Client { wire: Wire::new(Box::new(StreamOwned::new(session, stream))) }
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shell(line: &str) -> String {
    let output = Command::new("bash").args(["-c", line]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_lines_that_quickstart_prints_do_what_they_say() {
    let quickstart = Quickstart::start();
    let (read, read_id) = quickstart.key("read");
    let curl = quickstart.commands("curl ");
    let answers: Vec<_> = curl.iter().map(|line| shell(&format!("{line} -s"))).collect();
    let [permit, write_by_read, write, missing, wrong, plain, ready, metrics] = &answers[..] else {
        panic!("{curl:#?}")
    };
    let echo: Value = serde_json::from_str(permit).unwrap();
    assert_eq!(echo["account"], "acme");
    assert_eq!((&echo["access"], &echo["permissions"]), (&"read".into(), &"*".into()));
    assert_eq!(echo["key"].as_str(), Some(read_id.as_str()));
    assert!(!permit.contains(&read), "the key itself stays here");
    let echo: Value = serde_json::from_str(write).unwrap();
    assert_eq!((&echo["access"], &echo["method"]), (&"write".into(), &"POST".into()));
    for (answer, status, reason) in [
        (write_by_read, "403", "method_not_allowed_for_key"),
        (missing, "401", "no_credential"),
        (wrong, "401", "invalid_credential"),
        (plain, "401", "insecure_transport"),
    ] {
        let first = answer.lines().next().unwrap_or_default();
        assert!(first.contains(status) && answer.contains(reason), "{answer}");
    }
    assert!(ready.contains("\"ready\":true"), "{ready}");
    assert!(metrics.contains("keygate_requests_total"), "{metrics}");
}

#[test]
fn a_key_revoked_in_another_terminal_is_refused_on_the_connection_that_is_open() {
    let quickstart = Quickstart::start();
    let (read, _) = quickstart.key("read");
    let mut client = quickstart.client();
    client.get("/", &[&bearer(&read)]).ok();
    let [revoke] = &quickstart.commands(PROGRAM)[..1] else { panic!("no command") };
    assert!(revoke.contains("keys revoke"), "{revoke}");
    shell(revoke);
    eventually("the key to be refused", || {
        let answer = client.get("/", &[&bearer(&read)]);
        (answer.status == 401).then_some(())
    });
    let (write, _) = quickstart.key("write");
    client.get("/", &[&bearer(&write)]).ok();
}

#[test]
fn the_directory_is_ordinary_configuration_without_a_key_in_it() {
    let mut quickstart = Quickstart::start();
    let (read, _) = quickstart.key("read");
    quickstart.child.kill().unwrap();
    quickstart.child.wait().unwrap();
    let config = quickstart.made("keygate.toml");
    let check = Command::new(PROGRAM).arg("check").arg("--config").arg(&config).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let mut run = Command::new(PROGRAM)
        .arg("run")
        .arg("--config")
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The echo went with the quickstart, so what passes the gate finds no API: 502.
    eventually("it to listen", || std::net::TcpStream::connect(quickstart.address()).ok());
    let status = quickstart.client().get("/", &[&bearer(&read)]).status;
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(status, 502);
    holds_nowhere(quickstart.directory.path(), &read);
}

fn holds_nowhere(directory: &Path, secret: &str) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds_nowhere(&path, secret);
        } else {
            let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!content.contains(secret), "{}", path.display());
        }
    }
}
