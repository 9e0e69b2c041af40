//! What the reader of the usual form understands, the full reader understands too, and alike.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::keys::KeyStore;
use crate::keys::KeyTable;
use crate::keys::KeyTableBuilder;
use crate::keys::Sheet;

const DIGEST: &str = "sha256:9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn source(text: &str) -> Source {
    Source::new("f.toml", Path::new(""), text)
}

/// Everything in a file, secrets too, as text that can be compared.
fn told(file: &KeyFile) -> String {
    let keys = file.keys.iter().map(|key| {
        let salt = key.simple_auth.as_ref().map(|simple| simple.salt.clone());
        format!("{key:?} {:?} {salt:?}\n", key.digest.as_bytes())
    });
    format!("{:?}\n{:?}\n{}", file.accounts, file.revoked, keys.collect::<String>())
}

/// Compares both readers, and says whether the quick one understood.
fn agree(text: &str) -> bool {
    let source = source(text);
    let Some(plain) = plainly(&source, 0, &Digester::Sha256) else { return false };
    let mut problems = Problems::default();
    let full = fully(&source, 0, &Digester::Sha256, &mut problems);
    assert!(problems.is_empty(), "{text}\n{:?}", problems.lines());
    assert_eq!(told(&plain), told(&full), "{text}");
    true
}

/// All fields, in every form that is usual.
fn usual() -> String {
    format!(
        "# all keys\r\n[[account]]\nid = \"acme\"\nname = \"Acmé\" # ours\npermissions = []\n\
         disabled = false\n\n[[key]]\nid = \"k1\"\naccount = \"acme\"\nname = \"a\tb\"\n\
         digest = \"{DIGEST}\"\nhint = \"…q7Xk\"\naccess = \"read\"\nkind = \"profile\"\n\
         permissions = [ \"a\", \"API_*\", ]\nips = [\"203.0.113.0/24\", \"::ffff:1.2.3.4\"]\n\
         events = {{ allow = [\"x\"], deny = [] }}\nattributes = {{ tags = [\"vip\"] }}\n\
         basic = true\nsimple_auth = {{ salt = \"s\" }}\ncreated = 2026-11-22T10:00:00.5+01:00\n\
         replaces = \"k0\"\n\
         expires = 2027-02-20\nrevoked = true\n  [[key]]\n\tid=\"k2\"\naccount = \"acme\"\n\
         digest = \"{DIGEST}\"\nattributes = {{}}\nsimple_auth = {{ }}\n\
         revoked = 2026-12-01T00:00:00Z"
    )
}

#[test]
fn the_usual_form_is_understood() {
    assert!(agree(&usual()));
    assert!(agree("# nothing but a comment\n"));
}

#[test]
fn what_is_unusual_is_left_to_the_full_reader() {
    let key = |field: &str| {
        format!("[[key]]\nid = \"k\"\naccount = \"a\"\ndigest = \"{DIGEST}\"\n{field}\n")
    };
    assert!(agree(&key("")));
    for field in [
        "name = 'a'",
        "name = \"\"\"a\"\"\"",
        "name = \"\\u0061\"",
        "name = \"a\"\nname = \"b\"",
        "name = \"a\" x",
        "names = \"a\"",
        "\"name\" = \"a\"",
        "name = \"a\rb\"",
        "name = \"a\u{7f}b\"",
        "# \u{1}",
        "access = \"reed\"",
        "permissions = [\"a b\"]",
        "permissions = [\"a\"",
        "permissions = [,]",
        "ips = [\"10.0.0.1/8\"]",
        "events = { allow = [\"\"] }",
        "events = { allow = [], }",
        "events.allow = []",
        "[key.events]\nallow = []",
        "simple_auth = { salt = \"\" }",
        "created = 2026-11-22T10:00:00",
        "created = 10:00:00",
        "created = 2026-02-30",
        "replaces = \"a b\"",
        "replaces = \"\"",
        "replaces = [\"k\"]",
        "revoked = false",
        "basic = 1",
        "[[other]]",
        "[key]",
        "[[key]]",
    ] {
        assert!(!agree(&key(field)), "{field}");
    }
}

fn table(sheet: Sheet) -> KeyTable {
    let mut builder = KeyTableBuilder::default();
    builder.add_sheet(sheet.into());
    builder.build().unwrap()
}

/// Many keys, among them some in unusual forms.
fn many(keys: usize, changed: Option<usize>) -> String {
    let mut text = "[[account]]\nid = \"acme\"\n".to_owned();
    for number in 0..keys {
        let name = match changed {
            Some(at) if at == number => "name = 'another one'",
            _ if number % 700 == 3 => "name = \"\"\"\nlong\"\"\"",
            _ => "",
        };
        text += &format!(
            "[[key]]\nid = \"k{number}\"\naccount = \"acme\"\ndigest = \"sha256:{number:064x}\"\n\
             permissions = [\"p{}\"]\n{name}\n",
            number % 7
        );
    }
    text
}

#[test]
fn a_file_in_pieces_is_the_same_as_the_whole_and_only_what_changed_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let mut store = KeyStore::default();
    let mut before: Option<KeyTable> = None;
    for changed in [None, Some(2_500), Some(0), None] {
        let text = many(2_600, changed);
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
        let mut loaded = store.load(std::slice::from_ref(&path), &Digester::Sha256);
        let sheet = loaded.remove(0).unwrap().sheet.unwrap();
        let mut builder = KeyTableBuilder::default();
        builder.add_sheet(sheet);
        let quick = match &before {
            Some(before) => builder.build_upon(before).unwrap(),
            None => builder.build().unwrap(),
        };
        let whole = fully(&source(&text), 0, &Digester::Sha256, &mut Problems::default());
        let whole = table(Sheet::of(&whole));
        assert_eq!(quick.len(), 2_600);
        for ((_, quick), (_, whole)) in quick.keys().zip(whole.keys()) {
            assert_eq!((quick.id(), quick.origin()), (whole.id(), whole.origin()));
            assert!(quick.says_the_same(&whole), "{}", quick.id());
        }
        for (at, key) in whole.keys() {
            let found = quick.find(&key.digest()).unwrap();
            assert_eq!(found.1.id(), key.id(), "{at:?}");
            assert_eq!(quick.find_id(&key.id()).unwrap().0, found.0);
        }
        if let Some(before) = &before {
            let again = quick.keys_beyond(before).count();
            assert!(again > 0 && again < 2_300, "{again} keys were made again");
        }
        before = Some(quick);
    }
}

#[test]
fn what_one_piece_hides_from_the_next_is_not_overlooked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    for first in ["key = []\n", "x = '''\n", "[key]\n", "x = 1\n"] {
        std::fs::write(&path, format!("{first}{}", many(600, None))).unwrap();
        let loaded =
            KeyStore::default().load(std::slice::from_ref(&path), &Digester::Sha256).remove(0);
        assert!(loaded.unwrap().sheet.is_none(), "{first}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn both_readers_agree_on_whatever_the_quick_one_understands(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4usize, "[a-z0-9\"'\\[\\]{}=,#. \t\r\n\\\\é-]{0,3}"), 0..4)
    ) {
        let mut text = usual();
        for (at, removed, inserted) in edits {
            let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            let start = at.get(&places);
            let end = text.char_indices().map(|(at, _)| at).filter(|at| at >= start).nth(removed);
            text.replace_range(*start..end.unwrap_or(text.len()), &inserted);
        }
        agree(&text);
    }
}
