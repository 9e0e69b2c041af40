//! The end user that a profile key's token stands for.

use http::HeaderValue;

/// The identifiers of a profile: not empty, at most 256 bytes each, without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Given by the client's software.
    pub uuid: Option<Box<str>>,
    /// The profile's id in the operator's own system.
    pub custom_id: Option<Box<str>>,
    /// Its e-mail address.
    pub email: Option<Box<str>>,
}

/// The most bytes of an identifier.
const LONGEST: usize = 256;

impl Profile {
    /// Whether a text can be an identifier.
    pub(super) fn may_be(id: &str) -> bool {
        (1..=LONGEST).contains(&id.len()) && !id.chars().any(char::is_control)
    }

    /// The one that names it: `uuid`, else `customId`, else `email`.
    #[must_use]
    pub fn id(&self) -> &str {
        let ids = [&self.uuid, &self.custom_id, &self.email];
        ids.into_iter().flatten().next().map_or("", |id| id)
    }
}

/// An identifier as a header has it: what is not visible ASCII is percent-encoded, and `%` itself,
/// so that two identifiers never look the same (RFC 3986, section 2.4).
pub(in crate::gate) fn header(id: &str) -> HeaderValue {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'%' | 0..=0x20 | 0x7f.. => text.push_str(&format!("%{byte:02X}")),
            _ => text.push(char::from(byte)),
        }
    }
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_short_and_can_be_read() {
        let (longest, longer) = ("é".repeat(128), format!("{}x", "é".repeat(128)));
        for good in ["a", "a b", "żółć", "%00", "\u{202e}", &longest] {
            assert!(Profile::may_be(good), "{good}");
        }
        for bad in ["", &longer, "a\0", "a\r\nb", "\u{7f}", "\u{85}", "\t"] {
            assert!(!Profile::may_be(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_identifier_can_never_break_a_header() {
        for (id, shown) in [
            ("anna@example.com", "anna@example.com"),
            ("a b", "a%20b"),
            ("a%20b", "a%2520b"),
            ("żółć", "%C5%BC%C3%B3%C5%82%C4%87"),
            ("a\r\nX-Account-Id: other", "a%0D%0AX-Account-Id:%20other"),
        ] {
            assert_eq!(header(id), shown);
        }
    }
}
