//! Directories that give way to others: as Kubernetes mounts files, where every change is a new
//! directory behind `..data`, and by hand.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::actors::client::{Client, bearer};
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{READ, Setup, account, key, usual_keys};
use crate::actors::sidecar::Sidecar;
use crate::reload::{NEW, shown, soon, with_a_new_key};

/// Publishes a volume as the kubelet does: a new directory, and `..data` renamed over.
fn publish(volume: &Path, version: &str, files: &[(&str, &str)]) {
    let directory = volume.join(format!("..2026_11_22_{version}"));
    fs::create_dir_all(&directory).unwrap();
    for (name, content) in files {
        fs::write(directory.join(name), content).unwrap();
    }
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(directory.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (name, _) in files {
        if fs::symlink_metadata(volume.join(name)).is_err() {
            symlink(format!("..data/{name}"), volume.join(name)).unwrap();
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

fn secret_volume(files: &str) {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).config(&format!("[keys]\nfiles = [{files:?}]"));
    let directory = tempfile::TempDir::new().unwrap();
    setup.write(directory.path());
    let volume = directory.path().join("secret");
    publish(&volume, "one", &[("keys.toml", &usual_keys())]);
    let sidecar = Sidecar::start_in(directory, &setup);
    let mut client = sidecar.client();
    assert_eq!(client.get("/", &[&bearer(NEW)]).status, 401);
    publish(&volume, "two", &[("keys.toml", &with_a_new_key())]);
    soon(&sidecar, &mut client, NEW, 200);
    publish(&volume, "three", &[("keys.toml", &usual_keys())]);
    soon(&sidecar, &mut client, NEW, 401);
    client.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_key_file_in_a_secret_volume_is_seen() {
    secret_volume("secret/keys.toml");
}

#[test]
fn a_directory_that_is_a_secret_volume_is_seen() {
    secret_volume("secret");
}

#[test]
fn what_changes_in_a_directory_that_took_the_place_of_another_is_seen() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .config("[keys]\nfiles = [\"keys\"]")
        .file("keys/acme.toml", usual_keys());
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    fs::create_dir(sidecar.path("next")).unwrap();
    fs::write(sidecar.path("next/acme.toml"), with_a_new_key()).unwrap();
    fs::rename(sidecar.path("keys"), sidecar.path("before")).unwrap();
    fs::rename(sidecar.path("next"), sidecar.path("keys")).unwrap();
    soon(&sidecar, &mut client, NEW, 200);
    // Where nothing but the poll saw it, the second of these would just have missed one.
    fs::write(sidecar.path("keys/acme.toml"), usual_keys()).unwrap();
    soon(&sidecar, &mut client, NEW, 401);
    fs::write(sidecar.path("keys/acme.toml"), with_a_new_key()).unwrap();
    soon(&sidecar, &mut client, NEW, 200);
}

#[test]
fn what_changes_in_a_directory_that_a_link_has_left_is_seen_where_it_is_named() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .config("[keys]\nfiles = [\"current/acme.toml\", \"one/more.toml\"]")
        .file("one/acme.toml", usual_keys())
        .file("one/more.toml", account("more", ""))
        .file("two/acme.toml", with_a_new_key());
    let directory = tempfile::TempDir::new().unwrap();
    setup.write(directory.path());
    symlink("one", directory.path().join("current")).unwrap();
    let sidecar = Sidecar::start_in(directory, &setup);
    let mut client = sidecar.client();
    let late = "late-write-key-0123456789abcdef";
    let with = account("more", "") + &key("late", "more", late, "");
    let write = |client: &mut Client, keys: &str, status| {
        fs::write(sidecar.path("one/more.toml"), keys).unwrap();
        soon(&sidecar, client, late, status);
    };
    write(&mut client, &with, 200);
    symlink("two", sidecar.path("next")).unwrap();
    fs::rename(sidecar.path("next"), sidecar.path("current")).unwrap();
    soon(&sidecar, &mut client, NEW, 200);
    // As above: the poll alone would miss one of these.
    let without = account("more", "");
    for (keys, status) in [(&without, 401), (&with, 200), (&without, 401)] {
        write(&mut client, keys, status);
    }
}

#[test]
fn a_config_in_a_volume_is_seen() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin);
    let directory = tempfile::TempDir::new().unwrap();
    setup.write(directory.path());
    fs::remove_file(directory.path().join("keygate.toml")).unwrap();
    publish(directory.path(), "one", &[("keygate.toml", &setup.text())]);
    let sidecar = Sidecar::start_in(directory, &setup);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).ok();
    let closed = setup.text() + "[[route]]\npath = \"/only\"\n";
    publish(sidecar.directory.path(), "two", &[("keygate.toml", &closed)]);
    soon(&sidecar, &mut client, READ, 403);
    publish(sidecar.directory.path(), "three", &[("keygate.toml", &setup.text())]);
    soon(&sidecar, &mut client, READ, 200);
}

#[test]
fn a_certificate_in_a_volume_is_seen_with_its_key() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin);
    let directory = tempfile::TempDir::new().unwrap();
    setup.write(directory.path());
    for name in ["server.crt", "server.key"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let issue = |path: &Path, version: &str| {
        let identity = TRUSTED.issue();
        let (certificate, key) = (identity.certificate.as_str(), identity.key.as_str());
        publish(path, version, &[("server.crt", certificate), ("server.key", key)]);
    };
    issue(directory.path(), "one");
    let sidecar = Sidecar::start_in(directory, &setup);
    let (mark, mut last) = (sidecar.log.mark(), shown(&sidecar));
    for version in ["two", "three"] {
        issue(sidecar.directory.path(), version);
        last = eventually("the new certificate", || {
            Some(shown(&sidecar)).filter(|certificate| *certificate != last)
        });
    }
    sidecar.client().get("/", &[&bearer(READ)]).ok();
    assert!(!sidecar.log.text().lines().skip(mark).any(|line| line.contains("not reloaded")));
}
