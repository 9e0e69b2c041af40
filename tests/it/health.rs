//! `keygate health`, as a health check or a probe runs it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::actors::client::bearer;
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::Sidecar;

/// What it said, in a directory.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn health_in(directory: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    // Nothing of the environment is needed: in an image there is none.
    command.env_clear().current_dir(directory).arg("health").args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn health(arguments: &[&str]) -> Said {
    health_in(Path::new("/"), arguments)
}

impl Said {
    fn well(self, out: &str) -> Self {
        let Self { code, err, .. } = &self;
        assert!(*code == Some(0) && self.out.starts_with(out), "{code:?} {}{err}", self.out);
        self
    }

    fn unwell(&self, code: i32, words: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        assert!(self.err.contains(words), "no `{words}` in: {}", self.err);
    }
}

/// A directory with a configuration.
fn directory(listen: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let text = format!("[listen]\n{listen}\nhttps = \"no address\"\n");
    std::fs::write(directory.path().join("keygate.toml"), text).unwrap();
    directory
}

#[test]
fn it_finds_the_port_in_the_configuration_whatever_else_stands_there() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).listen("admin = \"0.0.0.0:0\""));
    let port = sidecar.admin.rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let directory = directory(&format!("admin = \"{host}:{port}\"\n[broken"));
        health_in(directory.path(), &[]).well("ready: generation 1, keys 4\n");
        let config = directory.path().join("keygate.toml");
        health(&["--config", config.to_str().unwrap(), "--live"]).well("alive\n");
    }
    health(&["--admin", &format!("0.0.0.0:{port}")]).well("ready");
}

#[test]
fn it_asks_a_unix_socket_beside_the_configuration() {
    let origin = Origin::echo();
    let directory = directory("admin = \"unix:admin.sock\"");
    let path = directory.path().join("admin.sock");
    let address = format!("unix:{}", path.display());
    health_in(directory.path(), &[]).unwell(1, "no answer from `unix:admin.sock`");
    let setup = Setup::before(&origin).listen(&format!("admin = {address:?}"));
    let _sidecar = Sidecar::start(&setup);
    let config = directory.path().join("keygate.toml");
    health(&["--config", config.to_str().unwrap()]).well("ready");
    health(&["--admin", &address]).well("ready");
    health_in(directory.path(), &["--admin", "unix:admin.sock", "--live"]).well("alive");
}

#[test]
fn what_does_not_load_later_is_told_and_is_no_reason_for_a_restart() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    sidecar.replace("keys.toml", "[[key]\n");
    eventually("the error to show", || {
        let said = health(&["--admin", &sidecar.admin]).well("ready: generation 1");
        (said.err.contains("warning: the files as they are now do not load: ")).then_some(())
    });
    sidecar.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn while_it_drains_it_is_alive_and_not_ready() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).config("[drain]\ndelay = \"60s\"");
    let sidecar = Sidecar::start(&setup);
    health(&["--admin", &sidecar.admin]).well("ready");
    sidecar.signal(Signal::TERM);
    eventually("the drain", || (!sidecar.ready()["ready"].as_bool().unwrap()).then_some(()));
    health(&["--admin", &sidecar.admin]).unwell(1, "not ready: it is draining");
    health(&["--admin", &sidecar.admin, "--live"]).well("alive");
}

#[test]
fn a_process_that_hangs_is_not_waited_for() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    sidecar.freeze();
    let began = Instant::now();
    health(&["--admin", &sidecar.admin, "--live"]).unwell(1, "nothing within 2 s");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn whatever_else_answers_there_is_not_taken_for_keygate() {
    let answers: [(&[u8], &str); 6] = [
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "`/readyz` answers 200"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "`/readyz` answers 404"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":1}", "`/readyz` answers 503"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP"),
        (&[b'x'; 100_000], "more than health takes"),
    ];
    for (answer, words) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        });
        health(&["--admin", &address]).unwell(1, words);
        other.join().unwrap();
    }
}

#[test]
fn what_cannot_be_asked_is_said_with_a_way_out() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    health(&["--admin", &nobody]).unwell(1, "help: is keygate running");
    for (listen, words) in [
        ("", "has no `admin` in `[listen]` to ask"),
        ("admin = false", "or say where with `--admin`"),
        ("admin = \"127.0.0.1:0\"", "a port that the system chooses"),
        ("admin = \"9090\"", "keygate.toml:2:9"),
        ("admin = ", "keygate.toml:2:"),
    ] {
        let directory = directory(listen);
        health_in(directory.path(), &[]).unwell(1, words);
    }
    health(&["--config", "/nowhere.toml"]).unwell(1, "/nowhere.toml");
    health(&["--admin", "9090"]).unwell(2, "--admin");
    health(&["--admin", "127.0.0.1:1", "--config", "x.toml"]).unwell(2, "cannot be used with");
    health(&["--wait"]).unwell(2, "--wait");
}
