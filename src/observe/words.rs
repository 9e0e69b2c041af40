//! Small things as text, straight into the memory of a line: numbers, addresses, JSON strings,
//! times.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

/// How long a timestamp is: UTC with microseconds (RFC 3339, section 5.6).
pub(super) const TIMESTAMP: usize = "2026-11-22T10:00:00.000000Z".len();

thread_local! {
    /// A second, and what is the same of all timestamps within it.
    static SECOND: RefCell<(i64, [u8; TIMESTAMP])> = const { RefCell::new((i64::MIN, [b'0'; TIMESTAMP])) };
}

/// A time, which has that length in the years from 0 to 9999.
pub(super) fn timestamp(now: Timestamp) -> [u8; TIMESTAMP] {
    let mut text = SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_second() {
            *second = now.as_second();
            let whole = Timestamp::from_second(*second).unwrap_or_default().to_string();
            text.iter_mut().zip(whole.bytes()).for_each(|(to, from)| *to = from);
        }
        *text
    });
    if let Some((_, [point, fraction @ .., end])) = text.split_first_chunk_mut::<19>() {
        (*point, *end) = (b'.', b'Z');
        let micros = now.subsec_microsecond();
        digits(fraction, u32::try_from(micros).unwrap_or_default());
    }
    text
}

/// A number, to the last place of a field, with zeros before it.
fn digits(field: &mut [u8], mut number: u32) {
    for place in field.iter_mut().rev() {
        // One decimal digit.
        *place = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
}

/// A number.
pub(super) fn number(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A time in seconds, with microseconds.
pub(super) fn seconds(line: &mut Vec<u8>, time: Duration) {
    number(line, time.as_secs());
    let mut field = [b'.'; 7];
    digits(field.get_mut(1..).unwrap_or_default(), time.subsec_micros());
    line.extend_from_slice(&field);
}

/// An address.
pub(super) fn address(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, byte) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    line.push(b'.');
                }
                number(line, byte.into());
            }
        }
        // Writing to memory cannot fail.
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

/// A text as a JSON string (RFC 8259, section 7), its quotes included.
pub(super) fn string(line: &mut Vec<u8>, text: &str) {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    // To the end in any case: so many bytes at once are looked at.
    if text.bytes().fold(false, |any, byte| any | special(byte)) {
        // A text is always written.
        let _ = serde_json::to_writer(line, text);
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn numbers_and_times_are_what_they_are() {
        for value in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(written(|line| number(line, value)), value.to_string());
        }
        for (time, text) in [
            (Duration::ZERO, "0.000000"),
            (Duration::from_nanos(1_999), "0.000001"),
            (Duration::from_micros(61_000_042), "61.000042"),
        ] {
            assert_eq!(written(|line| seconds(line, time)), text);
        }
    }

    #[test]
    fn a_timestamp_is_the_time_that_it_was_made_of() {
        for text in [
            "2026-11-22T10:00:00.000000Z",
            "2026-11-22T10:00:00.120045Z",
            "2026-11-22T10:00:01.999999Z",
            "1999-12-31T23:59:59.000001Z",
        ] {
            assert_eq!(timestamp(text.parse().unwrap()), text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn addresses_are_written_as_ever() {
        for text in ["0.0.0.0", "192.0.2.7", "255.255.255.255", "::1", "2001:db8::a:0:7"] {
            assert_eq!(written(|line| address(line, text.parse().unwrap())), text);
        }
    }

    #[test]
    fn a_string_is_json_whatever_stands_in_it() {
        for text in ["", "/plain", "a\"b", "a\\b", "a\nb\u{1}", "é\u{2028}\u{7f}"] {
            let json = written(|line| string(line, text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
        }
    }
}
