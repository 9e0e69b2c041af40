//! A body of chunks, followed to its end (RFC 9112, section 7.1). Extensions are passed over, in one
//! line of visible characters: nobody acts on them.

/// The most digits of a chunk's size.
const MOST_DIGITS: u8 = 15;
/// The most bytes of extensions in a body.
const MOST_EXTENSIONS: usize = 8 * 1024;
/// The most bytes of trailers.
const MOST_TRAILERS: usize = 16 * 1024;

/// How far a body has come.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Chunks {
    state: State,
    /// What was read of a size, and of how many digits.
    size: u64,
    digits: u8,
    /// How many bytes of extensions there were.
    extensions: usize,
    /// How many bytes of trailers there were, and of the line that they end with.
    trailers: usize,
    line: usize,
}

/// What some bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Part {
    /// Its content.
    Data,
    /// What is around that.
    Framing,
    /// The last of that.
    End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
}

impl Chunks {
    /// Follows the body: how many bytes belong to it, and whether it is over then.
    ///
    /// # Errors
    /// The position of the first byte that breaks it.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, bool), usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (length, part) = self.run(rest).map_err(|wrong| at + wrong)?;
            at += length;
            if part == Part::End {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// How many of some bytes belong together, and what they are. The fields after the body do not
    /// begin in the middle.
    ///
    /// # Errors
    /// The position of the first byte that breaks the body.
    pub(in crate::proxy) fn run(&mut self, bytes: &[u8]) -> Result<(usize, Part), usize> {
        if self.state == State::Data {
            let taken = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len());
            self.size -= taken as u64;
            if self.size == 0 {
                self.state = State::DataCr;
            }
            return Ok((taken, Part::Data));
        }
        for (at, &byte) in bytes.iter().enumerate() {
            let sized = self.state == State::SizeLf;
            if self.step(byte).ok_or(at)? {
                return Ok((at + 1, Part::End));
            }
            if sized {
                return Ok((at + 1, Part::Framing));
            }
        }
        Ok((bytes.len(), Part::Framing))
    }

    /// Whether what comes next are the fields after the body.
    pub(in crate::proxy) const fn in_trailers(&self) -> bool {
        matches!(self.state, State::Trailer | State::TrailerLf)
    }

    /// One byte of the framing; `Some(true)` after the last.
    fn step(&mut self, byte: u8) -> Option<bool> {
        self.state = match (self.state, byte) {
            (State::Size | State::Extension, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Extension, b'\t' | 0x20..0x7f) => {
                self.extensions += 1;
                if self.extensions > MOST_EXTENSIONS {
                    return None;
                }
                State::Extension
            }
            (State::Size, _) => {
                let digit = char::from(byte).to_digit(16).filter(|_| self.digits < MOST_DIGITS)?;
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
                State::Size
            }
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                if self.size > 0 { State::Data } else { State::Trailer }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::Trailer, b'\n' | 0) => return None,
            (State::Trailer, _) => {
                self.line += 1;
                self.trailers += 1;
                if self.trailers > MOST_TRAILERS {
                    return None;
                }
                State::Trailer
            }
            (State::TrailerLf, b'\n') if self.line == 0 => return Some(true),
            (State::TrailerLf, b'\n') => {
                self.line = 0;
                State::Trailer
            }
            (
                State::Extension
                | State::SizeLf
                | State::Data
                | State::DataCr
                | State::DataLf
                | State::TrailerLf,
                _,
            ) => return None,
        };
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Result<(usize, bool), usize> {
        Chunks::default().feed(bytes)
    }

    #[test]
    fn a_body_ends_after_its_last_chunk_and_its_trailers() {
        for (body, length) in [
            ("0\r\n\r\nGET /", 5),
            ("3\r\nabc\r\n0\r\n\r\n", 13),
            ("a\r\n0\r\n\r\n67890\r\n000\r\n\r\n", 22),
            ("1;a=\"b;\"\t;c\r\na\r\n0;d\r\n\r\nrest", 23),
            ("1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\nrest", 23),
        ] {
            assert_eq!(whole(body.as_bytes()), Ok((length, true)), "{body:?}");
            // In pieces it is the same.
            let mut chunks = Chunks::default();
            for (at, byte) in body.bytes().take(length).enumerate() {
                assert_eq!(chunks.feed(&[byte]), Ok((1, at + 1 == length)), "{body:?} {at}");
            }
        }
        assert_eq!(whole(b"5\r\nab"), Ok((5, false)));
    }

    #[test]
    fn what_breaks_the_framing_is_found_where_it_is() {
        for (body, at) in [
            ("\r\n", 0),
            ("g\r\n", 0),
            ("+3\r\nabc", 0),
            ("0x3\r\nabc", 1),
            (" 3\r\nabc", 0),
            ("3 \r\nabc", 1),
            ("3;a=b\nabc", 5),
            ("3;a=b\0\r\nabc", 5),
            (";a=b\r\nabc", 0),
            ("3\nabc", 1),
            ("3\rabc", 2),
            ("3\r\nabcd", 6),
            ("3\r\nabc\n", 6),
            ("3\r\nabc\rx", 7),
            ("0\r\n\n", 3),
            ("0\r\nA: b\n", 7),
            ("0\r\n\rx", 4),
            ("0000000000000001\r\n", 15),
            ("ffffffffffffffff\r\n", 15),
        ] {
            assert_eq!(whole(body.as_bytes()), Err(at), "{body:?}");
        }
        let trailers = format!("0\r\nA: {}\r\n", "b".repeat(MOST_TRAILERS));
        assert!(whole(trailers.as_bytes()).is_err());
        assert!(whole(format!("1;{}", "b".repeat(MOST_EXTENSIONS + 1)).as_bytes()).is_err());
    }
}
