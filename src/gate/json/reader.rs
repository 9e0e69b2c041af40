//! The grammar of a JSON text (RFC 8259, sections 2 to 5), as a sequence of events.
//!
//! Must not know what is looked for. Keeps no more than the names of the members of the objects
//! that are open, so that a name that stands there twice is seen whatever is between.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Invalid;
use super::scanner::Scanner;
use super::string::string;

/// How deep arrays and objects may stand in one another.
const DEEPEST: usize = 64;

/// What comes next in a text. Every value is one event, or what stands between `Begin` and `End`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'b> {
    /// An array or an object begins.
    Begin(Container),
    /// The innermost array or object ends.
    End,
    /// The name of a member, without escapes; its value comes next.
    Name(Cow<'b, str>),
    /// A string, without escapes.
    String(Cow<'b, str>),
    /// A number, as it stands there.
    Number(&'b str),
    /// `true`, `false` or `null`.
    Word,
}

/// What holds values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

/// A text that is being read.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    scanner: Scanner<'b>,
    open: Vec<Open<'b>>,
    expected: Expected,
}

/// What is open. The hasher is seeded at random: nobody can choose names that collide.
#[derive(Debug)]
enum Open<'b> {
    Array,
    Object(HashSet<Cow<'b, str>>),
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    /// A value and nothing else.
    Value,
    /// The first thing in a container, or its end.
    First,
    /// A comma and another thing in a container, or its end.
    Next,
    /// Nothing but white space.
    Nothing,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, Invalid> {
        let scanner = Scanner::new(bytes)?;
        Ok(Self { scanner, open: Vec::new(), expected: Expected::Value })
    }

    /// The next event; none at the end of the text. After an error the text is of no more use.
    pub(super) fn next(&mut self) -> Result<Option<Event<'b>>, Invalid> {
        self.scanner.space();
        match self.expected {
            Expected::Nothing if self.scanner.peek().is_none() => Ok(None),
            Expected::Nothing => Err(Invalid),
            Expected::Value => self.value().map(Some),
            Expected::First | Expected::Next => self.inside().map(Some),
        }
    }

    fn inside(&mut self) -> Result<Event<'b>, Invalid> {
        if self.take_end() {
            self.open.pop();
            self.value_is_over();
            return Ok(Event::End);
        }
        if matches!(self.expected, Expected::Next) {
            self.scanner.word(",")?;
            self.scanner.space();
        }
        self.member_or_element()
    }

    fn take_end(&mut self) -> bool {
        match self.open.last() {
            Some(Open::Array) => self.scanner.take(b']'),
            Some(Open::Object(_)) => self.scanner.take(b'}'),
            None => false,
        }
    }

    const fn value_is_over(&mut self) {
        self.expected = match self.open.is_empty() {
            true => Expected::Nothing,
            false => Expected::Next,
        };
    }

    fn member_or_element(&mut self) -> Result<Event<'b>, Invalid> {
        let Some(Open::Object(names)) = self.open.last_mut() else { return self.value() };
        let name = string(&mut self.scanner)?;
        // Where strings end at a NUL, such a name is another one.
        if name.contains('\0') || !names.insert(name.clone()) {
            return Err(Invalid);
        }
        self.scanner.space();
        self.scanner.word(":")?;
        self.expected = Expected::Value;
        Ok(Event::Name(name))
    }

    fn value(&mut self) -> Result<Event<'b>, Invalid> {
        let event = match self.scanner.peek().ok_or(Invalid)? {
            b'{' => return self.begin(Container::Object),
            b'[' => return self.begin(Container::Array),
            b'"' => Event::String(string(&mut self.scanner)?),
            b'-' | b'0'..=b'9' => Event::Number(self.scanner.number()?),
            b't' => self.scanner.word("true").map(|()| Event::Word)?,
            b'f' => self.scanner.word("false").map(|()| Event::Word)?,
            b'n' => self.scanner.word("null").map(|()| Event::Word)?,
            _ => return Err(Invalid),
        };
        self.value_is_over();
        Ok(event)
    }

    fn begin(&mut self, container: Container) -> Result<Event<'b>, Invalid> {
        self.scanner.next()?;
        if self.open.len() == DEEPEST {
            return Err(Invalid);
        }
        self.open.push(match container {
            Container::Array => Open::Array,
            Container::Object => Open::Object(HashSet::new()),
        });
        self.expected = Expected::First;
        Ok(Event::Begin(container))
    }
}
