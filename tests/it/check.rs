//! `check` and `init`, as somebody types them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn keygate(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.current_dir(directory).args(arguments).env_remove("NO_COLOR").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn started(preset: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let output = keygate(directory.path(), &["init", "--preset", preset, "--self-signed"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    directory
}

#[test]
fn what_init_writes_is_right_and_nobody_elses_business() {
    for preset in ["minimal", "personyze", "polyteia", "synerise", "usetix"] {
        let directory = started(preset);
        let output = keygate(directory.path(), &["check"]);
        assert_eq!(code(&output), 0, "{preset}: {}", stderr(&output));
        let told = stderr(&output);
        let warnings: Vec<_> = told.lines().filter(|line| line.starts_with("warning")).collect();
        // Nobody could tell where to keep a key to sign with but those who run it.
        match preset {
            "synerise" => assert!(warnings.len() == 1 && told.contains("signing_key"), "{told}"),
            _ => assert_eq!(told, "", "{preset}"),
        }
        assert!(stdout(&output).starts_with("keygate.toml: ok, 0 keys of 0 accounts, "));
        for (name, mode) in [("keys.toml", 0o600), ("tls/server.key", 0o600)] {
            let file = fs::metadata(directory.path().join(name)).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, mode, "{preset}: {name}");
        }
    }
}

#[test]
fn init_overwrites_nothing_and_leaves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("keys.toml"), "# mine\n").unwrap();
    let output = keygate(directory.path(), &["init", "--preset", "usetix", "--self-signed"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("error: `./keys.toml` exists already"), "{}", stderr(&output));
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(fs::read_to_string(directory.path().join("keys.toml")).unwrap(), "# mine\n");
}

#[test]
fn a_preset_that_does_not_exist_is_answered_with_those_that_do() {
    let directory = tempfile::tempdir().unwrap();
    let output = keygate(directory.path(), &["init", "--preset", "nobodys"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("minimal, personyze, polyteia, synerise, usetix"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn check_says_everything_at_once_and_exits_with_1() {
    let directory = started("minimal");
    let path = directory.path();
    let config = fs::read_to_string(path.join("keygate.toml")).unwrap();
    fs::write(path.join("keygate.toml"), config.replace("certificate =", "certificat =")).unwrap();
    fs::write(path.join("keys.toml"), "[[key]]\nid = \"a\"\naccount = \"b\"\ndigest = \"x\"\n")
        .unwrap();
    let output = keygate(path, &["check", "--set", "upstream.timeuot=1s"]);
    assert_eq!((code(&output), stdout(&output)), (1, String::new()));
    let told = stderr(&output);
    for part in [
        "error: unknown field `certificat` in `[tls]`\n --> keygate.toml:9:1\n",
        "help: did you mean `certificate`?",
        "error: unknown field `timeuot` in `[upstream]`\n --> --set:1:10\n",
        "error: a digest begins with `sha256:`\n --> keys.toml:4:10\n",
        "keygate.toml: 4 errors",
    ] {
        assert!(told.contains(part), "{part}\n\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "colour, although this is no terminal");
}

#[test]
fn warnings_are_told_and_do_not_fail() {
    let directory = started("minimal");
    let path = directory.path();
    fs::set_permissions(path.join("keys.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = keygate(path, &["check"]);
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).starts_with("warning: everyone on this machine may read keys"));
    assert!(stdout(&output).starts_with("keygate.toml: ok, "));
}

#[test]
fn key_files_can_be_checked_alone_and_in_place_of_the_configurations() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.toml"), "[[account]]\nid = \"acme\"\n").unwrap();
    fs::set_permissions(directory.path().join("a.toml"), fs::Permissions::from_mode(0o600))
        .unwrap();
    let output = keygate(directory.path(), &["check", "--keys", "a.toml"]);
    assert_eq!(
        (code(&output), stdout(&output)),
        (0, "a.toml: ok, 0 keys of 1 account\n".to_owned())
    );
    let output = keygate(directory.path(), &["check", "--keys", "none.toml"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("`none.toml` does not exist"));
    let started = started("minimal");
    let file = directory.path().join("a.toml");
    let output = keygate(started.path(), &["check", "--keys", file.to_str().unwrap()]);
    assert!(stdout(&output).starts_with("keygate.toml: ok, 0 keys of 1 account, "));
}

#[test]
fn without_a_configuration_check_says_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let output = keygate(directory.path(), &["check"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("`keygate.toml` does not exist"), "{}", stderr(&output));
    assert!(stderr(&output).contains("`keygate init`"), "{}", stderr(&output));
}

#[test]
fn a_setting_that_is_none_is_wrong_usage_and_one_that_nobody_knows_is_invalid() {
    let started = started("minimal");
    for (setting, want) in [("nonsense", 2), ("=x", 2), ("nobody.knows=1", 1)] {
        for arguments in [&["check"][..], &["run"], &["explain", "GET", "/"]] {
            let arguments = [arguments, &["--set", setting]].concat();
            let output = keygate(started.path(), &arguments);
            assert_eq!(code(&output), want, "{arguments:?} {}", stderr(&output));
        }
    }
}
