//! Commands that need root, systemd, a cluster or a registry: parsed. Their programs are known, the
//! flags of ours exist, the files and units that they name are in the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::blocks::Block;
use crate::blocks::blocks;
use crate::root;
use crate::shell::Shell;

/// Programs of others.
const OTHERS: [&str; 17] = [
    "apt-get",
    "certbot",
    "chmod",
    "chown",
    "cp",
    "curl",
    "echo",
    "install",
    "journalctl",
    "kubectl",
    "helm",
    "mkdir",
    "mv",
    "podman",
    "systemctl",
    "systemd-sysusers",
    "tail",
];

/// The words of every command of a block: comments and `sudo` are left out, continued lines joined.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let parts = lines.flat_map(|line| line.split(" && ")).flat_map(|line| line.split(" | "));
    let words = parts.map(|part| {
        let part = part.split(" #").next().unwrap_or_default();
        let words = part.split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_owned());
        words.skip_while(|word| word == "sudo").collect::<Vec<_>>()
    });
    words.filter(|words| !words.is_empty()).collect()
}

fn parsed() -> impl Iterator<Item = (usize, Vec<String>)> {
    let shown = blocks().into_iter().filter(|block| block.language == "sh");
    shown.flat_map(|Block { line, text, .. }| commands(&text).into_iter().map(move |c| (line, c)))
}

#[test]
fn what_is_not_run_is_well_formed() {
    let mut shell = Shell::new();
    let mut count = 0;
    for Block { line, text, .. } in blocks().iter().filter(|block| block.language == "sh") {
        fs::write(shell.path("block"), text).unwrap();
        assert_eq!(shell.run("bash -n block").status, 0, "deploy/README.md:{line}");
        count += 1;
    }
    for (line, words) in parsed() {
        let place = format!("deploy/README.md:{line}: `{}`", words.join(" "));
        // In an image the program is its entry point, and `--name keygate` is none.
        let at = words.iter().rposition(|word| word == "keygate" || word == "/keygate");
        let known = OTHERS.contains(&words[0].as_str());
        if let Some(at) = at.filter(|&at| at == 0 || words[0] == "podman") {
            flags_exist(&mut shell, &words[at + 1..], &place);
        }
        let script = words[0].starts_with("deploy/") && root().join(&words[0]).is_file();
        let ours = words[0] == "keygate";
        assert!(known || script || ours, "{place}: unknown program");
        if script {
            let help = shell.done(&format!("{} --help", root().join(&words[0]).display()));
            let flags = words[1..].iter().filter(|word| word.starts_with("--"));
            flags.for_each(|flag| assert!(help.contains(flag.as_str()), "{place}: {flag}"));
        }
    }
    assert!(count > 2);
}

/// Walks down the subcommands and looks every flag up in the help.
fn flags_exist(shell: &mut Shell, words: &[String], place: &str) {
    let mut chain = String::new();
    let mut help = shell.done("keygate --help");
    for word in words {
        if word.starts_with("--") {
            let flag = word.split('=').next().unwrap();
            let there = help.split_whitespace().any(|known| known.trim_end_matches(',') == flag);
            assert!(there, "{place}: `{flag}` is no option of `keygate{chain}`");
        } else if help.contains(&format!("\n  {word} ")) && help.contains("\nCommands:") {
            chain = format!("{chain} {word}");
            help = shell.done(&format!("keygate{chain} --help"));
        }
    }
    let alone = words.is_empty() || words.iter().any(|word| word == "--version");
    assert!(alone || !chain.is_empty(), "{place}: no such command");
}

#[test]
fn files_and_units_that_commands_name_exist() {
    let mut units = BTreeSet::new();
    files_below(&root().join("deploy"), &mut units);
    for (line, words) in parsed() {
        for word in &words {
            let place = format!("deploy/README.md:{line}: `{word}`");
            let path = word.split(['*', '<']).next().unwrap();
            if path.starts_with("deploy/") {
                assert!(root().join(path).exists(), "{place} does not exist");
            }
            let name = word.rsplit('/').next().unwrap();
            let unit = [".service", ".socket", ".timer"].iter().any(|kind| name.ends_with(kind));
            if name.starts_with("keygate") && unit {
                let template = units.contains(name);
                assert!(template, "{place} is no unit in deploy/");
            }
        }
    }
}

fn files_below(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, names);
        } else {
            names.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    let mut shell = Shell::new();
    let words = |text: &str| commands(text).remove(0);
    assert_eq!(words("sudo a 'b' \\\n  c  # d"), ["a", "b", "c"]);
    flags_exist(&mut shell, &words("keys list --json")[..], "here");
    for wrong in ["keys list --jason", "kees list", "run --keys x"] {
        let wrong = words(wrong);
        let seen = std::panic::catch_unwind(move || flags_exist(&mut Shell::new(), &wrong, "here"));
        assert!(seen.is_err());
    }
}
