//! Logs and state on a disk that is full: a file system of a few pages, in a mount namespace of the test's
//! own, into which the tests look through `/proc`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keygate::keys::Digester;
use keygate::keys::usage::UsageStore;
use serde_json::Value;

use crate::actors::client::Client;
use crate::actors::client::bearer;
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup, WRITE, sha256};

/// The program, whose standard error is a file on a small disk.
struct Logging {
    child: Child,
    /// The small disk, as it is seen from here.
    disk: PathBuf,
    _files: tempfile::TempDir,
}

impl Logging {
    /// `None` where the system allows nobody to mount a file system.
    fn start(setup: &Setup) -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        setup.write(files.path());
        let disk = files.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let script = "mount -t tmpfs -o size=64k none \"$1\" || exit 99; \
                      exec \"$2\" run --config \"$3\" 2>\"$1/log\"";
        for namespace in ["-rm", "-m"] {
            let child = Command::new("unshare")
                .args([namespace, "sh", "-c", script, "sh"])
                .args([&disk, Path::new(env!("CARGO_BIN_EXE_keygate"))])
                .arg(files.path().join("keygate.toml"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut child) = child else { continue };
            let root = PathBuf::from(format!("/proc/{}/root", child.id()));
            let inside = root.join(disk.strip_prefix("/").unwrap());
            let begun = eventually("it to log or to end", || {
                let listens = fs::read_to_string(inside.join("log"))
                    .is_ok_and(|text| text.contains("\"listening\""));
                let ended = child.try_wait().unwrap().is_some();
                (listens || ended).then_some(listens)
            });
            if begun {
                return Some(Self { child, disk: inside, _files: files });
            }
        }
        None
    }

    /// All lines that are lines, and how many are not.
    fn lines(&self) -> (Vec<Value>, usize) {
        self.lines_of("log")
    }

    fn lines_of(&self, name: &str) -> (Vec<Value>, usize) {
        let text = fs::read(self.disk.join(name)).unwrap();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().map(serde_json::from_str).collect();
        let torn = lines.iter().filter(|line| line.is_err()).count();
        (lines.into_iter().flatten().collect(), torn)
    }

    fn address(&self, name: &str) -> SocketAddr {
        let (lines, _) = self.lines();
        let line = lines.iter().find(|line| line["message"] == "listening").unwrap();
        line[name].as_str().unwrap().parse().unwrap()
    }

    /// How many lines it counts as lost.
    fn lost(&self) -> u64 {
        self.metric("keygate_log_lines_dropped_total ")
    }

    fn metric(&self, name: &str) -> u64 {
        let mut client = Client::plain(self.address("admin"));
        let text = client.get("/metrics", &["Connection: close"]).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the metric").parse().unwrap()
    }

    /// From where a key was used last, as the file on the small disk says.
    fn used_from(&self, key: &str) -> Option<String> {
        let usage = UsageStore::new(self.disk.join("state")).read().unwrap()?;
        let digest = Digester::Sha256.parse(&sha256(key)).unwrap();
        usage.of(&digest).map(|last| last.from.to_string())
    }

    fn fill(&self) {
        let mut file = File::create(self.disk.join("fill")).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[b'x'; 512]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_full_disk_under_the_log_stops_no_request_and_is_said_once() {
    let origin = Origin::echo();
    let Some(program) = Logging::start(&Setup::before(&origin)) else {
        eprintln!("SKIPPED: nobody may mount a file system here, so that none can be full");
        return;
    };
    program.fill();
    let mut client = Client::tls(program.address("https"));
    // Each is a line, and all of them are more than a page.
    for _ in 0..200 {
        client.get("/", &[]).refused(401, "no_credential");
    }
    let lost = eventually("lines to be lost", || Some(program.lost()).filter(|lost| *lost > 100));
    let (lines, _) = program.lines();
    let told = |line: &&Value| line["message"].as_str().unwrap().contains("were lost");
    assert_eq!(lines.iter().filter(told).count(), 0, "before anybody could read it");
    fs::remove_file(program.disk.join("fill")).unwrap();
    for _ in 0..20 {
        client.get("/", &[]).refused(401, "no_credential");
    }
    let line =
        eventually("what was lost to be told", || program.lines().0.iter().find(told).cloned());
    assert!(line["lines"].as_u64().unwrap() >= lost, "{line}");
    client.get("/", &[]).refused(401, "no_credential");
    let (lines, torn) = program.lines();
    assert_eq!(lines.iter().filter(told).count(), 1);
    assert!(torn <= 1, "{torn} lines are torn");
    assert_eq!(program.lost(), line["lines"].as_u64().unwrap());
}

#[test]
fn a_full_disk_under_the_state_stops_no_request_and_loses_no_use() {
    let origin = Origin::echo();
    let state = "[state]\ndirectory = \"disk/state\"";
    let Some(program) = Logging::start(&Setup::before(&origin).config(state)) else {
        eprintln!("SKIPPED: nobody may mount a file system here, so that none can be full");
        return;
    };
    eventually("the recording to begin", || {
        program.disk.join("state/usage").exists().then_some(())
    });
    let before = fs::read(program.disk.join("state/usage")).unwrap();
    program.fill();
    let mut client = Client::tls(program.address("https"));
    client.get("/", &[&bearer(READ)]).ok();
    eventually("the failure to be counted", || {
        (program.metric("keygate_state_write_errors_total ") > 0).then_some(())
    });
    client.get("/", &[&bearer(WRITE)]).ok();
    assert_eq!(fs::read(program.disk.join("state/usage")).unwrap(), before, "the old one is lost");
    assert_eq!(fs::read_dir(program.disk.join("state")).unwrap().count(), 2, "half a file is left");
    fs::remove_file(program.disk.join("fill")).unwrap();
    for key in [READ, WRITE] {
        let from = eventually("what was not written to be written", || program.used_from(key));
        assert_eq!(from, "127.0.0.0/24");
    }
    eventually("that to be told", || {
        let (lines, _) = program.lines();
        let told = |line: &Value| line["message"].as_str().unwrap().contains("recorded again");
        lines.iter().any(told).then_some(())
    });
}

#[test]
fn a_full_disk_under_the_access_log_stops_no_request_and_its_lines_stay_lines() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).config("[access_log]\nfile = \"disk/access.log\"\n");
    let Some(program) = Logging::start(&setup) else {
        eprintln!("SKIPPED: nobody may mount a file system here, so that none can be full");
        return;
    };
    let lost = "keygate_access_log_lines_dropped_total ";
    let mut client = Client::tls(program.address("https"));
    client.get("/", &[]).refused(401, "no_credential");
    eventually("a line", || (program.lines_of("access.log").0.len() == 1).then_some(()));
    program.fill();
    for _ in 0..200 {
        client.get("/", &[]).refused(401, "no_credential");
    }
    let first =
        eventually("lines to be lost", || Some(program.metric(lost)).filter(|lost| *lost > 100));
    fs::remove_file(program.disk.join("fill")).unwrap();
    for _ in 0..20 {
        client.get("/", &[]).refused(401, "no_credential");
    }
    let told = |line: &&Value| line["message"].as_str().unwrap().contains("access log were lost");
    let line =
        eventually("what was lost to be told", || program.lines().0.iter().find(told).cloned());
    assert!(line["lines"].as_u64().unwrap() >= first, "{line}");
    let whole = 221 - program.metric(lost);
    let (lines, torn) = eventually("the rest", || {
        Some(program.lines_of("access.log")).filter(|(lines, _)| lines.len() as u64 >= whole)
    });
    assert_eq!(lines.len() as u64, whole);
    assert!(torn <= 1, "{torn} lines are torn");
}
