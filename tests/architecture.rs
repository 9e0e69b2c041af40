//! The order of the modules, and what each must not know, read from the sources themselves.
//!
//! Fails closed: a module that this file does not name is an error, and so is a name here without
//! a module.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that panics is a test that fails"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with what it must not know, in the order in which they may use one another: a
/// module uses only those above it. A word is forbidden wherever it stands as a whole path or
/// word outside of comments, strings and tests.
const MODULES: &[(&str, &[&str])] = &[
    ("source", &["tokio", "hyper", "rustls", "http", "tracing"]),
    ("clock", &["tokio", "hyper", "rustls", "http", "tracing", "std::fs", "std::net"]),
    ("keys", &["tokio", "hyper", "rustls", "http", "TcpStream", "TcpListener", "UdpSocket"]),
    (
        "gate",
        &[
            "tokio",
            "hyper",
            "tracing",
            "serde",
            "toml",
            "async",
            "await",
            "std::fs",
            "std::os",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "crate::clock",
            "Instant::now",
        ],
    ),
    ("config", &["tokio", "hyper"]),
    ("observe", &["hyper", "ApiKey", "KeyDigest", "Digester", "MintedKey"]),
    ("live", &["hyper"]),
    ("proxy", &["toml", "toml_edit", "std::fs", "File"]),
    ("admin", &["toml", "toml_edit", "rustls", "ApiKey", "KeyDigest", "MintedKey"]),
    ("export", &["toml", "toml_edit", "std::fs", "ApiKey", "KeyDigest", "MintedKey"]),
    ("serve", &["clap"]),
    ("cli", &["hyper"]),
];

/// No file is longer than a reader's patience.
const LONGEST: usize = 450;

struct File {
    path: PathBuf,
    module: String,
    text: String,
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let module = first.strip_suffix(".rs").unwrap_or(first).to_owned();
            if inside.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            files.push(File { path: inside.to_owned(), module, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 40, "found only {} files: is this the right directory?", files.len());
    files
}

/// A file's code without comments, the contents of strings, and the tests at its end.
fn code(text: &str) -> String {
    let tests = ["#[cfg(test)]\nmod tests", "#[cfg(test)]\npub(super) mod tests"];
    let end = tests.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    let text = &text[..end];
    let (mut code, mut at) = (String::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            at += rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len());
        } else if rest.starts_with('"') {
            at += string_length(rest);
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\'") {
            at += rest[1..].find('\'').map_or(1, |end| end + 2);
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            code.push_str(&text[at..at + length]);
            at += length;
        }
    }
    code
}

/// The number of `#` of a raw string that begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` stands in `code` with nothing of a name around it.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The modules that a file's code names from the crate's root.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "keygate::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].chars().next_back().is_some_and(is_word) {
                continue;
            }
            let rest = code[at + root.len()..].trim_start();
            let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
            // A list is shown as it is written, and so is found in no module.
            found.push(if name.is_empty() { rest.chars().take(20).collect() } else { name });
        }
    }
    found
}

fn rank(module: &str) -> Option<usize> {
    MODULES.iter().position(|(name, _)| *name == module)
}

/// What is wrong with one file of a module, one complaint a line.
fn complaints(module: &str, text: &str) -> String {
    let (code, mut complaints) = (code(text), String::new());
    let Some(own) = rank(module) else {
        return format!("module `{module}` is not in the order; add it to tests/architecture.rs\n");
    };
    for used in uses(&code) {
        let _ = match rank(&used) {
            Some(other) if other <= own => Ok(()),
            Some(_) => writeln!(complaints, "`{module}` uses `{used}`, which comes after it"),
            None => writeln!(complaints, "`crate::{used}` names no module of the order"),
        };
    }
    for word in MODULES[own].1.iter().filter(|word| mentions(&code, word)) {
        let _ = writeln!(complaints, "`{module}` must not know `{word}`");
    }
    complaints
}

#[test]
fn every_module_uses_only_those_before_it_and_knows_only_what_it_may() {
    let mut all = String::new();
    for file in sources() {
        if ["lib", "main"].contains(&file.module.as_str()) {
            continue;
        }
        for complaint in complaints(&file.module, &file.text).lines() {
            let _ = writeln!(all, "src/{}: {complaint}", file.path.display());
        }
    }
    assert!(all.is_empty(), "\n{all}");
}

#[test]
fn the_order_names_exactly_the_modules_that_there_are() {
    let library = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let library = library.unwrap();
    let mut declared: Vec<&str> = library
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .filter_map(|rest| rest.strip_suffix(';'))
        .collect();
    let mut ordered: Vec<&str> = MODULES.iter().map(|(name, _)| *name).collect();
    declared.sort_unstable();
    ordered.sort_unstable();
    assert_eq!(declared, ordered);
}

#[test]
fn the_binary_knows_only_the_command_line() {
    let main = sources().into_iter().find(|file| file.module == "main").unwrap();
    assert_eq!(uses(&code(&main.text)), ["cli"]);
}

#[test]
fn every_file_says_what_it_is_for_and_none_is_too_long() {
    let mut lengths = BTreeMap::new();
    for file in sources() {
        let path = file.path.display().to_string();
        assert!(file.text.starts_with("//! "), "src/{path} does not begin with what it is for");
        lengths.insert(path, file.text.lines().count());
    }
    let long: Vec<_> = lengths.iter().filter(|(_, lines)| **lines > LONGEST).collect();
    assert!(long.is_empty(), "longer than {LONGEST} lines: {long:?}");
}

#[test]
fn a_step_back_a_forbidden_word_and_an_unknown_module_are_noticed() {
    assert!(complaints("gate", "use crate::proxy::handle;").contains("comes after"));
    assert!(
        complaints("gate", "fn f() { crate :: clock::now() } use crate::clock;").contains("clock")
    );
    assert!(complaints("gate", "pub async fn decide() {}").contains("async"));
    assert!(complaints("gate", "use crate::{proxy, keys};").contains("names no module"));
    assert!(complaints("observe", "fn log(key: &ApiKey<'_>) {}").contains("ApiKey"));
    assert!(complaints("cache", "").contains("not in the order"));
    assert!(complaints("config", "use crate::cache::Cache;").contains("names no module"));
}

#[test]
fn comments_strings_and_tests_do_not_count() {
    let text = r##"//! Must not know hyper.
        /* tokio */ use crate::keys::KeyId; // crate::proxy
        const A: &str = "tokio \" async"; const B: &str = r#"hyper " tracing"#; const Q: char = '"';
        fn hyperbole() {}
#[cfg(test)]
mod tests { use crate::cli; }"##;
    assert_eq!(complaints("gate", text), "");
    assert!(
        complaints("gate", &format!("const Q: char = '\"';\nuse tokio; {text}")).contains("tokio")
    );
}
