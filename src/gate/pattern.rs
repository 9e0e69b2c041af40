//! What a key looks like: a regular expression, taken apart where it is one class that is repeated.
//!
//! Whoever guesses keys has each of them held against it, so the common form, the default among
//! them, must not cost what an automaton does.

use std::ops::RangeInclusive;

use regex_lite::Regex;

use crate::keys::ApiKey;

/// What a syntactically valid key looks like.
#[derive(Clone, Debug)]
pub struct KeyPattern(Form);

#[derive(Clone, Debug)]
enum Form {
    /// So many bytes, each of a set of ASCII characters: `[a-z]{1,9}`.
    Repeated(AsciiSet, RangeInclusive<usize>),
    Other(Regex),
}

impl KeyPattern {
    /// The default of `keys.pattern`.
    pub const DEFAULT: &'static str = "[A-Za-z0-9._~+/=-]{16,256}";

    /// Compiles a regular expression that must match the whole key.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn new(pattern: &str) -> Result<Self, regex_lite::Error> {
        let regex = Regex::new(&format!("^(?:{pattern})$"))?;
        let repeated = repeated(pattern).map(|(set, times)| Form::Repeated(set, times));
        Ok(Self(repeated.unwrap_or(Form::Other(regex))))
    }

    /// Whether a key fits.
    #[must_use]
    pub fn fits(&self, key: &ApiKey<'_>) -> bool {
        key.text().is_some_and(|text| self.matches(text))
    }

    fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Form::Repeated(set, times) => {
                times.contains(&text.len()) && text.bytes().all(|byte| set.contains(byte))
            }
            Form::Other(regex) => !text.ends_with('\n') && regex.is_match(text),
        }
    }
}

/// A set of ASCII characters.
#[derive(Clone, Copy, Debug, Default)]
struct AsciiSet(u128);

impl AsciiSet {
    fn add(&mut self, characters: RangeInclusive<u8>) {
        characters.for_each(|byte| self.0 |= 1_u128.unbounded_shl(byte.into()));
    }

    fn contains(self, byte: u8) -> bool {
        self.0 & 1_u128.unbounded_shl(byte.into()) != 0
    }
}

/// Takes `[…]{m,n}` apart. Nothing that could mean something else than it says is looked into.
fn repeated(pattern: &str) -> Option<(AsciiSet, RangeInclusive<usize>)> {
    let (class, times) = pattern.strip_prefix('[')?.split_once("]{")?;
    let (least, most) = times.strip_suffix('}')?.split_once(',')?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    Some((set(class.as_bytes())?, number(least)?..=number(most)?))
}

fn set(mut class: &[u8]) -> Option<AsciiSet> {
    let mut set = AsciiSet::default();
    loop {
        class = match class {
            [] => return (set.0 != 0).then_some(set),
            [b'-'] => {
                set.add(b'-'..=b'-');
                &[]
            }
            [from, b'-', to, rest @ ..] if same_kind(*from, *to) => {
                set.add(*from..=*to);
                rest
            }
            [one, rest @ ..] if one.is_ascii_alphanumeric() || b"._~+/=".contains(one) => {
                // Two of a kind are an operator in some dialects, and a `-` would begin a range.
                let operator = rest.first().is_some_and(|next| next == one);
                let range = matches!(rest, [b'-', _, ..]);
                if operator || range {
                    return None;
                }
                set.add(*one..=*one);
                rest
            }
            _ => return None,
        };
    }
}

/// Whether a range from one to the other is what anyone would take it for.
const fn same_kind(from: u8, to: u8) -> bool {
    from <= to
        && (from.is_ascii_digit() && to.is_ascii_digit()
            || from.is_ascii_lowercase() && to.is_ascii_lowercase()
            || from.is_ascii_uppercase() && to.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(pattern: &str) -> Regex {
        Regex::new(&format!("^(?:{pattern})$")).unwrap()
    }

    #[test]
    fn the_default_and_its_like_need_no_automaton() {
        for pattern in [KeyPattern::DEFAULT, "[a-f0-9]{32,32}", "[-]{1,2}", "[a-zA-Z_]{0,9}"] {
            let form = KeyPattern::new(pattern).unwrap().0;
            assert!(matches!(form, Form::Repeated(..)), "{pattern}");
        }
    }

    #[test]
    fn what_could_mean_more_is_left_to_the_library() {
        for pattern in [
            "[a-z]{3}",
            "[^a-z]{1,2}",
            "[a-z]+",
            r"[\w]{1,2}",
            "[a]{1,2}|[b]{1,2}",
            "[a--]{1,2}",
            "[a~~b]{1,2}",
            "[Z-a]{1,2}",
            "[a.-z]{1,2}",
            "[é]{1,2}",
            "x[a]{1,2}",
            "[a]{1,2}[b]{1,2}",
            "[a]{1,2}?",
            "[a]{1,}",
            "[a][b]{1,2}",
        ] {
            assert!(repeated(pattern).is_none(), "{pattern}");
        }
        for broken in ["[a]{2,1}", "[z-a]{1,2}", "[]{1,2}"] {
            assert!(KeyPattern::new(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn taken_apart_it_matches_what_the_expression_matches(
            class in "[a-cX-Z0-2._~+/=-]{1,7}",
            (least, more) in (0_usize..4, 0_usize..4),
            text in "[a-dW-Z0-3._~+/=\n é-]{0,7}",
        ) {
            let pattern = format!("[{class}]{{{least},{}}}", least + more);
            if let Ok(taken) = KeyPattern::new(&pattern) {
                let oracle = !text.ends_with('\n') && whole(&pattern).is_match(&text);
                prop_assert_eq!(taken.matches(&text), oracle, "{}", pattern);
            }
        }

        #[test]
        fn of_the_default_too(text in "[A-Za-z0-9._~+/=-]{14,18}[ -~]{0,2}") {
            let taken = KeyPattern::new(KeyPattern::DEFAULT).unwrap();
            prop_assert_eq!(taken.matches(&text), whole(KeyPattern::DEFAULT).is_match(&text));
        }
    }
}
