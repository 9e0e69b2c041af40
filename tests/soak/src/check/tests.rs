//! The judge, judged.

use super::*;
use crate::ledger::Protocol;

fn record(seq: u64, kind: Kind, from: Time, end: End) -> Record {
    Record {
        seq,
        kind,
        protocol: Protocol::Http1,
        key: "k".to_owned(),
        from: from * SECOND,
        head: Some(from * SECOND),
        to: from * SECOND + 1000,
        end,
        id: Some(format!("id-{seq}")),
        wrong: None,
    }
}

fn answer(status: u16, reason: &str) -> End {
    End::Answer(status, reason.to_owned())
}

fn window(fault: Fault, from: Time, to: Time) -> Window {
    Window { fault, from: from * SECOND, to: to * SECOND }
}

/// Writes the log that belongs to the records, lets it be spoilt, and checks.
fn judged(books: &Books, spoil: impl FnOnce(&mut Log, &mut Counts)) -> Vec<String> {
    let (mut log, mut metrics) = (Log::default(), Counts::new());
    for record in &books.records {
        let End::Answer(status, reason) = &record.end else { continue };
        let outcome = outcome(record.kind, *status);
        log.line(
            &serde_json::json!({
                "target": "keygate::access", "outcome": outcome, "reason": reason,
                "status": status, "key": record.key, "request_id": record.id,
            })
            .to_string(),
        );
        *metrics.entry((outcome.to_owned(), reason.clone())).or_default() += 1;
    }
    let logged = log.requests.clone();
    spoil(&mut log, &mut metrics);
    let records = books.records.len();
    check(books, Seen { log: &log, metrics, logged, records, dropped: 0 }).violations
}

fn violations(books: &Books) -> usize {
    judged(books, |_, _| {}).len()
}

fn of(records: Vec<Record>) -> Books {
    Books { records, ..Books::default() }
}

#[test]
fn what_is_as_expected_is_no_violation_and_anything_else_is() {
    let with = |end| violations(&of(vec![record(1, Kind::Echo, 5, end)]));
    assert_eq!(with(answer(200, "")), 0);
    assert_eq!(with(answer(403, "no_route")), 1);
    assert_eq!(with(answer(502, "upstream_unreachable")), 1);
    assert_eq!(with(End::Cut(None, String::new())), 1);
    assert_eq!(with(End::Unreached(String::new())), 1);
    let wrong = Some("the body differs".to_owned());
    let wrong = Record { wrong, ..record(1, Kind::Echo, 5, answer(200, "")) };
    assert_eq!(violations(&of(vec![wrong])), 1);
}

#[test]
fn a_fault_excuses_its_own_effects_in_its_own_time() {
    let with = |kind, from, end: End| {
        let mut books = of(vec![record(1, kind, from, end)]);
        books.windows.push(window(Fault::Upstream, 10, 12));
        books.windows.push(window(Fault::ClockAhead, 20, 30));
        violations(&books)
    };
    assert_eq!(with(Kind::Echo, 11, answer(502, "upstream_unreachable")), 0);
    assert_eq!(with(Kind::Echo, 14, answer(502, "upstream_unreachable")), 1);
    assert_eq!(with(Kind::NoRoute, 11, answer(502, "upstream_unreachable")), 1);
    assert_eq!(with(Kind::Download, 11, End::Cut(Some(200), String::new())), 0);
    assert_eq!(with(Kind::Echo, 11, End::Cut(None, String::new())), 1);
    assert_eq!(with(Kind::Expiring, 25, answer(401, "expired_key")), 0);
    assert_eq!(with(Kind::Expiring, 25, answer(200, "")), 1);
    assert_eq!(with(Kind::Expiring, 15, answer(401, "expired_key")), 1);
    assert_eq!(with(Kind::Echo, 25, answer(401, "expired_key")), 1);
}

#[test]
fn a_key_is_in_force_from_its_making_to_its_revocation() {
    let with = |kind, from, end: End| {
        let mut books = of(vec![record(1, kind, from, end)]);
        let revoked = Some((20 * SECOND, 20 * SECOND));
        books.lives.push(Life { id: "k".to_owned(), created: 10 * SECOND, revoked });
        books.windows.push(window(Fault::Broken, 11, 12));
        violations(&books)
    };
    assert_eq!(with(Kind::Fresh, 15, answer(200, "")), 0);
    assert_eq!(with(Kind::Fresh, 21, answer(200, "")), 0);
    assert_eq!(with(Kind::Fresh, 22, answer(200, "")), 1);
    assert_eq!(with(Kind::Fresh, 22, answer(401, "revoked_key")), 0);
    assert_eq!(with(Kind::Fresh, 15, answer(401, "revoked_key")), 1);
    // The files were not right for a whole second before the 13th.
    assert_eq!(with(Kind::Fresh, 13, answer(401, "unknown_key")), 0);
    assert_eq!(with(Kind::Fresh, 14, answer(401, "unknown_key")), 1);
    assert_eq!(with(Kind::Held, 21, End::Cut(Some(101), String::new())), 0);
    assert_eq!(with(Kind::Held, 23, End::Cut(Some(101), String::new())), 1);
    assert_eq!(with(Kind::Held, 23, answer(101, "")), 1);
}

#[test]
fn log_and_metrics_tell_of_each_answer_once() {
    let books = of((1..4).map(|seq| record(seq, Kind::Echo, 5, answer(200, ""))).collect());
    let counted = |count| {
        move |_: &mut Log, metrics: &mut Counts| {
            metrics.insert(("forwarded".to_owned(), String::new()), count);
        }
    };
    assert_eq!(judged(&books, |_, _| {}).len(), 0);
    assert_eq!(judged(&books, |log, _| drop(log.access.remove("id-2"))).len(), 1);
    let twice = |log: &mut Log, _: &mut Counts| {
        let lines = log.access.get_mut("id-2").unwrap();
        lines.push(lines[0].clone());
    };
    assert_eq!(judged(&books, twice).len(), 1);
    let stranger = |log: &mut Log, _: &mut Counts| {
        let lines = log.access["id-2"].clone();
        log.access.insert("id-9".to_owned(), lines);
    };
    assert_eq!(judged(&books, stranger).len(), 1);
    assert_eq!(judged(&books, counted(2)).len(), 2);
    assert_eq!(judged(&books, counted(4)).len(), 2);
    assert_eq!(judged(&books, |log, _| log.line("panicked at")).len(), 2);
}

#[test]
fn what_was_accepted_during_a_drain_is_answered() {
    let with = |accepted: bool| {
        let mut books = of(vec![record(1, Kind::Echo, 11, End::Cut(None, String::new()))]);
        let slow = |seq| Record { to: 12 * SECOND, ..record(seq, Kind::Slow, 9, answer(200, "")) };
        books.records.extend((2..5).map(slow));
        books.windows.push(window(Fault::Drain, 10, 12));
        judged(&books, |log, _| {
            if accepted {
                let lines = log.access["id-2"].clone();
                log.access.insert("id-1".to_owned(), lines);
            }
        })
        .len()
    };
    assert_eq!(with(false), 0);
    assert_eq!(with(true), 1);
}

#[test]
fn more_than_a_rate_allows_is_a_violation() {
    let through = |count| {
        let asked = |seq| record(seq, Kind::Rated, 5 + seq % 2, answer(200, ""));
        violations(&of((0..count).map(asked).collect()))
    };
    // Two seconds, and what the rate allows at once.
    assert_eq!(through(4 * RATE), 0);
    assert_eq!(through(4 * RATE + 1), 1);
    let refused = record(1, Kind::Rated, 5, answer(429, "rate_limited"));
    assert_eq!(violations(&of(vec![refused])), 0);
    let other = record(1, Kind::Narrow, 5, answer(429, "rate_limited"));
    assert_eq!(violations(&of(vec![other])), 1);
}

#[test]
fn a_token_is_refused_only_where_the_clock_was_stepped() {
    let refused = || record(1, Kind::Token, 40, answer(401, "invalid_token"));
    let mut books = of(vec![refused()]);
    assert_eq!(violations(&books), 1);
    books.windows.push(window(Fault::ClockBehind, 22, 28));
    assert_eq!(violations(&books), 0);
    let mut books = of(vec![refused()]);
    books.windows.push(window(Fault::ClockAhead, 2, 8));
    assert_eq!(violations(&books), 1);
}

#[test]
fn a_login_is_counted_as_minted() {
    let with = |end| violations(&of(vec![record(1, Kind::Login, 5, end)]));
    assert_eq!(with(answer(200, "")), 0);
    assert_eq!(with(answer(401, "unknown_key")), 1);
    assert_eq!(outcome(Kind::Login, 200), "minted");
    assert_eq!(outcome(Kind::Token, 200), "forwarded");
}

#[test]
fn http2_to_the_upstream_excuses_sockets_alone() {
    let with = |kind, from| {
        let mut books = of(vec![record(1, kind, from, answer(502, "upstream_unreachable"))]);
        books.windows.push(window(Fault::Http2, 10, 12));
        violations(&books)
    };
    assert_eq!(with(Kind::Socket, 11), 0);
    assert_eq!(with(Kind::Socket, 20), 1);
    assert_eq!(with(Kind::Echo, 11), 1);
}
