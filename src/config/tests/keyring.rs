//! From files to one table.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::stage;
use super::write;
use crate::config::Keyring;
use crate::config::Keys;
use crate::config::load_keys;
use crate::keys::KeyId;

fn keys(stage: &Path, files: &[&str]) -> Keys {
    Keys::defaults(files.iter().map(|name| stage.join(name)).collect()).unwrap()
}

fn record(id: &str, digit: &str, more: &str) -> String {
    let digest = digit.repeat(64);
    format!("[[key]]\nid = \"{id}\"\naccount = \"acme\"\ndigest = \"sha256:{digest}\"\n{more}\n")
}

const ACME: &str = "[[account]]\nid = \"acme\"\n";

fn ids(keyring: &Keyring) -> Vec<String> {
    let table = &keyring.keys.as_ref().expect("a table").table;
    table.keys().map(|(_, key)| key.id().to_string()).collect()
}

fn told(keyring: &Keyring, stage: &Path) -> String {
    keyring.problems.lines().join("\n").replace(&format!("{}/", stage.display()), "")
}

#[test]
fn a_directory_is_read_in_order_without_what_kubernetes_keeps_there() {
    let stage = stage();
    let mount = stage.path().join("mount");
    let data = mount.join("..2026_11_22_10_00_00.1");
    fs::create_dir_all(&data).unwrap();
    write(&data.join("b.toml"), record("key_b", "b", ""));
    write(&data.join("a.toml"), ACME.to_owned() + &record("key_a", "a", ""));
    symlink("..2026_11_22_10_00_00.1", mount.join("..data")).unwrap();
    for name in ["a.toml", "b.toml"] {
        symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
    }
    write(&mount.join(".a.toml.swp"), "x");
    let keyring = load_keys(&keys(stage.path(), &["mount", "mount/b.toml"]), None);
    assert_eq!(told(&keyring, stage.path()), "");
    assert_eq!(ids(&keyring), ["key_a", "key_b"]);
    write(&mount.join("c.tml"), "x");
    let keyring = load_keys(&keys(stage.path(), &["mount"]), None);
    assert!(told(&keyring, stage.path()).starts_with("`mount/c.tml` is not read"));
    assert_eq!(ids(&keyring), ["key_a", "key_b"]);
}

#[test]
fn mistakes_across_files_name_both_places() {
    let stage = stage();
    write(&stage.path().join("a.toml"), ACME.to_owned() + &record("key_1", "a", ""));
    write(&stage.path().join("b.toml"), record("key_2", "a", ""));
    let keyring = load_keys(&keys(stage.path(), &["a.toml", "b.toml"]), None);
    assert!(keyring.keys.is_none());
    assert_eq!(
        told(&keyring, stage.path()),
        "b.toml:2:6: keys `key_1` and `key_2` have the same digest (the first of them at \
         a.toml:4:6) (remove one of them: they are the same key)"
    );
}

#[test]
fn the_digest_is_of_the_contents_and_not_of_their_names() {
    let stage = stage();
    let (one, two) = (ACME.to_owned() + &record("key_1", "a", ""), record("key_2", "b", ""));
    let digest = |first: &str, second: &str| {
        write(&stage.path().join("a.toml"), first);
        write(&stage.path().join("b.toml"), second);
        let keyring = load_keys(&keys(stage.path(), &["a.toml", "b.toml"]), None);
        keyring.keys.unwrap().digest
    };
    let original = digest(&one, &two);
    assert_eq!(original.len(), 64);
    assert_eq!(digest(&two, &one), original);
    assert_ne!(digest(&one, &(two + "# more")), original);
}

#[test]
fn what_is_revoked_is_told_although_the_rest_does_not_load() {
    let stage = stage();
    let mut keys = keys(stage.path(), &["good.toml", "bad.toml"]);
    keys.revocations = Some(stage.path().join("revoked.txt"));
    write(&stage.path().join("revoked.txt"), "key_listed\na b\n");
    let revoked = "revoked = 2026-01-01T00:00:00Z";
    write(&stage.path().join("good.toml"), ACME.to_owned() + &record("key_marked", "a", revoked));
    write(&stage.path().join("bad.toml"), "[[key]\n");
    let keyring = load_keys(&keys, None);
    assert!(keyring.keys.is_none());
    let revoked = keyring.revoked();
    let mut ids: Vec<_> = revoked.ids.iter().map(KeyId::as_str).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["key_listed", "key_marked"]);
}

#[test]
fn a_revocations_file_that_vanishes_keeps_its_last_content() {
    let stage = stage();
    let mut keys = keys(stage.path(), &["keys.toml"]);
    let path = stage.path().join("revoked.txt");
    keys.revocations = Some(path.clone());
    write(&path, "key_1\n");
    let before = load_keys(&keys, None);
    assert!(before.keys.is_some());
    fs::remove_file(&path).unwrap();
    let after = load_keys(&keys, Some(&before.revocations));
    assert!(after.keys.is_some());
    assert_eq!(after.revocations.ids, before.revocations.ids);
    assert!(told(&after, stage.path()).contains("its last content stays in force"));
    let at_start = load_keys(&keys, None);
    assert!(at_start.keys.is_none());
    assert!(told(&at_start, stage.path()).contains("create an empty file"));
}

#[test]
fn a_pepper_changes_what_a_digest_is_and_a_line_break_does_not() {
    let stage = stage();
    let mut keys = keys(stage.path(), &["keys.toml"]);
    let pepper = stage.path().join("pepper");
    keys.pepper_file = Some(pepper.clone());
    let digest = |content: &str| {
        write(&pepper, content);
        let digester = load_keys(&keys, None).keys.unwrap().digester;
        digester.format(&digester.digest(&crate::keys::ApiKey::new(b"key")))
    };
    let with = digest("0123456789abcdef");
    assert!(with.starts_with("hmac-sha256:"));
    assert_eq!(digest("0123456789abcdef\n"), with);
    assert_eq!(digest("0123456789abcdef\r\n"), with);
    assert_ne!(digest("0123456789abcdef "), with);
}

#[test]
fn everyone_being_able_to_read_keys_is_a_warning() {
    let stage = stage();
    let path = stage.path().join("keys.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let keyring = load_keys(&keys(stage.path(), &["keys.toml"]), None);
    assert!(keyring.keys.is_some());
    assert!(told(&keyring, stage.path()).contains("everyone on this machine may read keys"));
}
