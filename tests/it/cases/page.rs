//! The page about the presets says what holds each statement of the documents: what it names must
//! be there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::file::CaseFile;

const SYSTEMS: [&str; 4] = ["personyze", "polyteia", "synerise", "usetix"];

/// What a page names: cases by their file, and functions of the tests.
#[derive(Default)]
struct Named {
    cases: BTreeMap<String, BTreeSet<String>>,
    functions: BTreeSet<String>,
}

/// Reads `` `file.toml` "case", "case" `` and `` `module::function` `` wherever they stand.
fn read(page: &str) -> Named {
    let mut named = Named::default();
    let (mut rest, mut file) = (page, "");
    while let Some(opened) = rest.split_once(['`', '"']) {
        let quote = if rest.as_bytes()[opened.0.len()] == b'"' { '"' } else { '`' };
        let (word, after) = opened.1.split_once(quote).expect("a closing quote");
        if quote == '"' {
            let case = word.split_whitespace().collect::<Vec<_>>().join(" ");
            let cases = named.cases.get_mut(file);
            cases.unwrap_or_else(|| panic!("`{case}` of which file?")).insert(case);
        } else if word.ends_with(".toml") && !word.contains('/') {
            named.cases.entry(word.to_owned()).or_default();
            file = word;
        } else if word.contains("::") {
            named.functions.insert(word.to_owned());
        }
        rest = after;
    }
    named
}

fn page() -> Named {
    read(include_str!("../../../deploy/presets/README.md"))
}

fn tests() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

#[test]
fn every_case_that_the_page_names_is_played() {
    let page = page();
    assert!(page.cases.len() > SYSTEMS.len());
    for (name, wanted) in &page.cases {
        let there: BTreeSet<_> = CaseFile::read(name).cases.into_iter().map(|c| c.name).collect();
        let missing: Vec<_> = wanted.difference(&there).collect();
        assert!(missing.is_empty(), "{name} has no {missing:?}");
    }
}

#[test]
fn every_function_that_the_page_names_is_there() {
    let functions = page().functions;
    assert!(!functions.is_empty());
    functions.iter().for_each(|path| is_a_test(path));
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let page = include_str!("../../../SECURITY.md");
    let words = page.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> = words.filter(|word| word.contains("::")).collect();
    assert!(named.len() > 50, "{named:?}");
    named.into_iter().for_each(is_a_test);
}

fn is_a_test(path: &str) {
    let (module, name) = path.rsplit_once("::").unwrap();
    let place = module.replace("::", "/");
    let other = ["keys_cli::", "gate::"].iter().any(|binary| module.starts_with(binary));
    let file = if other { tests().join(place) } else { tests().join("it").join(place) };
    let (file, directory) = (file.with_extension("rs"), file.join("mod.rs"));
    let file = if file.exists() { file } else { directory };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    let is_there = |attribute: &str| text.contains(&format!("{attribute}\nfn {name}() {{"));
    let measures = is_there("#[ignore = \"it measures time\"]");
    // A property stands in a macro, and takes what it is tried with.
    let property = text.contains(&format!("    #[test]\n    fn {name}(\n"));
    assert!(is_there("#[test]") || measures || property, "no test `{path}`");
}

#[test]
fn the_page_names_every_file_of_cases_of_the_four_systems() {
    let named = page().cases;
    for entry in std::fs::read_dir(tests().join("cases")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let system = name.split(['-', '.']).next().unwrap();
        assert!(!SYSTEMS.contains(&system) || named.contains_key(&name), "{name} is not named");
    }
}

#[test]
fn a_page_is_read_as_it_is_written() {
    let named = read("`x = \"y\"` | `a.toml` \"one\", \"two\n words\"; `b::c`\n`p/k.toml`");
    let cases: Vec<_> = named.cases["a.toml"].iter().map(String::as_str).collect();
    assert_eq!((cases, named.cases.len()), (vec!["one", "two words"], 1));
    assert_eq!(named.functions.first().map(String::as_str), Some("b::c"));
}
