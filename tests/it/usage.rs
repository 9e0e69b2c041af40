//! When and from where a key was last used: told by the command line while the process serves, kept
//! through its end, and what is done with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::actors::client::bearer;
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::scripts::events;
use crate::actors::setup::{OTHER, READ, Setup, WRITE, account, key, usual_keys};
use crate::actors::sidecar::Sidecar;

const LOGIN: &str = "/uauth/v2/auth/login/profile";

fn setup(origin: &Origin) -> Setup {
    recording_in(Path::new("state"), origin)
}

fn recording_in(directory: &Path, origin: &Origin) -> Setup {
    let state = format!("[state]\ndirectory = {directory:?}");
    Setup::before(origin).listen("trusted_proxies = [\"127.0.0.0/8\"]").config(&state)
}

/// `keygate keys …` on the files of a process, running or not: its exit code, stdout and stderr.
fn keys(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .arg("keys")
        .args(arguments)
        .arg("--config")
        .arg(directory.join("keygate.toml"))
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What the listing says of each key: from where it was used last, if it was.
fn listed(sidecar: &Sidecar) -> Vec<(String, Option<String>)> {
    let (code, out, err) = keys(sidecar.directory.path(), &["list", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let list: Vec<Value> = serde_json::from_str(&out).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    list.iter().map(|key| (text(&key["id"]).unwrap(), text(&key["last_used_from"]))).collect()
}

fn used_from(sidecar: &Sidecar, id: &str) -> Option<String> {
    listed(sidecar).into_iter().find(|(its, _)| its == id).unwrap().1
}

/// Waits until the listing says from where a key was used.
fn until_used(sidecar: &Sidecar, id: &str) -> String {
    eventually("the use to be recorded", || used_from(sidecar, id))
}

fn from(client: &str) -> String {
    format!("X-Forwarded-For: {client}")
}

#[test]
fn a_use_is_told_with_its_network_and_outlives_the_process() {
    let origin = Origin::echo();
    let mut sidecar = Sidecar::start(&setup(&origin));
    let before = keygate::clock::now();
    sidecar.get("/", &[&bearer(READ), &from("203.0.113.77")]).ok();
    assert_eq!(until_used(&sidecar, "acme-read"), "203.0.113.0/24");
    for id in ["acme-write", "acme-write-two", "other-write"] {
        assert_eq!(used_from(&sidecar, id), None);
    }
    let directory = sidecar.directory.path();
    let (_, shown, _) = keys(directory, &["show", "acme-read", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let at: jiff::Timestamp = shown["last_used"].as_str().unwrap().parse().unwrap();
    assert!(at.as_second() >= before.as_second() && at <= keygate::clock::now(), "{at}");
    let (_, table, _) = keys(directory, &["list"]);
    let head: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert!(head.ends_with(&["LAST", "USED", "FROM"]), "{table}");
    // What was seen since the last writing is written at the end.
    sidecar.get("/", &[&bearer(WRITE), &from("2001:db8:1:2::3")]).ok();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    assert_eq!(used_from(&sidecar, "acme-write").as_deref(), Some("2001:db8:1::/48"));
    let state = sidecar.path("state");
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    let file = state.join("usage");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    let address = [203, 0, 113, 77];
    assert!(!bytes.windows(4).any(|four| four == address), "the whole address is kept");
    // The next process knows what this one knew, and adds to it.
    let next = Sidecar::start(&recording_in(&state, &origin));
    next.get("/", &[&bearer(OTHER), &from("198.51.100.1")]).ok();
    assert_eq!(until_used(&next, "other-write"), "198.51.100.0/24");
    assert_eq!(used_from(&next, "acme-read").as_deref(), Some("203.0.113.0/24"));
    assert_eq!(used_from(&next, "acme-write").as_deref(), Some("2001:db8:1::/48"));
}

#[test]
fn whoever_presents_a_key_uses_it_whatever_the_answer() {
    let origin = Origin::echo();
    let dead = "expired-key-0123456789abcdef";
    let expired = key("expired", "acme", dead, "expires = 2020-01-01");
    let revoked = key("revoked", "acme", "revoked-key-0123456789abcdef", "revoked = 2020-01-01");
    let sidecar = Sidecar::start(&setup(&origin).keys(usual_keys() + &expired + &revoked));
    let mut client = sidecar.client();
    client.post("/", &[&bearer(READ)], b"").refused(403, "method_not_allowed_for_key");
    client.get("/", &[&bearer(dead)]).refused(401, "invalid_credential");
    client.get("/", &[&bearer("revoked-key-0123456789abcdef")]).refused(401, "invalid_credential");
    // These are nobody's, or are refused before anybody looks at the credential.
    client.get("/", &[&bearer("unknown-key-0123456789abcdef")]).refused(401, "invalid_credential");
    client.get("//", &[&bearer(WRITE)]).refused(400, "ambiguous_path");
    sidecar.plain().get("/", &[&bearer(OTHER)]).refused(401, "insecure_transport");
    for id in ["acme-read", "expired", "revoked"] {
        assert_eq!(until_used(&sidecar, id), "127.0.0.0/24");
    }
    for id in ["acme-write", "other-write"] {
        assert_eq!(used_from(&sidecar, id), None, "{id}");
    }
    let (_, shown, _) = keys(sidecar.directory.path(), &["show", "expired"]);
    assert!(shown.contains("from 127.0.0.0/24, after it had expired\n"), "{shown}");
}

#[test]
fn who_presents_a_token_uses_the_key_that_it_was_minted_from() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin).config("[credentials]\ntokens = true"));
    let mut client = sidecar.client();
    let body = format!(r#"{{"apiKey":"{READ}"}}"#);
    let login = client.post(LOGIN, &[&from("203.0.113.77")], body.as_bytes()).json();
    assert_eq!(until_used(&sidecar, "acme-read"), "203.0.113.0/24");
    let token = login["token"].as_str().unwrap();
    client.get("/", &[&bearer(token), &from("198.51.100.7")]).ok();
    eventually("the token's use", || {
        (used_from(&sidecar, "acme-read").unwrap() == "198.51.100.0/24").then_some(())
    });
}

#[test]
fn uses_before_and_after_a_reload_are_of_the_right_keys() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    let mut client = sidecar.client();
    for round in 0..6 {
        let generation = sidecar.generation();
        client.get("/", &[&bearer(READ), &from("203.0.113.1")]).ok();
        // The places of the keys change with every load.
        let more: String = (0..=round)
            .map(|n| {
                key(&format!("more-{n}"), "acme", &format!("more-key-0123456789abcdef-{n}"), "")
            })
            .collect();
        sidecar.replace(
            "keys.toml",
            account("acme", "")
                + &account("other", "")
                + &more
                + &usual_keys()
                    .split_once("[[key]]")
                    .map(|(_, rest)| format!("[[key]]{rest}"))
                    .unwrap(),
        );
        sidecar.reloaded(generation);
        client.get("/", &[&bearer(OTHER), &from("198.51.100.1")]).ok();
    }
    until_used(&sidecar, "other-write");
    let expected = |id: &str| match id {
        "acme-read" => Some("203.0.113.0/24".to_owned()),
        "other-write" => Some("198.51.100.0/24".to_owned()),
        _ => None,
    };
    for (id, from) in listed(&sidecar) {
        assert_eq!(from, expected(&id), "{id}");
    }
}

#[test]
fn a_stream_that_is_open_is_a_use() {
    let origin = Origin::tcp(events);
    let sidecar = Sidecar::start(&setup(&origin));
    let http2 = sidecar.http2();
    let mut stream = http2.open("GET", "/", &[&bearer(WRITE)], true);
    stream.head();
    until_used(&sidecar, "acme-write");
    // As if that had been long ago.
    fs::remove_dir_all(sidecar.path("state")).unwrap();
    let again = std::time::Instant::now();
    while used_from(&sidecar, "acme-write").is_none() {
        assert!(stream.piece().unwrap().is_some());
        assert!(again.elapsed().as_secs() < 100, "an open stream is no use");
    }
}

#[test]
fn two_processes_that_share_a_directory_lose_nothing() {
    let origin = Origin::echo();
    let one = Sidecar::start(&setup(&origin));
    let two = Sidecar::start(&recording_in(&one.path("state"), &origin));
    let keys = [(READ, "acme-read"), (WRITE, "acme-write"), (OTHER, "other-write")];
    for (number, (key, _)) in keys.iter().enumerate() {
        let sidecar = if number % 2 == 0 { &one } else { &two };
        sidecar.get("/", &[&bearer(key)]).ok();
    }
    let mut both = [one, two];
    for sidecar in &mut both {
        sidecar.signal(Signal::TERM);
        sidecar.wait_exit();
    }
    for (_, id) in keys {
        assert_eq!(used_from(&both[0], id).as_deref(), Some("127.0.0.0/24"));
        assert_eq!(used_from(&both[1], id).as_deref(), Some("127.0.0.0/24"));
    }
}

#[test]
fn what_was_written_outlives_a_process_that_is_killed() {
    let origin = Origin::echo();
    let mut sidecar = Sidecar::start(&setup(&origin));
    sidecar.get("/", &[&bearer(READ)]).ok();
    until_used(&sidecar, "acme-read");
    sidecar.signal(Signal::KILL);
    sidecar.wait_exit();
    assert_eq!(used_from(&sidecar, "acme-read").as_deref(), Some("127.0.0.0/24"));
}

#[test]
fn a_file_that_is_of_no_use_stops_nothing_and_is_kept() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin).file("state/usage", "somebody's poem"));
    sidecar.logged(0, "the warning", |line| line.message().contains("moved aside"));
    sidecar.get("/", &[&bearer(READ)]).ok();
    until_used(&sidecar, "acme-read");
    let entries = fs::read_dir(sidecar.path("state")).unwrap().map(|entry| entry.unwrap().path());
    let aside = entries
        .into_iter()
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("usage.damaged-"));
    assert_eq!(fs::read_to_string(aside.unwrap()).unwrap(), "somebody's poem");
}

#[test]
fn a_directory_that_cannot_be_written_costs_no_request_and_is_counted() {
    let origin = Origin::echo();
    // Nobody can make a directory in it, whoever they are.
    let sidecar = Sidecar::start(&recording_in(Path::new("/proc/self/fdinfo/state"), &origin));
    sidecar.logged(0, "the warning", |line| line.message().contains("cannot be recorded"));
    sidecar.get("/", &[&bearer(READ)]).ok();
    assert!(sidecar.metric("keygate_state_write_errors_total", &[]) >= 1.0);
}

#[test]
fn without_a_state_directory_nothing_is_written() {
    let origin = Origin::echo();
    let mut sidecar = Sidecar::start(&Setup::before(&origin));
    sidecar.get("/", &[&bearer(READ)]).ok();
    sidecar.signal(Signal::TERM);
    sidecar.wait_exit();
    let (code, out, err) = keys(sidecar.directory.path(), &["list"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(!out.contains("LAST USED"), "{out}");
    assert!(!sidecar.path("state").exists());
    let (code, _, err) = keys(sidecar.directory.path(), &["list", "--unused-for", "90d"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("set `directory = \"state\"` in `[state]`"), "{err}");
}

#[test]
fn a_key_that_is_used_is_not_ended_by_mistake() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    sidecar.get("/", &[&bearer(WRITE), &from("203.0.113.77")]).ok();
    until_used(&sidecar, "acme-write");
    let run = |arguments: &[&str]| keys(sidecar.directory.path(), arguments);
    let (code, _, err) = run(&["rotate", "acme-write"]);
    assert_eq!(code, Some(0), "{err}");
    for command in [&["rotate", "--finish", "acme-write"][..], &["delete", "--yes", "acme-write"]] {
        let text = sidecar.read("keys.toml");
        let (code, out, err) = run(command);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains("key `acme-write` was used "), "{err}");
        assert!(err.contains(" ago: 2") && err.contains("Z from 203.0.113.0/24"), "{err}");
        assert!(err.contains("`--force` does it all the same"), "{err}");
        assert_eq!(sidecar.read("keys.toml"), text, "it was changed");
    }
    let (code, _, err) = run(&["rotate", "--finish", "--force", "acme-write"]);
    assert_eq!(code, Some(0), "{err}");
    crate::reload::soon(&sidecar, &mut sidecar.client(), WRITE, 401);
    let (code, _, err) = run(&["delete", "--yes", "--force", "acme-write"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(!sidecar.read("keys.toml").contains("id = \"acme-write\""));
}
