//! Which files, which prefix, which digests: what `keygate.toml` says of keys.

use super::home::Home;

#[test]
fn the_configuration_says_where_keys_are_and_how_they_look() {
    let home = Home::empty();
    home.write("conf/keygate.toml", "[keys]\nprefix = \"acme\"\ndefault_access = \"write\"\n");
    let config = ["--config", "conf/keygate.toml"];
    home.run(&[&["accounts", "create", "a"], &config[..]].concat()).done();
    let key = home.run(&[&["keys", "create", "--account", "a"], &config[..]].concat()).done();
    assert!(key.starts_with("acme_"), "{key}");
    assert!(home.path("conf/keys.toml").exists());
    let said = home.run_with(&[&["keys", "verify", "--json"], &config[..]].concat(), &key).json();
    assert_eq!(said["access"], "write");
    // What is wrong elsewhere in a configuration does not keep a key from being revoked.
    let id = said["id"].as_str().unwrap();
    home.run(&[&["keys", "revoke", id], &config[..]].concat()).done();
}

#[test]
fn a_mistake_in_keys_stops_everything() {
    let home = Home::empty();
    home.write("keygate.toml", "[keys]\npeper_file = \"pepper\"\n");
    let error = home.run(&["accounts", "create", "a"]).refused();
    assert!(error.contains("unknown field `peper_file`"), "{error}");
    assert!(!home.path("keys.toml").exists());
}

#[test]
fn where_the_keys_are_named_only_a_pepper_that_is_not_known_stops_a_command() {
    let home = Home::new();
    let (id, key) = home.create(&[]);
    let named = ["--keys", "keys.toml"];
    for (mistake, told) in [
        ("files = []", "`files` names no file"),
        ("pattern = \"[\"", "is not a regular expression"),
        ("fils = [\"keys.toml\"]", "unknown field `fils`"),
        ("rotate_after = 7", "rotate_after"),
    ] {
        home.write("keygate.toml", format!("[keys]\n{mistake}\n"));
        let said = home.run(&[&["keys", "show", &id], &named[..]].concat());
        assert!(said.code == 0 && said.err.contains(told), "{mistake}: {} {}", said.code, said.err);
        assert_eq!(home.run_with(&[&["keys", "verify"], &named[..]].concat(), &key).code, 0);
        let error = home.run(&["keys", "show", &id]).refused();
        assert!(error.contains(told), "{error}");
    }
    for mistake in ["pepper_file = 7", "peper_file = \"pepper\""] {
        home.write("keygate.toml", format!("[keys]\n{mistake}\n"));
        let error = home.run(&[&["keys", "show", &id], &named[..]].concat()).refused();
        assert!(error.contains("pepper_file"), "{mistake}: {error}");
    }
    home.write("keygate.toml", "[keys]\nfiles = []\n");
    home.run(&[&["keys", "revoke", &id], &named[..]].concat()).done();
}

#[test]
fn no_key_is_made_or_taken_over_that_the_gate_might_not_know() {
    let home = Home::new();
    let (id, _) = home.create(&[]);
    home.write("old.csv", format!("account,key\nacme,{}\n", "a1".repeat(20)));
    let before = home.text();
    let named = ["--keys", "keys.toml"];
    let adding: [&[&str]; 3] = [
        &["keys", "create", "--account", "acme"],
        &["keys", "rotate", &id],
        &["keys", "import", "old.csv"],
    ];
    for (mistake, told) in [
        ("prefix = \"a b\"", "`a b` cannot be a prefix"),
        ("prefix = 7", "prefix"),
        ("prefx = \"acme\"", "did you mean `prefix`?"),
        ("pattern = \"[\"", "is not a regular expression"),
        ("brand = \"acme\"", "known here: "),
    ] {
        for header in ["[keys]", "[ \"keys\" ]"] {
            home.write("keygate.toml", format!("{header}\n{mistake}\n"));
            for command in adding {
                let error = home.run(&[command, &named[..]].concat()).refused();
                let placed = error.contains("keygate.toml:2:") && error.contains("help:");
                assert!(error.contains(told) && placed, "{mistake}: {error}");
            }
        }
    }
    for header in ["[[keys]]", "[key]", "[Keys]", "[keys.brand]"] {
        home.write("keygate.toml", format!("{header}\nprefix = \"acme\"\n"));
        for command in adding {
            let error = home.run(&[command, &named[..]].concat()).refused();
            assert!(error.contains("keygate.toml:1:") && error.contains("help:"), "{error}");
        }
    }
    for line in ["keys = 7", "prefix = \"acme\""] {
        home.write("keygate.toml", line);
        let error = home.run(&[adding[0], &named[..]].concat()).refused();
        assert!(error.contains("keygate.toml:1:"), "{error}");
    }
    assert_eq!(home.text(), before);
    // What does not concern how keys look keeps none from being made.
    home.write("keygate.toml", "[keys]\nfiles = []\nprefix = \"acme\"\n");
    let key = home.run(&[adding[0], &named[..]].concat()).done();
    assert!(key.starts_with("acme_"), "{key}");
}

#[test]
fn no_key_is_called_valid_while_the_revocations_cannot_be_read() {
    let home = Home::new();
    let (id, key) = home.create(&[]);
    let (dead, other) = home.create(&[]);
    home.keys(&["revoke", &dead]).done();
    let named = ["--keys", "keys.toml"];
    home.write("damaged.txt", "key_1\nno id\n");
    for (line, told) in [
        ("revocations = 7", "`revocations`"),
        ("revocation = \"damaged.txt\"", "did you mean `revocations`?"),
        ("revocations = \"none.txt\"", "none.txt` does not exist"),
        ("revocations = \"damaged.txt\"", "damaged.txt:2:"),
        ("revocations = \"keys.d\"", "keys.d"),
    ] {
        home.write("keygate.toml", format!("[keys]\n{line}\n"));
        home.write("keys.d/none", "");
        for verify in [&["keys", "verify"][..], &["keys", "verify", "--json"]] {
            let error = home.run_with(&[verify, &named[..]].concat(), &key).refused();
            let said = format!("whether key `{id}` is revoked cannot be told");
            assert!(error.contains(&said) && error.contains(told), "{line}: {error}");
            // What is revoked by its record, or not there at all, is all the same.
            let said = home.run_with(&[verify, &named[..]].concat(), &other);
            assert!(said.code == 1 && said.out.contains("revoked"), "{line}: {}", said.out);
            let said = home.run_with(&[verify, &named[..]].concat(), "x".repeat(40));
            assert!(said.code == 1 && said.out.contains("unknown"), "{line}: {}", said.out);
        }
        for look in [&["keys", "show", &id][..], &["keys", "list"]] {
            let said = home.run(&[look, &named[..]].concat());
            let warned = "keys may be revoked that are not shown as such";
            assert!(said.err.contains(warned) && said.err.contains(told), "{line}: {}", said.err);
            assert_eq!(said.code, 0);
        }
        home.run(&[&["keys", "revoke", &dead], &named[..]].concat()).done();
    }
    for config in ["[[keys]]\n", "[key]\n", "[Keys]\n", "[keys.x]\n", "", "keys = 7\n#"] {
        home.write("keygate.toml", format!("{config}revocations = \"damaged.txt\"\n"));
        let error = home.run_with(&[&["keys", "verify"], &named[..]].concat(), &key).refused();
        assert!(error.contains("keygate.toml:1:"), "{error}");
    }
    home.write("damaged.txt", "key_1\n");
    home.write("keygate.toml", "[keys]\nrevocations = \"damaged.txt\"\n");
    assert_eq!(home.run_with(&[&["keys", "verify"], &named[..]].concat(), &key).code, 0);
}

#[test]
fn without_a_configuration_it_says_what_to_do() {
    let error = Home::empty().run(&["keys", "list"]).refused();
    assert!(error.contains("`keygate.toml` does not exist"), "{error}");
}

#[test]
fn with_a_pepper_digests_are_keyed() {
    let home = Home::empty();
    home.write("keygate.toml", "[keys]\npepper_file = \"pepper\"\n");
    home.write("pepper", "0123456789abcdef0123456789abcdef\n");
    home.run(&["accounts", "create", "a"]).done();
    let key = home.run(&["keys", "create", "--account", "a"]).done();
    assert!(home.text().contains("digest = \"hmac-sha256:"));
    home.run_with(&["keys", "verify"], &key).done();
    home.write("pepper", "another-pepper-another-pepper\n");
    assert_eq!(home.run_with(&["keys", "verify"], &key).code, 1);
}

#[test]
fn revocations_count_whatever_the_record_says() {
    let home = Home::empty();
    home.write("keygate.toml", "[keys]\nrevocations = \"revoked.txt\"\n");
    home.write("revoked.txt", "# none\n");
    home.run(&["accounts", "create", "acme"]).done();
    let (id, key) = home.create(&[]);
    assert_eq!(home.run_with(&["keys", "verify"], &key).code, 0);
    home.write("revoked.txt", &id);
    let said = home.run_with(&["keys", "verify", "--json"], &key);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("\"status\": \"revoked\""), "{}", said.out);
}

#[test]
fn a_directory_is_searched_and_takes_new_records_in_one_file() {
    let home = Home::empty();
    home.write("keygate.toml", "[keys]\nfiles = [\"keys.d\"]\n");
    home.write("keys.d/a.toml", "[[account]]\nid = \"acme\"\n");
    let key = home.run(&["keys", "create", "--account", "acme"]).done();
    assert!(home.path("keys.d/keys.toml").exists());
    let other = ["keys", "create", "--account", "acme", "--json", "--file", "keys.d/b.toml"];
    let made = home.run(&other).json();
    assert!(home.path("keys.d/b.toml").exists());
    let listed = home.run(&["keys", "list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    home.run_with(&["keys", "verify"], &key).done();
    let done = home.run(&["keys", "revoke", made["id"].as_str().unwrap()]).done();
    assert!(done.contains("keys.d/b.toml"), "{done}");
}

#[test]
fn an_id_that_is_in_two_files_is_not_guessed() {
    let home = Home::empty();
    home.write("keygate.toml", "[keys]\nfiles = [\"a.toml\", \"b.toml\"]\n");
    for (name, digit) in [("a.toml", "1"), ("b.toml", "2")] {
        let digest = digit.repeat(64);
        let account = if digit == "1" { "[[account]]\nid = \"acme\"\n" } else { "" };
        let key =
            format!("[[key]]\nid = \"k\"\naccount = \"acme\"\ndigest = \"sha256:{digest}\"\n");
        home.write(name, format!("{account}{key}"));
    }
    let error = home.run(&["keys", "revoke", "k"]).refused();
    assert!(error.contains("defined twice: in `a.toml` and `b.toml`"), "{error}");
}

#[test]
fn a_profile_key_is_not_made_for_basic_where_the_account_is_the_user() {
    let home = Home::empty();
    let config = |user: &str| {
        format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\nhttp_accepts = \"everything\"\n\
             [upstream]\nurl = \"http://127.0.0.1:1\"\n\
             [credentials]\nbasic = {{ username = \"{user}\" }}\n"
        )
    };
    home.write("keygate.toml", config("account"));
    home.run(&["accounts", "create", "acme"]).done();
    let create = ["keys", "create", "--account", "acme", "--kind", "profile", "--basic"];
    let error = home.run(&create).refused();
    assert!(error.contains("a profile key cannot be presented by Basic"), "{error}");
    assert!(home.records().keys.is_empty());
    home.write("keygate.toml", config("api"));
    home.run(&create).done();
}
