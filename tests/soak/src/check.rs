//! Judges afterwards, from what was written down: no answer wrong, none lost, no revoked key let
//! in, log and metrics in agreement with the clients.

use std::collections::{HashMap, HashSet};

use crate::ledger::{Books, End, Fault, Kind, Life, Record, SECOND, Time, Window};
use crate::watch::{Counts, Line, Log};
use crate::world::RATE;

/// How long after a fault its effects may still be met.
const MARGIN: Time = SECOND;
/// How soon what is in a file is in force.
const IN_FORCE: Time = SECOND;
/// How soon the streams of a key end that is dead.
const STREAMS: Time = SECOND;
/// The program reads the file that steps its clock once a second.
const CLOCK: Time = 2 * SECOND + SECOND / 2;
/// How long a token is in use.
const TOKEN: Time = 20 * SECOND;

/// What the program was seen to do besides answering.
pub(crate) struct Seen<'a> {
    pub(crate) log: &'a Log,
    /// Requests by outcome and reason, when nothing was in flight; and how many records there were.
    pub(crate) metrics: Counts,
    pub(crate) logged: Counts,
    pub(crate) records: usize,
    /// Lines of the log that the program could not write.
    pub(crate) dropped: u64,
}

pub(crate) struct Check<'a> {
    books: &'a Books,
    seen: Seen<'a>,
    lives: HashMap<&'a str, &'a Life>,
    pub(crate) violations: Vec<String>,
    pub(crate) figures: Figures,
}

/// What there is to tell besides violations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) answered: u64,
    pub(crate) by_upstream_fault: u64,
    pub(crate) cut_by_fault: u64,
    pub(crate) cut_by_revocation: u64,
    pub(crate) refused_by_drain: u64,
    pub(crate) killed: u64,
    /// The latest that a revoked key was let in, and a new one was not, after the command.
    pub(crate) latest_revoked: Time,
    pub(crate) latest_stream: Time,
    pub(crate) latest_created: Time,
    pub(crate) in_flight_at_term: u64,
    pub(crate) asked_of_revoked: u64,
    pub(crate) rate_limited: u64,
}

/// Checks everything.
pub(crate) fn check<'a>(books: &'a Books, seen: Seen<'a>) -> Check<'a> {
    let lives = books.lives.iter().map(|life| (life.id.as_str(), life)).collect();
    let mut check =
        Check { books, seen, lives, violations: books.wrongs.clone(), figures: Figures::default() };
    for record in &books.records {
        if let Some(wrong) = &record.wrong {
            check.blame(record, &format!("wrong: {wrong}"));
        }
        if let Err(why) = check.judge(record) {
            check.blame(record, &why);
        }
    }
    check.ids();
    check.log();
    check.metrics();
    check.drain();
    check.rates();
    check
}

impl Check<'_> {
    fn blame(&mut self, record: &Record, why: &str) {
        let Record { seq, kind, protocol, key, from, to, end, id, .. } = record;
        self.violations.push(format!(
            "request {seq} ({kind:?}, {protocol:?}, key `{key}`, id {id:?}) from {:.3} s to {:.3} s, {end:?}: {why}",
            seconds(*from),
            seconds(*to)
        ));
    }

    /// Whether there was a fault during any part of a time, or just before it.
    fn during(&self, fault: Fault, from: Time, to: Time, after: Time) -> bool {
        self.windows(fault).any(|window| from <= window.to + after && to >= window.from)
    }

    fn windows(&self, fault: Fault) -> impl Iterator<Item = &Window> {
        self.books.windows.iter().filter(move |window| window.fault == fault)
    }

    /// For how long the machine ran nobody in a time.
    fn stalled(&self, from: Time, to: Time) -> Time {
        // They were written down as they came.
        let stalls = &self.books.stalls;
        let first = stalls.partition_point(|(at, _)| *at < from);
        let within = stalls.iter().skip(first).take_while(|(at, _)| *at <= to + SECOND);
        within.map(|(_, late)| late).sum()
    }

    fn judge(&mut self, record: &Record) -> Result<(), String> {
        match &record.end {
            End::Killed => {
                self.figures.killed += 1;
                Ok(())
            }
            End::Answer(status, reason) => {
                self.figures.answered += 1;
                self.answer(record, *status, reason)
            }
            End::Unreached(_) => match self.draining(record) {
                true => {
                    self.figures.refused_by_drain += 1;
                    Ok(())
                }
                false => Err("the connection was refused".to_owned()),
            },
            End::Cut(status, _) => self.cut(record, *status),
        }
    }

    fn draining(&self, record: &Record) -> bool {
        self.during(Fault::Drain, record.from, record.to, Time::MAX / 2)
    }

    fn answer(&mut self, record: &Record, status: u16, reason: &str) -> Result<(), String> {
        let faulty =
            matches!((status, reason), (502, "upstream_unreachable") | (504, "upstream_timeout"));
        if faulty && record.kind.answer().1.is_empty() {
            let sockets = matches!(record.kind, Kind::Socket | Kind::Held);
            if sockets && self.during(Fault::Http2, record.from, record.to, MARGIN) {
                return Ok(());
            }
            if !self.during(Fault::Upstream, record.from, record.to, MARGIN) {
                return Err("the upstream was up".to_owned());
            }
            self.figures.by_upstream_fault += 1;
            return Ok(());
        }
        match record.kind {
            Kind::Fresh | Kind::Held => self.fresh(record, status, reason),
            Kind::Expiring => self.expiring(record, status, reason),
            Kind::Token if (status, reason) == (401, "invalid_token") => self.token(record),
            Kind::Rated if (status, reason) == (429, "rate_limited") => {
                self.figures.rate_limited += 1;
                Ok(())
            }
            kind if kind.answer() == (status, reason) => Ok(()),
            kind => Err(format!("expected {:?}", kind.answer())),
        }
    }

    /// A key that comes and goes.
    fn fresh(&mut self, record: &Record, status: u16, reason: &str) -> Result<(), String> {
        let Some(life) = self.lives.get(record.key.as_str()).copied() else {
            // One that was there from the start, and was never revoked.
            return match (status, reason) == record.kind.answer() {
                true => Ok(()),
                false => Err("nobody revoked that key".to_owned()),
            };
        };
        if (status, reason) == record.kind.answer() {
            let Some((_, revoked)) = life.revoked else { return Ok(()) };
            let longest = IN_FORCE + STREAMS + self.stalled(revoked, record.to);
            if record.kind == Kind::Held && record.to > revoked + longest {
                return Err("held, although its key was revoked".to_owned());
            }
            let late = record.from.saturating_sub(revoked);
            self.figures.latest_revoked = self.figures.latest_revoked.max(late);
            let limit = IN_FORCE + self.stalled(revoked, record.from);
            return match late <= limit {
                true => Ok(()),
                false => Err(format!("let in {:.3} s after the key was revoked", seconds(late))),
            };
        }
        match (status, reason) {
            (401, "revoked_key") => {
                self.figures.asked_of_revoked += 1;
                match life.revoked {
                    Some((before, _)) if record.to >= before => Ok(()),
                    _ => Err("that key was not revoked yet".to_owned()),
                }
            }
            (401, "unknown_key") => {
                let late = record.from.saturating_sub(life.created);
                let limit = self.in_force(life.created);
                if record.from > limit {
                    return Err(format!("unknown {:.3} s after it was made", seconds(late)));
                }
                self.figures.latest_created = self.figures.latest_created.max(late);
                Ok(())
            }
            _ => Err("no answer for such a key".to_owned()),
        }
    }

    /// By when a key is in force: all files have to be right for long enough.
    fn in_force(&self, created: Time) -> Time {
        let mut broken: Vec<_> = self.windows(Fault::Broken).collect();
        broken.sort_by_key(|window| window.from);
        let mut since = created;
        for window in broken {
            let enough = since + IN_FORCE + self.stalled(since, since + IN_FORCE);
            if window.from <= enough && window.to >= since {
                since = window.to;
            }
        }
        since + IN_FORCE + self.stalled(since, since + IN_FORCE)
    }

    fn expiring(&self, record: &Record, status: u16, reason: &str) -> Result<(), String> {
        match (status, reason) {
            (200, "") => {
                let surely =
                    |window: &Window| record.from > window.from + CLOCK && record.to < window.to;
                match self.windows(Fault::ClockAhead).any(surely) {
                    true => Err("by its clock the key is over".to_owned()),
                    false => Ok(()),
                }
            }
            (401, "expired_key") => {
                match self.during(Fault::ClockAhead, record.from, record.to, CLOCK) {
                    true => Ok(()),
                    false => Err("by its clock the key is not over".to_owned()),
                }
            }
            _ => Err("no answer for such a key".to_owned()),
        }
    }

    /// By a clock that was stepped a token is over, or not yet made.
    fn token(&self, record: &Record) -> Result<(), String> {
        let since = record.from.saturating_sub(TOKEN);
        let stepped = [Fault::ClockAhead, Fault::ClockBehind];
        match stepped.into_iter().any(|fault| self.during(fault, since, record.to, CLOCK)) {
            true => Ok(()),
            false => Err("nobody stepped the clock since it was made".to_owned()),
        }
    }

    /// No more were let through than the rate allows.
    fn rates(&mut self) {
        let through = |record: &&Record| {
            record.kind == Kind::Rated && matches!(record.end, End::Answer(200, _))
        };
        let through: Vec<_> = self.books.records.iter().filter(through).collect();
        let Some(first) = through.iter().map(|record| record.from).min() else { return };
        let last = through.iter().map(|record| record.to).max().unwrap_or_default();
        let most = RATE * (last - first).div_ceil(SECOND) + 2 * RATE;
        let count = through.len() as u64;
        if count > most {
            self.violations.push(format!("{count} requests passed a rate that allows {most}"));
        }
    }

    fn cut(&mut self, record: &Record, status: Option<u16>) -> Result<(), String> {
        let life = self.lives.get(record.key.as_str()).copied();
        if let (Kind::Held, Some((before, revoked))) = (record.kind, life.and_then(|l| l.revoked))
            && record.to >= before
        {
            let late = record.to.saturating_sub(revoked);
            let limit = IN_FORCE + STREAMS + self.stalled(revoked, record.to);
            self.figures.latest_stream = self.figures.latest_stream.max(late);
            self.figures.cut_by_revocation += 1;
            return match late <= limit {
                true => Ok(()),
                false => Err(format!("held {:.3} s after its key was revoked", seconds(late))),
            };
        }
        // An answer that is on its way when its key dies is a stream that is cut.
        if let (Kind::Fresh, Some((before, revoked))) = (record.kind, life.and_then(|l| l.revoked))
            && record.to >= before
            && record.from <= revoked + IN_FORCE
        {
            self.figures.cut_by_revocation += 1;
            return Ok(());
        }
        let streams = status.is_some();
        // The answer to a body that nobody takes any more can meet a client that writes on.
        let uploads = record.kind == Kind::Upload;
        if (streams || uploads) && self.during(Fault::Upstream, record.from, record.to, MARGIN) {
            self.figures.cut_by_fault += 1;
            return Ok(());
        }
        if self.draining(record) && !streams {
            // It crossed the end of its connection: nobody may have acted on it.
            let lines = record.id.as_ref().and_then(|id| self.seen.log.access.get(id));
            self.figures.refused_by_drain += 1;
            return match lines {
                None => Ok(()),
                Some(lines) => Err(format!("accepted, and lost: {lines:?}")),
            };
        }
        Err("lost".to_owned())
    }

    /// No two answers by one id.
    fn ids(&mut self) {
        let mut known = HashSet::new();
        let ids = self.books.records.iter().filter(|record| record.head.is_some());
        let twice: Vec<_> =
            ids.filter_map(|record| record.id.as_ref()).filter(|id| !known.insert(*id)).collect();
        self.violations.extend(twice.into_iter().map(|id| format!("two answers have the id {id}")));
    }

    /// One line for each answer, and no line for what nobody asked.
    fn log(&mut self) {
        let mut blamed = Vec::new();
        let (mut missing, mut asked) = (0, HashSet::new());
        for record in &self.books.records {
            let Some(id) = &record.id else { continue };
            asked.insert(id.as_str());
            let End::Answer(status, reason) = &record.end else { continue };
            match self.seen.log.access.get(id).map(Vec::as_slice) {
                None if self.during(Fault::DiskFull, record.from, record.to, MARGIN) => {
                    missing += 1
                }
                None => blamed.push((record, "no line of the access log tells of it".to_owned())),
                Some([line]) if agrees(line, record, *status, reason) => {}
                Some(lines) => blamed.push((record, format!("the access log says {lines:?}"))),
            }
        }
        for (record, why) in blamed {
            self.blame(record, &why);
        }
        if missing > self.seen.dropped {
            let dropped = self.seen.dropped;
            self.violations.push(format!("{missing} answers have no line, {dropped} were dropped"));
        }
        let uncertain = self.uncertain(self.books.records.len());
        let stray = |id: &&String| !asked.contains(id.as_str());
        let strangers = self.seen.log.access.keys().filter(stray).count() as u64;
        if strangers > uncertain {
            self.violations.push(format!("{strangers} lines of requests that nobody made, at most {uncertain} can be of clients that left"));
        }
        let panics = &self.seen.log.panics;
        self.violations.extend(panics.iter().map(|line| format!("panic: {line}")));
        let torn = self.seen.log.torn.len() as u64;
        if torn > self.seen.dropped {
            let first = &self.seen.log.torn[0];
            self.violations.push(format!(
                "{torn} lines are no JSON, {} were dropped: {first}",
                self.seen.dropped
            ));
        }
    }

    /// Requests that the program may have counted in any way, or not at all.
    fn uncertain(&self, records: usize) -> u64 {
        let records = self.books.records.iter().take(records);
        records.filter(|record| !matches!(record.end, End::Answer(..))).count() as u64
    }

    fn metrics(&mut self) {
        let (metrics, logged) = (&self.seen.metrics, &self.seen.logged);
        let mut answered = Counts::new();
        for record in self.books.records.iter().take(self.seen.records) {
            let End::Answer(status, reason) = &record.end else { continue };
            let key = (outcome(record.kind, *status).to_owned(), reason.clone());
            *answered.entry(key).or_default() += 1;
        }
        let mut violations = Vec::new();
        let uncertain = self.uncertain(self.seen.records);
        let all: HashSet<_> = metrics.keys().chain(answered.keys()).chain(logged.keys()).collect();
        let (mut more, mut unlogged) = (0, 0);
        for kind in all {
            let of = |counts: &Counts| counts.get(kind).copied().unwrap_or_default();
            let (metric, client, log) = (of(metrics), of(&answered), of(logged));
            more += metric.saturating_sub(client);
            unlogged += metric.saturating_sub(log);
            if metric < client {
                violations
                    .push(format!("{kind:?}: clients have {client} answers, metrics {metric}"));
            }
            if metric < log {
                violations.push(format!("{kind:?}: the log has {log} lines, metrics {metric}"));
            }
        }
        if more > uncertain {
            violations.push(format!("metrics have {more} requests beyond the answers; at most {uncertain} can be of clients that left"));
        }
        if unlogged > self.seen.dropped {
            violations.push(format!(
                "{unlogged} requests have no line, {} were dropped",
                self.seen.dropped
            ));
        }
        self.violations.extend(violations);
    }

    /// What was in flight came to its end.
    fn drain(&mut self) {
        let Some(term) = self.windows(Fault::Drain).map(|window| window.from).next() else {
            return;
        };
        let finished = |record: &&Record| {
            record.from < term && record.to > term && matches!(record.end, End::Answer(..))
        };
        self.figures.in_flight_at_term = self.books.records.iter().filter(finished).count() as u64;
        if self.figures.in_flight_at_term < 3 {
            self.violations.push("too little was in flight at SIGTERM to tell".to_owned());
        }
    }
}

const fn outcome(kind: Kind, status: u16) -> &'static str {
    match status {
        200 if matches!(kind, Kind::Login) => "minted",
        101 | 200 => "forwarded",
        502 | 504 => "failed",
        _ => "refused",
    }
}

fn agrees(line: &Line, record: &Record, status: u16, reason: &str) -> bool {
    let key = record.key.is_empty() || line.key.is_empty() || line.key == record.key;
    let named =
        !line.key.is_empty() || record.key.is_empty() || outcome(record.kind, status) == "refused";
    line.status == Some(status)
        && line.reason == reason
        && line.outcome == outcome(record.kind, status)
        && key
        && named
}

pub(crate) fn seconds(time: Time) -> f64 {
    time as f64 / SECOND as f64
}

#[cfg(test)]
mod tests;
