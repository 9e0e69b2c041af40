//! Any text in `keygate.toml`, in a key file, and after `--set`: a world comes of it, or problems
//! that can be shown.
//!
//! The three stand one after the other, with a line `# keys.toml` and a line `# --set` in between.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use keygate::config;
use keygate::live::World;
use keygate::observe::Metrics;
use keygate_fuzz::stage::now;
use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// What leads out of the directory, or could be spelled so that this list does not see it.
const OUTSIDE: [&str; 10] =
    ["/dev", "/proc", "/sys", "..", "\\u", "\\U", "\\x", "\\\n", "\\\r", "\\ "];

fuzz_target!(|text: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(text) else { return Corpus::Reject };
    if OUTSIDE.iter().any(|out| text.contains(out)) {
        return Corpus::Reject;
    }
    let (text, overrides) = text.split_once("# --set\n").unwrap_or((text, ""));
    let (text, keys) = text.split_once("# keys.toml\n").unwrap_or((text, ""));
    let overrides: Vec<String> = overrides.lines().map(str::to_owned).collect();
    let path = DIRECTORY.path().join("keygate.toml");
    fs::write(&path, text).unwrap();
    fs::write(DIRECTORY.path().join("keys.toml"), keys).unwrap();
    let loaded = config::load(&path, &overrides, now());
    assert_eq!(loaded.config.is_none(), loaded.problems.fatal());
    let _shown = (loaded.problems.render(true), loaded.problems.lines(), loaded.problems.tally());
    let Some(keys) = loaded.keys else { return Corpus::Keep };
    let keyring = config::load_keys(&keys, None);
    assert_eq!(keyring.keys.is_none(), keyring.problems.fatal());
    let _shown = (keyring.problems.render(false), keyring.problems.lines());
    if let Some((config, keys)) = loaded.config.zip(keyring.keys) {
        let _world = World::new(&config, keys, &keyring.revocations, 1, &Metrics::new());
    }
    Corpus::Keep
});
