//! A disk that answers nobody, under what is only written: no key waits for it. It is a file system
//! whose server never says a word, in a mount namespace of the program's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;

use crate::actors::client::bearer;
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup, WRITE, usual_keys};
use crate::actors::sidecar::{PROGRAM, Sidecar};
use crate::reload::{NEW, soon, with_a_new_key};

/// Mounts it and becomes the program, which keeps the server's end.
const MOUNT: &str = "exec 9<>/dev/fuse && \
    mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none \"$0\" && exec \"$@\"";

#[test]
fn a_dead_disk_under_a_log_or_the_state_keeps_no_key_from_being_revoked() {
    let possible = Command::new("unshare").args(["-m", "sh", "-c", "true <>/dev/fuse"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("this system allows nobody to mount a file system");
        return;
    }
    let origin = Origin::echo();
    let scripts = tempfile::tempdir().unwrap();
    let path = scripts.path().join("keygate");
    let text = format!(
        "#!/bin/sh\nexec unshare -m sh -c '{MOUNT}' \"${{3%/*}}/dead\" '{PROGRAM}' \"$@\"\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let mut setup = Setup::before(&origin)
        .config("[access_log]\nfile = \"access.log\"\n")
        .file("dead/here", "");
    setup.program = Some(path);
    let mut sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    let mut ask =
        |id: &str| client.get("/", &[&bearer(WRITE), &format!("X-Request-Id: {id}")]).ok();
    let told = |file: &str, id: &str| {
        eventually(&format!("a line of `{id}` in `{file}`"), || {
            fs::read_to_string(sidecar.path(file)).is_ok_and(|it| it.contains(id)).then_some(())
        });
    };

    let config = sidecar.read("keygate.toml");
    let dead = config.replace("access.log", "dead/access.log")
        + "[audit_log]\nfile = \"dead/audit.log\"\n[state]\ndirectory = \"dead/state\"\n";
    let generation = sidecar.generation();
    sidecar.replace("keygate.toml", &dead);
    let generation = sidecar.reloaded(generation);
    ask("goes-on");
    told("access.log", "goes-on");

    let mut another = sidecar.client();
    sidecar.replace("keys.toml", with_a_new_key());
    soon(&sidecar, &mut another, NEW, 200);
    sidecar.replace("keys.toml", usual_keys());
    soon(&sidecar, &mut another, NEW, 401);
    sidecar.logged(0, "that it takes long", |line| {
        line.message() == "the access log is still being opened; what was open goes on"
    });

    sidecar.replace("keygate.toml", config.replace("access.log", "other.log"));
    sidecar.reloaded(generation + 2);
    eventually("lines in the other file", || {
        ask("elsewhere");
        fs::read_to_string(sidecar.path("other.log")).ok().filter(|it| it.contains("elsewhere"))
    });
    assert_eq!(another.get("/", &[&bearer(READ)]).status, 200);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait_exit().code(), Some(0));
}

/// While it serves, names are compared as they are written; what they lead to, once nobody waits.
#[test]
fn the_log_never_goes_to_a_file_that_is_read_whatever_it_is_called() {
    let origin = Origin::echo();
    let config = "[access_log]\nfile = \"access.log\"\n";
    let sidecar = Sidecar::start(&Setup::before(&origin).config(config));
    let config = sidecar.read("keygate.toml");
    std::os::unix::fs::symlink("keys.toml", sidecar.path("log")).unwrap();
    let generation = sidecar.generation();
    sidecar.replace("keygate.toml", config.replace("access.log", "log"));
    sidecar.reloaded(generation);
    sidecar.logged(0, "that it is not opened", |line| {
        line.message().contains("the access log cannot be opened")
            && line.text.contains("log` is a file that keygate reads")
    });
    let id = "X-Request-Id: not-among-keys";
    sidecar.get("/", &[&bearer(READ), id]).ok();
    eventually("its line", || sidecar.read("access.log").contains("not-among-keys").then_some(()));
    assert_eq!(sidecar.read("keys.toml"), usual_keys());
}
