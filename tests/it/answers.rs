//! What upstreams answer, well and badly: what the client sees of it, and what becomes of the
//! connection.

use std::sync::{Arc, Barrier};

use serde::Deserialize;

use crate::actors::client::{Response, bearer, head};
use crate::actors::eventually;
use crate::actors::origin::{After, Exchange, Origin};
use crate::actors::scripts::fixed;
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::text;

#[derive(Deserialize)]
struct Corpus {
    answer: Vec<Answer>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    name: String,
    #[serde(default = "get")]
    asks: String,
    says: String,
    #[serde(default)]
    closes: bool,
    sees: u16,
    #[serde(default)]
    body: String,
    #[serde(default)]
    cut: bool,
    #[serde(default)]
    again: bool,
}

fn get() -> String {
    "GET".to_owned()
}

fn corpus() -> Vec<Answer> {
    let text = include_str!("../answers/corpus.toml");
    toml::from_str::<Corpus>(text).expect("the corpus to be read").answer
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

/// Gives the answer whose number is the path; anything else gets `next`.
fn give(answers: Vec<Answer>) -> impl Fn(&mut Exchange<'_>) -> After {
    move |exchange| {
        exchange.drain();
        let number = exchange.request.target.strip_prefix("/answer/");
        let Some(answer) = number.map(|number| &answers[number.parse::<usize>().unwrap()]) else {
            exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext");
            return After::Keep;
        };
        exchange.send(bytes(&answer.says));
        if answer.closes { After::Close } else { After::Keep }
    }
}

/// What is wrong with what a client saw.
fn wrong(answer: &Answer, seen: &Response) -> Option<String> {
    let said = match answer.sees {
        502 => (502, seen.reason() == "upstream_unreachable", seen.complete),
        status => (status, text(&seen.body) == answer.body, seen.complete),
    };
    (said != (seen.status, true, !answer.cut)).then(|| format!("{seen:?}"))
}

#[test]
fn each_answer_is_passed_on_whole_or_cut_or_refused_and_none_is_the_next_one() {
    let answers = corpus();
    let origin = Origin::tcp(give(answers.clone()));
    let sidecar = Sidecar::start(&Setup::before(&origin).set("workers=1"));
    let key = bearer(READ);
    let mut failures = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        let target = format!("/answer/{number}");
        for http2 in [false, true] {
            let over = if http2 { "HTTP/2" } else { "HTTP/1.1" };
            let seen = match http2 {
                false => sidecar.client().request(&answer.asks, &target, &[&key]),
                true => sidecar.http2().request(&answer.asks, &target, &[&key], b""),
            };
            let on = origin.last().connection;
            let next = sidecar.get("/next", &[&key]);
            let again = origin.last().connection == on;
            let mut fail = |what: String| {
                failures.push(format!("{} over {over}: {what}", answer.name));
            };
            if let Some(seen) = wrong(answer, &seen) {
                fail(format!("seen was {seen}"));
            }
            if (next.status, next.body.as_slice()) != (200, &b"next"[..]) {
                fail(format!("the next answer was {next:?}"));
            }
            if again != answer.again {
                fail(format!("its connection served {}", if again { "again" } else { "once" }));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_comes_after_an_answer_is_not_the_next_one_however_late() {
    let turn = Arc::new(Barrier::new(2));
    let turns = Arc::clone(&turn);
    let origin = Origin::tcp(move |exchange| {
        exchange.drain();
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood");
        if exchange.request.target == "/late" {
            turns.wait();
            exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
            turns.wait();
        }
        After::Keep
    });
    let sidecar = Sidecar::start(&Setup::before(&origin).set("workers=1"));
    let (key, mut client) = (bearer(READ), sidecar.client());
    for _ in 0..20 {
        assert_eq!(client.get("/late", &[&key]).body, b"good");
        turn.wait();
        turn.wait();
        assert_eq!(client.get("/next", &[&key]).body, b"good");
    }
}

#[test]
fn an_answer_that_is_too_large_to_be_one_is_refused() {
    for (length, status) in [(100 * 1024, 200), (128 * 1024, 502)] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nx-a: {}\r\ncontent-length: 2\r\n\r\nok",
            "b".repeat(length)
        );
        let origin = Origin::tcp(fixed(answer, || After::Keep));
        let sidecar = Sidecar::start(&Setup::before(&origin));
        assert_eq!(sidecar.get("/", &[&bearer(READ)]).status, status, "{length}");
    }
}

/// Both sides have more to say than fits into the sockets between them; each takes what the other
/// says only when it has said its own.
#[test]
fn an_upload_goes_on_although_nobody_reads_its_answer_yet() {
    const MUCH: usize = 24 << 20;
    let origin = Origin::tcp(|exchange| {
        exchange.piece();
        exchange.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n"));
        let complete = exchange.drain();
        exchange.send(vec![if complete { b'y' } else { b'n' }; MUCH]);
        After::Keep
    });
    let sidecar = Sidecar::start(&Setup::before(&origin).set("workers=1"));
    let mut client = sidecar.client();
    let length = format!("Content-Length: {MUCH}");
    client.send(head("POST", "/", &[&bearer(WRITE), &length]));
    client.send(vec![b'x'; MUCH]);
    let response = client.response("POST");
    assert_eq!((response.status, response.complete), (200, true));
    assert!(response.body.len() == MUCH && response.body.iter().all(|&byte| byte == b'y'));
    assert_eq!(origin.only().body.len(), MUCH);
    // It was answered before it was heard, so nobody knows what its connection expects.
    client.get("/", &[&bearer(WRITE)]).ok();
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_answer_that_comes_while_the_upload_is_refused_is_passed_on() {
    let origin = Origin::tcp(|exchange| {
        exchange.piece();
        exchange.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin));
    for _ in 0..5 {
        let mut client = sidecar.client();
        client.send(head("POST", "/", &[&bearer(WRITE), "Content-Length: 100000000"]));
        client.send(vec![b'x'; 1 << 16]);
        let response = client.response("POST");
        assert_eq!((response.status, response.body.as_slice()), (413, &b"big"[..]));
    }
}

#[test]
fn an_idle_connection_that_the_upstream_ends_is_closed_soon() {
    let origin = Origin::tcp(|exchange| {
        exchange.drain();
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin).set("workers=1"));
    // In hexadecimal, as the system lists them; 08 is an end that was heard and not answered.
    let port = origin.url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let held = format!("0100007F:{port:04X} 08 ");
    for _ in 0..5 {
        sidecar.get("/", &[&bearer(READ)]).ok();
    }
    eventually("all to be closed", || {
        let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
        (!all.contains(&held)).then_some(())
    });
}
