//! A report for people.

use std::fmt::Write as _;

use anstyle::AnsiColor;

use super::report::Answer;
use super::report::Named;
use super::report::Report;
use super::words::Note;
use super::words::State;
use crate::cli::print::paint;
use crate::cli::table::Cell;
use crate::cli::table::plain;
use crate::cli::table::table;
use crate::config::Place;
use crate::observe::Outcome;

/// The text of a report.
pub(super) fn text(report: &Report, colour: bool) -> String {
    let row = |(check, state, note): &(crate::gate::Check, State, Note)| {
        [
            Cell::from(check.name().replace('_', " ").as_str()),
            Cell::painted(&state.name().replace('_', " "), shade(*state)),
            Cell::from(places(note).as_str()),
            Cell::from(note.detail.as_str()),
        ]
    };
    let rows: Vec<_> = report.checks.iter().map(row).collect();
    let checks = table(["CHECK", "STATE", "WHERE", "WHAT WAS COMPARED"], &rows, colour);
    // A row whose last cells are empty ends in spaces.
    let checks: String = checks.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{}\n{checks}\n{}", head(report), conclusion(report, colour))
}

const fn shade(state: State) -> Option<AnsiColor> {
    match state {
        State::Passed => Some(AnsiColor::Green),
        State::Refused => Some(AnsiColor::Red),
        State::NotJudged => Some(AnsiColor::Yellow),
        State::NotAsked | State::NotReached => None,
    }
}

/// The request, and who it is taken for.
fn head(report: &Report) -> String {
    let by = if report.transport == "https" { "by TLS" } else { "in clear" };
    let mut text =
        format!("{} {} {by} from {}\n", plain(&report.method), plain(&report.path), report.client);
    let lines = [("route", &report.route), ("key", &report.key), ("account", &report.account)];
    for (what, named) in lines {
        if let Some(Named { name, place }) = named {
            let place = place.as_ref().map(|place| format!("  ({place})")).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{what:<9}{}{}", plain(name), plain(&place));
        }
    }
    text
}

fn places(note: &Note) -> String {
    let places = [&note.place, &note.also].into_iter().flatten().map(Place::to_string);
    places.collect::<Vec<_>>().join(", ")
}

fn conclusion(report: &Report, colour: bool) -> String {
    let reason = report.reason.unwrap_or_default();
    match (report.outcome, &report.answer) {
        (_, Some(answer)) => refusal(reason, answer, colour),
        (Outcome::Minted, None) => {
            let done = paint("minted", AnsiColor::Green, colour);
            format!("{done}: answered by keygate itself, with what is not shown\n")
        }
        (Outcome::Shadow, None) => {
            let done = paint("forwarded", AnsiColor::Yellow, colour);
            let note = format!("{done}: the route does not enforce, or it would be {reason}\n");
            note + &upstream(report)
        }
        (Outcome::Forwarded | Outcome::Refused | Outcome::Failed, None) => {
            format!("{}\n", paint("forwarded", AnsiColor::Green, colour)) + &upstream(report)
        }
    }
}

fn refusal(reason: &str, answer: &Answer, colour: bool) -> String {
    let refused = paint("refused", AnsiColor::Red, colour);
    let place = answer.place.as_ref().map(|place| format!("  ({place})")).unwrap_or_default();
    let mut text = format!("{refused}: {} {reason}{place}\n", answer.status);
    for challenge in &answer.challenges {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  www-authenticate: {challenge}");
    }
    if !answer.body.is_empty() {
        let _ = writeln!(text, "  {}", plain(&answer.body));
    }
    text
}

/// What the upstream is told of who asks.
fn upstream(report: &Report) -> String {
    let headers = report.upstream.iter().flatten();
    let mut text: String =
        headers.map(|(name, value)| format!("  {name}: {}\n", plain(value))).collect();
    if text.is_empty() {
        text.push_str("  without an identity\n");
    }
    if report.forward_credential {
        text.push_str("  with the credential that the request carries\n");
    }
    text
}
