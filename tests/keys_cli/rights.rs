//! What a key may send and change, and whether end users may authenticate with it.

use keygate::keys::KeyRecord;

use super::home::Home;

fn texts(list: &[Box<str>]) -> Vec<&str> {
    list.iter().map(|text| &**text).collect()
}

fn only(home: &Home) -> KeyRecord {
    let keys = home.records().keys;
    let [record] = keys.as_slice() else { panic!("one key") };
    record.clone()
}

fn salt(record: &KeyRecord) -> Option<String> {
    record.simple_auth.as_ref().unwrap().salt.as_deref().map(str::to_owned)
}

const PROFILE: [&str; 3] = ["--kind", "profile", "--simple-auth"];

#[test]
fn lists_take_commas_and_can_be_given_several_times() {
    let home = Home::new();
    let (id, _) = home.create(&[
        "--events-allow",
        "page.visit,form.submit",
        "--events-allow",
        "a b",
        "--events-deny",
        "x,y",
        "--attributes",
        "firstName,lastName",
        "--tags",
        "vip",
    ]);
    let record = only(&home);
    assert_eq!(texts(&record.events.allow), ["page.visit", "form.submit", "a b"]);
    assert_eq!(texts(&record.events.deny), ["x", "y"]);
    let rules = record.attributes.unwrap();
    assert_eq!(texts(&rules.allow), ["firstName", "lastName"]);
    assert_eq!(texts(&rules.tags), ["vip"]);
    let shown = home.keys(&["show", &id]).done();
    for line in ["page.visit form.submit a b", "x y", "firstName lastName", "vip"] {
        assert!(shown.contains(line), "`{line}` is not in\n{shown}");
    }
}

#[test]
fn what_is_not_listed_beside_a_list_is_told() {
    let home = Home::new();
    let said = home.keys(&["create", "--account", "acme", "--attributes", "a"]);
    assert!(said.err.contains("the key may change no tag: with --attributes"), "{}", said.err);
    let none = home.keys(&["create", "--account", "acme", "--attributes", "", "--tags", ""]);
    assert!(!none.err.contains("the key may change no"), "{}", none.err);
    let read = home.records();
    let rules = read.keys[1].attributes.as_ref().unwrap();
    assert!(rules.allow.is_empty() && rules.tags.is_empty());
    let args = ["create", "--account", "acme", "--events-allow", "a,b", "--events-deny", "b"];
    let both = home.keys(&args).err;
    assert!(both.contains("event `b` is in both lists, so that it is refused"), "{both}");
}

#[test]
fn an_empty_event_is_no_restriction_and_so_a_mistake() {
    let home = Home::new();
    for list in ["", "a,,b"] {
        let said = home.keys(&["create", "--account", "acme", "--events-allow", list]);
        assert_eq!(said.code, 2);
        assert!(said.err.contains("it names no event"), "{}", said.err);
    }
    assert!(home.records().keys.is_empty());
}

#[test]
fn piped_the_key_is_alone_and_the_salt_is_told_beside_it() {
    let home = Home::new();
    let said = home.keys(&[&["create", "--account", "acme"], &PROFILE[..]].concat());
    let key = said.out.strip_suffix('\n').unwrap();
    assert!(key.starts_with("kg_") && key.len() == 52, "{key}");
    let salt = salt(&only(&home)).unwrap();
    assert_eq!(salt.len(), 22);
    assert!(said.err.lines().any(|line| line == format!("salt: {salt}")), "{}", said.err);
    assert!(!said.out.contains(&salt));
}

#[test]
fn programs_find_the_salt_beside_the_key() {
    let home = Home::new();
    let args = [&["create", "--account", "acme", "--json"], &PROFILE[..]].concat();
    let said = home.keys(&args);
    assert!(!said.err.contains("salt"), "{}", said.err);
    let made = said.json();
    assert_eq!(made["salt"].as_str().map(str::to_owned), salt(&only(&home)));
    assert_eq!((&made["simple_auth"], &made["salted"]), (&true.into(), &true.into()));
}

#[test]
fn without_a_salt_there_is_none_to_tell() {
    let home = Home::new();
    let said = home.keys(&[&["create", "--account", "acme", "--no-salt"], &PROFILE[..]].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!said.err.contains("salt:"), "{}", said.err);
    let record = only(&home);
    assert_eq!(salt(&record), None);
    let shown = home.keys(&["show", record.id.as_str()]).done();
    assert!(shown.contains("simple auth  without a salt"), "{shown}");
}

#[test]
fn a_salt_is_never_shown_again() {
    let home = Home::new();
    let (id, key) = home.create(&PROFILE);
    let salt = salt(&only(&home)).unwrap();
    let said = [
        home.keys(&["show", &id]).done(),
        home.keys(&["show", &id, "--json"]).done(),
        home.keys(&["list"]).done(),
        home.keys(&["list", "--json"]).done(),
        home.verify(&key).done(),
    ];
    assert!(said[0].contains("simple auth  with a salt"), "{}", said[0]);
    let rotated = home.keys(&["rotate", &id]);
    for text in said.iter().chain([&rotated.out, &rotated.err]) {
        assert!(!text.contains(&salt), "{text}");
    }
}

#[test]
fn rotation_keeps_everything() {
    let home = Home::new();
    let lists = ["--events-allow", "a", "--events-deny", "b", "--attributes", "c", "--tags", "d"];
    let (id, _) = home.create(&[&PROFILE[..], &lists[..]].concat());
    home.keys(&["rotate", &id]).done();
    let keys = home.records().keys;
    let [old, new] = keys.as_slice() else { panic!("two keys") };
    assert_eq!(texts(&new.events.allow), ["a"]);
    assert_eq!(texts(&new.events.deny), ["b"]);
    assert_eq!(texts(&new.attributes.as_ref().unwrap().allow), ["c"]);
    assert_eq!(texts(&new.attributes.as_ref().unwrap().tags), ["d"]);
    assert_eq!(new.kind, old.kind);
    assert!(salt(new).is_some() && salt(new) == salt(old));
}

#[test]
fn simple_authentication_is_for_profile_keys() {
    let home = Home::new();
    let error = home.keys(&["create", "--account", "acme", "--simple-auth"]).refused();
    assert!(error.contains("simple authentication is for profile keys"), "{error}");
    assert!(error.contains("add `--kind profile`"), "{error}");
    let alone = home.keys(&["create", "--account", "acme", "--no-salt"]);
    assert_eq!(alone.code, 2);
    assert!(alone.err.contains("--simple-auth"), "{}", alone.err);
    assert!(home.records().keys.is_empty());
}

#[test]
fn keys_that_exist_bring_their_rights_along() {
    let home = Home::new();
    let text = "account,key,kind,attributes,simple_auth,salt\n\
                acme,sk_live_0123456789abcdef,profile,\"a,b\",true,grain-of-salt\n";
    let args = ["keys", "import", "--json", "--keys", "keys.toml"];
    let said = home.run_with(&args, text);
    assert!(!said.out.contains("grain") && !said.err.contains("grain"), "{}", said.out);
    let made = said.json();
    assert_eq!((&made[0]["simple_auth"], &made[0]["salted"]), (&true.into(), &true.into()));
    assert_eq!(salt(&only(&home)).as_deref(), Some("grain-of-salt"));
}
