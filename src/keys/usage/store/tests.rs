use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::keys::digest::KeyDigest;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn digest(number: u32) -> KeyDigest {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    KeyDigest::from_bytes(bytes)
}

fn used(number: u32, host: u8) -> (Mark, Use) {
    let client = IpAddr::from([203, 0, 113, host]);
    (Mark::of(&digest(number)), Use::new(now(), client))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_directory_is_made_and_its_file_is_for_its_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("state");
    let store = UsageStore::new(directory.clone());
    assert!(store.read().unwrap().is_none());
    assert_eq!(store.add(&[], now()).unwrap().keys, 0);
    let read = store.read().unwrap().unwrap();
    assert!(read.is_empty() && read.since() == now());
    store.add(&[used(1, 9)], now()).unwrap();
    let read = store.read().unwrap().unwrap();
    let last = read.of(&digest(1)).unwrap();
    assert_eq!((last.at(), last.from.to_string().as_str()), (now(), "203.0.113.0/24"));
    assert!(read.of(&digest(2)).is_none());
    assert_eq!(names(&directory), [NAME, LOCK]);
    for (path, mode) in [(directory.clone(), 0o700), (directory.join(NAME), 0o600)] {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{}", path.display());
    }
}

#[test]
fn many_who_add_at_once_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let store = UsageStore::new(home.path().to_owned());
    thread::scope(|scope| {
        for worker in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..8 {
                    let new = [used(worker * 1000 + number, 1)];
                    // Nobody waits for long: who is late adds it the next time.
                    while store.add(&new, now()).is_err() {}
                }
            });
        }
    });
    assert_eq!(store.read().unwrap().unwrap().len(), 32);
    assert_eq!(names(home.path()), [NAME, LOCK]);
}

#[test]
fn what_is_of_no_use_is_moved_aside_and_another_is_begun() {
    let home = tempfile::tempdir().unwrap();
    let store = UsageStore::new(home.path().to_owned());
    let path = home.path().join(NAME);
    store.add(&[used(1, 1)], now()).unwrap();
    let mut torn = fs::read(&path).unwrap();
    torn.truncate(torn.len() - 5);
    for (second, content) in [(0, &torn[..]), (1, b""), (2, b"[keys]\nfiles = []\n")] {
        fs::write(&path, content).unwrap();
        assert!(store.read().is_err());
        let now = now() + jiff::SignedDuration::from_secs(second);
        let (aside, _) = store.add(&[used(2, 1)], now).unwrap().aside.unwrap();
        assert_eq!(fs::read(aside).unwrap(), content, "it is lost");
        let read = store.read().unwrap().unwrap();
        assert!(read.of(&digest(1)).is_none() && read.of(&digest(2)).is_some());
        assert_eq!(read.since(), now, "it pretends to know what it lost");
    }
    assert_eq!(names(home.path()).len(), 5);
}

#[test]
fn what_is_no_file_is_moved_aside_too() {
    let home = tempfile::tempdir().unwrap();
    let store = UsageStore::new(home.path().to_owned());
    let path = home.path().join(NAME);
    let somewhere = home.path().join("somewhere");
    fs::create_dir(&path).unwrap();
    assert!(store.read().is_err());
    assert!(store.add(&[used(1, 1)], now()).unwrap().aside.is_some());
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&somewhere, &path).unwrap();
    let later = now() + jiff::SignedDuration::from_secs(1);
    assert!(store.add(&[used(1, 1)], later).unwrap().aside.is_some());
    assert_eq!(store.read().unwrap().unwrap().len(), 1);
    assert!(!somewhere.exists(), "a link was followed");
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".usage.abc.tmp"), "half").unwrap();
    UsageStore::new(home.path().to_owned()).add(&[], now()).unwrap();
    assert_eq!(names(home.path()), [NAME, LOCK]);
}

#[test]
fn nobody_waits_for_a_lock_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let store = UsageStore::new(home.path().to_owned());
    let held = store.lock().unwrap();
    let error = store.add(&[used(1, 1)], now()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(error.to_string().contains("usage.lock"), "{error}");
    drop(held);
    assert_eq!(store.add(&[used(1, 1)], now()).unwrap().keys, 1);
}

#[test]
fn a_clock_that_begins_in_1970_writes_nothing_and_spoils_nothing() {
    let home = tempfile::tempdir().unwrap();
    let store = UsageStore::new(home.path().to_owned());
    let early = Timestamp::from_second(40).unwrap();
    let client = IpAddr::from([203, 0, 113, 9]);
    let seen_early = (Mark::of(&digest(2)), Use::new(early, client));
    // On a new machine and on one that has been recording, nothing is written by such a clock.
    let error = store.add(&[seen_early], early).unwrap_err();
    assert!(error.to_string().contains("1970-01-01T00:00:40Z"), "{error}");
    assert!(store.read().unwrap().is_none());
    store.add(&[used(1, 9)], now()).unwrap();
    assert!(store.add(&[seen_early], early).is_err());
    let read = store.read().unwrap().unwrap();
    assert_eq!((read.of(&digest(1)).unwrap().at(), read.since()), (now(), now()));
    // What it saw then is written once the clock is right: it was by then.
    let later = now() + jiff::SignedDuration::from_hours(1);
    store.add(&[seen_early], later).unwrap();
    let read = store.read().unwrap().unwrap();
    let at = |number| read.of(&digest(number)).unwrap().at();
    assert_eq!((at(1), at(2), read.since()), (now(), later, now()));
}
