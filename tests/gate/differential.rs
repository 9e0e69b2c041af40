//! What passes here is read alike by others: by Python's `json`, as it comes and as parsers with
//! other habits would read it, and by Node's `JSON.parse`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use http::Method;
use keygate::gate::{BodyRules, Denial, Pointer, Snapshot};
use keygate::keys::{AttributeRules, EventRules, KeyRecord, Permission};
use serde::{Deserialize, Serialize};

use crate::documents::documents;
use crate::world::{KEY, account, ask, inspecting, key, permissions, snapshot, world};

/// How many documents come from the generator.
const GENERATED: usize = 6_000;

/// The rules of a route, as the other readers get them.
#[derive(Clone, Debug, Default, Serialize)]
struct Rules {
    permission: Vec<&'static str>,
    events: Vec<&'static str>,
    attributes: Vec<&'static str>,
    tags: Vec<&'static str>,
}

/// What one of them finds; what is no string is `None`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Reading {
    permission: Vec<Option<String>>,
    events: Vec<Option<String>>,
    attributes: Vec<Option<String>>,
    tags: Vec<Option<String>>,
}

fn all_rules() -> Vec<Rules> {
    vec![
        Rules { events: vec!["/action", "/*/action"], ..Rules::default() },
        Rules { permission: vec!["/command", "/query"], ..Rules::default() },
        Rules { attributes: vec!["", "/attributes"], tags: vec!["/tags"], ..Rules::default() },
        Rules {
            events: vec!["/data/*/event/name", "/data/event/name", "/0/action"],
            attributes: vec!["/data/event"],
            tags: vec!["/data/tags/*"],
            ..Rules::default()
        },
        Rules { attributes: vec!["/*", "/*/attributes"], ..Rules::default() },
    ]
}

impl Rules {
    fn of_route(&self) -> BodyRules {
        let parse = |list: &[&str]| list.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        BodyRules {
            permission_from: parse(&self.permission),
            events_from: parse(&self.events),
            attributes_from: parse(&self.attributes),
            tags_from: parse(&self.tags),
            ..BodyRules::default()
        }
    }

    /// A world with one route of these rules, and one key.
    fn world(&self, restrict: impl FnOnce(&mut KeyRecord)) -> Snapshot {
        let mut record = key("key", KEY);
        restrict(&mut record);
        let route = inspecting("/", self.of_route());
        snapshot(world(vec![account("acme")], vec![record], vec![route]))
    }
}

#[test]
fn no_body_that_two_parsers_read_differently_is_forwarded() {
    let (rules, documents) = (all_rules(), documents(GENERATED));
    let others = readers(&rules, &documents);
    let open: Vec<Snapshot> = rules.iter().map(|rules| rules.world(|_| {})).collect();
    let (mut forwarded, mut disputed) = (0, 0);
    for (number, document) in documents.iter().enumerate() {
        let shown = shown(document);
        for (at, rules) in rules.iter().enumerate() {
            let read: Vec<&str> = others.iter().map(|found| &*found[number][at]).collect();
            let alike = read.iter().all(|found| *found == read[0]);
            disputed += usize::from(!alike);
            match judge(&open[at], document) {
                Ok(()) => {
                    assert!(alike, "forwarded, and read differently: {shown}\n{read:#?}");
                    let reading: Option<Reading> = serde_json::from_str(read[0]).unwrap();
                    let reading = reading.unwrap_or_else(|| panic!("only we read it: {shown}"));
                    compare(rules, document, &reading);
                    forwarded += 1;
                }
                Err(denial) => assert_eq!(denial, Denial::InvalidBody, "{shown}"),
            }
        }
    }
    // Else it would prove little.
    assert!(forwarded > GENERATED / 3, "only {forwarded} were forwarded");
    assert!(disputed > GENERATED / 50, "only {disputed} were read differently");
}

fn judge(snapshot: &Snapshot, document: &[u8]) -> Result<(), Denial> {
    ask(snapshot, &Method::POST, "/", document).map(drop)
}

/// A key that may do exactly what another parser reads may pass; take away any of it, and it may
/// not. So we read neither more nor less.
fn compare(rules: &Rules, document: &[u8], reading: &Reading) {
    let judge = |restrict: &dyn Fn(&mut KeyRecord)| judge(&rules.world(restrict), document);
    let shown = shown(document);
    for name in names(&reading.permission, document) {
        let none = |record: &mut KeyRecord| record.permissions = Some(permissions(&[]));
        assert_eq!(judge(&none), Err(Denial::MissingPermission), "{shown}");
        if Permission::new(&name).is_ok() {
            let it = |record: &mut KeyRecord| record.permissions = Some(permissions(&[&name]));
            assert_eq!(judge(&it), Ok(()), "{name} in {shown}");
        }
    }
    let events = names(&reading.events, document);
    if !events.is_empty() {
        let allow = |record: &mut KeyRecord| record.events = only(&events);
        assert_eq!(judge(&allow), Ok(()), "{events:?} in {shown}");
    }
    for event in &events {
        let deny = |record: &mut KeyRecord| record.events.deny = [event.as_str().into()].into();
        assert_eq!(judge(&deny), Err(Denial::EventNotAllowed), "{event} in {shown}");
    }
    let attributes = names(&reading.attributes, document);
    let tags = names(&reading.tags, document);
    let may = |attributes: &BTreeSet<String>, tags: &BTreeSet<String>| {
        let table = AttributeRules { allow: list(attributes), tags: list(tags) };
        judge(&|record| record.attributes = Some(Box::new(table.clone())))
    };
    assert_eq!(may(&attributes, &tags), Ok(()), "{attributes:?} {tags:?} in {shown}");
    let refused = Err(Denial::AttributeNotAllowed);
    for name in &attributes {
        assert_eq!(may(&without(&attributes, name), &tags), refused, "{name} in {shown}");
    }
    for tag in &tags {
        assert_eq!(may(&attributes, &without(&tags, tag)), refused, "{tag} in {shown}");
    }
}

/// As much of a document as one wants to see.
fn shown(document: &[u8]) -> String {
    document[..document.len().min(500)].escape_ascii().to_string()
}

fn names(found: &[Option<String>], document: &[u8]) -> BTreeSet<String> {
    let shown = shown(document);
    let name = |found: &Option<String>| found.clone().unwrap_or_else(|| panic!("{shown}"));
    found.iter().map(name).collect()
}

fn only(names: &BTreeSet<String>) -> EventRules {
    EventRules { allow: list(names), deny: Box::default() }
}

fn list(names: &BTreeSet<String>) -> Box<[Box<str>]> {
    names.iter().map(|name| name.as_str().into()).collect()
}

fn without(names: &BTreeSet<String>, name: &str) -> BTreeSet<String> {
    names.iter().filter(|its| *its != name).cloned().collect()
}

/// What one of the others finds: for each document, for each of the rules.
type Found = Vec<Vec<String>>;

/// What each of the others finds.
fn readers(rules: &[Rules], documents: &[Vec<u8>]) -> Vec<Found> {
    let mut input = serde_json::to_string(rules).unwrap() + "\n";
    for document in documents {
        input.extend(document.iter().map(|byte| format!("{byte:02x}")));
        input.push('\n');
    }
    let all = [
        ("python3", "read.py", "last"),
        ("python3", "read.py", "first"),
        ("python3", "read.py", "fold"),
        ("node", "read.mjs", "last"),
    ];
    let start = |(program, script, mode)| {
        let input = input.clone();
        std::thread::spawn(move || read(program, script, mode, input))
    };
    let running: Vec<_> = all.map(start).into();
    let found: Vec<Found> = running.into_iter().map(|run| run.join().unwrap()).collect();
    assert!(found.iter().all(|found| found.len() == documents.len()));
    found
}

fn read(program: &str, script: &str, mode: &str, input: String) -> Found {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate").join(script);
    let mut child = Command::new(program)
        .arg(script)
        .arg(mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` is needed: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "`{program}` failed");
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
