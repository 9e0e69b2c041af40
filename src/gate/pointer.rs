//! Where a body says what is judged: JSON pointers (RFC 6901), with `*` for every element of an
//! array.

use std::fmt;

use thiserror::Error;

/// A pointer into a JSON document. The empty one is the document itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: Box<str>,
    steps: Box<[Step]>,
}

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The member of an object with this name, unescaped; of an array the element at this number.
    Member(Box<str>),
    /// Every element of an array.
    Each,
}

/// Why a text is no pointer.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PointerError {
    /// Neither empty nor beginning with `/`.
    #[error("a pointer is empty or begins with `/`")]
    Relative,
    /// `~` followed by neither `0` nor `1`.
    #[error("`~` is written `~0`, and `/` in a name `~1`")]
    Escape,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let mut parts = text.split('/');
        if parts.next() != Some("") {
            return Err(PointerError::Relative);
        }
        let steps: Result<_, _> = parts.map(Step::parse).collect();
        Ok(Self { text: text.into(), steps: steps? })
    }

    /// As it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn parse(part: &str) -> Result<Self, PointerError> {
        if part == "*" {
            return Ok(Self::Each);
        }
        // `~01` is `~1`: the order matters (RFC 6901, section 4).
        let bad = part.replace("~0", "").replace("~1", "").contains('~');
        match bad {
            true => Err(PointerError::Escape),
            false => Ok(Self::Member(part.replace("~1", "/").replace("~0", "~").into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_as_rfc_6901_has_them() {
        let member = |name: &str| Step::Member(name.into());
        for (text, steps) in [
            ("", vec![]),
            ("/", vec![member("")]),
            ("/a/b", vec![member("a"), member("b")]),
            ("/a~1b/m~0n/~01", vec![member("a/b"), member("m~n"), member("~1")]),
            ("/*/action", vec![Step::Each, member("action")]),
            ("/**", vec![member("**")]),
        ] {
            assert_eq!(Pointer::parse(text).unwrap().steps(), steps, "{text}");
        }
        assert_eq!(Pointer::parse("a"), Err(PointerError::Relative));
        assert_eq!(Pointer::parse("/a~"), Err(PointerError::Escape));
        assert_eq!(Pointer::parse("/a~2"), Err(PointerError::Escape));
    }
}
