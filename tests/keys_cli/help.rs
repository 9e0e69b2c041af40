//! What is generated from the table of commands, and what the help promises.

use std::fs;

use super::home::Home;

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn completions_are_made_for_every_shell() {
    let home = Home::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).done();
        assert!(script.contains("rotate") && script.contains("quickstart"), "{shell}");
    }
    assert_eq!(home.run(&["completions", "tcl"]).code, 2);
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let home = Home::empty();
    home.run(&["man", "pages"]).done();
    for page in ["keygate.1", "keygate-keys-create.1", "keygate-accounts-list.1", "keygate-run.1"] {
        let text = fs::read_to_string(home.path("pages").join(page)).unwrap();
        let title = format!(".TH {} 1 \"\" \"keygate {VERSION}\"", page.trim_end_matches(".1"));
        assert!(text.contains(&title) && text.contains("2 wrong usage"), "{page}:\n{text}");
    }
    assert!(home.run(&["man"]).done().contains(".TH keygate 1"));
    home.write("file", "");
    assert!(home.run(&["man", "file"]).refused().contains("`file` cannot be written"));
}

#[test]
fn help_is_an_answer_and_names_every_command() {
    let home = Home::empty();
    let help = home.run(&["--help"]).done();
    for command in [
        "quickstart",
        "init",
        "run",
        "check",
        "health",
        "keys",
        "accounts",
        "tokens",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}\n{help}");
    }
    let help = home.run(&["keys", "--help"]).done();
    for command in ["create", "list", "show", "revoke", "rotate", "delete", "import", "verify"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}\n{help}");
    }
    assert!(home.run(&["--version"]).done().starts_with("keygate "));
}

#[test]
fn the_example_of_the_help_works() {
    let home = Home::new();
    let help = home.run(&["keys", "create", "--help"]).done();
    assert!(help.contains("`keygate keys create --account acme | my-secret-store put`"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$0\" keys create --account acme --keys keys.toml | cat > store"]);
    shell.arg(super::home::KEYGATE).current_dir(home.path(""));
    assert!(shell.output().unwrap().status.success());
    let stored = fs::read_to_string(home.path("store")).unwrap();
    assert_eq!(home.status(&stored), ("active".to_owned(), 0));
}
