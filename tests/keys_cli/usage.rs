//! What is told of the last use of keys, and what is refused because of it, for records of uses
//! that are made here.

use std::fs;
use std::net::IpAddr;

use jiff::SignedDuration;
use jiff::Timestamp;
use keygate::clock;
use keygate::keys::KeyStatus;
use keygate::keys::usage::Mark;
use keygate::keys::usage::UsageStore;
use keygate::keys::usage::Use;

use super::home::Home;
use super::home::Said;

const CONFIG: &str = "[state]\ndirectory = \"state\"\n";

/// Two accounts, and keys that were made 400 days ago, 40 days ago, and at a time that nobody knows.
struct Stage {
    home: Home,
    now: Timestamp,
}

impl Stage {
    fn new() -> Self {
        let (home, now) = (Home::empty(), clock::now());
        let key = |id: &str, digit: &str, rest: &str| {
            let digest = digit.repeat(64);
            format!(
                "[[key]]\nid = \"{id}\"\naccount = \"acme\"\ndigest = \"sha256:{digest}\"\n{rest}\n"
            )
        };
        let created = |days| format!("created = {}", now - days * DAY);
        home.write("keygate.toml", CONFIG);
        home.write(
            "keys.toml",
            [
                "[[account]]\nid = \"acme\"\n".to_owned(),
                key("old", "1", &created(390)),
                key("new", "2", &created(40)),
                key("undated", "3", ""),
            ]
            .concat(),
        );
        Self { home, now }
    }

    /// Uses are recorded since some days.
    fn recording(self, days: i32) -> Self {
        self.store().add(&[], self.now - days * DAY).unwrap();
        self
    }

    /// A key, by the digit of its digest, was used some hours ago.
    fn used(self, digit: u8, hours: i32, client: &str) -> Self {
        let digest = keygate::keys::KeyDigest::from_bytes([digit * 0x11; 32]);
        let at = self.now - hours * SignedDuration::from_hours(1);
        let client: IpAddr = client.parse().unwrap();
        self.store().add(&[(Mark::of(&digest), Use::new(at, client))], self.now).unwrap();
        self
    }

    fn store(&self) -> UsageStore {
        UsageStore::new(self.home.path("state"))
    }

    fn keys(&self, args: &[&str]) -> Said {
        self.home.run(&[&["keys"], args].concat())
    }

    fn unused_for(&self, time: &str) -> (Vec<String>, String) {
        let said = self.keys(&["list", "--json", "--unused-for", time]);
        let warned = said.err.clone();
        let listed = said.json();
        let ids = listed.as_array().unwrap().iter();
        (ids.map(|key| key["id"].as_str().unwrap().to_owned()).collect(), warned)
    }
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

#[test]
fn what_was_not_seen_is_said_no_more_surely_than_it_is_known() {
    let stage = Stage::new().recording(100).used(1, 30, "203.0.113.9");
    let listed = stage.keys(&["list", "--json"]).json();
    let seen =
        |at: usize| (listed[at]["last_used_from"].as_str(), listed[at]["last_used"].is_null());
    assert_eq!(seen(0), (Some("203.0.113.0/24"), false));
    assert_eq!(seen(1), (None, true));
    let since: Timestamp = listed[1]["use_recorded_since"].as_str().unwrap().parse().unwrap();
    assert_eq!(since.as_second(), (stage.now - 100 * DAY).as_second());
    let table = stage.keys(&["list"]).done();
    let cell = |line: usize| {
        let column = table.find("LAST USED").unwrap();
        table.lines().nth(line).unwrap()[column..].trim_end().to_owned()
    };
    let since = (stage.now - 100 * DAY).strftime("not since %Y-%m-%d").to_string();
    assert!(cell(1).contains("Z  ") && cell(1).ends_with("  203.0.113.0/24"), "{table}");
    assert_eq!(cell(2), "never", "{table}");
    assert_eq!(cell(3), since, "{table}");
    let shown = stage.keys(&["show", "old"]).done();
    assert!(
        shown.contains("last used    2") && shown.contains("Z from 203.0.113.0/24\n"),
        "{shown}"
    );
    let shown = stage.keys(&["show", "undated"]).done();
    assert!(shown.contains("last used    not since "), "{shown}");
}

#[test]
fn keys_are_found_that_nobody_uses() {
    let stage = Stage::new().recording(100).used(1, 30, "203.0.113.9");
    assert_eq!(stage.unused_for("1d").0, ["old", "new", "undated"]);
    assert_eq!(stage.unused_for("2d").0, ["new", "undated"]);
    // One that was never used had since it was made to be used.
    let (ids, warned) = stage.unused_for("60d");
    assert_eq!((ids, warned.as_str()), (vec!["undated".to_owned()], ""));
    let (ids, warned) = stage.unused_for("200d");
    assert_eq!(ids, ["undated"]);
    assert!(warned.contains("may have been used before"), "{warned}");
    assert!(warned.contains(&(stage.now - 100 * DAY).strftime("since %Y-%m-%dT").to_string()));
}

#[test]
fn without_a_record_nothing_is_said_to_be_unused() {
    let stage = Stage::new();
    let said = stage.keys(&["list", "--unused-for", "90d"]).refused();
    assert!(said.contains("no use was recorded yet"), "{said}");
    stage.home.write("keygate.toml", "");
    stage.home.write("keygate.toml", "[keys]\n");
    let said = stage.keys(&["list", "--unused-for", "90d"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("set `directory = \"state\"` in `[state]`"), "{}", said.err);
    assert!(!stage.keys(&["list"]).done().contains("USED"));
}

#[test]
fn a_record_that_cannot_be_read_is_not_taken_for_one_that_says_nothing() {
    let stage = Stage::new();
    stage.home.write("state/usage", "what is this?");
    let listed = stage.keys(&["list"]);
    assert!(
        listed.err.contains("state/usage` cannot be read: it is not a record"),
        "{}",
        listed.err
    );
    assert!(listed.done().contains("undated"));
    let text = stage.home.text();
    for command in [&["list", "--unused-for", "90d"][..], &["delete", "old", "--yes"]] {
        let said = stage.keys(command).refused();
        assert!(said.contains("state/usage` cannot be read"), "{said}");
    }
    assert_eq!(stage.home.text(), text);
    stage.keys(&["delete", "old", "--yes", "--force"]).done();
    assert_eq!(fs::read_to_string(stage.home.path("state/usage")).unwrap(), "what is this?");
}

#[test]
fn a_key_that_was_used_of_late_is_deleted_by_force_only() {
    let stage = Stage::new().recording(100).used(1, 30, "203.0.113.9").used(2, 3, "2001:db8::1");
    let said = stage.keys(&["delete", "new", "--yes"]).refused();
    assert!(said.contains("key `new` was used 3 h ago: 2"), "{said}");
    assert!(said.contains("from 2001:db8::/48"), "{said}");
    assert!(said.contains("help: ") && said.contains("`--force`"), "{said}");
    let said = stage.keys(&["delete", "old", "--yes", "--unused-for", "48h"]).refused();
    assert!(said.contains("key `old` was used 1 d ago"), "{said}");
    assert_eq!(stage.home.records().keys.len(), 3);
    stage.keys(&["delete", "old", "--yes"]).done();
    stage.keys(&["delete", "new", "--yes", "--unused-for", "2h"]).done();
    assert_eq!(stage.home.records().keys.len(), 1);
}

#[test]
fn what_is_not_known_is_noted_and_stops_who_wants_to_know_it() {
    let stage = Stage::new().recording(1);
    let said = stage.keys(&["delete", "old", "--yes", "--unused-for", "7d"]).refused();
    assert!(said.contains("whether key `old` is used is not known"), "{said}");
    assert!(said.contains("uses are recorded since "), "{said}");
    // 24 hours are over by less than a moment.
    let stage = Stage::new().recording(0);
    let said = stage.keys(&["delete", "old", "--yes"]);
    assert!(said.err.contains("whether key `old` is used is not known"), "{}", said.err);
    said.done();
}

#[test]
fn a_rotation_is_finished_when_the_old_key_is_no_longer_used() {
    let stage = Stage::new().recording(100).used(2, 3, "203.0.113.9");
    // Nothing has replaced it yet.
    let said = stage.keys(&["rotate", "--finish", "new"]).refused();
    assert!(said.contains("key `new` was not replaced"), "{said}");
    stage.keys(&["rotate", "new", "--json"]).done();
    let said = stage.keys(&["rotate", "--finish", "new"]).refused();
    assert!(said.contains("key `new` was used 3 h ago"), "{said}");
    assert!(!stage.home.text().contains("revoked"));
    let said = stage.keys(&["rotate", "--finish", "new", "--unused-for", "1h"]).done();
    assert!(said.starts_with("new is revoked since "), "{said}");
    assert!(stage.home.text().contains("revoked"));
    let again = stage.keys(&["rotate", "--finish", "new"]).done();
    assert_eq!(again, "new is revoked already\n");
    // The new key, given by mistake, is not ended.
    let listed = stage.keys(&["list", "--json"]).json();
    let newest = listed.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    stage.keys(&["rotate", "--finish", &newest]).refused();
}

/// A key for something else is no reason to end one that is in use.
#[test]
fn only_the_key_that_a_rotation_made_takes_the_place_of_another() {
    let stage = Stage::new().recording(100);
    let finish =
        |more: &[&str]| stage.keys(&[&["rotate", "--finish", "new", "--force"][..], more].concat());
    let create = |more: &[&str]| {
        let made = stage.keys(&[&["create", "--account", "acme", "--json"][..], more].concat());
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let twin = create(&[]);
    let other = create(&["--access", "write"]);
    let said = finish(&[]).refused();
    assert!(said.contains("key `new` was not replaced"), "{said}");
    // Of two that could be it, and do not say, none is taken.
    let rotated = stage.keys(&["rotate", "new", "--json"]).json();
    let rotated = rotated["id"].as_str().unwrap();
    stage.home.write("keys.toml", stage.home.text().replace("replaces = \"new\"\n", ""));
    let said = finish(&[]).refused();
    assert!(said.contains(&twin) && said.contains(rotated), "{said}");
    assert!(said.contains("`--successor`") && !said.contains(&other), "{said}");
    for (wrong, why) in [("new", "it is the old one"), ("none", "there is no key `none`")] {
        let said = finish(&["--successor", wrong]).refused();
        assert!(said.contains(why), "{said}");
    }
    stage.keys(&["revoke", &twin]).done();
    let said = finish(&["--successor", &twin]).refused();
    assert!(said.contains("it is revoked"), "{said}");
    assert!(!stage.home.text().contains("id = \"new\"\nrevoked"));
    let said = finish(&[]).done();
    assert!(said.starts_with("new is revoked since "), "{said}");
    // Whoever knows better says so.
    stage.keys(&["rotate", "--finish", "old", "--force", "--successor", &other]).done();
}

/// A key with the same settings is not the one that a rotation made, which says so.
#[test]
fn the_key_that_a_rotation_made_says_whose_place_it_takes() {
    let stage = Stage::new().recording(100);
    let finish = || stage.keys(&["rotate", "--finish", "new", "--force"]);
    let rotate = || {
        let made = stage.keys(&["rotate", "new", "--json"]).json();
        made["id"].as_str().unwrap().to_owned()
    };
    stage.keys(&["create", "--account", "acme"]).done();
    let rotated = rotate();
    assert_eq!(stage.home.text().matches("replaces = \"new\"").count(), 1);
    stage.keys(&["revoke", &rotated]).done();
    let said = finish().refused();
    assert!(
        said.contains(&format!("nobody can use the new key: `{rotated}` is revoked")),
        "{said}"
    );
    assert!(said.contains("`--successor`"), "{said}");
    let again = rotate();
    assert!(finish().done().starts_with("new is revoked since "));
    // Its own successor says that of it, and of no other.
    stage.keys(&["rotate", &again]).done();
    assert_eq!(stage.home.text().matches("replaces = \"new\"").count(), 2);
    assert!(stage.home.text().contains(&format!("replaces = \"{again}\"")));
}

/// The key is replaced, and its successor, before the first rotation was finished.
#[test]
fn keys_that_were_replaced_one_after_the_other_end_together() {
    let chain = || {
        let stage = Stage::new().recording(100);
        let rotate = |id: &str| {
            let made = stage.keys(&["rotate", id, "--json"]).json();
            made["id"].as_str().unwrap().to_owned()
        };
        let second = rotate("new");
        let third = rotate(&second);
        (stage, second, third)
    };
    let revoked = |stage: &Stage| {
        let keys = stage.home.records().keys;
        let over = keys.iter().filter(|key| matches!(key.status, KeyStatus::Revoked { .. }));
        over.map(|key| key.id.to_string()).collect::<Vec<_>>()
    };
    let finish = |stage: &Stage, id: &str, more: &[&str]| {
        stage.keys(&[&["rotate", "--finish", id][..], more].concat())
    };
    let by_force = ["--force"].as_slice();

    // What is used ends neither by itself nor along with another.
    let (stage, second, _) = chain();
    let stage = stage.used(2, 0, "203.0.113.9");
    let said = finish(&stage, &second, &["--unused-for", "1h"]).refused();
    assert!(said.contains("key `new` was used "), "{said}");
    assert!(said.contains(&format!("`{second}` replaced it, and they would be ended")), "{said}");
    assert!(revoked(&stage).is_empty());

    let (stage, second, third) = chain();
    let said = finish(&stage, &second, by_force).done();
    let ended: Vec<_> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ended, [second.as_str(), "new"], "{said}");
    assert_eq!(revoked(&stage), ["new", &second]);
    let said = finish(&stage, &third, by_force).refused();
    assert!(said.contains("was not replaced"), "{said}");

    // The one between is gone already, and the last one has taken its place.
    let (stage, second, _) = chain();
    stage.keys(&["revoke", &second]).done();
    assert!(finish(&stage, "new", by_force).done().starts_with("new is revoked since "));
    assert_eq!(revoked(&stage), ["new", &second]);

    // Whoever goes back to the first ends the second, and not the first.
    let (stage, second, _) = chain();
    finish(&stage, &second, &["--force", "--successor", "new"]).done();
    assert_eq!(revoked(&stage), [second.as_str()]);

    // None can be used: all are named.
    let (stage, second, third) = chain();
    for id in [&second, &third] {
        stage.keys(&["revoke", id]).done();
    }
    let said = finish(&stage, "new", by_force).refused();
    assert!(said.contains(&format!("`{second}` is revoked, `{third}` is revoked")), "{said}");

    // A circle, made by hand, has an end.
    let (stage, second, third) = chain();
    let line = "id = \"new\"\n";
    let round = stage.home.text().replace(line, &format!("{line}replaces = \"{third}\"\n"));
    stage.home.write("keys.toml", round);
    finish(&stage, &second, by_force).done();
    assert_eq!(revoked(&stage), [second.as_str()]);
}

#[test]
fn keys_of_several_files_end_together_or_not_at_all() {
    let stage = Stage::new();
    stage.home.write(
        "keygate.toml",
        format!("[keys]\nfiles = [\"keys.toml\", \"first.toml\"]\n{CONFIG}"),
    );
    let key = |id: &str, digit: &str, replaced: &str| {
        let digest = digit.repeat(64);
        format!(
            "id = \"{id}\", account = \"acme\", digest = \"sha256:{digest}\", replaces = \"{replaced}\""
        )
    };
    let last = key("last", "5", "next").replace(", ", "\n");
    stage.home.write("keys.toml", format!("{}[[key]]\n{last}\n", stage.home.text()));
    let finish = || stage.keys(&["rotate", "--finish", "next", "--force"]);
    let more = stage.home.path("first.toml");
    let next = format!("[[key]]\n{}\n", key("next", "4", "new").replace(", ", "\n"));
    fs::write(&more, next).unwrap();
    let texts = || [stage.home.text(), fs::read_to_string(&more).unwrap()];
    let before = texts();
    for locked in [".keys.toml.lock", ".first.toml.lock"] {
        let locked = stage.home.path(locked);
        let _ = fs::remove_file(&locked);
        fs::create_dir(&locked).unwrap();
        let said = finish().refused();
        assert!(said.contains("cannot be locked"), "{said}");
        assert_eq!(texts(), before);
        fs::remove_dir(&locked).unwrap();
    }
    let said = finish().done();
    // As long as the named key is not ended, the command can be repeated.
    let told = ["new is revoked", "next is revoked"].map(|it| said.find(it).expect(it));
    assert!(told.is_sorted(), "{said}");
    assert!(texts().iter().all(|text| text.contains("revoked = ")));
}

#[test]
fn a_rotation_is_not_finished_without_knowing() {
    let stage = Stage::new();
    stage.keys(&["rotate", "new", "--json"]).done();
    let said = stage.keys(&["rotate", "--finish", "new"]).refused();
    assert!(said.contains("no use was recorded yet"), "{said}");
    stage.home.write("keygate.toml", "[keys]\n");
    let said = stage.keys(&["rotate", "--finish", "new"]).refused();
    assert!(said.contains("no use is recorded"), "{said}");
    assert!(said.contains("set `directory` in `[state]`"), "{said}");
    stage.keys(&["rotate", "--finish", "new", "--force"]).done();
    for wrong in [&["rotate", "new", "--force"][..], &["rotate", "new", "--finish", "--now"]] {
        assert_eq!(stage.keys(wrong).code, 2, "{wrong:?}");
    }
}
