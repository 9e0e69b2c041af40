//! The tables of the page beside what the program knows: nothing is missing, nothing invented.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keygate::gate::Denial;
use regex_lite::Regex;
use serde_json::Value;

use crate::page;
use crate::root;
use crate::shell::Shell;

/// The rows of the tables below a heading, as far as the next heading: the text of each cell.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What stands in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_refusal_is_in_the_manual_with_its_status() {
    let rows = rows("## Refusals");
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            assert!(row.len() == 5 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
            (code(&row[0]).next().unwrap().to_owned(), row[1].parse::<u16>().unwrap())
        })
        .collect();
    let known: Vec<_> =
        Denial::ALL.iter().map(|it| (it.name().to_owned(), it.default_status())).collect();
    assert_eq!(
        told.iter().collect::<BTreeSet<_>>(),
        known.iter().collect::<BTreeSet<_>>(),
        "told, and known"
    );
    assert_eq!(told.len(), known.len(), "one of them is told twice");
}

/// A configuration that shows every series, and requests that count in them.
const EVERYTHING: &str = include_str!("everything.sh");

/// What the program names and the operator does not.
const CLOSED: [&str; 9] =
    ["connection", "days", "kind", "limiter", "listener", "outcome", "result", "state", "within"];

/// The labels of a family, with their values.
type Labels = BTreeMap<String, BTreeSet<String>>;

/// The families of an exposition.
fn families(text: &str) -> BTreeMap<String, Labels> {
    let mut families = BTreeMap::<String, Labels>::new();
    let mut family = String::new();
    let label = Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).unwrap();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            families.entry(family.clone()).or_default();
        } else if let (false, Some((_, rest))) = (line.starts_with('#'), line.split_once('{')) {
            for found in label.captures_iter(rest).filter(|found| &found[1] != "le") {
                let labels = families.get_mut(&family).unwrap();
                labels.entry(found[1].to_owned()).or_default().insert(found[2].to_owned());
            }
        }
    }
    families
}

/// The families that the manual's table names, as `name{label,label}`.
fn told() -> BTreeMap<String, BTreeSet<String>> {
    let mut told = BTreeMap::new();
    for row in rows("## Metrics") {
        assert!(row.len() == 2 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        for name in code(&row[0]) {
            let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let labels = labels.map(str::to_owned).collect::<BTreeSet<_>>();
            assert!(told.insert(name.to_owned(), labels).is_none(), "{name} is told twice");
        }
    }
    told
}

#[test]
fn every_metric_is_in_the_manual_with_its_labels() {
    let mut shell = Shell::new();
    shell.install("api", &root().join("tests/manual/api.py"));
    shell.done(EVERYTHING);
    let families = families(&shell.done("curl -sf http://127.0.0.1:9090/metrics"));
    let names = |labels: &Labels| labels.keys().cloned().collect();
    let exposed = families.iter().map(|(name, labels)| (name.clone(), names(labels))).collect();
    assert_eq!(told(), exposed, "told, and exposed by the program");
    let rows = rows("## Metrics");
    for (name, labels) in families {
        let its = |row: &&Vec<String>| code(&row[0]).any(|it| it.split('{').next() == Some(&name));
        let said: Vec<_> = code(&rows.iter().find(its).unwrap()[1]).collect();
        let closed = labels.iter().filter(|(label, _)| CLOSED.contains(&label.as_str()));
        for value in closed.flat_map(|(_, values)| values) {
            assert!(said.contains(&value.as_str()), "{name} can be `{value}`");
        }
    }
}

#[test]
fn every_metric_that_is_named_anywhere_exists() {
    let (page, mut told) = (page(), told());
    let mut sources = String::new();
    sources_below(&root().join("src"), &mut sources);
    // What only a build with another feature has, the sources name, without the `_total`.
    for row in rows("### Traces") {
        let name = code(&row[0]).next().unwrap().split('{').next().unwrap();
        assert!(sources.contains(&format!("\"{}\"", name.trim_end_matches("_total"))), "{name}");
        told.insert(name.to_owned(), BTreeSet::new());
    }
    let names = page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for name in names.filter(|name| name.starts_with("keygate_") || name.starts_with("process_")) {
        let bases = ["", "_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
        let there = bases.into_iter().flatten().any(|base| told.contains_key(base));
        // `keygate::access` and the like are no metrics, `keygate_*` is a pattern.
        assert!(there || name == "keygate_", "`{name}` is no metric");
    }
}

#[test]
fn every_member_of_the_access_log_is_in_the_manual() {
    let mut shell = Shell::new();
    shell.install("api", &root().join("tests/manual/api.py"));
    shell.done(EVERYTHING);
    // A method of nobody's, and no API.
    let ask = "curl -s -o answer --cacert tls/server.crt -H \"Authorization: Bearer $KEY\"";
    shell.done(&format!("{ask} -X PURGE https://127.0.0.1:8443/things"));
    shell.done(&format!("kill $API; wait $API || {ask} https://127.0.0.1:8443/things"));
    shell.done("kill $PID; wait $PID");
    let log = shell.done("cat access.log");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    assert!(lines.len() >= 4, "{log}");
    let written = lines.iter().flat_map(|line| line.as_object().unwrap().keys().cloned());
    let rows = rows("### The access log");
    let told = rows.iter().flat_map(|row| code(&row[0])).map(str::to_owned);
    assert_eq!(told.collect::<BTreeSet<_>>(), written.collect(), "told, and written");
}

#[test]
fn every_member_of_the_audit_log_is_in_the_manual() {
    let mut shell = Shell::new();
    shell.install("api", &root().join("tests/manual/api.py"));
    shell.done(EVERYTHING);
    shell.done("keygate accounts disable acme && keygate keys revoke $(keygate keys list | awk 'NR == 2 { print $1 }')");
    shell.done("until grep '\"revoked\":1' audit.log; do sleep 0.1; done; kill $PID; wait $PID");
    let log = shell.done("cat audit.log");
    let lines: Vec<_> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    let rows = rows("### The audit log");
    let told: BTreeSet<_> = rows.iter().flat_map(|row| code(&row[0])).collect();
    let mut written = BTreeSet::new();
    for line in &lines {
        let event = line["event"].as_str().unwrap();
        assert!(told.contains(event), "{event}");
        written.extend(line.as_object().unwrap().keys().map(String::as_str));
    }
    assert_eq!(written.difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new(), "{log}");
    // What is seldom written stands in the sources.
    let mut sources = String::new();
    sources_below(&root().join("src"), &mut sources);
    for name in told.difference(&written) {
        assert!(sources.contains(&format!("\"{name}\"")), "nothing writes `{name}`");
    }
}

#[test]
fn every_line_of_the_log_that_is_told_of_is_one() {
    let mut sources = String::new();
    sources_below(&root().join("src"), &mut sources);
    for row in rows("### The log") {
        for message in code(&row[0]) {
            let there = sources.contains(&format!("\"{message}\""));
            assert!(there, "nothing says `{message}`");
        }
    }
}

fn sources_below(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources_below(&path, text),
            false => text.push_str(&fs::read_to_string(&path).unwrap()),
        }
    }
}

#[test]
fn what_needs_a_restart_is_said() {
    let source = fs::read_to_string(root().join("src/config/mod.rs")).unwrap();
    let (_, rest) = source.split_once("fn needs_restart").unwrap();
    let known = Regex::new(r#"\("([a-z_.]+)", "#).unwrap();
    let body = rest.split("\n    }\n").next().unwrap();
    let known: BTreeSet<_> = known.captures_iter(body).map(|found| found[1].to_owned()).collect();
    let page = page();
    let (_, rest) = page.split_once("| live | needs a restart |").unwrap();
    let cell = rest.lines().nth(2).unwrap().split(" | ").nth(1).unwrap();
    let told: BTreeSet<_> = code(cell).map(str::to_owned).collect();
    assert!(!known.is_empty());
    assert_eq!(told, known, "told, and known");
}

#[test]
fn every_preset_and_reason_that_is_named_exists() {
    let page = page();
    for line in page.lines().filter(|line| line.contains("\"reason\":\"")) {
        let reason = line.split("\"reason\":\"").nth(1).unwrap().split('"').next().unwrap();
        let known = Denial::from_name(reason).is_some() || reason == "invalid_credential";
        assert!(known || reason.contains('…'), "{reason}");
    }
    assert!(fs::exists(root().join("deploy/presets/minimal")).unwrap());
}

#[test]
fn labels_are_read_off_samples() {
    let text = "# TYPE a_total counter\na_total{x=\"1\",y=\"b,c\"} 1\n# TYPE b gauge\nb 1\n\
                # TYPE c histogram\nc_bucket{le=\"1\",r=\"/{*rest}\"} 1\n";
    let told = |name: &str| format!("{:?}", families(text)[name]);
    assert_eq!(told("a_total"), r#"{"x": {"1"}, "y": {"b,c"}}"#);
    assert_eq!((told("b").as_str(), told("c").as_str()), ("{}", r#"{"r": {"/{*rest}"}}"#));
}
