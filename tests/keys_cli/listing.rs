//! What is listed, for people and for programs.

use super::home::Home;

const FILE: &str = r#"
[[account]]
id = "acme"
[[account]]
id = "beta"
name = "Beta"
permissions = []
disabled = true

[[key]]
id = "key_old"
account = "acme"
digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
created = 2020-01-01T00:00:00Z
name = "wipe \u001b[2J me"
hint = "…q7Xk"

[[key]]
id = "key_undated"
account = "beta"
digest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
access = "write"
expires = 2020-01-01
simple_auth = { salt = "pepper-and-salt" }

[[key]]
id = "key_new"
account = "acme"
digest = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
created = 2999-01-01
revoked = 2026-12-01
"#;

fn ids(home: &Home, args: &[&str]) -> Vec<String> {
    let listed = home.keys(&[&["list", "--json"], args].concat()).json();
    let ids = listed.as_array().unwrap().iter();
    ids.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn people_get_columns_and_no_escape_that_a_file_smuggles_in() {
    let home = Home::with(FILE);
    let table = home.keys(&["list"]).done();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["ID", "ACCOUNT", "NAME", "ACCESS", "KIND", "STATUS", "CREATED", "EXPIRES", "HINT"]
    );
    let column = lines[0].find("STATUS").unwrap();
    let statuses: Vec<_> = lines[1..]
        .iter()
        .map(|line| line.chars().skip(column).take_while(|c| *c != ' ').collect::<String>())
        .collect();
    assert_eq!(statuses, ["active", "expired", "revoked"]);
    assert!(!table.contains('\u{1b}'), "{table}");
    assert!(table.contains("2020-01-01  "));
}

#[test]
fn programs_get_everything_but_digests_and_salts() {
    let home = Home::with(FILE);
    let text = home.keys(&["list", "--json"]).done();
    assert!(!text.contains("11111111") && !text.contains("pepper-and-salt"), "{text}");
    let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = &listed[1];
    assert_eq!(key["access"], "write");
    assert_eq!(key["expires"], "2020-01-01T00:00:00Z");
    assert_eq!(key["simple_auth"], true);
    assert_eq!(listed[2]["revoked"], "2026-12-01T00:00:00Z");
    assert_eq!(listed[0]["access"], "read");
    assert_eq!(listed[0]["permissions"], serde_json::Value::Null);
}

#[test]
fn keys_are_found_by_account_and_age() {
    let home = Home::with(FILE);
    assert_eq!(ids(&home, &[]), ["key_old", "key_undated", "key_new"]);
    assert_eq!(ids(&home, &["--account", "acme"]), ["key_old", "key_new"]);
    assert_eq!(ids(&home, &["--older-than", "180d"]), ["key_old", "key_undated"]);
    assert!(ids(&home, &["--account", "acme", "--older-than", "36500d"]).is_empty());
    let error = home.keys(&["list", "--account", "acne"]).refused();
    assert!(error.contains("account `acne` does not exist"), "{error}");
    assert!(error.contains("did you mean `acme`?"), "{error}");
}

#[test]
fn keys_that_are_due_are_those_that_are_older_than_configured() {
    let home = Home::with(FILE);
    let error = home.keys(&["list", "--due"]).refused();
    assert!(error.contains("how old a key may become"), "{error}");
    assert!(error.contains("rotate_after"), "{error}");
    home.write("keygate.toml", "[keys]\nrotate_after = \"180d\"\n");
    assert_eq!(ids(&home, &["--due"]), ["key_old"]);
    assert!(ids(&home, &["--account", "beta", "--due"]).is_empty());
}

#[test]
fn last_use_is_not_pretended_to_be_known() {
    let said = Home::with(FILE).keys(&["list", "--unused-for", "90d"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("no record of last use is kept"), "{}", said.err);
}

#[test]
fn accounts_are_listed_with_their_keys() {
    let home = Home::with(FILE);
    let table = home.run(&["accounts", "list", "--keys", "keys.toml"]).done();
    let words: Vec<Vec<_>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["acme", "active", "2", "not", "limited"]);
    assert_eq!(words[2], ["beta", "Beta", "disabled", "1", "none"]);
    let listed = home.run(&["accounts", "list", "--json", "--keys", "keys.toml"]).json();
    assert_eq!(listed[1]["disabled"], true);
    assert_eq!(listed[0]["keys"], 2);
    assert_eq!(listed[1]["permissions"], serde_json::json!([]));
}

#[test]
fn one_key_is_shown_with_the_file_it_is_in() {
    let home = Home::with(FILE);
    let text = home.keys(&["show", "key_undated"]).done();
    assert!(text.contains("account      beta\n") && text.contains("file         keys.toml\n"));
    assert!(text.contains("permissions  none\n"), "{text}");
    assert!(!text.contains("pepper-and-salt") && !text.contains("2222"));
    let error = home.keys(&["show", "key_undatde"]).refused();
    assert!(error.contains("there is no key `key_undatde`"), "{error}");
    assert!(error.contains("did you mean `key_undated`?"), "{error}");
}
