//! Files that are broken, missing, forbidden or on a full disk: a clear error, and nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::process::Stdio;

use super::home::Home;
use super::home::KEYGATE;
use super::home::Said;

const DIGEST: &str = "1111111111111111111111111111111111111111111111111111111111111111";

#[test]
fn an_account_must_exist_before_its_keys() {
    let home = Home::empty();
    let error = home.keys(&["create", "--account", "acme"]).refused();
    assert!(error.contains("account `acme` does not exist"), "{error}");
    assert!(error.contains("`keygate accounts create acme`"), "{error}");
    assert!(home.files().is_empty());
    let home = Home::new();
    let again = home.run(&["accounts", "create", "acme", "--keys", "keys.toml"]).refused();
    assert!(again.contains("account `acme` exists already"), "{again}");
    for command in [["list"].as_slice(), &["verify"], &["show", "k"], &["revoke", "k"]] {
        let said = Home::empty().keys(command);
        assert_eq!(said.code, 1, "{command:?}");
        assert!(!said.err.is_empty(), "{command:?}");
    }
}

#[test]
fn a_file_of_no_bytes_is_refused_by_all_but_a_first_account() {
    let home = Home::with("");
    for command in [["list"].as_slice(), &["create", "--account", "acme"], &["revoke", "k"]] {
        let error = home.keys(command).refused();
        assert!(error.contains("`keys.toml` is empty"), "{command:?}: {error}");
    }
    let said = home.verify("a-key-that-nobody-knows");
    assert_eq!(said.code, 1);
    assert!(said.err.contains("`keys.toml` is empty"), "{}", said.err);
    home.run(&["accounts", "create", "acme", "--keys", "keys.toml"]).done();
    home.create(&[]);
}

#[test]
fn what_is_not_utf8_is_refused_and_stays_as_it_is() {
    let home = Home::empty();
    let bytes = b"[[account]]\nid = \"\xff\"\n";
    home.write("keys.toml", bytes);
    for command in [["list"].as_slice(), &["create", "--account", "acme"], &["revoke", "k"]] {
        let said = home.keys(command);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("is not UTF-8: byte 18 (line 2)"), "{}", said.err);
    }
    assert_eq!(fs::read(home.path("keys.toml")).unwrap(), bytes);
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let pipe = |home: &Home, name: &str| {
        let _ = fs::remove_file(home.path(name));
        rustix::fs::mkfifoat(rustix::fs::CWD, home.path(name), 0o600.into()).unwrap();
    };
    let home = Home::new();
    let (id, _) = home.create(&[]);
    pipe(&home, ".keys.toml.lock");
    for command in [["create", "--account", "acme"].as_slice(), &["revoke", &id]] {
        let error = home.keys(command).refused();
        assert!(error.contains(".keys.toml.lock` cannot be locked"), "{command:?}: {error}");
    }
    pipe(&home, "keys.toml");
    for command in [
        ["keys", "create", "--account", "acme"].as_slice(),
        &["accounts", "create", "other"],
        &["keys", "revoke", &id],
        &["keys", "list"],
        &["keys", "verify"],
    ] {
        let said = home.run_with(&[command, &["--keys", "keys.toml"]].concat(), "a-key");
        assert_eq!(said.code, 1, "{command:?}: {}", said.out);
        let wanted = ["regular file", "put a regular file in its place"];
        wanted.iter().for_each(|it| assert!(said.err.contains(it), "{command:?}: {}", said.err));
    }
}

#[test]
fn every_mistake_of_a_file_is_told_and_no_key_is_made_in_it() {
    let text = format!(
        "[[account]]\nid = \"acme\"\n[[key]]\nid = \"a\"\naccount = \"acme\"\n\
         digest = \"sha256:12\"\n[[key]]\nid = \"b\"\naccount = \"acme\"\n\
         digest = \"sha256:{DIGEST}\"\nexpires = 2027-02-20T10:00:00\nacess = \"read\"\n"
    );
    let home = Home::with(&text);
    let error = home.keys(&["create", "--account", "acme"]).refused();
    for complaint in [
        "a digest has 64 hexadecimal digits, this one has 2",
        "keys.toml:6:10",
        "add `Z` if it is UTC",
        "did you mean `access`?",
    ] {
        assert!(error.contains(complaint), "`{complaint}` is not in\n{error}");
    }
    assert_eq!(home.text(), text);
    // A leaked key can be revoked all the same, even the one that is wrong itself.
    let done = home.keys(&["revoke", "b"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("add `Z`"), "{}", done.err);
    assert!(home.text().contains("acess = \"read\"\nrevoked = 20"), "{}", home.text());
    let listed = home.keys(&["list"]);
    assert_eq!(listed.code, 1);
}

#[test]
fn a_full_disk_leaves_the_old_file_and_says_so() {
    let home = Home::new();
    home.write("keys.toml", format!("{}{}", home.text(), "# filler\n".repeat(1000)));
    let before = home.text();
    // A limit on the size of files: writing fails half-way, as on a full disk.
    let script =
        "trap '' XFSZ; ulimit -f 4; exec \"$0\" keys create --account acme --keys keys.toml";
    let mut command = Command::new("sh");
    command.args(["-c", script, KEYGATE]).current_dir(home.path(""));
    let error = Said::from(command.output().unwrap()).refused();
    assert!(error.contains("`keys.toml` cannot be written: File too large"), "{error}");
    assert!(error.contains("nothing was changed"), "{error}");
    assert_eq!(home.text(), before);
    assert_eq!(home.files(), [".keys.toml.lock", "keys.toml"]);
    home.create(&[]);
}

#[test]
fn a_key_that_could_not_be_shown_is_named() {
    let home = Home::new();
    let mut command = home.command(&["keys", "create", "--account", "acme", "--keys", "keys.toml"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command.stdout(Stdio::from(full)).output().unwrap();
    let error = Said::from(output).refused();
    let id = home.records().keys[0].id.to_string();
    assert!(error.contains(&format!("key `{id}` was made, but could not be shown")), "{error}");
    assert!(error.contains(&format!("`keygate keys delete {id}`")), "{error}");
}

#[test]
fn what_may_not_be_read_or_written_is_refused() {
    let home = Home::new();
    home.create(&[]);
    let before = home.text();
    let open = |path: &str, mode| {
        fs::set_permissions(home.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Copied by another process: a file that another test's child still holds open for writing,
    // inherited from us, could not be run.
    let copied = Command::new("cp").arg(KEYGATE).arg(home.path("keygate")).status().unwrap();
    assert!(copied.success());
    open("", 0o755);
    open("keygate", 0o755);
    open("keys.toml", 0o600);
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new(home.path("keygate"));
        command.args(args).args(["--keys", "keys.toml"]).current_dir(home.path(""));
        if rustix::process::getuid().is_root() {
            command.uid(65_534).gid(65_534);
        } else {
            open("keys.toml", 0o000);
            open("", 0o555);
        }
        Said::from(command.output().unwrap())
    };
    let error = as_nobody(&["keys", "list"]);
    assert_eq!(error.code, 1);
    assert!(error.err.contains("`keys.toml` may not be read"), "{}", error.err);
    if rustix::process::getuid().is_root() {
        open("keys.toml", 0o644);
    }
    let error = as_nobody(&["keys", "create", "--account", "acme"]);
    assert_eq!(error.code, 1);
    open("", 0o755);
    open("keys.toml", 0o600);
    assert_eq!(home.text(), before);
}

#[test]
fn wrong_usage_is_2_and_a_key_among_the_arguments_is_not_repeated() {
    let home = Home::new();
    let (_, key) = home.create(&[]);
    let said = home.run(&["keys", "verify", &key, "--keys", "keys.toml"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(!said.err.contains(&key[3..]), "{}", said.err);
    assert!(said.err.contains("Secrets are never taken as arguments"), "{}", said.err);
    for args in [
        ["keys", "create"].as_slice(),
        &["keys", "create", "--account", "a b"],
        &["keys", "create", "--account", "acme", "--access", "admin"],
        &["keys", "create", "--account", "acme", "--expires", "2027-01-01T00:00:00"],
        &["keys", "create", "--account", "acme", "--ip", "203.0.113.7/24"],
        &["keys", "rotate", "k", "--now", "--overlap", "1h"],
        &["keys", "frobnicate"],
        &["nonsense"],
        &[],
    ] {
        assert_eq!(home.run(args).code, 2, "{args:?}");
    }
    let past = ["create", "--account", "acme", "--expires", "2020-01-01"];
    let error = home.keys(&past).refused();
    assert!(error.contains("would have expired already"), "{error}");
    let error = home.run_with(&["keys", "verify", "--keys", "keys.toml"], "\n").refused();
    assert!(error.contains("there is no key on stdin"), "{error}");
}

/// In a hurry somebody wants to know what else can be done.
#[test]
fn an_account_in_a_file_that_is_no_toml_is_shown_the_way_by_the_revocations() {
    let home = Home::empty();
    home.write("keys.toml", "[[account]]\nid = \"acme\"\n[[key]\nid = \"a\"\n");
    for (revocations, told) in
        [("", "add `revocations = \"revoked.txt\"`"), ("revocations = \"over.txt\"\n", "over.txt`")]
    {
        home.write("keygate.toml", format!("[keys]\n{revocations}"));
        home.write("over.txt", "");
        let error = home.run(&["accounts", "disable", "acme"]).refused();
        for told in [
            "account `acme` cannot be disabled",
            "keys.toml:3:",
            "write the ids of its keys into",
            "whatever the key files say",
            told,
        ] {
            assert!(error.contains(told), "`{told}` is not in\n{error}");
        }
        assert!(!error.contains("create it first"), "{error}");
    }
    home.write("keys.toml", "[[account]]\nid = \"acme\"\ndisabled = true\n[[key]\n");
    let error = home.run(&["accounts", "enable", "acme"]).refused();
    assert!(error.contains("cannot be enabled") && !error.contains("ids of its keys"), "{error}");
    home.write("keys.toml", "[[account]]\nid = \"acme\"\n");
    assert!(home.run(&["accounts", "enable", "acme"]).done().contains("enabled already"));
    let error = home.run(&["accounts", "disable", "acne"]).refused();
    assert!(error.contains("did you mean `acme`?"), "{error}");
}

/// What stands in a file that does not load is not in force.
#[test]
fn an_account_is_not_called_switched_already_by_a_file_that_does_not_load() {
    let home = Home::empty();
    home.write("keygate.toml", "[keys]\nrevocations = \"over.txt\"\n");
    home.write("over.txt", "");
    for (word, done, line, told) in [
        ("disable", "disabled", "disabled = true\n", "write the ids of its keys into `over.txt`"),
        ("enable", "enabled", "", "correct what is told below, and try again"),
    ] {
        home.write("keys.toml", format!("[[account]]\nid = \"acme\"\n{line}[[key]\n"));
        let error = home.run(&["accounts", word, "acme"]).refused();
        for told in [&format!("cannot be {done}: "), "is not in force", "[[key]", "help: ", told] {
            assert!(error.contains(told), "{word}: `{told}` is not in\n{error}");
        }
    }
}

#[test]
fn a_key_in_the_place_of_its_id_is_not_repeated_and_the_way_to_its_id_is_told() {
    let home = Home::new();
    let (_, key) = home.create(&[]);
    for command in ["show", "revoke", "rotate", "delete"] {
        let error = home.keys(&[command, &key]).refused();
        assert!(!error.contains(&key[3..]), "{command}: {error}");
        assert!(error.contains("what was given is a key"), "{command}: {error}");
        assert!(error.contains("`keygate keys verify` reads a key on stdin"), "{command}: {error}");
    }
}

#[test]
fn what_was_put_into_a_key_file_by_mistake_is_repeated_by_no_command() {
    let home = Home::new();
    let (id, key) = home.create(&[]);
    home.write("keys.toml", format!("{}\n{key}\n", home.text()));
    for command in [
        ["keys", "list"].as_slice(),
        &["keys", "create", "--account", "acme"],
        &["keys", "revoke", &id],
        &["keys", "rotate", &id],
        &["keys", "delete", &id],
        &["accounts", "list"],
        &["accounts", "create", "other"],
        &["accounts", "disable", "acme"],
        &["accounts", "enable", "acme"],
    ] {
        let said = home.run(&[command, &["--keys", "keys.toml"]].concat());
        assert_eq!(said.code, 1, "{command:?}");
        assert!(!said.err.contains(&key[3..]), "{command:?}: {}", said.err);
    }
}
