//! `rate` and `in_flight` of a `[[route]]`: how many requests, in a time and at once; and
//! `body_memory`: how much of their bodies.

use std::time::Duration;

use super::reading::choice;
use super::reading::count;
use super::reading::duration;
use super::routes::Placed;
use super::units;
use crate::gate::InFlight;
use crate::gate::LimitBy;
use crate::gate::Rate;
use crate::gate::Route;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::Span;

const BY: [(&str, LimitBy); 3] =
    [("account", LimitBy::Account), ("key", LimitBy::Key), ("address", LimitBy::Address)];

pub(super) fn in_flight(section: &mut Section<'_, '_>) -> Option<InFlight> {
    let table = section.table("in_flight")?;
    let mut limit = section.enter("in_flight", table);
    let max = count(&mut limit, "max");
    let per = choice(&mut limit, "per", &BY).unwrap_or(LimitBy::Account);
    let queue = duration(&mut limit, "queue").unwrap_or_default();
    Some(InFlight { max: max?, per, queue })
}

pub(super) fn rate(section: &mut Section<'_, '_>) -> Option<Rate> {
    let table = section.table("rate")?;
    let mut rate = section.enter("rate", table);
    let requests = count(&mut rate, "requests");
    if rate.peek("per").is_none() {
        rate.missing("per");
    }
    // `per` names whose requests are counted in `in_flight`, and the time here.
    let per = match rate.peek("per").is_some_and(|(_, value)| names_whom(&rate, &value)) {
        true => misplaced_by(&mut rate),
        false => window(&mut rate),
    };
    let by = choice(&mut rate, "by", &BY).unwrap_or(LimitBy::Account);
    Some(Rate { requests: requests?, per: per?, by })
}

/// A rate of failed attempts, which only addresses have.
pub(super) fn failures(mut rate: Section<'_, '_>) -> Option<Rate> {
    let requests = count(&mut rate, "requests");
    if rate.peek("per").is_none() {
        rate.missing("per");
    }
    let per = window(&mut rate);
    Some(Rate { requests: requests?, per: per?, by: LimitBy::Address })
}

fn window(rate: &mut Section<'_, '_>) -> Option<Duration> {
    let (_, span) = rate.peek("per")?;
    let window = duration(rate, "per")?;
    if window.is_zero() {
        rate.wrong(&span, "`per` cannot be zero", "write a time, like `1s`");
    }
    Some(window).filter(|window| !window.is_zero())
}

fn names_whom(rate: &Section<'_, '_>, span: &Span) -> bool {
    let text = rate.source().slice(span).trim_matches(['"', '\'']);
    BY.iter().any(|(word, _)| *word == text)
}

fn misplaced_by<T>(rate: &mut Section<'_, '_>) -> Option<T> {
    let At { value, span } = rate.string("per")?;
    let message = format!("`per` of a rate is a time, and whose requests count is `by`: `{value}`");
    rate.wrong(&span, message, format!("write `per = \"1s\", by = \"{value}\"`"));
    None
}

/// How many bytes all inspected bodies may take, unless more is said: 64 MiB.
const BODY_MEMORY: usize = 64 << 20;

/// What `body_memory` says, or enough for two of the largest bodies.
pub(super) fn body_memory(
    root: &mut Section<'_, '_>,
    written: Option<At<usize>>,
    placed: &[Placed],
) -> usize {
    let inspecting = placed.iter().filter(|placed| placed.route.body.inspects());
    let largest = inspecting.max_by_key(|placed| placed.route.body.max_body());
    let most = largest.map_or(0, |placed| placed.route.body.max_body());
    let Some(written) = written else { return BODY_MEMORY.max(most.saturating_mul(2)) };
    if let Some(largest) = largest.filter(|_| written.value < most) {
        let most = units::shown(most);
        let message =
            format!("`body_memory` has no room for a body of {most}, which a route takes");
        let source = root.source();
        let place = largest.max_body.clone().unwrap_or_else(|| largest.path.clone());
        let problem = Problem::at(source, written.span, message)
            .also(source, place, "this route")
            .help(format!("write at least `{most}`, or a smaller `max_body`"));
        root.problems().push(problem);
    }
    written.value
}

/// Without a credential there is nothing that a condition could be asked of.
pub(super) fn report_public(section: &mut Section<'_, '_>, public: &At<bool>, route: &Route) {
    let by_key = |by: LimitBy| by != LimitBy::Address;
    if route.has_conditions() {
        let message = "a public route can ask nothing of a key: it is open without one";
        let help = "remove `public`, or the conditions of the route";
        section.wrong(&public.span, message, help);
        return;
    }
    let only = "a public route can only limit by address: it is open without a key";
    if route.in_flight.is_some_and(|limit| by_key(limit.per)) {
        section.wrong(&public.span, only, "write `in_flight = { …, per = \"address\" }`");
    }
    if route.rate.is_some_and(|rate| by_key(rate.by)) {
        section.wrong(&public.span, only, "write `rate = { …, by = \"address\" }`");
    }
}
