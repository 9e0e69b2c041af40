//! What is shown and kept: a table for people, JSON for programs, a plot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::check::{Check, seconds};
use crate::ledger::{Books, End, Fault, Kind, Record, Sample, Time};
use crate::plot;
use crate::watch::{Counts, Log, Metrics};

const MIB: f64 = 1024.0 * 1024.0;
/// How many violations are shown; the file has them all.
const SHOWN: usize = 25;

/// What was measured at the turning points.
pub(crate) struct Measured {
    pub(crate) started: Sample,
    pub(crate) before: Sample,
    pub(crate) after: Sample,
    pub(crate) metrics: Metrics,
    pub(crate) logged: Counts,
    pub(crate) records: usize,
    pub(crate) from: Time,
    pub(crate) to: Time,
    pub(crate) drained: Time,
    pub(crate) drain: Time,
}

/// The requests of one kind.
struct Row {
    kind: Kind,
    count: usize,
    expected: usize,
    median: f64,
    late: f64,
    slowest: f64,
}

/// Milliseconds to an answer's head at some part of all answers.
pub(crate) fn percentile(sorted: &[f64], part: f64) -> f64 {
    let at = ((sorted.len() as f64 - 1.0) * part).round();
    sorted.get(at as usize).copied().unwrap_or_default()
}

pub(crate) fn latency(record: &Record) -> Option<f64> {
    Some(record.head?.saturating_sub(record.from) as f64 / 1e3)
}

fn rows(books: &Books) -> Vec<Row> {
    let mut kinds: BTreeMap<Kind, Vec<&Record>> = BTreeMap::new();
    for record in &books.records {
        kinds.entry(record.kind).or_default().push(record);
    }
    let row = |(kind, records): (Kind, Vec<&Record>)| {
        let mut times: Vec<f64> = records.iter().filter_map(|record| latency(record)).collect();
        times.sort_by(f64::total_cmp);
        let expected = records.iter().filter(|record| match &record.end {
            End::Answer(status, reason) => kind.answer() == (*status, reason.as_str()),
            End::Killed => kind == Kind::Killed,
            _ => false,
        });
        Row {
            kind,
            count: records.len(),
            expected: expected.count(),
            median: percentile(&times, 0.5),
            late: percentile(&times, 0.99),
            slowest: times.last().copied().unwrap_or_default(),
        }
    };
    kinds.into_iter().map(row).collect()
}

/// Prints the table, and writes it and everything else beside it.
pub(crate) fn write(
    out: &Path,
    books: &Books,
    check: &Check<'_>,
    measured: &Measured,
    log: &Log,
) -> io::Result<()> {
    let rows = rows(books);
    let text = table(&rows, books, check, measured, log);
    print!("{text}");
    fs::write(out.join("summary.txt"), text)?;
    fs::write(out.join("violations.txt"), check.violations.join("\n"))?;
    fs::write(
        out.join("result.json"),
        format!("{:#}\n", result(&rows, books, check, measured, log)),
    )?;
    fs::write(out.join("plot.svg"), plot::svg(books, measured))?;
    requests(&out.join("requests.csv"), books)
}

/// Every request as its client wrote it down: times in microseconds.
fn requests(path: &Path, books: &Books) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    writeln!(file, "seq,kind,protocol,key,id,from,head,to,end,status,detail")?;
    for record in &books.records {
        let Record { seq, kind, protocol, key, from, head, to, end, id, .. } = record;
        let (id, head) = (id.as_deref().unwrap_or_default(), head.map(|head| head.to_string()));
        let (end, status, detail) = match end {
            End::Answer(status, reason) => ("answer", Some(*status), reason.as_str()),
            End::Cut(status, why) => ("cut", *status, why.as_str()),
            End::Unreached(why) => ("unreached", None, why.as_str()),
            End::Killed => ("killed", None, ""),
        };
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        let (head, detail) = (head.unwrap_or_default(), detail.replace([',', '"', '\n'], " "));
        writeln!(
            file,
            "{seq},{kind:?},{protocol:?},{key},{id},{from},{head},{to},{end},{status},{detail}"
        )?;
    }
    file.flush()
}

fn table(rows: &[Row], books: &Books, check: &Check<'_>, measured: &Measured, log: &Log) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{:<18} {:>9} {:>11} {:>10} {:>10} {:>10}",
        "requests", "asked", "as expected", "median ms", "p99 ms", "slowest ms"
    );
    for row in rows {
        let kind = format!("{:?}", row.kind);
        let _ = writeln!(
            text,
            "{kind:<18} {:>9} {:>11} {:>10.1} {:>10.1} {:>10.1}",
            row.count, row.expected, row.median, row.late, row.slowest
        );
    }
    let _ = writeln!(text, "\n{:<18} {:>7} {:>9}", "faults", "times", "seconds");
    for fault in Fault::ALL {
        let (times, total) = windows(books, fault);
        let _ = writeln!(text, "{:<18} {times:>7} {total:>9.1}", fault.name());
    }
    let _ = writeln!(text);
    for (what, times) in &books.deeds {
        let _ = writeln!(text, "{times:>9}  {what}");
    }
    let _ = writeln!(text);
    for (what, value) in facts(check, measured, log) {
        let _ = writeln!(text, "{what:<66} {value}");
    }
    for what in &books.skipped {
        let _ = writeln!(text, "\nSKIPPED: {what}");
    }
    let violations = &check.violations;
    let _ = match violations.len() {
        0 => writeln!(text, "\nevery answer is accounted for: no violation"),
        more => writeln!(text, "\n{more} VIOLATIONS"),
    };
    for violation in violations.iter().take(SHOWN) {
        let _ = writeln!(text, "  {violation}");
    }
    text
}

fn windows(books: &Books, fault: Fault) -> (usize, f64) {
    let own: Vec<_> = books.windows.iter().filter(|window| window.fault == fault).collect();
    (own.len(), own.iter().map(|window| seconds(window.to - window.from)).sum())
}

fn facts(check: &Check<'_>, measured: &Measured, log: &Log) -> Vec<(&'static str, String)> {
    let figures = &check.figures;
    let sample = |sample: Sample| {
        format!(
            "{:.1} MiB resident, {:.1} MiB proportional, {} descriptors",
            sample.resident as f64 / MIB,
            sample.proportional as f64 / MIB,
            sample.descriptors
        )
    };
    let after = |time: Time| format!("{:.3} s", seconds(time));
    vec![
        ("load with faults", format!("{:.0} s", seconds(measured.to - measured.from))),
        ("answers", figures.answered.to_string()),
        ("502 and 504 while the upstream was down", figures.by_upstream_fault.to_string()),
        ("streams cut while the upstream was down", figures.cut_by_fault.to_string()),
        ("clients that went away", figures.killed.to_string()),
        ("requests beyond a rate, refused", figures.rate_limited.to_string()),
        ("requests with revoked keys, refused", figures.asked_of_revoked.to_string()),
        ("latest request let in after its key's revocation", after(figures.latest_revoked)),
        ("latest end of a stream after its key's revocation", after(figures.latest_stream)),
        ("streams cut by a revocation", figures.cut_by_revocation.to_string()),
        (
            "latest refusal of a new key (files were broken meanwhile)",
            after(figures.latest_created),
        ),
        ("in flight at SIGTERM and answered", figures.in_flight_at_term.to_string()),
        (
            "refused after SIGTERM: listener or connection closed",
            figures.refused_by_drain.to_string(),
        ),
        ("from SIGTERM to exit", after(measured.drain)),
        ("at start", sample(measured.started)),
        ("before the load, warm", sample(measured.before)),
        ("after the load", sample(measured.after)),
        ("lines of the access log", log.count().to_string()),
        (
            "lines dropped while the disk was full, as the metric says",
            format!("{:.0}", measured.metrics.sum("keygate_log_lines_dropped_total")),
        ),
        ("panics", log.panics.len().to_string()),
    ]
}

fn result(rows: &[Row], books: &Books, check: &Check<'_>, measured: &Measured, log: &Log) -> Value {
    let row = |row: &Row| {
        json!({
            "kind": format!("{:?}", row.kind), "asked": row.count, "as_expected": row.expected,
            "median_ms": row.median, "p99_ms": row.late, "slowest_ms": row.slowest,
        })
    };
    let fault = |fault: &Fault| {
        let (times, total) = windows(books, *fault);
        json!({ "fault": fault.name(), "times": times, "seconds": total })
    };
    let facts: serde_json::Map<String, Value> = facts(check, measured, log)
        .into_iter()
        .map(|(what, value)| (what.to_owned(), value.into()))
        .collect();
    json!({
        "passed": check.violations.is_empty(),
        "violations": check.violations.len(),
        "skipped": books.skipped,
        "requests": rows.iter().map(row).collect::<Vec<_>>(),
        "faults": Fault::ALL.iter().map(fault).collect::<Vec<_>>(),
        "deeds": books.deeds,
        "facts": facts,
        "messages": log.messages,
    })
}
