//! `tests/config/NAME.toml` against `NAME.stderr`: what a configuration is told, to the letter.
//!
//! A line `# --set …` in a case is an override; `NAME.keys.toml` stands for its key file. With
//! `SNAPSHOTS=overwrite` the expected texts are written anew.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use proptest::prelude::*;

use super::now;
use super::stage;
use super::write;
use crate::config::load;
use crate::config::load_keys;

/// What `check` would print of a case, without the directory's name.
fn told(stage: &Path, overrides: &[String]) -> String {
    let loaded = load(&stage.join("keygate.toml"), overrides, now());
    let mut problems = loaded.problems;
    if let Some(keys) = loaded.keys {
        problems.extend(load_keys(&keys, None).problems);
    }
    let told = problems.render(false) + &problems.tally();
    told.replace(&format!("{}/", stage.display()), "")
}

#[test]
fn every_mistake_is_told_with_its_place_and_its_remedy() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.to_string_lossy().ends_with(".toml"));
    cases.retain(|path| !path.to_string_lossy().ends_with(".keys.toml"));
    cases.sort();
    assert!(cases.len() > 10, "the cases are missing");
    for case in cases {
        let stage = stage();
        let text = fs::read_to_string(&case).unwrap();
        let overrides: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# --set "))
            .map(String::from)
            .collect();
        write(&stage.path().join("keygate.toml"), &text);
        let keys = case.with_extension("keys.toml");
        if keys.exists() {
            write(&stage.path().join("keys.toml"), fs::read(keys).unwrap());
        }
        let expected = snapbox::Data::read_from(&case.with_extension("stderr"), None);
        snapbox::Assert::new()
            .action_env("SNAPSHOTS")
            .normalize_paths(false)
            .eq(told(stage.path(), &overrides), expected);
    }
}

#[test]
fn a_secret_that_stands_in_the_wrong_place_is_never_told() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut told = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "stderr") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("hunter2"), "{}", path.display());
            told += 1;
        }
    }
    assert!(told > 10);
}

/// Pieces of what people write, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,6}",
        "[a-z_]{1,10} = ",
        "\\[{1,2}[a-z]{1,6}\\]{1,2}\n",
        Just("[listen]\nhttps = ".to_owned()),
        Just("[upstream]\nurl = ".to_owned()),
        Just("[credentials]\nbasic = { username = ".to_owned()),
        Just("[[route]]\npath = ".to_owned()),
        Just("in_flight = { max = ".to_owned()),
        Just("[responses]\nno_route = { status = ".to_owned()),
        Just("\"".to_owned()),
        Just("\"/a/{b}\"".to_owned()),
        Just("[\"GET\"]".to_owned()),
        Just("}\n".to_owned()),
        Just("\n".to_owned()),
        Just("4".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\r\n".to_owned()),
        Just("\0".to_owned()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_and_reported_without_a_panic(text in pieces(), set in pieces()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keygate.toml");
        fs::write(&path, &text).unwrap();
        let loaded = load(&path, &[set], now());
        prop_assert_eq!(loaded.config.is_some(), !loaded.problems.fatal());
        prop_assert!(loaded.problems.is_empty() || !loaded.problems.render(true).is_empty());
    }
}
