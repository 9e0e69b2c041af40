//! Whatever is read of an upstream's answer, the HTTP library's client reads too: the same status,
//! fields and body, and no connection is used again that it would not use.

use http::Method;
use keygate::proxy::read;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize;

use crate::answered::{compared, heard};
use crate::changes::{byte, changed};

#[derive(Deserialize)]
struct Corpus {
    answer: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    name: String,
    asks: Option<String>,
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

impl Answer {
    fn method(&self) -> Method {
        self.asks.as_deref().unwrap_or("GET").parse().unwrap()
    }
}

fn corpus() -> Vec<Answer> {
    let text = include_str!("../answers/corpus.toml");
    toml::from_str::<Corpus>(text).unwrap().answer
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[test]
fn each_answer_is_read_as_the_corpus_says_and_as_the_library_reads_it() {
    for answer in corpus() {
        let (method, says) = (answer.method(), latin1(&answer.says));
        let read = read(&method, [&says[..]]).filter(|read| read.status != 101);
        let seen = read.map_or((502, Vec::new(), true, false), |read| {
            (read.status.as_u16(), read.body, read.whole, read.reusable)
        });
        // What is broken is known to be only where nothing more can come.
        let whole = if answer.sees == 502 { true } else { !answer.cut };
        let wanted = (answer.sees, latin1(&answer.body), whole, answer.again);
        assert_eq!(seen, wanted, "{} {}", answer.name, answer.closes);
        compared(&method, &says).unwrap_or_else(|why| panic!("{}: {why}", answer.name));
    }
}

const LINES: [&str; 14] = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
    "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 201 Created",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 101 Switching Protocols",
    "HTTP/1.1 500",
    "HTTP/1.1 1200 OK",
    "HTTP/2.0 200 OK",
    "http/1.1 200 ok",
    "\r\nHTTP/1.1 200 OK",
    "",
];

const FIELDS: [&str; 32] = [
    "content-length: 0",
    "content-length: 3",
    "Content-Length: 3",
    "content-length:\t3 ",
    "content-length: 003",
    "content-length: 4",
    "content-length: +3",
    "content-length: 3, 3",
    "content-length: 0x3",
    "content-length: 18446744073709551615",
    "content-length: 9223372036854775808",
    "content-length:",
    "content-length : 3",
    "content_length: 3",
    "transfer-encoding: chunked",
    "Transfer-Encoding: CHUNKED",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: chunked, chunked",
    "transfer-encoding: identity",
    "transfer-encoding: \u{b}chunked",
    " transfer-encoding: chunked",
    "x-a: b\r\n content-length: 3",
    "x-a: b\rcontent-length: 3",
    "x-a: b\ncontent-length: 3",
    "connection: close",
    "connection: keep-alive",
    "connection: keep-alive, close",
    "trailer: x-sum",
    "x-a: \u{80}\u{ff}\t",
    "x-a: \0",
    ": b",
    "x-a",
];

const BODIES: [&str; 22] = [
    "",
    "",
    "abc",
    "abc",
    "abcd",
    "0\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "3;a=b\r\nabc\r\n1\r\nd\r\n0;c\r\n\r\n",
    "3;a=\"\\\"\"\r\nabc\r\n0\r\n\r\n",
    "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
    "3\r\nabc\r\n0\r\nx-sum: 1\n\r\n",
    "3\r\nabc\r\n0\r\nx-sum\r\n\r\n",
    "3 \r\nabc\r\n0\r\n\r\n",
    "03\r\nabc\r\n00\r\n\r\n",
    "3\nabc\n0\n\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "3\r\n",
    "1c\r\nHTTP/1.1 200 OK\r\nx-a: b\r\n\r\n\r\n0\r\n\r\n",
    "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
];

/// An answer of pieces that fit together, or do not; or one of the corpus.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let fields = proptest::collection::vec(select(&FIELDS[..]), 0..3);
    let line = prop_oneof![3 => Just(LINES[0]), 2 => select(&LINES[..])];
    let made = (line, fields, select(&BODIES[..])).prop_map(|(line, fields, body)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        latin1(&format!("{line}\r\n{fields}\r\n{body}"))
    });
    let known: Vec<_> = corpus().iter().map(|answer| latin1(&answer.says)).collect();
    prop_oneof![made, select(known)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40_000))]

    #[test]
    fn what_is_read_is_what_the_library_reads(
        head in any::<bool>(),
        input in answer(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), byte(), any::<u8>()), 0..3),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        let input = changed(input, changes);
        if let Err(why) = compared(&method, &input) {
            prop_assert!(false, "{method} {}\n{}", input.escape_ascii(), why);
        }
    }
}

/// The library reads what we do not: so the comparison has two sides.
#[test]
fn the_library_is_not_as_strict() {
    for lenient in [
        "\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0, 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert!(heard(&Method::GET, lenient.as_bytes(), true).is_some(), "{lenient:?}");
        assert_eq!(compared(&Method::GET, lenient.as_bytes()), Ok(None), "{lenient:?}");
    }
}
