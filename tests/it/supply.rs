//! What is linked into the program, read from `Cargo.lock`.

use std::path::Path;

struct Package {
    name: String,
    version: Vec<u64>,
    source: Option<String>,
    checksum: bool,
}

fn packages() -> Vec<Package> {
    let text = include_str!("../../Cargo.lock");
    let blocks = text.split("[[package]]").skip(1);
    let of = |block: &str, name: &str| {
        let prefix = format!("{name} = \"");
        let line = block.lines().find_map(|line| line.strip_prefix(&prefix))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let version = |text: String| {
        let numbers = text.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap());
        numbers.collect()
    };
    let package = |block: &str| Package {
        name: of(block, "name").unwrap(),
        version: version(of(block, "version").unwrap()),
        source: of(block, "source"),
        checksum: of(block, "checksum").is_some_and(|sum| sum.len() == 64),
    };
    blocks.map(package).collect()
}

/// Older ones read conflicting lengths as one, and have no limit on the resets that they are made
/// to send.
#[test]
fn the_http_libraries_are_no_older_than_their_last_known_holes() {
    for (name, least) in [("hyper", [1, 12, 0]), ("h2", [0, 4, 20])] {
        let packages = packages();
        let found: Vec<_> = packages.iter().filter(|package| package.name == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].version[..] >= least[..], "{name} {:?}", found[0].version);
    }
}

#[test]
fn every_dependency_is_of_the_registry_and_held_to_its_content() {
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let mut ours = Vec::new();
    let packages = packages();
    assert!(packages.len() > 100);
    for package in packages {
        match package.source {
            None => ours.push(package.name),
            Some(source) => {
                assert!(source == registry && package.checksum, "{}", package.name);
            }
        }
    }
    assert!(ours.iter().all(|name| name.starts_with("keygate")), "{ours:?}");
}

#[test]
fn no_code_of_ours_is_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    // Forbidden, so that no exception can be written.
    assert!(manifest.contains("\nunsafe_code = \"forbid\"\n"));
    let lints = manifest.split("\n[").any(|table| table.starts_with("lints.rust]"));
    assert!(lints, "the lints of the package itself");
}
