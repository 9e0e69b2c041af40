//! The life of a key: made, verified, rotated, revoked, deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keygate::keys::Access;
use keygate::keys::KeyStatus;
use keygate::keys::Kind;

use super::home::Home;
use super::home::id;

#[test]
fn a_key_is_made_verified_revoked_and_refused() {
    let home = Home::new();
    let (key_id, key) = home.create(&["--name", "Mailchimp sync"]);
    assert_eq!(home.status(&key), ("active".to_owned(), 0));
    assert_eq!(home.status(&format!("{key}\r\n")), ("active".to_owned(), 0));
    assert!(home.keys(&["revoke", &key_id]).done().contains("is revoked since"));
    assert_eq!(home.status(&key), ("revoked".to_owned(), 1));
    let before = home.text();
    assert!(home.keys(&["revoke", &key_id]).done().contains("is revoked already since"));
    assert_eq!(home.text(), before);
}

#[test]
fn piped_the_key_stands_alone_on_stdout_and_nowhere_else() {
    let home = Home::new();
    let said = home.keys(&["create", "--account", "acme"]);
    let key = said.out.strip_suffix('\n').unwrap();
    assert!(key.starts_with("kg_") && key.len() == 52 && !key.contains('\n'), "{key}");
    assert!(said.err.contains("of account acme, access read, is in keys.toml"), "{}", said.err);
    assert!(!said.err.contains(&key[3..]));
    assert!(!home.text().contains(&key[3..]));
    assert_eq!(said.code, 0);
    assert_eq!(home.status(key).0, "active");
}

#[test]
fn what_is_asked_for_is_what_is_written() {
    let home = Home::new();
    let (key_id, _) = home.create(&[
        "--name",
        "R2 \"D2\" \\",
        "--access",
        "write",
        "--permissions",
        "a,API_*",
        "--kind",
        "profile",
        "--ip",
        "203.0.113.0/24",
        "--ip",
        "::1",
        "--event-allow",
        "page.visit",
        "--event-deny",
        "x",
        "--attribute",
        "firstName",
        "--tag",
        "vip",
        "--expires",
        "2127-02-20",
        "--basic",
    ]);
    let read = home.records();
    let [record] = read.keys.as_slice() else { panic!("one key") };
    assert_eq!(record.id.as_str(), key_id);
    assert_eq!(record.name.as_deref(), Some("R2 \"D2\" \\"));
    assert_eq!((record.access, record.kind), (Some(Access::Write), Kind::Profile));
    assert_eq!(record.permissions.as_ref().unwrap().len(), 2);
    assert_eq!(record.ips.len(), 2);
    assert_eq!((record.events.allow.len(), record.events.deny.len()), (1, 1));
    assert_eq!(record.attributes.as_ref().unwrap().tags.len(), 1);
    assert_eq!(record.basic, Some(true));
    let until = "2127-02-20T00:00:00Z".parse().unwrap();
    assert_eq!(record.status, KeyStatus::Active { until: Some(until) });
    assert!(record.created.is_some() && record.hint.is_some());
    let (_, _) = home.create(&["--permissions", ""]);
    assert_eq!(home.records().keys[1].permissions.as_deref(), Some(&[][..]));
}

#[test]
fn comments_and_order_survive_every_command() {
    let text = "# Top.\n\n[[account]] # us\nid = \"acme\"\n# note\n\n# ---- keys ----\n";
    let home = Home::with(text);
    let (first, _) = home.create(&[]);
    let (second, _) = home.create(&["--name", "second"]);
    let grown = home.text();
    assert!(grown.starts_with(text));
    home.keys(&["revoke", &first]).done();
    let lines: Vec<_> = home.text().lines().map(str::to_owned).collect();
    let added: Vec<_> = lines.iter().filter(|line| !grown.contains(*line)).collect();
    assert!(added.len() == 1 && added[0].starts_with("revoked = 20"), "{added:?}");
    home.keys(&["delete", &first]).done();
    home.keys(&["delete", &second]).done();
    assert_eq!(home.text().trim_end(), text.trim_end());
    home.run(&["accounts", "disable", "acme", "--keys", "keys.toml"]).done();
    home.run(&["accounts", "enable", "acme", "--keys", "keys.toml"]).done();
    assert_eq!(home.text().replace("disabled = false\n", "").trim_end(), text.trim_end());
}

#[test]
fn rotation_leaves_the_old_key_for_the_overlap_and_no_longer() {
    let home = Home::new();
    let (old_id, old) = home.create(&["--name", "app", "--access", "write", "--ip", "::1"]);
    let said = home.keys(&["rotate", &old_id]);
    let new = said.out.trim_end().to_owned();
    assert!(said.err.contains(&format!("key {old_id} ends at ")), "{}", said.err);
    assert_eq!((home.status(&old).0, home.status(&new).0), ("active".into(), "active".into()));
    let read = home.records();
    let [first, second] = read.keys.as_slice() else { panic!("two keys") };
    assert_eq!(second.name.as_deref(), Some("app"));
    assert_eq!((second.access, &second.ips), (first.access, &first.ips));
    assert_eq!(second.status, KeyStatus::Active { until: None });
    let KeyStatus::Active { until: Some(until) } = first.status else { panic!("no end") };
    let left = until.duration_since(keygate::clock::now()).as_secs();
    assert!((86_300..=86_400).contains(&left), "{left}");
    let newer = home.keys(&["rotate", second.id.as_str(), "--now"]).done();
    assert_eq!(home.status(&new), ("expired".to_owned(), 1));
    assert_eq!(home.status(newer.trim_end()).0, "active");
    let error = home.keys(&["rotate", second.id.as_str()]).refused();
    assert!(error.contains("is expired"), "{error}");
}

#[test]
fn a_key_that_ends_sooner_than_the_overlap_still_does_and_its_successor_lives_as_long() {
    let home = Home::new();
    let (old_id, _) = home.create(&["--expires", "1h"]);
    home.keys(&["rotate", &old_id, "--overlap", "90d"]).done();
    let read = home.records();
    let ends: Vec<_> = read.keys.iter().map(|record| record.status).collect();
    let (KeyStatus::Active { until: Some(old) }, KeyStatus::Active { until: Some(new) }) =
        (ends[0], ends[1])
    else {
        panic!("both end");
    };
    assert!((0..=2).contains(&new.duration_since(old).as_secs()));
}

#[test]
fn a_deleted_key_is_unknown_and_a_mistyped_one_is_told_apart() {
    let home = Home::new();
    let (key_id, key) = home.create(&[]);
    let last = if key.ends_with('0') { '1' } else { '0' };
    let mistyped = format!("{}{last}", &key[..key.len() - 1]);
    assert_eq!(home.status(&mistyped), ("mistyped".to_owned(), 1));
    assert_eq!(home.status("short"), ("malformed".to_owned(), 1));
    assert!(home.keys(&["delete", &key_id]).done().contains("is deleted from keys.toml"));
    assert_eq!(home.status(&key), ("unknown".to_owned(), 1));
    assert!(home.records().keys.is_empty());
}

#[test]
fn the_keys_of_a_disabled_account_are_refused_until_it_is_enabled() {
    let home = Home::new();
    let (_, key) = home.create(&[]);
    home.run(&["accounts", "disable", "acme", "--keys", "keys.toml"]).done();
    assert_eq!(home.status(&key), ("disabled".to_owned(), 1));
    let again = home.run(&["accounts", "disable", "acme", "--keys", "keys.toml"]).done();
    assert!(again.contains("is disabled already"));
    home.run(&["accounts", "enable", "acme", "--keys", "keys.toml"]).done();
    assert_eq!(home.status(&key), ("active".to_owned(), 0));
}

#[test]
fn verify_says_what_a_key_may_do_within_its_account() {
    let home = Home::empty();
    let create = ["accounts", "create", "acme", "--keys", "keys.toml", "--permissions", "a,b"];
    home.run(&create).done();
    let (_, key) = home.create(&["--permissions", "b,c"]);
    let said = home.keys(&["create", "--account", "acme", "--permissions", "b,c"]);
    assert!(said.err.contains("account acme does not have c: neither has its key"), "{}", said.err);
    assert!(!said.err.contains("does not have b"), "{}", said.err);
    let value = home.verify(&key).json();
    assert_eq!(value["effective_permissions"], serde_json::json!(["b"]));
    assert_eq!((&value["valid"], &value["account"]), (&true.into(), &"acme".into()));
    let people = home.run_with(&["keys", "verify", "--keys", "keys.toml"], &key).done();
    assert!(people.contains("permissions  b\n"), "{people}");
    assert!(!people.contains(&key[3..]));
}

#[test]
fn a_new_file_is_for_its_owner_alone_and_a_mode_is_kept() {
    let home = Home::new();
    let mode = || fs::metadata(home.path("keys.toml")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    home.create(&[]);
    assert_eq!(mode(), 0o600);
    fs::set_permissions(home.path("keys.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    home.create(&[]);
    assert_eq!(mode(), 0o640);
    assert_eq!(home.files(), [".keys.toml.lock", "keys.toml"]);
}

#[test]
fn ids_are_public_and_say_when_they_were_made() {
    let home = Home::new();
    let (first, key) = home.create(&[]);
    let (second, _) = home.create(&[]);
    assert!(first < second || first[..14] == second[..14]);
    assert!(id(&first).as_str().starts_with("key_") && first.len() >= 24);
    assert!(!key.contains(&first[4..]));
}
