//! Whatever the guard of HTTP/1 hands on is what the HTTP library hears: as many requests, with the
//! same methods, targets and bodies.

use proptest::prelude::*;
use proptest::sample::select;

use crate::changes::{byte, changed};
use crate::wire::{compared, heard, written};

const LINES: [&str; 18] = [
    "GET / HTTP/1.1",
    "POST /a?b HTTP/1.1",
    "POST /a#b HTTP/1.1",
    "GET http://h/a HTTP/1.1",
    "GET http://h?a HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "CONNECT h:1 HTTP/1.1",
    "HEAD / HTTP/1.1",
    "POST / HTTP/1.0",
    "GET  / HTTP/1.1",
    "GET / HTTP/1.1 ",
    "GET / a HTTP/1.1",
    "GET /\t HTTP/1.1",
    "get / http/1.1",
    "PRI * HTTP/2.0",
    "GET /\u{e9} HTTP/1.1",
    "GET /",
    "",
];

const FIELDS: [&str; 40] = [
    "Content-Length: 0",
    "Content-Length: 3",
    "Content-Length: 3",
    "content-length:3",
    "Content-Length: 28",
    "Content-Length: 003",
    "Content-Length: +3",
    "Content-Length: 3, 3",
    "Content-Length: 0x3",
    "Content-Length: 3 ",
    "Content-Length: 18446744073709551615",
    "Content-Length:",
    "Content-Length : 3",
    "Content_Length: 3",
    "Content-Length\u{b}: 3",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "transfer-encoding:chunked",
    "Transfer-Encoding: CHUNKED ",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: xchunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding : chunked",
    " Transfer-Encoding: chunked",
    "Host: h\nTransfer-Encoding: chunked",
    "Host: h\rContent-Length: 3",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Expect: 100-continue",
    "Trailer: Content-Length",
    "X: a\0b",
    "X: \u{80}\u{ff}",
    ": x",
    "X",
    "Host: h",
];

const BODIES: [&str; 24] = [
    "",
    "",
    "",
    "abc",
    "abc",
    "GET /smuggled HTTP/1.1\r\n\r\n",
    "0\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "3;a=b\r\nabc\r\n0;c\r\n\r\n",
    "3;a=\"\\\"\"\r\nabc\r\n0\r\n\r\n",
    "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
    "3\r\nabc\r\n0\r\nX: y\n\r\n",
    "3\r\nabc\r\n0\r\nX\r\n\r\n",
    "3 \r\nabc\r\n0\r\n\r\n",
    "03\r\nabc\r\n00\r\n\r\n",
    "3\nabc\n0\n\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "3\r\nab\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    "3\r\n",
    "1c\r\nGET /smuggled HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
    "100000000000000003\r\nabc\r\n0\r\n\r\n",
];

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// One request of pieces that fit together, or do not.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let fields = proptest::collection::vec(select(&FIELDS[..]), 0..3);
    let line = prop_oneof![3 => Just(LINES[1]), 2 => select(&LINES[..])];
    (line, fields, select(&BODIES[..])).prop_map(|(line, fields, body)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        latin1(&format!("{line}\r\nHost: h\r\n{fields}\r\n{body}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_handed_on_is_what_is_heard(
        requests in proptest::collection::vec(request(), 1..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), byte(), any::<u8>()), 0..3),
    ) {
        let input = changed(requests.concat(), changes);
        if let Err(why) = compared(&input) {
            prop_assert!(false, "{}\n{}", input.escape_ascii(), why);
        }
    }
}

#[test]
fn sound_requests_are_all_heard() {
    let input = b"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n\
        POST /b#c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /\
        POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;a=b\r\n\r\n\r\r\n0\r\n\r\n\
        POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        1\r\na\r\n0\r\nA: b\r\n\r\n\
        GET http://h/e HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(compared(input), Ok(5));
}

/// Without the guard the library hears what others would not: so the comparison can fail.
#[test]
fn without_the_guard_there_are_two_readings() {
    let input = b"POST / HTTP/1.1\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(heard(input).len(), 1);
    assert!(written(input).is_err());
    assert_eq!(compared(input), Ok(0));
}
