//! One line of a text in the usual form, taken from left to right.

use std::ops::ControlFlow;

/// What is left of a line.
pub(super) struct Line<'t> {
    rest: &'t str,
    /// Where the line ends in the text.
    end: usize,
}

/// Whether a text has nothing in it that means something else than it looks like: no escapes, no
/// control characters but tabs and whole line breaks.
pub(super) fn is_plain(text: &str) -> bool {
    let mut returns = false;
    // Without a branch for every byte, so that many are judged at a time.
    let odd = text.as_bytes().chunks(256).any(|some| {
        let (mut odd, mut found) = (false, false);
        for &byte in some {
            let control = byte < b' ' && byte != b'\n' && byte != b'\t' && byte != b'\r';
            odd |= control | (byte == 0x7f) | (byte == b'\\');
            found |= byte == b'\r';
        }
        returns |= found;
        odd
    });
    !odd && (!returns || text.split('\r').skip(1).all(|rest| rest.starts_with('\n')))
}

impl<'t> Line<'t> {
    /// A line that begins somewhere in its text, without its line break.
    pub(super) fn new(line: &'t str, start: usize) -> Self {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut this = Self { rest: line, end: start + line.len() };
        this.skip_blanks();
        this
    }

    /// Where in the text the rest begins.
    pub(super) const fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Whether nothing that counts is left.
    pub(super) fn ends(&mut self) -> bool {
        self.skip_blanks();
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    /// The name in `[[name]]`; anything else in brackets has none.
    pub(super) fn header(&mut self) -> Option<&'t str> {
        if !self.rest.starts_with('[') {
            return None;
        }
        let inside = self.rest.strip_prefix("[[").and_then(|rest| rest.split_once("]]"));
        let (name, rest) = inside.unwrap_or(("", ""));
        self.rest = rest;
        Some(name)
    }

    /// A name without quotes, and the `=` after it.
    pub(super) fn name(&mut self) -> Option<&'t str> {
        let end = self.rest.bytes().position(|byte| !byte.is_ascii_lowercase() && byte != b'_')?;
        let (name, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        self.mark('=')?;
        Some(name)
    }

    /// A string in double quotes.
    pub(super) fn string(&mut self) -> Option<&'t str> {
        let rest = self.rest.strip_prefix('"')?;
        let end = memchr::memchr(b'"', rest.as_bytes())?;
        let (text, rest) = rest.split_at_checked(end)?;
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    /// A list of strings; a comma may end it.
    pub(super) fn strings(&mut self) -> Option<Vec<&'t str>> {
        let mut list = Vec::new();
        self.enclosed('[', ']', true, |line| {
            list.push(line.string()?);
            Some(())
        })?;
        Some(list)
    }

    /// A table, whose members are taken by name.
    pub(super) fn table(
        &mut self,
        mut take: impl FnMut(&'t str, &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.enclosed('{', '}', false, |line| {
            let name = line.name()?;
            take(name, line)
        })
    }

    /// `true` or `false`.
    pub(super) fn bool(&mut self) -> Option<bool> {
        self.word()?.parse().ok()
    }

    /// What dates, times and `true` are made of.
    pub(super) fn word(&mut self) -> Option<&'t str> {
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b":.+-".contains(&byte);
        let end = self.rest.bytes().position(|byte| !part(byte)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(word)
    }

    /// Things between brackets, with commas between them.
    fn enclosed(
        &mut self,
        open: char,
        close: char,
        comma_may_end: bool,
        mut take: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.mark(open)?;
        let mut step = |line: &mut Self, first: bool| {
            if line.mark(close).is_some() {
                // `{ a = 1, }` is not TOML 1.0.
                return Some(ControlFlow::Break(first || comma_may_end));
            }
            take(line)?;
            line.skip_blanks();
            if line.mark(',').is_some() {
                return Some(ControlFlow::Continue(()));
            }
            line.mark(close).map(|()| ControlFlow::Break(true))
        };
        let mut first = true;
        loop {
            match step(self, first)? {
                ControlFlow::Continue(()) => first = false,
                ControlFlow::Break(well) => return well.then_some(()),
            }
        }
    }

    /// A character, with the blanks before and after it.
    fn mark(&mut self, mark: char) -> Option<()> {
        self.skip_blanks();
        self.rest = self.rest.strip_prefix(mark)?;
        self.skip_blanks();
        Some(())
    }

    fn skip_blanks(&mut self) {
        if self.rest.starts_with([' ', '\t']) {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
        }
    }
}
