//! The strings of a JSON text (RFC 8259, section 7), without their escapes.

use std::borrow::Cow;

use super::Invalid;
use super::scanner::Scanner;

/// Reads a string from its opening quote on. One without escapes is not copied.
pub(super) fn string<'b>(scanner: &mut Scanner<'b>) -> Result<Cow<'b, str>, Invalid> {
    scanner.word("\"")?;
    let mut text = Cow::Borrowed(plain(scanner));
    loop {
        match scanner.next()? {
            b'"' => return Ok(text),
            b'\\' => {
                let whole = text.to_mut();
                whole.push(escaped(scanner)?);
                whole.push_str(plain(scanner));
            }
            // A control character.
            _ => return Err(Invalid),
        }
    }
}

/// What stands for itself.
fn plain<'b>(scanner: &mut Scanner<'b>) -> &'b str {
    scanner.take_while(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

fn escaped(scanner: &mut Scanner<'_>) -> Result<char, Invalid> {
    Ok(match scanner.next()? {
        byte @ (b'"' | b'\\' | b'/') => char::from(byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => code_point(scanner)?,
        _ => return Err(Invalid),
    })
}

/// What follows `\u`: one unit, or two that are a surrogate pair. Half a pair has no one reading.
fn code_point(scanner: &mut Scanner<'_>) -> Result<char, Invalid> {
    let first = unit(scanner)?;
    if !(0xD800..0xDC00).contains(&first) {
        // The second half alone is no character either.
        return char::from_u32(first).ok_or(Invalid);
    }
    scanner.word("\\u")?;
    let second = unit(scanner)?;
    if !(0xDC00..0xE000).contains(&second) {
        return Err(Invalid);
    }
    char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or(Invalid)
}

/// Four hex digits.
fn unit(scanner: &mut Scanner<'_>) -> Result<u32, Invalid> {
    (0..4).try_fold(0, |unit, _| {
        let digit = char::from(scanner.next()?).to_digit(16).ok_or(Invalid)?;
        Ok(unit << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Cow<'_, str>, Invalid> {
        string(&mut Scanner::new(text.as_bytes()).unwrap())
    }

    #[test]
    fn strings_are_read_without_their_escapes() {
        for (text, read_as) in [
            (r#""""#, ""),
            (r#""a b""#, "a b"),
            (r#""żółć 😀""#, "żółć 😀"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u0061\u00E9\u20ac""#, "aé€"),
            (r#""\ud83d\uDE00""#, "😀"),
            (r#""a\u0000b""#, "a\0b"),
            ("\"\u{7f}\u{2028}\u{feff}\"", "\u{7f}\u{2028}\u{feff}"),
            (r#""\ufffe\uffff""#, "\u{fffe}\u{ffff}"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(read_as), "{text}");
        }
    }

    #[test]
    fn a_string_without_escapes_is_not_copied() {
        assert!(matches!(read("\"plain\""), Ok(Cow::Borrowed("plain"))));
    }

    #[test]
    fn strings_with_two_readings_are_refused() {
        for (why, text) in [
            ("not closed", "\"a"),
            ("closed by an escaped quote", r#""a\""#),
            ("a raw line break", "\"a\nb\""),
            ("a raw tab", "\"a\tb\""),
            ("a raw nul", "\"a\0b\""),
            ("an unknown escape", r#""\x61""#),
            ("a JavaScript escape", r#""\v""#),
            ("an octal escape", r#""\0""#),
            ("an escaped single quote", r#""\'""#),
            ("an upper case escape", r#""\U0061""#),
            ("three hex digits", r#""\u006""#),
            ("a sign among hex digits", r#""\u+061""#),
            ("a brace among hex digits", r#""\u{61}""#),
            ("a high surrogate alone", r#""\ud83d""#),
            ("a high surrogate before a character", r#""\ud83da""#),
            ("a high surrogate before another escape", r#""\ud83d\n""#),
            ("a high surrogate before a high one", r#""\ud83d\ud83d""#),
            ("a high surrogate before a character's escape", r#""\ud83d\u0061""#),
            ("a low surrogate alone", r#""\ude00""#),
            ("a low surrogate first", r#""\ude00\ud83d""#),
        ] {
            assert_eq!(read(text), Err(Invalid), "{why}");
        }
    }
}
