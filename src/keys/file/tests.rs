use std::path::Path;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::keys::Access;
use crate::keys::KeyStatus;
use crate::keys::Kind;

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn read(text: &str) -> (KeyFile, Vec<String>) {
    let source = Source::new("keys.toml", Path::new(""), text);
    let mut problems = Problems::default();
    let file = parse(&source, 0, &Digester::Sha256, &mut problems);
    (file, problems.lines())
}

/// A key that is fine, with more lines.
fn key(id: &str, more: &str) -> String {
    format!("[[key]]\nid = \"{id}\"\naccount = \"acme\"\ndigest = \"{DIGEST}\"\n{more}\n")
}

fn good(text: &str) -> KeyRecord {
    let (mut file, problems) = read(text);
    assert_eq!(problems, Vec::<String>::new());
    file.keys.pop().unwrap()
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn every_field_of_a_full_record_arrives() {
    let (file, problems) = read(&format!(
        r#"
        [[account]]
        id = "acme"
        name = "Acme GmbH"
        permissions = ["create_dataset", "list_workspaces"]
        disabled = true

        [[key]]
        id = "key_01JD3Q"
        account = "acme"
        name = "Mailchimp sync"
        digest = "{DIGEST}"
        hint = "…q7Xk"
        access = "write"
        kind = "profile"
        permissions = ["events:read", "API_*"]
        ips = ["203.0.113.0/24", "2001:db8::/32", "::ffff:198.51.100.7"]
        events = {{ allow = ["page.visit"], deny = ["x"] }}
        attributes = {{ allow = ["firstName"], tags = ["vip"] }}
        basic = false
        simple_auth = {{ salt = "s" }}
        created = 2026-11-22T10:00:00Z
        expires = 2027-02-20T12:00:00+02:00
        "#
    ));
    assert_eq!(problems, Vec::<String>::new());
    let [account] = file.accounts.as_slice() else { panic!("one account") };
    assert_eq!((account.id.as_str(), account.disabled), ("acme", true));
    assert_eq!(account.name.as_deref(), Some("Acme GmbH"));
    assert_eq!(account.permissions.as_ref().unwrap().len(), 2);
    let [key] = file.keys.as_slice() else { panic!("one key") };
    assert_eq!((key.id.as_str(), key.account.as_str()), ("key_01JD3Q", "acme"));
    assert_eq!(Digester::Sha256.format(&key.digest), DIGEST);
    assert_eq!((key.access, key.kind), (Some(Access::Write), Kind::Profile));
    assert_eq!(key.permissions.as_ref().unwrap().len(), 2);
    let ips: Vec<_> = key.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"]);
    assert_eq!((key.events.allow.len(), key.events.deny.len()), (1, 1));
    let attributes = key.attributes.as_ref().unwrap();
    assert_eq!((attributes.allow.len(), attributes.tags.len()), (1, 1));
    assert_eq!(key.basic, Some(false));
    assert_eq!(key.simple_auth.as_ref().unwrap().salt.as_deref(), Some("s"));
    assert_eq!(key.created, Some(instant("2026-11-22T10:00:00Z")));
    assert_eq!(key.status, KeyStatus::Active { until: Some(instant("2027-02-20T10:00:00Z")) });
}

#[test]
fn what_is_absent_does_not_restrict_and_an_empty_list_of_permissions_is_nothing() {
    let record = good(&key("k", ""));
    assert_eq!((record.access, record.kind), (None, Kind::Workspace));
    assert!(record.permissions.is_none() && record.attributes.is_none());
    assert!(record.ips.is_empty() && record.events.allow.is_empty());
    assert_eq!((record.basic, record.simple_auth.is_none()), (None, true));
    assert_eq!(record.status, KeyStatus::Active { until: None });
    let record = good(&key("k", "permissions = []\nips = []\nattributes = {}\nsimple_auth = {}"));
    assert_eq!(record.permissions.as_deref(), Some(&[][..]));
    assert!(record.ips.is_empty() && record.attributes.is_some() && record.simple_auth.is_some());
}

#[test]
fn revoked_counts_by_its_presence() {
    let at = |text: &str| match good(&key("k", text)).status {
        KeyStatus::Revoked { at } => at,
        KeyStatus::Active { .. } => panic!("`{text}` leaves the key active"),
    };
    assert_eq!(at("revoked = true"), None);
    assert_eq!(at("revoked = 2126-12-01"), Some(instant("2126-12-01T00:00:00Z")));
    assert_eq!(at("revoked = 2026-12-01T01:00:00Z"), Some(instant("2026-12-01T01:00:00Z")));
    let (file, problems) = read(&key("k", "revoked = false"));
    assert_eq!(file.revoked.len(), 1);
    assert!(problems[0].contains("counts by its presence"), "{problems:?}");
}

#[test]
fn a_mark_is_honoured_in_a_record_that_is_otherwise_wrong() {
    let (file, problems) = read(&key("k", "revoked = true\nexpires = 2027-01-01T00:00:00"));
    assert_eq!((file.keys.len(), file.revoked[0].as_str()), (0, "k"));
    assert_eq!(problems.len(), 1);
    let (file, _) = read(&key("k", "revoked = true\n[[key\nid = 1"));
    assert!(file.revoked.is_empty());
}

#[test]
fn a_date_is_its_beginning_in_utc_and_a_time_needs_an_offset() {
    let record = good(&key("k", "expires = 2027-02-20"));
    let until = Some(instant("2027-02-20T00:00:00Z"));
    assert_eq!(record.status, KeyStatus::Active { until });
    for (written, complaint) in [
        ("2027-02-20T10:00:00", "add `Z` if it is UTC: `2027-02-20T10:00:00Z`"),
        ("10:00:00", "`expires` has no date"),
        ("\"2027-02-20\"", "`expires` wants a date or time without quotes"),
    ] {
        let (file, problems) = read(&key("k", &format!("expires = {written}")));
        assert!(file.keys.is_empty());
        assert!(problems[0].contains(complaint), "{written}: {problems:?}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_and_cost_only_their_records() {
    let text = [
        key("a", "colour = 1"),
        key("b", "acess = \"read\"").replace("acme", "a b"),
        key("c", "access = \"raed\"\nips = [\"203.0.113.0/33\"]\npermissions = [\"a,b\"]"),
        key("d", "").replace("9f86", "9g86"),
        key("e", "").replace("9f86", "9f"),
        key("f", "").replace("sha256:", "hmac-sha256:"),
        key("g", "").replace(DIGEST, "kg_0123456789"),
        key("h", ""),
        "[[key]]\nname = \"nothing else\"".to_owned(),
    ]
    .concat();
    let (file, problems) = read(&text);
    let ids: Vec<_> = file.keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["h"]);
    let joined = problems.join("\n");
    for complaint in [
        "unknown field `colour`",
        "`account` cannot be this: ` ` cannot stand in it",
        "unknown field `acess` in `[[key]]` (did you mean `access`?)",
        "`access` cannot be `raed` (did you mean `\"read\"`?)",
        "`203.0.113.0/33` is no address and no network",
        "this is no permission: `,` cannot stand in it",
        "`g` is not a hexadecimal digit",
        "a digest has 64 hexadecimal digits, this one has 62",
        "this digest is `hmac-sha256`, but no `keys.pepper_file` is configured",
        "a digest begins with `sha256:`",
        "`id` is missing in `[[key]]`",
        "`account` is missing in `[[key]]`",
        "`digest` is missing in `[[key]]`",
    ] {
        assert!(joined.contains(complaint), "`{complaint}` is not in\n{joined}");
    }
}

#[test]
fn a_key_in_the_place_of_its_digest_is_not_shown() {
    let source = Source::new("f", Path::new(""), &key("a", "").replace(DIGEST, "kg_secret"));
    let mut problems = Problems::default();
    let _ = parse(&source, 0, &Digester::Sha256, &mut problems);
    assert!(problems.fatal());
    assert!(!problems.render(false).contains("secret"), "{}", problems.render(false));
}

#[test]
fn a_network_with_bits_after_its_prefix_is_a_warning() {
    let (file, problems) = read(&key("a", "ips = [\"203.0.113.9/24\"]"));
    assert_eq!(file.keys[0].ips[0].to_string(), "203.0.113.0/24");
    assert!(problems[0].contains("is the whole network `203.0.113.0/24`"), "{problems:?}");
}

#[test]
fn nothing_at_all_is_a_mistake_and_a_comment_is_not() {
    assert!(read("").1[0].contains("`keys.toml` is empty"));
    assert!(read("\n \n").1[0].contains("`keys.toml` is empty"));
    assert_eq!(read("# none yet\n").1, Vec::<String>::new());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_line_of_toml_makes_it_panic(
        lines in prop::collection::vec(
            "(\\[\\[key\\]\\]|\\[\\[account\\]\\]|\\[key\\.events\\]|(id|digest|ips|revoked|expires|events|attributes) = (true|\"[a-z:/0-9]{0,9}\"|\\[\\]|\\{\\}|\\[\"::ffff:1.2.3.4/9[0-9]\"\\]|[0-9]{4}-02-[23][0-9]|0000-01-01T00:00:60[+]23:59|9999-12-31T23:59:59-23:59))",
            0..20,
        )
    ) {
        let _ = read(&lines.join("\n"));
    }
}
