//! What HTTP/1.1 says beside a status (RFC 9112, section 4). Nobody may act on it, but people read it.

use bytes::Bytes;
use http::{Extensions, Response, StatusCode};
use hyper::ext::ReasonPhrase;

/// What stands before it: `HTTP/1.1 200`.
const BEFORE: usize = 12;

/// The phrase in the first line of an answer, where it says anything else than what is said of such
/// a status anyway. `plain`: the phrase as far as it is ASCII.
pub(super) fn of(head: &Bytes, status: StatusCode, plain: Option<&str>) -> Extensions {
    let mut extensions = Extensions::new();
    let usual = status.canonical_reason();
    if usual.is_some() && plain == usual {
        return extensions;
    }
    let rest = head.get(BEFORE..).unwrap_or_default();
    let end = memchr::memchr(b'\r', rest).unwrap_or_default();
    let said = rest.get(..end).unwrap_or_default().trim_ascii();
    // Who says nothing leaves it to us.
    if !said.is_empty()
        && Some(said) != usual.map(str::as_bytes)
        && let Ok(phrase) = ReasonPhrase::try_from(head.slice_ref(said))
    {
        extensions.insert(phrase);
    }
    extensions
}

/// Says nothing of a status of which there is nothing to say, or the library would say `<none>`.
pub(super) fn settle<B>(answer: &mut Response<B>) {
    if answer.status() != StatusCode::OK
        && answer.status().canonical_reason().is_none()
        && answer.extensions().get::<ReasonPhrase>().is_none()
    {
        answer.extensions_mut().insert(ReasonPhrase::from_static(b""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_kept_where_it_says_more_than_the_status_does() {
        for (line, kept) in [
            ("200 OK", None),
            ("200 ", None),
            ("200", None),
            ("200  OK ", None),
            ("200 ok", Some("ok")),
            ("404 No such thing", Some("No such thing")),
            ("404 a\tb  c", Some("a\tb  c")),
            ("599 Own", Some("Own")),
            ("599 ", None),
            ("599", None),
        ] {
            let head = Bytes::from(format!("HTTP/1.1 {line}\r\na: b\r\n\r\n"));
            let status = line.get(..3).unwrap().parse().unwrap();
            for plain in [line.get(4..), Some("")] {
                let extensions = of(&head, status, plain);
                let phrase = extensions.get().map(ReasonPhrase::as_bytes);
                assert_eq!(phrase, kept.map(str::as_bytes), "{line:?}");
                assert_eq!(extensions.is_empty(), kept.is_none(), "{line:?}");
            }
        }
    }

    #[test]
    fn nothing_is_said_of_a_status_that_nobody_knows() {
        let settled = |status: u16| {
            let mut answer = Response::builder().status(status).body(()).unwrap();
            settle(&mut answer);
            answer.extensions().get().map(|phrase: &ReasonPhrase| phrase.as_bytes().to_vec())
        };
        assert_eq!((settled(599), settled(500), settled(200)), (Some(Vec::new()), None, None));
    }
}
