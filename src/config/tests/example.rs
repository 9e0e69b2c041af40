//! What the project ships as configuration is what it says it is.

use std::fs;
use std::path::Path;

use super::LEAST;
use super::config;
use super::now;
use super::stage;
use crate::config::Config;
use crate::config::load;
use crate::config::load_keys;

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Everything that a configuration says, but where it says it.
fn said(config: &Config) -> String {
    let text = format!("{config:#?}");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("place: "));
    lines.collect::<Vec<_>>().join("\n")
}

/// `#name = value` and `#[[route]]` show a default; `# prose` and `#   name = value` do not.
fn is_default(line: &str) -> bool {
    line.strip_prefix('#')
        .is_some_and(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
}

#[test]
fn the_example_loads_and_says_nothing_but_defaults() {
    let stage = stage();
    let example = shipped("config.example.toml");
    assert_eq!(said(&config(stage.path(), &example, &[])), said(&config(stage.path(), LEAST, &[])));
}

#[test]
fn each_default_that_the_example_shows_is_the_default() {
    let stage = stage();
    let example = shipped("config.example.toml");
    let least = said(&config(stage.path(), LEAST, &[]));
    let lines: Vec<_> = example.lines().collect();
    let defaults: Vec<_> = (0..lines.len()).filter(|at| is_default(lines[*at])).collect();
    assert!(defaults.len() > 60, "{}", defaults.len());
    for at in &defaults {
        // A route is its header and its path; every other default is one line.
        let header = lines[*at].starts_with("#[[");
        if at.checked_sub(1).is_some_and(|before| lines[before].starts_with("#[[")) {
            continue;
        }
        let mut changed: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        for line in &mut changed[*at..=at + usize::from(header)] {
            line.remove(0);
        }
        let said = said(&config(stage.path(), &changed.join("\n"), &[]));
        // Without the two texts, which fill screens.
        assert!(said == least, "line {}: {}", at + 1, lines[*at]);
    }
    let all: Vec<_> = lines
        .iter()
        .map(|line| line.strip_prefix('#').filter(|_| is_default(line)).unwrap_or(line))
        .collect();
    assert_eq!(said(&config(stage.path(), &all.join("\n"), &[])), least);
}

#[test]
fn everything_that_the_example_shows_can_be_written() {
    let stage = stage();
    let mut text = String::new();
    for line in shipped("config.example.toml").lines() {
        let shown = line
            .strip_prefix("#   ")
            .filter(|rest| rest.starts_with(['[']) || rest.contains(" = "))
            // Not every build can send spans.
            .filter(|rest| cfg!(feature = "otlp") || !rest.starts_with("endpoint = "));
        text.push_str(shown.unwrap_or(line));
        text.push('\n');
    }
    for (name, content) in [
        ("tls/clients.pem", "tls/server.crt"),
        ("tls/upstream.pem", "tls/server.crt"),
        ("tls/example.crt", "tls/other.crt"),
        ("tls/example.key", "tls/other.key"),
    ] {
        fs::copy(stage.path().join(content), stage.path().join(name)).unwrap();
    }
    let config = config(stage.path(), &text, &["upstream.url=https://127.0.0.1:3000"]);
    let route = &config.routes.list()[0];
    assert_eq!(route.path.as_str(), "/accounts/{account}/users/{id}");
    assert!(route.in_flight.is_some() && route.timeout.is_some() && route.profile_from.is_some());
    assert_eq!(route.body.tags_from.len() + route.body.events_from.len(), 3);
    assert!(route.body.max_body.is_some() && route.rate.is_some());
    assert!(config.keys.pepper_file.is_some() && config.keys.revocations.is_some());
    assert!(config.upstream.tls.is_some());
    assert_eq!(config.tls.unwrap().named.len(), 2);
}

#[test]
fn every_preset_loads_without_a_word_and_holds_no_key() {
    let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/presets");
    let mut seen = 0;
    for entry in fs::read_dir(&presets).unwrap() {
        let preset = entry.unwrap().path();
        if !preset.is_dir() {
            continue;
        }
        let stage = stage();
        for name in ["keygate.toml", "keys.toml"] {
            super::write(&stage.path().join(name), fs::read(preset.join(name)).unwrap());
        }
        let loaded = load(&stage.path().join("keygate.toml"), &[], now());
        let mut told = loaded.problems.lines();
        // No key is shipped, so a preset that mints tokens begins with one in memory, and says so.
        told.retain(|line| !line.contains("without a `signing_key`"));
        assert_eq!(told, Vec::<String>::new(), "{}", preset.display());
        let keyring = load_keys(&loaded.config.unwrap().keys, None);
        assert_eq!(keyring.problems.render(false), "", "{}", preset.display());
        assert_eq!(keyring.keys.unwrap().table.len(), 0);
        seen += 1;
    }
    assert!(seen >= 3);
}
