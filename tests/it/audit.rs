//! The audit log: who changed which key from what to what, and what has been in force.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::actors::client::bearer;
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup, key};
use crate::actors::sidecar::{Sidecar, refuses};

const FILE: &str = "[audit_log]\nfile = \"audit.log\"\n";

fn events(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join("audit.log")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
}

/// A directory with a configuration and keys, in which commands are run.
fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    Setup::before_url("http://127.0.0.1:9").config(FILE).write(home.path());
    home
}

fn run(home: &TempDir, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(words).current_dir(home.path()).env("SUDO_USER", "ann").output().unwrap()
}

/// A command that runs meanwhile, and ends with the test at the latest.
struct Running(Child);

impl Running {
    /// Its exit code, and what it said to people.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(home: &TempDir, words: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(words).current_dir(home.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

/// What a command says that does what it is told.
fn done(home: &TempDir, words: &[&str]) -> String {
    let output = run(home, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every member that the table in the source names.
fn documented() -> BTreeSet<String> {
    let source = include_str!("../../src/observe/audit.rs");
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let names = rows.filter_map(|row| row.split(" | ").next());
    let names = names.flat_map(|names| names.split(", ")).map(|name| name.trim_matches('`'));
    names.map(str::to_owned).collect()
}

#[test]
fn a_keys_life_is_told_with_who_what_before_and_after_and_without_a_secret() {
    let home = home();
    done(&home, &["accounts", "create", "new", "--name", "New Ltd"]);
    let made = done(&home, &["keys", "create", "--account", "new", "--json", "--name", "till"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let (id, text) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    done(&home, &["keys", "rotate", id, "--overlap", "24h"]);
    done(&home, &["keys", "revoke", id]);
    done(&home, &["keys", "delete", id, "--yes", "--force"]);
    done(&home, &["accounts", "disable", "new"]);
    let events = events(home.path());
    let told: Vec<_> =
        events.iter().map(|event| event["event"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        told,
        [
            "account.create",
            "key.create",
            "key.change",
            "key.create",
            "key.change",
            "key.delete",
            "account.change",
        ]
    );
    let [account, create, expire, successor, revoke, delete, disable] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (&account["account"], &account["after"]["name"]),
        (&"new".into(), &"New Ltd".into())
    );
    assert_eq!((&create["key_id"], &create["account"]), (&id.into(), &"new".into()));
    assert_eq!(
        (&create["after"]["name"], &create["before"]),
        (&"till".into(), &serde_json::json!({}))
    );
    // What did not change is not told again.
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        (members(&expire["before"]), members(&expire["after"])),
        (vec![], vec!["expires".to_owned()])
    );
    assert_eq!(expire["edit"], successor["edit"], "one command");
    assert_ne!(expire["edit"], revoke["edit"]);
    assert!(revoke["after"]["revoked"].is_string(), "{revoke}");
    assert_eq!((&delete["key_id"], &delete["before"]["name"]), (&id.into(), &"till".into()));
    assert_eq!(disable["after"], serde_json::json!({ "disabled": true }));
    let uid = rustix::process::getuid().as_raw();
    for event in &events {
        assert_eq!((&event["sudo_user"], &event["uid"]), (&"ann".into(), &uid.into()));
        assert!(event["file"].as_str().unwrap().ends_with("keys.toml"), "{event}");
        let known = documented();
        assert!(members(event).iter().all(|member| known.contains(member)), "{event}");
    }
    let log = fs::read_to_string(home.path().join("audit.log")).unwrap();
    for secret in [text, "sha256:", "digest"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn a_salt_is_told_to_be_there_and_what_is_imported_is_told_without_its_key() {
    let home = home();
    let (plain, salt) = ("an-imported-key-0123456789abcdef", "c2FsdC1vZi1zb21lYm9keQ==");
    let line = format!(
        "{{\"account\":\"acme\",\"id\":\"old\",\"kind\":\"profile\",\"key\":\"{plain}\",\
         \"simple_auth\":true,\"salt\":\"{salt}\"}}\n"
    );
    fs::write(home.path().join("keys.jsonl"), line).unwrap();
    done(&home, &["keys", "import", "keys.jsonl"]);
    let [event] = events(home.path()).try_into().expect("one event");
    assert_eq!((&event["event"], &event["key_id"]), (&"key.create".into(), &"old".into()));
    assert_eq!(event["after"]["simple_auth"]["salt"], true, "{event}");
    let log = fs::read_to_string(home.path().join("audit.log")).unwrap();
    assert!(!log.contains(plain) && !log.contains(salt), "{log}");
}

#[test]
fn what_cannot_be_told_is_not_done_unless_it_takes_rights_away() {
    let home = home();
    let keys = fs::read(home.path().join("keys.toml")).unwrap();
    fs::create_dir(home.path().join("audit.log")).unwrap();
    for words in [
        &["keys", "create", "--account", "acme"][..],
        &["keys", "delete", "acme-read", "--yes", "--force"],
    ] {
        let output = run(&home, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
        assert!(said.contains("the audit log") && said.contains("nothing was changed"), "{said}");
        assert_eq!(fs::read(home.path().join("keys.toml")).unwrap(), keys, "{words:?}");
    }
    // Looking changes nothing, and who withdraws a key has no time to make room.
    done(&home, &["keys", "list"]);
    for words in [&["keys", "revoke", "acme-read"][..], &["accounts", "disable", "acme"]] {
        let output = run(&home, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("does not tell of this"), "{said}");
    }
    let now = fs::read_to_string(home.path().join("keys.toml")).unwrap();
    assert!(now.contains("revoked = ") && now.contains("disabled = true"), "{now}");
    let again = run(&home, &["accounts", "enable", "acme"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let origin = Origin::echo();
    let setup = Setup::before(&origin).config("[audit_log]\nfile = \"none/audit.log\"\n");
    let (code, text) = refuses(&setup, |_| {});
    assert!(code == Some(1) && text.contains("/none` does not exist"), "{text}");
}

/// A pipe that somebody holds open and nobody empties, full to the last byte. Lasts as long as what
/// is returned.
fn full_pipe(path: &Path) -> [File; 2] {
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o600.into(), 0).unwrap();
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let mut open = OpenOptions::new();
    open.custom_flags(flags);
    let reader = open.read(true).open(path).unwrap();
    let mut writer = open.read(false).write(true).open(path).unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    for piece in [4096, 1] {
        while writer.write(&[b'x'; 4096][..piece]).is_ok() {}
    }
    [reader, writer]
}

#[test]
fn a_log_that_takes_nothing_holds_up_no_revocation_and_what_is_lost_is_counted() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).config(FILE);
    let directory = TempDir::new().unwrap();
    setup.write(directory.path());
    let _pipe = full_pipe(&directory.path().join("audit.log"));
    let mut sidecar = Sidecar::start_in(directory, &setup);
    let keys = sidecar.read("keys.toml");
    sidecar.get("/", &[&bearer(READ)]).ok();
    let revoked = keys.replace("id = \"acme-read\"", "id = \"acme-read\"\nrevoked = true");
    sidecar.replace("keys.toml", revoked);
    sidecar.turns_away(READ);
    let lost = || sidecar.metric("keygate_audit_log_lines_dropped_total", &[]);
    for _ in 0..40 {
        let generation = sidecar.generation();
        sidecar.signal(Signal::HUP);
        eventually("the reload", || (sidecar.generation() > generation).then_some(()));
    }
    assert!(lost() >= 20.0, "{}", lost());
    assert!(sidecar.log.text().contains("the audit log takes nothing"));
    // By hand it is done, too, and said.
    let home = home();
    let _pipe = full_pipe(&home.path().join("audit.log"));
    let output = run(&home, &["keys", "revoke", "acme-read"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("does not tell of this"), "{said}");
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    eventually("the lines that never were to be said", || {
        sidecar.log.text().contains("its last lines are lost").then_some(())
    });
}

/// Revokes a key once another command holds the lock of its file: the exit code, in time for a
/// revocation, and what was said.
fn revoked_behind_a_lock(home: &TempDir) -> (Option<i32>, String) {
    let lock = home.path().join(".keys.toml.lock");
    eventually("the lock to be held", || {
        File::open(&lock).is_ok_and(|lock| lock.try_lock().is_err()).then_some(())
    });
    let began = Instant::now();
    let mut revoke = start(home, &["keys", "revoke", "acme-read"]);
    while revoke.0.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(40), "the key is still in force");
        std::thread::sleep(Duration::from_millis(20));
    }
    revoke.ended()
}

#[test]
fn whoever_waits_for_the_log_to_add_a_key_gives_up_in_time_for_a_revocation() {
    let home = home();
    let count = || {
        let keys = fs::read_to_string(home.path().join("keys.toml")).unwrap();
        keys.matches("[[key]]").count()
    };
    let before = count();
    let _pipe = full_pipe(&home.path().join("audit.log"));
    let create = start(&home, &["keys", "create", "--account", "acme"]);
    let (code, said) = revoked_behind_a_lock(&home);
    assert!(code == Some(0) && said.contains("does not tell of this"), "{said}");
    let (code, said) = create.ended();
    assert!(code == Some(1) && said.contains("nothing was changed"), "{said}");
    assert!(said.contains("help: ") && said.contains("10 seconds"), "{said}");
    assert_eq!(count(), before);
}

#[test]
fn many_lines_for_a_log_that_takes_them_slowly_hold_a_revocation_up_no_longer_than_one() {
    let home = home();
    let keys = || fs::read_to_string(home.path().join("keys.toml")).unwrap();
    let before = keys();
    let lines: String = (0..300).map(|number| format!("acme,an-old-key-{number:020}\n")).collect();
    fs::write(home.path().join("old.csv"), format!("account,key\n{lines}")).unwrap();
    let [mut reader, writer] = full_pipe(&home.path().join("audit.log"));
    drop(writer);
    let (over, ended) = channel::<()>();
    let slow = std::thread::spawn(move || {
        // Every line is taken within a few seconds.
        while ended.recv_timeout(Duration::from_secs(3)) == Err(RecvTimeoutError::Timeout) {
            let mut taken = [0; 4096];
            let _ = reader.read(&mut taken);
        }
    });
    let import = start(&home, &["keys", "import", "old.csv"]);
    let (code, said) = revoked_behind_a_lock(&home);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = import.ended();
    assert!(code == Some(1) && said.contains("nothing was changed"), "{said}");
    assert!(said.contains("did not take 300 lines within 10 seconds"), "{said}");
    assert_eq!(keys().matches("[[key]]").count(), before.matches("[[key]]").count());
    drop(over);
    slow.join().unwrap();
}

#[test]
fn a_process_tells_what_it_loaded_what_it_could_not_and_that_it_ends() {
    let origin = Origin::echo();
    let mut sidecar = Sidecar::start(&Setup::before(&origin).config(FILE));
    let directory = sidecar.directory.path().to_owned();
    let event = |name: &str, result: &str| {
        let is = |event: &Value| {
            event["event"] == name && (result.is_empty() || event["result"] == result)
        };
        eventually(name, || events(&directory).into_iter().rfind(is))
    };
    let start = event("process.start", "");
    assert_eq!(
        (&start["generation"], &start["pid"]),
        (&1.into(), &sidecar.pid().as_raw_nonzero().get().into())
    );
    let keys = sidecar.read("keys.toml");
    let more = key("late", "acme", "a-key-that-came-late-0123456789", "");
    sidecar.replace(
        "keys.toml",
        format!(
            "{}{more}",
            keys.replace("id = \"acme-read\"", "id = \"acme-read\"\nrevoked = true")
        ),
    );
    let done = event("reload", "done");
    assert_eq!((&done["generation_before"], &done["generation"]), (&1.into(), &2.into()));
    assert_eq!((&done["trigger"], &done["digest_before"]), (&"files".into(), &start["digest"]));
    assert_ne!(done["digest"], done["digest_before"]);
    assert_eq!(
        (&done["added_keys"], &done["revoked_keys"]),
        (&serde_json::json!(["late"]), &serde_json::json!(["acme-read"]))
    );
    assert_eq!((&done["added"], &done["removed"]), (&1.into(), &0.into()));
    sidecar.replace("keys.toml", "[[key]]\nid = 7\n");
    let failed = event("reload", "failed");
    assert_eq!((&failed["generation"], &failed["digest"]), (&2.into(), &done["digest"]));
    assert!(failed["error"][0].as_str().unwrap().contains("keys.toml:2:6"), "{failed}");
    sidecar.replace("keys.toml", keys);
    eventually("the keys to load again", || (sidecar.generation() == 3).then_some(()));
    sidecar.signal(Signal::HUP);
    let asked = eventually("a reload that was asked for", || {
        events(&directory).into_iter().rfind(|event| event["trigger"] == "signal")
    });
    assert_eq!(asked["result"], "done");
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    let names: Vec<_> = events(&directory).iter().map(|event| event["event"].clone()).collect();
    assert_eq!(names[names.len() - 2..], ["process.drain", "process.stop"]);
    let log = sidecar.read("audit.log");
    assert!(!log.contains("sha256:"), "{log}");
}
