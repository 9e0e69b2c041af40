//! The path of a request, of which there is only one reading.
//!
//! The bytes that are judged are the bytes that are forwarded. A path that common servers would
//! normalise differently is refused: nothing is ever rewritten.

use std::borrow::Cow;

use super::verdict::Denial;

/// A path (without the query) that has one reading: it begins with `/`, has no empty, `.` or `..`
/// segments, and its escapes decode once to UTF-8 without control characters. An escape that decodes
/// to `/` is kept apart from separators: only routes that say so take it.
#[derive(Debug)]
pub struct CanonicalPath<'r> {
    decoded: Cow<'r, str>,
}

impl<'r> CanonicalPath<'r> {
    /// Judges the raw path.
    ///
    /// # Errors
    /// [`Denial::AmbiguousPath`].
    pub fn new(raw: &'r str) -> Result<Self, Denial> {
        read(raw).map(|decoded| Self { decoded }).ok_or(Denial::AmbiguousPath)
    }

    /// The percent-decoded path; its segments are the raw path's segments. An encoded `/` is NUL in
    /// it, which nothing else decodes to.
    #[must_use]
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// The decoded segments after the leading `/`; the last is empty where the path ends in `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        self.decoded.strip_prefix('/').unwrap_or_default().split('/')
    }

    /// The decoded segment at a position, from 0.
    #[must_use]
    pub fn segment(&self, position: usize) -> Option<&str> {
        self.segments().nth(position)
    }

    /// Whether the decoded segment at a position is a text.
    #[must_use]
    pub fn names(&self, position: usize, text: &str) -> bool {
        let decoded = |c: char| if c == ENCODED_SLASH { '/' } else { c };
        self.segment(position).is_some_and(|segment| segment.chars().map(decoded).eq(text.chars()))
    }

    /// Whether an escape decodes to `/`.
    #[must_use]
    pub fn has_encoded_slash(&self) -> bool {
        self.decoded.contains(ENCODED_SLASH)
    }

    /// Whether there is nothing between two separators.
    #[must_use]
    pub fn has_empty_segment(&self) -> bool {
        self.decoded.contains("//")
    }

    /// The path as those read it who cut parameters off its segments; `None` where there are none.
    #[must_use]
    pub fn without_parameters(&self) -> Option<Self> {
        self.decoded.contains(';').then(|| {
            let cut = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
            let decoded = self.decoded.split('/').map(cut).collect::<Vec<_>>().join("/");
            Self { decoded: Cow::Owned(decoded) }
        })
    }
}

/// What stands for an encoded `/`: no other escape decodes to it.
const ENCODED_SLASH: char = '\0';

fn read(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.starts_with('/') || raw.contains("//") {
        return None;
    }
    if raw.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'#')) {
        return None;
    }
    let decoded = if raw.contains('%') { Cow::Owned(decode(raw)?) } else { Cow::Borrowed(raw) };
    let ambiguous = decoded.split(['/', ENCODED_SLASH]).any(is_dot_segment);
    // Next to a separator it would be an empty segment to who decodes it.
    let bare = |segment: &str| {
        segment.contains(ENCODED_SLASH) && segment.split(ENCODED_SLASH).any(str::is_empty)
    };
    (!ambiguous && !decoded.split('/').any(bare)).then_some(decoded)
}

/// `.` and `..`, also followed by `;`: some servers cut the parameters off first.
fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    name == "." || name == ".."
}

fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let decoded = hex(*rest.next()?)? << 4 | hex(*rest.next()?)?;
        if decoded.is_ascii_control() || decoded == b'\\' {
            return None;
        }
        if decoded == b'/' {
            bytes.push(0);
            continue;
        }
        if decoded == b'%' && begins_escape(rest.as_slice()) {
            return None;
        }
        bytes.push(decoded);
    }
    let text = String::from_utf8(bytes).ok()?;
    // C1 controls arrive as two bytes.
    let control = |c: char| c.is_control() && c != ENCODED_SLASH;
    (!text.chars().any(control)).then_some(text)
}

/// Whether what follows an encoded `%` would make it an escape again, also when it is written
/// with escapes itself (`%25%32e`).
fn begins_escape(rest: &[u8]) -> bool {
    let Some((first, rest)) = next_decoded(rest) else { return false };
    let Some((second, _)) = next_decoded(rest) else { return false };
    hex(first).is_some() && hex(second).is_some()
}

fn next_decoded(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [b'%', high, low, rest @ ..] => Some((hex(*high)? << 4 | hex(*low)?, rest)),
        [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_with_one_reading_are_decoded_once() {
        for (raw, decoded) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/a%20b", "/a b"),
            ("/%C3%A9", "/é"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/100%25", "/100%"),
            ("/a%25zz", "/a%zz"),
            ("/where/internal_id=42", "/where/internal_id=42"),
        ] {
            assert_eq!(CanonicalPath::new(raw).unwrap().decoded(), decoded, "{raw}");
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for raw in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/..",
            "/a/../b",
            "/./a",
            "/a/.",
            "/%2e",
            "/%2E%2e/a",
            "/.%2e/a",
            "/..;/a",
            "/.;x/a",
            "/..%3b/a",
            "/%2e%2e%3Bv=1/a",
            "/a%2f",
            "/%2Fa",
            "/a%2f%2fb",
            "/a%2f/b",
            "/a%2f..",
            "/..%2Fa",
            "/a%2f%2e%2fb",
            "/a%2f..;x%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0a",
            "/a%7f",
            "/a#b",
            "/a b",
            "/a\u{1}",
            "/é",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/%252e",
            "/%252f",
            "/a%25%32e",
            "/a%2525",
            "/%c0%ae",
            "/%ff",
            "/%e2%28%a1",
            "/%ed%a0%80",
            "/%c2%85",
        ] {
            assert_eq!(CanonicalPath::new(raw).unwrap_err(), Denial::AmbiguousPath, "{raw}");
        }
    }

    #[test]
    fn an_encoded_slash_separates_nothing() {
        let path = CanonicalPath::new("/files/a%2Fb%2fc/d").unwrap();
        assert!(path.has_encoded_slash() && path.segments().count() == 3);
        assert!(path.names(1, "a/b/c") && !path.names(1, "a") && path.names(2, "d"));
        assert!(!CanonicalPath::new("/files/a%20b").unwrap().has_encoded_slash());
    }

    #[test]
    fn parameters_are_cut_off_where_someone_would() {
        for (raw, cut) in [("/a;v=1/b;c", "/a/b"), ("/a/;x", "/a/"), ("/;x/a", "//a")] {
            let path = CanonicalPath::new(raw).unwrap().without_parameters().unwrap();
            assert_eq!(path.decoded(), cut);
        }
        assert!(CanonicalPath::new("/a/b").unwrap().without_parameters().is_none());
    }

    proptest! {
        #[test]
        fn what_is_decoded_has_nothing_left_to_decode(raw in "(/([a-z.%;0-9A-F]|%[0-9a-fA-F]{2}){0,6}){1,4}") {
            if let Ok(path) = CanonicalPath::new(&raw) {
                let again = path.decoded().replace('%', "%25");
                prop_assert!(!path.segments().any(|s| s == "." || s == ".."));
                prop_assert_eq!(path.segments().count(), raw.split('/').count() - 1);
                prop_assert!(again.len() >= path.decoded().len());
            }
        }

        #[test]
        fn any_text_is_judged_without_a_panic(raw in "\\PC*") {
            let _ = CanonicalPath::new(&raw);
        }
    }
}
