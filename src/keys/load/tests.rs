use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::keys::KeyTable;
use crate::keys::KeyTableBuilder;
use crate::keys::record::Name;

fn file(keys: usize, first: &str) -> String {
    let mut text = format!("[[account]]\nid = \"{first}\"\n[[account]]\nid = \"acme\"\n");
    for number in 0..keys {
        text += &format!(
            "[[key]]\nid = \"k{number}\"\naccount = \"acme\"\ndigest = \"sha256:{:016x}{number:048x}\"\n",
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        );
    }
    text
}

fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keys.toml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

/// As if all changes so far were long ago.
fn later() -> Timestamp {
    clock::now() + SignedDuration::from_secs(1)
}

fn load(store: &mut KeyStore, path: &Path) -> Loaded {
    store.load(&[path.to_owned()], &Digester::Sha256).remove(0).unwrap()
}

fn look(store: &mut KeyStore, path: &Path, now: Timestamp) -> Option<[u8; 32]> {
    store.look(path, Mark::of(path), now)
}

fn table(sheet: Arc<Sheet>, before: Option<&KeyTable>) -> KeyTable {
    let mut builder = KeyTableBuilder::default();
    builder.add_sheet(sheet);
    match before {
        Some(before) => builder.build_upon(before).unwrap(),
        None => builder.build().unwrap(),
    }
}

#[test]
fn what_a_look_has_read_is_not_read_again_to_load_it() {
    let (_directory, path) = written(&file(3, "a"));
    let mut store = KeyStore::default();
    let first = load(&mut store, &path);
    assert_eq!(look(&mut store, &path, later()), Some(first.digest));
    fs::write(&path, file(4, "a")).unwrap();
    let seen = look(&mut store, &path, later());
    assert_ne!(seen, Some(first.digest));
    // The very sheet, not one like it: it was made by the look.
    let of_look = store.held.get(&path).unwrap().loaded.sheet.clone().unwrap();
    let second = load(&mut store, &path);
    assert_eq!((seen, store.digest(&path)), (Some(second.digest), Some(second.digest)));
    assert!(Arc::ptr_eq(&of_look, &second.sheet.unwrap()));
    assert_eq!(look(&mut store, &path, later()), seen);
    assert!(Arc::ptr_eq(&of_look, store.held.get(&path).unwrap().loaded.sheet.as_ref().unwrap()));
}

#[test]
fn a_file_that_may_change_under_its_mark_is_read_at_each_look() {
    let (_directory, path) = written(&file(3, "a"));
    let mut store = KeyStore::default();
    let first = load(&mut store, &path);
    assert_eq!(look(&mut store, &path, clock::now()), Some(first.digest));
    assert_eq!(store.held.get(&path).unwrap().mark, None, "it has just changed");
    // What is as long and of the same instant has the same mark for all that is known.
    let mark = Mark::of(&path);
    fs::write(&path, file(3, "b")).unwrap();
    assert_ne!(store.look(&path, mark, clock::now()), Some(first.digest));
}

#[test]
fn a_file_that_is_only_touched_has_the_same_digest() {
    let (directory, path) = written(&file(600, "a"));
    let mut store = KeyStore::default();
    let first = load(&mut store, &path);
    let again = directory.path().join("again");
    fs::write(&again, file(600, "a")).unwrap();
    fs::rename(&again, &path).unwrap();
    assert_eq!(look(&mut store, &path, later()), Some(first.digest));
    store.doubt();
    assert_eq!(look(&mut store, &path, later()), Some(first.digest));
}

#[test]
fn a_file_that_has_vanished_is_forgotten() {
    let (_directory, path) = written(&file(3, "a"));
    let mut store = KeyStore::default();
    load(&mut store, &path);
    fs::remove_file(&path).unwrap();
    assert_eq!((look(&mut store, &path, later()), store.digest(&path)), (None, None));
    fs::write(&path, file(3, "a")).unwrap();
    assert_eq!(look(&mut store, &path, later()), None, "the store knows what it loads, only");
    assert!(load(&mut store, &path).sheet.is_some());
}

#[test]
fn only_large_files_that_have_just_changed_are_waited_for_and_not_for_long() {
    let (_directory, path) = written(&file(3, "a"));
    let large = |text: &str| format!("{text}#{}\n", "x".repeat(LARGE.try_into().unwrap()));
    let mut store = KeyStore::default();
    load(&mut store, &path);
    fs::write(&path, file(4, "a")).unwrap();
    assert_eq!(store.settles_in(clock::now()), None, "a small one");
    fs::write(&path, large(&file(4, "a"))).unwrap();
    load(&mut store, &path);
    look(&mut store, &path, later());
    assert_eq!(store.settles_in(clock::now()), None, "one that is known");
    fs::write(&path, large(&file(5, "a"))).unwrap();
    let left = store.settles_in(clock::now() - SignedDuration::from_hours(1));
    assert_eq!(left, Some(Duration::from_millis(100)), "one that changed in the future");
    assert_eq!(store.settles_in(later()), None, "one that has settled");
}

#[test]
fn a_table_of_many_parts_finds_every_key_and_no_other_also_when_it_is_made_upon_another() {
    const KEYS: usize = 40_000;
    let (_directory, path) = written(&file(KEYS, "a"));
    let mut store = KeyStore::default();
    let first = table(load(&mut store, &path).sheet.unwrap(), None);
    // One key goes, and another account moves those of all keys.
    let text = file(KEYS, "b").replace("id = \"k7\"\n", "id = \"seven\"\n");
    fs::write(&path, format!("[[account]]\nid = \"new\"\n{text}")).unwrap();
    let second = table(load(&mut store, &path).sheet.unwrap(), Some(&first));
    // The same once more: no account moves.
    let third = table(load(&mut store, &path).sheet.unwrap(), Some(&second));
    for (table, gone) in [(&first, "seven"), (&second, "k7"), (&third, "k7")] {
        assert_eq!(table.len(), KEYS);
        for (at, key) in table.keys() {
            assert_eq!(table.find(&key.digest()).unwrap().0, at);
            assert_eq!(table.find_id(&key.id()).unwrap().0, at);
            assert_eq!(table.account(at).unwrap().id.as_str(), "acme");
        }
        assert!(table.find_id(&Name::new(gone).unwrap()).is_none());
    }
}

/// The accounts of the keys of a file, by the keys' ids.
fn accounts(loaded: Loaded) -> Vec<(String, String)> {
    let table = table(loaded.sheet.unwrap(), None);
    let pair = |key: crate::keys::Key<'_>| (key.id().to_string(), key.account().to_string());
    let mut pairs: Vec<_> = table.keys().map(|(_, key)| pair(key)).collect();
    pairs.sort();
    pairs
}

#[test]
fn owners_that_are_gone_are_forgotten_and_each_key_stays_its_owners() {
    let text = |number: u32| {
        let owner = format!("owner-{number}");
        // What comes before them stays as it is, and keeps its blocks.
        let own = format!("[[account]]\nid = \"{owner}\"\n[[key]]\nid = \"own\"\n");
        file(3_000, "first").replacen("\"acme\"\ndigest", "\"first\"\ndigest", 1)
            + &own
            + &format!("account = \"{owner}\"\ndigest = \"sha256:{:064x}\"\n", 7)
    };
    let (_directory, path) = written(&text(0));
    let mut store = KeyStore::default();
    let mut most = 0;
    for number in 0..20 {
        fs::write(&path, text(number)).unwrap();
        store.doubt();
        store.forget_owners(3);
        let found = accounts(load(&mut store, &path));
        most = most.max(store.owners.len());
        assert_eq!(found.len(), 3_001);
        for (id, account) in found {
            let owner = match &*id {
                "own" => format!("owner-{number}"),
                "k0" => "first".into(),
                _ => "acme".into(),
            };
            assert_eq!(account, owner, "{id} {number}");
        }
    }
    // Of three at first there may be four times as many, and one more until that is seen.
    assert!((6..=13).contains(&most), "{most}");
}
