//! A pipe in the place of a file: nobody waits until somebody writes into it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::actors::client::bearer;
use crate::actors::origin::Origin;
use crate::actors::setup::{OTHER, READ, Setup, WRITE, account, key, usual_keys};
use crate::actors::sidecar::{PROGRAM, Sidecar, refuses};
use crate::reload::soon;

/// Everything that is read again and again.
const READ_AGAIN: [&str; 6] =
    ["keygate.toml", "more.toml", "revoked.txt", "server.crt", "server.key", "tokens.pem"];

fn setup(origin: &Origin) -> Setup {
    let config = "[keys]\nfiles = [\"keys.toml\", \"more.toml\"]\nrevocations = \"revoked.txt\"\n\
                  [credentials]\ntokens = true\n[tokens]\nsigning_key = \"tokens.pem\"\n";
    let tokens = Command::new(PROGRAM).args(["tokens", "keygen"]).output().unwrap();
    Setup::before(origin)
        .config(config)
        .file("more.toml", account("more", ""))
        .file("revoked.txt", "other-write\n")
        .file("tokens.pem", tokens.stdout)
}

/// Puts a pipe in the place of a file, as careful programs put a file there.
fn pipe(path: &Path) {
    let temporary = path.with_extension("pipe");
    mkfifoat(CWD, &temporary, Mode::RUSR | Mode::WUSR).unwrap();
    fs::rename(temporary, path).unwrap();
}

#[test]
fn a_pipe_in_place_of_a_file_keeps_no_key_from_being_revoked() {
    let origin = Origin::echo();
    let late = |name: &str| format!("late-{name}-0123456789abcdef");
    let usual = usual_keys() + &READ_AGAIN.map(|name| key(name, "acme", &late(name), "")).concat();
    let sidecar = Sidecar::start(&setup(&origin).keys(usual.as_str()));
    let mut client = sidecar.client();
    for name in READ_AGAIN {
        assert_eq!(client.get("/", &[&bearer(&late(name))]).status, 200);
        let (mark, before) = (sidecar.log.mark(), sidecar.read(name));
        pipe(&sidecar.path(name));
        sidecar.logged(mark, name, |line| {
            line.message().contains(&format!("{name}` is a named pipe, not a regular file"))
        });
        let line = format!("id = {name:?}\n");
        let revoked = usual.replace(&line, &format!("{line}revoked = 2026-01-01T00:00:00Z\n"));
        sidecar.replace("keys.toml", &revoked);
        soon(&sidecar, &mut client, &late(name), 401);
        assert_eq!(client.get("/", &[&bearer(READ)]).status, 200);
        // What was revoked before is so still.
        assert_eq!(client.get("/", &[&bearer(OTHER)]).status, 401);
        sidecar.replace(name, &before);
        sidecar.replace("keys.toml", &usual);
        soon(&sidecar, &mut client, &late(name), 200);
    }
    assert_eq!(client.get("/", &[&bearer(WRITE)]).status, 200);
}

/// A link leads to it as to the pipes that we were given ourselves.
#[test]
fn the_pipe_of_another_process_in_place_of_a_file_keeps_no_key_from_being_revoked() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    let mut client = sidecar.client();
    assert_eq!(client.get("/", &[&bearer(READ)]).status, 200);
    let mut holder = Command::new("sleep").arg("60").stdin(Stdio::piped()).spawn().unwrap();
    symlink(format!("/proc/{}/fd/0", holder.id()), sidecar.path("next")).unwrap();
    let mark = sidecar.log.mark();
    fs::rename(sidecar.path("next"), sidecar.path("more.toml")).unwrap();
    let line = "id = \"acme-read\"\n";
    let revoked = usual_keys().replace(line, &format!("{line}revoked = 2026-01-01T00:00:00Z\n"));
    sidecar.replace("keys.toml", revoked);
    soon(&sidecar, &mut client, READ, 401);
    sidecar.logged(mark, "what stands there", |line| {
        line.message().contains("more.toml` is the pipe of another process, not a regular file")
    });
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn with_a_pipe_in_place_of_a_file_nothing_starts_and_check_says_why() {
    let origin = Origin::echo();
    for name in READ_AGAIN.into_iter().chain(["keys.toml"]) {
        let wanted = [
            format!("{name}` is a named pipe, not a regular file"),
            "put a regular file in its place, or a link to one".to_owned(),
        ];
        let says = |(code, text): (Option<i32>, String)| {
            assert_eq!(code, Some(1), "{name}: {text}");
            wanted.iter().for_each(|wanted| assert!(text.contains(wanted), "{name}: {text}"));
        };
        says(refuses(&setup(&origin), |directory| pipe(&directory.path().join(name))));
        let directory = tempfile::tempdir().unwrap();
        setup(&origin).write(directory.path());
        pipe(&directory.path().join(name));
        let output = Command::new(PROGRAM).arg("check").current_dir(&directory).output().unwrap();
        says((output.status.code(), String::from_utf8(output.stderr).unwrap()));
    }
}

#[test]
fn a_configuration_can_be_piped_in() {
    let origin = Origin::echo();
    let directory = tempfile::tempdir().unwrap();
    setup(&origin).write(directory.path());
    for way in [
        "--config /dev/stdin <piped",
        "--config /dev/stdin < <(cat piped)",
        "--config <(cat piped)",
    ] {
        let text = fs::read_to_string(directory.path().join("keygate.toml")).unwrap();
        let absolute = |name: &str| directory.path().join(name).display().to_string();
        let text = READ_AGAIN.iter().chain(&["keys.toml"]).fold(text, |text, name| {
            text.replace(&format!("{name:?}"), &format!("{:?}", absolute(name)))
        });
        fs::write(directory.path().join("piped"), text).unwrap();
        let output = Command::new("bash")
            .args(["-c", &format!("exec {PROGRAM} check {way}")])
            .current_dir(&directory)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{way}: {said}");
    }
}
