//! One small JSON object, flat: claims of tokens, login bodies.

use std::borrow::Cow;

use super::Invalid;
use super::reader::{Container, Event, Reader};

/// The members of an object that is a whole document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::gate) struct Object<'b> {
    members: Vec<(Cow<'b, str>, Value<'b>)>,
}

/// The value of a member.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gate) enum Value<'b> {
    /// A string, without escapes. It can contain control characters, NUL too.
    String(Cow<'b, str>),
    /// A number without fraction and exponent, as it stands there; it can be `-0`, and longer than
    /// any machine's integer.
    Integer(&'b str),
    /// Anything else, whatever it contains.
    Other,
}

/// Reads a document that is one object, strictly: a name that stands twice, at any depth, is an
/// error.
///
/// # Errors
/// Where it is not strict JSON, or not an object.
pub(in crate::gate) fn object(bytes: &[u8]) -> Result<Object<'_>, Invalid> {
    let mut reader = Reader::new(bytes)?;
    if reader.next()? != Some(Event::Begin(Container::Object)) {
        return Err(Invalid);
    }
    let (mut members, mut depth) = (Vec::new(), 1);
    let mut member = None;
    while let Some(event) = reader.next()? {
        let value = match event {
            Event::Name(name) if depth == 1 => {
                member = Some(name);
                continue;
            }
            Event::String(text) => Value::String(text),
            Event::Number(text) if !text.contains(['.', 'e', 'E']) => Value::Integer(text),
            Event::Begin(_) => {
                depth += 1;
                Value::Other
            }
            Event::End => {
                depth -= 1;
                continue;
            }
            Event::Name(_) | Event::Number(_) | Event::Word => Value::Other,
        };
        // What stands deeper comes when there is no name left to give it to.
        members.extend(member.take().map(|name| (name, value)));
    }
    Ok(Object { members })
}

impl<'b> Object<'b> {
    /// The value of a member.
    pub(in crate::gate) fn get(&self, name: &str) -> Option<&Value<'b>> {
        self.members.iter().find(|(its, _)| its == name).map(|(_, value)| value)
    }

    /// The value of a member that is a string.
    pub(in crate::gate) fn string(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::String(text) => Some(text),
            Value::Integer(_) | Value::Other => None,
        }
    }

    /// The value of a member that is an integer, where it fits.
    pub(in crate::gate) fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Integer(text) => text.parse().ok(),
            Value::String(_) | Value::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_of_an_object_are_read_flat() {
        let text = r#" {"a": "x\u0079", "n": -12, "f": 1.5, "e": 1e2, "deep": {"a": "inner"},
            "list": [{"b": 1}], "t": true, "": "empty", "long": 99999999999999999999} "#;
        let object = object(text.as_bytes()).unwrap();
        assert_eq!(object.string("a"), Some("xy"));
        assert_eq!(object.integer("n"), Some(-12));
        assert_eq!(object.string(""), Some("empty"));
        assert_eq!(object.get("long"), Some(&Value::Integer("99999999999999999999")));
        assert_eq!(object.integer("long"), None);
        for other in ["f", "e", "deep", "list", "t"] {
            assert_eq!(object.get(other), Some(&Value::Other), "{other}");
        }
        assert_eq!(object.get("b"), None);
        assert_eq!(object.string("n"), None);
        assert_eq!(object.integer("a"), None);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for (why, text) in [
            ("nothing", ""),
            ("an array", "[{}]"),
            ("a string", "\"{}\""),
            ("two objects", "{}{}"),
            ("a repeated member", r#"{"a":1,"a":1}"#),
            ("a repeated member after unescaping", r#"{"a":1,"\u0061":1}"#),
            ("a repeated member further in", r#"{"a":[{"b":{"c":1,"c":2}}]}"#),
            ("not closed", r#"{"a":1"#),
        ] {
            assert_eq!(object(text.as_bytes()), Err(Invalid), "{why}");
        }
    }
}
