//! One head, and the body that it announces. What two servers could read differently is none.

use std::mem::MaybeUninit;

use http::Uri;
use httparse::{Header, Request};

/// How many fields a head may have.
const MOST_FIELDS: usize = 100;

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) framing: Framing,
    /// Whether the target has a fragment.
    pub(super) fragment: bool,
}

/// How the body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Reads a whole head; `None` where it has no single reading.
pub(super) fn read(bytes: &[u8]) -> Option<Head> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) | Err(_) => return None,
    }
    let framing = framing(request.headers, request.version == Some(1))?;
    let target = request.path.filter(|target| is_taken(target))?;
    Some(Head { framing, fragment: target.contains('#') })
}

/// Whether the library takes a target for one. What it does not, it would answer by itself: with
/// no id, and nothing in the log.
fn is_taken(target: &str) -> bool {
    let rare = |byte: u8| matches!(byte, b'"' | b'<' | b'>' | b'`');
    (target.starts_with('/') && !target.bytes().any(rare)) || Uri::try_from(target).is_ok()
}

/// Whether all that is wrong with a head are bytes of its target that are not visible ASCII.
pub(super) fn has_odd_target(bytes: &[u8]) -> bool {
    let mut plain = bytes.to_vec();
    let target = plain.split_mut(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let odd = target.iter_mut().filter(|byte| !byte.is_ascii_graphic());
    let replaced = odd.map(|byte| *byte = b'x').count();
    replaced > 0 && read(&plain).is_some()
}

/// There is one length or one `chunked`, and nothing that someone would take for either.
fn framing(fields: &[Header<'_>], chunks: bool) -> Option<Framing> {
    let mut framing = Framing::None;
    for field in fields {
        let name = field.name.as_bytes();
        let found = if is(name, b"content-length") {
            Framing::Length(length(field.value)?)
        } else if is(name, b"transfer-encoding") {
            let chunked = field.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            (chunks && chunked).then_some(Framing::Chunked)?
        } else {
            continue;
        };
        let spelled = name.contains(&b'-') && framing == Framing::None;
        framing = spelled.then_some(found)?;
    }
    Some(framing)
}

/// Whether a name is another one but for case and marks: frameworks take `_` for `-`.
fn is(name: &[u8], wanted: &[u8]) -> bool {
    let fold = |byte: &u8| match byte {
        b'-' => b'-',
        byte if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
        _ => b'-',
    };
    name.len() == wanted.len() && name.iter().map(fold).eq(wanted.iter().copied())
}

/// Digits and nothing else: no sign, no list.
fn length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str) -> Option<Framing> {
        let fields = fields.replace('\n', "\r\n");
        read(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).map(|h| h.framing)
    }

    #[test]
    fn a_body_is_announced_in_one_way_or_not_at_all() {
        assert_eq!(of(""), Some(Framing::None));
        assert_eq!(of("Content-Length: 0\n"), Some(Framing::Length(0)));
        assert_eq!(of("content-length:\t12 \n"), Some(Framing::Length(12)));
        assert_eq!(of("Transfer-Encoding: Chunked\n"), Some(Framing::Chunked));
        for bad in [
            "Content-Length: 1\nContent-Length: 1\n",
            "Content-Length: 1\nContent-Length: 2\n",
            "Content-Length: 1, 1\n",
            "Content-Length: +1\n",
            "Content-Length: -1\n",
            "Content-Length: 0x1\n",
            "Content-Length: 1 1\n",
            "Content-Length: 1.0\n",
            "Content-Length:\n",
            "Content-Length: 18446744073709551616\n",
            "Content_Length: 1\n",
            "Content.Length: 1\n",
            "Transfer-Encoding: chunked\nContent-Length: 1\n",
            "Content-Length: 1\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: gzip, chunked\n",
            "Transfer-Encoding: chunked, identity\n",
            "Transfer-Encoding: identity\n",
            "Transfer-Encoding: \"chunked\"\n",
            "Transfer-Encoding: xchunked\n",
            "Transfer-Encoding:\n",
            "Transfer_Encoding: chunked\n",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_head_can_be_wrong_in_its_target_alone() {
        for target in ["/a\u{1}b", "/\u{7f}", "/a\tb"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert!(read(head.as_bytes()).is_none() && has_odd_target(head.as_bytes()), "{head:?}");
        }
        assert!(has_odd_target(b"GET /\xff HTTP/1.1\r\n\r\n"));
        for other in
            ["GET /a b HTTP/1.1\r\n\r\n", "GET /\u{1} HTTP/3\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n"]
        {
            assert!(!has_odd_target(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn targets_are_those_that_the_library_takes() {
        let visible: Vec<char> = ('!'..='~').collect();
        let mut ends: Vec<String> = visible.iter().map(char::to_string).collect();
        ends.extend(visible.iter().flat_map(|a| visible.iter().map(move |b| format!("{a}{b}"))));
        for end in &ends {
            for target in
                [format!("/{end}"), format!("/?{end}"), format!("/{end}\u{e9}"), end.clone()]
            {
                let taken = Uri::try_from(target.as_str()).is_ok();
                let head = format!("GET {target} HTTP/1.1\r\n\r\n");
                assert_eq!(read(head.as_bytes()).is_some(), taken, "{target}");
            }
        }
    }

    #[test]
    fn chunks_are_not_for_http_1_0() {
        assert_eq!(read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
        let plain = read(b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n").unwrap();
        assert_eq!(plain.framing, Framing::Length(1));
    }

    #[test]
    fn a_head_has_one_reading() {
        for bad in [
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\n A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
            "G\x01T / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad:?}");
        }
        let fields = "a: b\r\n".repeat(100);
        assert!(read(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes()).is_some());
        assert_eq!(read(format!("GET / HTTP/1.1\r\n{fields}a: b\r\n\r\n").as_bytes()), None);
        assert!(read(b"GET /a#b HTTP/1.1\r\n\r\n").unwrap().fragment);
    }
}
