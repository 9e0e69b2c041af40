//! Keys that exist already: clients go on with them, and only digests are kept.

use super::home::Home;

const FIRST: &str = "sk_live_0123456789abcdef";
const SECOND: &str = "sk_live_fedcba9876543210";

fn import(home: &Home, args: &[&str], stdin: &str) -> super::home::Said {
    home.run_with(&[&["keys", "import", "--keys", "keys.toml"], args].concat(), stdin)
}

#[test]
fn plain_keys_go_in_and_only_digests_are_kept() {
    let home = Home::new();
    let text = format!("key,name,access\n{FIRST},old app,write\n{SECOND},,\n");
    let done = import(&home, &["--account", "acme"], &text).done();
    assert_eq!(done, "2 keys imported into keys.toml\n");
    assert!(!home.text().contains("sk_live") && !home.text().contains("cdef0"));
    assert!(home.text().contains("hint = \"…cdef\""));
    for key in [FIRST, SECOND] {
        assert_eq!(home.status(key), ("active".to_owned(), 0));
    }
}

#[test]
fn a_file_of_json_lines_is_told_by_its_look() {
    let home = Home::new();
    home.write("old", format!("{{\"account\": \"acme\", \"key\": \"{FIRST}\"}}\n"));
    let made = import(&home, &["old", "--json"], "").json();
    assert_eq!(made[0]["account"], "acme");
    assert_eq!(home.status(FIRST).0, "active");
}

#[test]
fn bare_digests_need_to_be_told_what_they_are() {
    let home = Home::new();
    // What `printf %s sk_live_0123456789abcdef | sha256sum` prints.
    let hex = sha256sum(FIRST);
    let text = format!("account,digest\nacme,{hex}\n");
    let error = import(&home, &[], &text).refused();
    assert!(error.contains("say of what with `--hash`"), "{error}");
    import(&home, &["--hash", "sha256"], &text).done();
    assert_eq!(home.status(FIRST).0, "active");
    assert_eq!(import(&home, &["--hash", "md5"], &text).code, 2);
}

#[test]
fn one_bad_line_and_nothing_is_written() {
    let home = Home::new();
    let before = home.text();
    let text = format!("account,key\nacme,{FIRST}\nnobody,{SECOND}\nacme,short\n");
    let error = import(&home, &[], &text).refused();
    assert!(error.contains("line 3: its `account` does not exist"), "{error}");
    assert!(error.contains("line 4: its `key` does not match"), "{error}");
    assert!(error.contains("nothing was imported"), "{error}");
    assert!(!error.contains("sk_live"), "{error}");
    assert_eq!(home.text(), before);
}

#[test]
fn a_key_is_not_imported_twice() {
    let home = Home::new();
    let text = format!("account,key\nacme,{FIRST}\n");
    import(&home, &[], &text).done();
    let error = import(&home, &[], &text).refused();
    assert!(error.contains("line 2: this key is known already as `key_"), "{error}");
    assert_eq!(home.records().keys.len(), 1);
}

#[test]
fn what_is_not_text_is_refused() {
    let home = Home::new();
    let args = ["keys", "import", "--keys", "keys.toml"];
    let error = home.run_with(&args, b"account,key\n\xff\n").refused();
    assert!(error.contains("the input is not UTF-8, on line 2"), "{error}");
    let error = import(&home, &["none.csv"], "").refused();
    assert!(error.contains("`none.csv` does not exist"), "{error}");
    let error = import(&home, &[], "").refused();
    assert!(error.contains("`stdin` holds no keys"), "{error}");
}

fn sha256sum(text: &str) -> String {
    use keygate::keys::ApiKey;
    use keygate::keys::Digester;
    let digest = Digester::Sha256.digest(&ApiKey::new(text.as_bytes()));
    Digester::Sha256.format(&digest).strip_prefix("sha256:").unwrap().to_owned()
}
