use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::keys::Access;
use crate::keys::AttributeRules;
use crate::keys::EventRules;
use crate::keys::KeyDigest;
use crate::keys::KeyFile;
use crate::keys::KeyStatus;
use crate::keys::Kind;
use crate::keys::Name;
use crate::keys::Origin;
use crate::keys::Permission;
use crate::keys::SimpleAuth;
use crate::keys::file;
use crate::source::Problems;

const FILE: &str = r#"# Our keys. Ask Bob.

[[account]]
id = "acme" # the first one
name = 'Acme GmbH'

# -- production --
[[key]]
  id = "key_1"
  account = "acme"
  digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  permissions = [
    "a", # one
    "b",
  ]
  created = 2026-11-22T10:00:00Z # by hand
  [key.events]
  allow = ["page.visit"]

# Bob's laptop
[[key]]
id = "key_2"
digest = "sha256:aa86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
account = "acme"
expires = 2027-01-01  # after the fair
# the end
"#;

struct Home(tempfile::TempDir);

impl Home {
    fn with(text: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::write(home.file(), text).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("keys.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }
}

fn edited(text: &str, change: impl FnOnce(&mut Edit) -> Result<(), Box<Problem>>) -> String {
    let home = Home::with(text);
    let mut edit = Edit::open(&home.file()).unwrap();
    change(&mut edit).unwrap();
    edit.save().unwrap();
    home.text()
}

fn refused(text: &str, change: impl FnOnce(&mut Edit) -> Result<(), Box<Problem>>) -> String {
    let home = Home::with(text);
    let mut edit = Edit::open(&home.file()).unwrap();
    let problem = change(&mut edit).unwrap_err();
    assert_eq!(&*edit.source().text, text);
    problem.line()
}

fn read(text: &str) -> KeyFile {
    let source = Source::new("keys.toml", Path::new(""), text);
    let mut problems = Problems::default();
    let read = file::parse(&source, 0, &Digester::Sha256, &mut problems);
    assert_eq!(problems.lines(), Vec::<String>::new(), "{text}");
    read
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn noon() -> Timestamp {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

fn plain_key(id: &str) -> KeyRecord {
    KeyRecord::plain(id, "acme", KeyDigest::from_bytes([7; 32]))
}

#[test]
fn revoking_adds_one_line_and_touches_no_other() {
    let text = edited(FILE, |edit| edit.revoke(&name("key_1"), noon()));
    let line = "  created = 2026-11-22T10:00:00Z # by hand\n";
    let expected = FILE.replace(line, &format!("{line}  revoked = 2026-12-01T12:00:00Z\n"));
    assert_eq!(text, expected);
    assert_eq!(read(&text).revoked, [name("key_1")]);
}

#[test]
fn a_field_that_is_there_is_changed_in_its_place() {
    let text = edited(FILE, |edit| edit.expire(&name("key_2"), noon()));
    let expected = FILE.replace("expires = 2027-01-01  #", "expires = 2026-12-01T12:00:00Z  #");
    assert_eq!(text, expected);
}

#[test]
fn removing_a_key_takes_its_lines_and_leaves_every_comment_around() {
    let text = edited(FILE, |edit| edit.remove_key(&name("key_1")));
    let (before, rest) = FILE.split_once("[[key]]\n  id").unwrap();
    let (_, after) = rest.split_once("allow = [\"page.visit\"]\n").unwrap();
    assert_eq!(text, format!("{before}{after}"));
    let text = edited(FILE, |edit| edit.remove_key(&name("key_2")));
    assert!(text.ends_with("allow = [\"page.visit\"]\n\n# Bob's laptop\n# the end\n"));
    assert_eq!(read(&text).keys.len(), 1);
}

#[test]
fn appending_leaves_all_that_was_there_byte_for_byte() {
    let text = edited(FILE, |edit| edit.append_keys([&plain_key("key_3")], &Digester::Sha256));
    let added = text.strip_prefix(FILE).unwrap();
    assert!(
        added.starts_with("\n[[key]]\nid = \"key_3\"\naccount = \"acme\"\ndigest = \"sha256:0707")
    );
    let text =
        edited(FILE.trim_end(), |edit| edit.append_keys([&plain_key("key_3")], &Digester::Sha256));
    assert_eq!(text, format!("{FILE}{added}"));
}

#[test]
fn windows_line_ends_stay() {
    let windows = FILE.replace('\n', "\r\n");
    for text in [
        edited(&windows, |edit| edit.revoke(&name("key_1"), noon())),
        edited(&windows, |edit| edit.append_keys([&plain_key("k")], &Digester::Sha256)),
        edited(&windows, |edit| edit.remove_key(&name("key_1"))),
    ] {
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        read(&text);
    }
}

#[test]
fn the_last_record_leaves_a_file_that_still_loads() {
    let home = Home::with("");
    let mut edit = Edit::open(&home.file()).unwrap();
    assert!(edit.is_blank());
    edit.append_keys([&plain_key("k")], &Digester::Sha256).unwrap();
    edit.remove_key(&name("k")).unwrap();
    edit.save().unwrap();
    assert_eq!(home.text(), "# no keys\n");
    assert!(read(&home.text()).keys.is_empty());
}

#[test]
fn accounts_are_disabled_and_enabled() {
    let text = edited(FILE, |edit| edit.disable(&name("acme"), true));
    assert!(text.contains("name = 'Acme GmbH'\ndisabled = true\n"));
    assert!(read(&text).accounts[0].disabled);
    let text = edited(&text, |edit| edit.disable(&name("acme"), false));
    assert!(!read(&text).accounts[0].disabled);
}

#[test]
fn inline_records_are_revoked_and_nothing_else() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let inline = format!(
        "account = [{{ id = \"acme\" }}]\n\
         key = [{{ id = \"k\", account = \"acme\", digest = \"sha256:{digest}\" }}] # all\n"
    );
    let text = edited(&inline, |edit| edit.revoke(&name("k"), noon()));
    assert_eq!(read(&text).revoked, [name("k")]);
    assert!(text.contains(", revoked = 2026-12-01T12:00:00Z }] # all"));
    let problem = refused(&inline, |edit| edit.remove_key(&name("k")));
    assert!(problem.contains("is in a list"), "{problem}");
    let problem = refused(&inline, |edit| edit.append_keys([&plain_key("l")], &Digester::Sha256));
    assert!(problem.contains("`key` is not written as `[[key]]`"), "{problem}");
}

#[test]
fn what_cannot_be_edited_safely_is_refused() {
    let scattered = "[[key]]\nid = \"k\"\n[[account]]\nid = \"a\"\n[key.events]\nallow = []\n";
    let problem = refused(scattered, |edit| edit.remove_key(&name("k")));
    assert!(problem.contains("laid out so that it cannot be edited"), "{problem}");
    let twice = "[[key]]\nid = \"k\"\n[[key]]\nid = \"k\"\n";
    let problem = refused(twice, |edit| edit.revoke(&name("k"), noon()));
    assert!(problem.contains("defined twice (first defined here at"), "{problem}");
    let problem = refused(FILE, |edit| edit.revoke(&name("key_9"), noon()));
    assert!(problem.contains("has no key `key_9`"), "{problem}");
    let problem = refused("[[key]\n", |edit| edit.revoke(&name("k"), noon()));
    assert!(problem.contains("keys.toml:1:"), "{problem}");
}

#[test]
fn mode_is_kept_and_that_of_a_new_file_is_0600() {
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    let home = Home::with(FILE);
    for wanted in [0o600, 0o640, 0o400] {
        fs::set_permissions(home.file(), fs::Permissions::from_mode(wanted)).unwrap();
        let mut edit = Edit::open(&home.file()).unwrap();
        edit.expire(&name("key_1"), noon()).unwrap();
        edit.save().unwrap();
        assert_eq!(mode(&home.file()), wanted);
    }
    let new = home.0.path().join("new.toml");
    let mut edit = Edit::open(&new).unwrap();
    edit.append_keys([&plain_key("k")], &Digester::Sha256).unwrap();
    edit.save().unwrap();
    assert_eq!(mode(&new), 0o600);
}

#[test]
fn a_symlink_stays_and_its_target_is_edited() {
    let home = Home::with(FILE);
    let link = home.0.path().join("link.toml");
    std::os::unix::fs::symlink("keys.toml", &link).unwrap();
    let mut edit = Edit::open(&link).unwrap();
    edit.revoke(&name("key_1"), noon()).unwrap();
    edit.save().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(home.text().contains("revoked"));
    fs::remove_file(home.file()).unwrap();
    let problem = Edit::open(&link).unwrap_err().line();
    assert!(problem.contains("symlink to a file that does not exist"), "{problem}");
}

#[test]
fn a_kubernetes_volume_is_not_edited() {
    let home = Home::with("");
    let dated = home.0.path().join("..2026_11_22_10_00_00.1");
    fs::create_dir(&dated).unwrap();
    fs::write(dated.join("mounted.toml"), FILE).unwrap();
    std::os::unix::fs::symlink(dated.file_name().unwrap(), home.0.path().join("..data")).unwrap();
    let link = home.0.path().join("mounted.toml");
    std::os::unix::fs::symlink("..data/mounted.toml", &link).unwrap();
    for path in [link, home.0.path().join("new.toml")] {
        let problem = Edit::open(&path).unwrap_err().line();
        assert!(problem.contains("in a volume that Kubernetes mounts"), "{problem}");
    }
    assert_eq!(fs::read_to_string(dated.join("mounted.toml")).unwrap(), FILE);
}

#[test]
fn what_a_killed_edit_left_is_removed_and_nothing_else() {
    let home = Home::with(FILE);
    let stale = home.0.path().join(".keys.toml.AbCd1234.tmp");
    let other = home.0.path().join(".keys.toml.mine.tmp");
    fs::write(&stale, "half").unwrap();
    fs::write(&other, "mine").unwrap();
    let mut edit = Edit::open(&home.file()).unwrap();
    edit.revoke(&name("key_1"), noon()).unwrap();
    edit.save().unwrap();
    assert!(!stale.exists() && other.exists());
}

#[test]
fn an_edit_that_is_dropped_changes_nothing() {
    let home = Home::with(FILE);
    let mut edit = Edit::open(&home.file()).unwrap();
    edit.remove_key(&name("key_1")).unwrap();
    drop(edit);
    assert_eq!(home.text(), FILE);
}

fn texts() -> impl Strategy<Value = Box<[Box<str>]>> {
    prop::collection::vec("\\PC{1,8}".prop_map(Box::from), 0..3).prop_map(Box::from)
}

fn ids() -> impl Strategy<Value = Name> {
    "[!-+\\--~]{1,12}".prop_map(|text| name(&text))
}

fn instants() -> impl Strategy<Value = Timestamp> {
    (0i64..4_000_000_000, 0i32..1_000_000_000)
        .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap())
}

prop_compose! {
    fn records()(
        (id, account, bytes) in (ids(), ids(), any::<[u8; 32]>()),
        note in prop::option::of("(.|\\PC|[\"\\\\\n\t]){1,12}"),
        access in prop::option::of(prop_oneof![Just(Access::Read), Just(Access::Write)]),
        kind in prop_oneof![Just(Kind::Workspace), Just(Kind::Profile)],
        permissions in prop::option::of(prop::collection::vec("[a-z:\"\\\\]{1,5}[*]?", 0..3)),
        ips in prop::collection::vec(any::<(std::net::IpAddr, u8)>(), 0..3),
        (allow, deny) in (texts(), texts()),
        attributes in prop::option::of((texts(), texts())),
        basic in any::<Option<bool>>(),
        salt in prop::option::of(prop::option::of("\\PC{1,8}")),
        (created, replaces) in (prop::option::of(instants()), prop::option::of(ids())),
        (ending, at) in (0..4, instants()),
    ) -> KeyRecord {
        let network = |(address, length): (std::net::IpAddr, u8)| {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, length % (longest + 1)).unwrap().trunc()
        };
        KeyRecord {
            id,
            account,
            name: note.clone().map(Box::from),
            digest: KeyDigest::from_bytes(bytes),
            hint: note.map(Box::from),
            access,
            kind,
            permissions: permissions
                .map(|list| list.iter().map(|text| Permission::new(text).unwrap()).collect()),
            ips: ips
                .into_iter()
                .map(network)
                .filter(|ip| !matches!(ip.addr(), std::net::IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()))
                .collect(),
            events: EventRules { allow, deny },
            attributes: attributes.map(|(allow, tags)| Box::new(AttributeRules { allow, tags })),
            basic,
            simple_auth: salt.map(|salt| Box::new(SimpleAuth { salt: salt.map(Box::from) })),
            created,
            replaces,
            status: match ending {
                0 => KeyStatus::Active { until: None },
                1 => KeyStatus::Active { until: Some(at) },
                2 => KeyStatus::Revoked { at: None },
                _ => KeyStatus::Revoked { at: Some(at) },
            },
            origin: Origin::default(),
        }
    }
}

/// Everything of a record but its place.
fn essence(record: &KeyRecord) -> String {
    let digest = Digester::Sha256.format(&record.digest);
    let salt = record.simple_auth.as_ref().map(|simple| simple.salt.clone());
    format!("{digest} {salt:?} {:?}", KeyRecord { origin: Origin::default(), ..record.clone() })
}

proptest! {
    #[test]
    fn what_is_appended_is_read_back_the_same(records in prop::collection::vec(records(), 1..4)) {
        let source = Source::new("keys.toml", Path::new(""), FILE);
        let blocks: Vec<_> =
            records.iter().map(|record| render::key(record, &Digester::Sha256)).collect();
        let text = text::append(&source, List::Keys, &blocks).unwrap();
        let keys = read(&text).keys;
        let (old, new) = keys.split_at(2);
        prop_assert_eq!(
            old.iter().map(essence).collect::<Vec<_>>(),
            read(FILE).keys.iter().map(essence).collect::<Vec<_>>()
        );
        prop_assert_eq!(
            new.iter().map(essence).collect::<Vec<_>>(),
            records.iter().map(essence).collect::<Vec<_>>()
        );
    }

    #[test]
    fn editing_any_record_of_a_file_keeps_all_others(
        mut records in prop::collection::vec(records(), 1..6),
        pick: prop::sample::Index,
        action in 0..3,
    ) {
        for (at, record) in records.iter_mut().enumerate() {
            record.id = name(&format!("{}_{at}", record.id));
        }
        let blocks: Vec<_> =
            records.iter().map(|record| render::key(record, &Digester::Sha256)).collect();
        let empty = Source::new("keys.toml", Path::new(""), "");
        let text = text::append(&empty, List::Keys, &blocks).unwrap();
        let source = Source::new("keys.toml", Path::new(""), &text);
        let at = pick.index(records.len());
        let id = records[at].id.clone();
        let changed = match action {
            0 => text::remove(&source, List::Keys, id.as_str()),
            1 => text::set(&source, List::Keys, id.as_str(), "revoked", "true"),
            _ => text::set(&source, List::Keys, id.as_str(), "expires", "2027-01-01"),
        };
        let mut left = read(&changed.unwrap()).keys;
        if action == 0 {
            records.remove(at);
        } else {
            left.remove(at);
            records.remove(at);
        }
        prop_assert_eq!(
            left.iter().map(essence).collect::<Vec<_>>(),
            records.iter().map(essence).collect::<Vec<_>>()
        );
    }

    #[test]
    fn no_text_makes_an_edit_panic(text in "(\\[\\[key\\]\\]|\\[key\\.events\\]|key = \\[\\{id = \"k\"\\}\\]|id = \"k\"|a = 1|#|\r\n|\n| |é){0,12}") {
        let source = Source::new("keys.toml", Path::new(""), &text);
        let _ = text::set(&source, List::Keys, "k", "revoked", "true");
        let _ = text::remove(&source, List::Keys, "k");
        let _ = text::append(&source, List::Keys, &["[[key]]\n".to_owned()]);
    }
}
