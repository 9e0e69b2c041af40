use proptest::prelude::*;

use super::row::Row;
use super::*;
use crate::keys::Access;
use crate::keys::KeyStatus;
use crate::keys::Kind;
use crate::keys::Name;

const OLD: &str = "sk_live_0123456789abcdef";

fn import(text: &str, format: Format, existing: &[KeyRecord]) -> (Vec<KeyRecord>, Vec<String>) {
    let mut problems = Problems::default();
    let rules = Rules {
        name: "old.csv",
        account: None,
        algorithm: Some("sha256"),
        digester: &Digester::Sha256,
        prefix: &KeyPrefix::new("kg").unwrap(),
        fits: &|key| key.text().is_some_and(|text| text.len() >= 16 && !text.contains(' ')),
        account_exists: &|account| account.as_str() == "acme",
        basic_names_account: true,
        now: "2026-11-22T10:00:00Z".parse().unwrap(),
    };
    let records = read(text, format, &rules, existing.iter(), &mut problems);
    (records, problems.lines())
}

fn good(text: &str, format: Format) -> Vec<KeyRecord> {
    let (records, problems) = import(text, format, &[]);
    assert_eq!(problems, Vec::<String>::new());
    records
}

#[test]
fn a_table_of_plain_keys_becomes_digests() {
    let text = format!(
        "account,key,name,access,kind,permissions,ips,basic,expires,id\n\
         acme,{OLD},\"Sync, old\",write,,a b;c,203.0.113.7,true,2027-02-20,key_old\n\
         acme, {OLD}2 ,,,,,,,,\n"
    );
    let records = good(&text, Format::Csv);
    let [full, bare] = records.as_slice() else { panic!("two keys") };
    let expected = Digester::Sha256.digest(&ApiKey::new(OLD.as_bytes()));
    assert!(full.digest.matches(&expected));
    assert_eq!((full.id.as_str(), full.name.as_deref()), ("key_old", Some("Sync, old")));
    assert_eq!((full.access, full.kind), (Some(Access::Write), Kind::Workspace));
    assert_eq!(full.permissions.as_ref().unwrap().len(), 3);
    assert_eq!((full.ips.len(), full.basic), (1, Some(true)));
    assert_eq!(full.hint.as_deref(), Some("…cdef"));
    let until = Some("2027-02-20T00:00:00Z".parse().unwrap());
    assert_eq!(full.status, KeyStatus::Active { until });
    assert!(bare.id.as_str().starts_with("key_") && bare.permissions.is_none());
}

#[test]
fn what_a_key_may_send_and_change_comes_along() {
    let table = format!(
        "account,key,kind,events_allow,events_deny,attributes,tags,simple_auth,salt\n\
         acme,{OLD}1,profile,page.visit; form submit,x,\"firstName,lastName\",,true,grain\n\
         acme,{OLD}2,profile,,,,vip,,grain\n\
         acme,{OLD}3,profile,,,,,true,\n\
         acme,{OLD}4,,,,,,false,\n"
    );
    let texts = |list: &[Box<str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let salt = |record: &KeyRecord| {
        let simple = record.simple_auth.as_ref();
        simple.map(|simple| simple.salt.as_deref().map(str::to_owned))
    };
    let records = good(&table, Format::Csv);
    assert_eq!(texts(&records[0].events.allow), ["page.visit", "form submit"]);
    assert_eq!(texts(&records[0].events.deny), ["x"]);
    let rules = records[0].attributes.as_ref().unwrap();
    assert_eq!(texts(&rules.allow), ["firstName", "lastName"]);
    assert!(rules.tags.is_empty());
    assert_eq!(texts(&records[1].attributes.as_ref().unwrap().tags), ["vip"]);
    assert!(records[2].attributes.is_none() && records[2].events.allow.is_empty());
    let salts: Vec<_> = records.iter().map(salt).collect();
    let grain = || Some(Some("grain".to_owned()));
    assert_eq!(salts, [grain(), grain(), Some(None), None]);

    let lines = format!(
        "{{\"account\":\"acme\",\"key\":\"{OLD}\",\"kind\":\"profile\",\"simple_auth\":true,\
         \"attributes\":[],\"events_deny\":[\"a, b\"]}}\n"
    );
    let [record] = &*good(&lines, Format::JsonLines) else { panic!("one key") };
    assert!(record.attributes.as_ref().unwrap().allow.is_empty());
    assert_eq!(texts(&record.events.deny), ["a, b"]);
    assert_eq!(salt(record), Some(None));
}

#[test]
fn what_only_one_kind_of_key_can_have_is_refused_for_the_other() {
    let text = format!(
        "account,key,kind,basic,simple_auth,salt,events_allow,tags\n\
         acme,{OLD}1,workspace,,true,,,\n\
         acme,{OLD}2,,,,secret,,\n\
         acme,{OLD}3,profile,,false,secret,,\n\
         acme,{OLD}4,profile,true,,,,\n\
         acme,{OLD}5,,,,,a;;b,\n\
         acme,{OLD}6,,,yes,,,\"a,\"\n"
    );
    let joined = import(&text, Format::Csv, &[]).1.join("\n");
    for complaint in [
        "line 2: simple authentication is for profile keys",
        "line 3: simple authentication is for profile keys",
        "line 4: it has a `salt` without `simple_auth`",
        "line 5: a profile key cannot be presented by Basic",
        "line 6: one of its `events_allow` is empty",
        "line 7: `simple_auth` is neither `true` nor `false`",
        "line 7: one of its `tags` is empty",
    ] {
        assert!(joined.contains(complaint), "`{complaint}` is not in\n{joined}");
    }
    assert!(!joined.contains("secret"), "{joined}");
}

#[test]
fn json_lines_bring_digests_in_either_form() {
    let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let text = format!(
        "{{\"account\": \"acme\", \"digest\": \"sha256:{hex}\", \"permissions\": []}}\n\n\
         {{\"account\": \"acme\", \"digest\": \"{}\", \"basic\": false, \"name\": null}}\n",
        hex.replace('9', "8")
    );
    let records = good(&text, Format::JsonLines);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].permissions.as_deref(), Some(&[][..]));
    assert_eq!((records[1].basic, records[1].hint.as_deref()), (Some(false), None));
}

#[test]
fn every_bad_line_is_told_with_its_number_and_no_value_is() {
    let text = format!(
        "account,key,digest,access,expires,permissions,ips\n\
         acme,short-secret,,,,,\n\
         nobody,{OLD},,,,,\n\
         acme,,md5:secret,,,,\n\
         acme,,,,,,\n\
         acme,{OLD}1,sha256:secret,,,,\n\
         acme,kg_secret_of_the_right_length,,,,,\n\
         acme,{OLD}2,,secret,,,\n\
         acme,{OLD}3,,,2027-02-20T10:00:00,,\n\
         acme,{OLD}4,,,,a*b,203.0.113.7/24\n\
         ,{OLD}5,,,,,\n\
         acme,{OLD}6\n\
         acme,{OLD}7,,,,,\n\
         acme,{OLD}7,,,,,\n\
         {OLD},{OLD}8,,,,,\n"
    );
    let (_, problems) = import(&text, Format::Csv, &[]);
    let joined = problems.join("\n");
    for complaint in [
        "`old.csv` line 2: its `key` does not match `keys.pattern`",
        "line 3: its `account` does not exist (create it first: `keygate accounts create nobody`)",
        "line 4: `digest`: a digest begins with `sha256:`",
        "line 5: it has neither a `key` nor a `digest`",
        "line 6: it has both a `key` and a `digest`",
        "line 7: its `key` begins like one of ours, `kg_`, and its checksum does not fit",
        "line 8: `access` is neither `read` nor `write`",
        "line 9: `expires`: it does not say in which time zone",
        "line 10: one of its `permissions` is none",
        "line 10: one of its `ips` is no address and no network",
        "line 11: it has no `account`",
        "line 12: this line has 2 values, the first has 7",
        "line 14: this key is the same as on line 13",
        "line 15: its `account` does not exist (create it first)",
    ] {
        assert!(joined.contains(complaint), "`{complaint}` is not in\n{joined}");
    }
    assert!(!joined.contains("secret") && !joined.contains("sk_live"), "{joined}");
}

#[test]
fn a_key_that_is_there_already_is_not_taken_twice() {
    let text = format!("id,account,key\nkey_a,acme,{OLD}\n");
    let existing = good(&text, Format::Csv);
    let (records, problems) = import(&text, Format::Csv, &existing);
    assert!(records.is_empty());
    let joined = problems.join("\n");
    assert!(joined.contains("line 2: the id `key_a` is in a key file already"), "{joined}");
    assert!(joined.contains("line 2: this key is known already as `key_a`"), "{joined}");
}

#[test]
fn columns_are_named_and_known() {
    let lines = |text: &str| import(text, Format::Csv, &[]).1.join("\n");
    assert!(lines("acount,key\n").contains("unknown column `acount`: did you mean `account`?"));
    assert!(lines("key,key\n").contains("column `key` stands twice"));
    let headless = lines(&format!("{OLD},acme\n"));
    assert!(headless.contains("the first line names no columns"), "{headless}");
    assert!(!headless.contains("sk_live"), "{headless}");
    let misplaced = lines(&format!("account,{OLD}\n"));
    assert!(misplaced.contains("unknown column 2"), "{misplaced}");
    assert!(!misplaced.contains("sk_live"), "{misplaced}");
    assert!(lines("").contains("holds no keys"));
    assert!(lines("account,key\n").contains("holds no keys"));
    let json = import("{\"account\":\"acme\",\"key\":5}\n[]\nnope\n", Format::JsonLines, &[]).1;
    let json = json.join("\n");
    assert!(json.contains("line 1: `key` wants a string"), "{json}");
    assert!(json.contains("line 2: this is no JSON object"), "{json}");
    assert!(json.contains("line 3: this is no JSON, at column"), "{json}");
}

#[test]
fn rows_do_not_print_their_values() {
    let row = Row { line: 1, cells: vec![("key", row::Cell::Text(OLD.to_owned()))] };
    assert!(!format!("{row:?}").contains("sk_live"));
    assert!(Name::new(OLD).is_ok());
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(text in "(account|key|digest|,|\n|\"|acme|\\{|\\}|:|\\PC){0,30}") {
        let _ = import(&text, Format::Csv, &[]);
        let _ = import(&text, Format::JsonLines, &[]);
    }
}
