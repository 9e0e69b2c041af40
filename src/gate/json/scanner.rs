//! The words of a JSON text, one at a time (RFC 8259, sections 2, 3 and 6).

use super::Invalid;

/// The longest number. Some parsers refuse longer ones, or spend quadratic time on them.
const LONGEST_NUMBER: usize = 1024;

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Scanner<'b> {
    text: &'b str,
    at: usize,
}

impl<'b> Scanner<'b> {
    /// At the beginning. A byte order mark is no white space, so it is refused further on.
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, Invalid> {
        let text = std::str::from_utf8(bytes).map_err(|_| Invalid)?;
        Ok(Self { text, at: 0 })
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte, and past it.
    pub(super) fn next(&mut self) -> Result<u8, Invalid> {
        let byte = self.peek().ok_or(Invalid)?;
        self.at += 1;
        Ok(byte)
    }

    /// Past the next byte if it is this one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Past white space.
    pub(super) fn space(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Past a word.
    pub(super) fn word(&mut self, word: &str) -> Result<(), Invalid> {
        word.bytes().all(|byte| self.take(byte)).then_some(()).ok_or(Invalid)
    }

    /// A number, as it stands there.
    pub(super) fn number(&mut self) -> Result<&'b str, Invalid> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let number = self.since(start)?;
        (number.len() <= LONGEST_NUMBER).then_some(number).ok_or(Invalid)
    }

    /// Past bytes of a kind, and what they were.
    pub(super) fn take_while(&mut self, is: impl Fn(u8) -> bool) -> &'b str {
        let start = self.at;
        while self.peek().is_some_and(&is) {
            self.at += 1;
        }
        self.since(start).unwrap_or_default()
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        (!digits.is_empty()).then_some(()).ok_or(Invalid)
    }

    fn since(&self, start: usize) -> Result<&'b str, Invalid> {
        self.text.get(start..self.at).ok_or(Invalid)
    }
}
