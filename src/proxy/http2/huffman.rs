//! The Huffman code of header strings (RFC 7541, section 5.2 and appendix B).

use std::sync::LazyLock;

/// The number of bits of each byte's code, and of the end's, which is no byte. The code is
/// canonical: codes of one length follow each other in the order of what they stand for, and those
/// of the next length follow them.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];
const SHORTEST: u8 = 5;
const LONGEST: u8 = 30;

/// All codes of one length.
struct Codes {
    bits: u8,
    /// The first of them, at the left of 32 bits, and the first that is longer.
    first: u32,
    end: u64,
    /// What they stand for.
    symbols: Vec<u16>,
}

static CODES: LazyLock<Vec<Codes>> = LazyLock::new(|| {
    let mut first = 0_u64;
    let codes = (SHORTEST..=LONGEST).map(|bits| {
        let own = (0_u16..).zip(LENGTHS).filter(|&(_, length)| length == bits);
        let symbols: Vec<_> = own.map(|(symbol, _)| symbol).collect();
        let end = first + ((symbols.len() as u64) << (32 - bits));
        let codes = Codes { bits, first: u32::try_from(first).unwrap_or(u32::MAX), end, symbols };
        first = end;
        codes
    });
    codes.filter(|codes| !codes.symbols.is_empty()).collect()
});

/// Reads a string byte by byte; `None` where it is none.
pub(super) fn decode(coded: &[u8], mut each: impl FnMut(u8)) -> Option<()> {
    let mut coded = coded.iter();
    // What was read and not yet used, at the right.
    let (mut window, mut held) = (0_u64, 0_u32);
    loop {
        while held <= 32 {
            let Some(byte) = coded.next() else { break };
            window = window << 8 | u64::from(*byte);
            held += 8;
        }
        // Beyond the end there are ones, as in the padding.
        let next = match held {
            32.. => window >> (held - 32),
            _ => ones_after(window, held),
        } & u64::from(u32::MAX);
        let codes = CODES.iter().find(|codes| next < codes.end)?;
        if u32::from(codes.bits) > held {
            // Less than a byte of padding, all ones (RFC 7541, section 5.2).
            return (held < 8 && next == u64::from(u32::MAX)).then_some(());
        }
        let at = u32::try_from(next).ok()?.checked_sub(codes.first)? >> (32 - codes.bits);
        let symbol = codes.symbols.get(usize::try_from(at).ok()?)?;
        // The end stands for no byte and may not be written.
        each(u8::try_from(*symbol).ok()?);
        held -= u32::from(codes.bits);
    }
}

/// The lowest bits of a window, less than 32, at the left of 32 bits and followed by ones.
const fn ones_after(window: u64, held: u32) -> u64 {
    (window << (32 - held)) | ((1 << (32 - held)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(coded: &[u8]) -> Option<String> {
        let mut bytes = Vec::new();
        decode(coded, |byte| bytes.push(byte))?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_code_uses_every_bit_pattern() {
        let sum: u64 = LENGTHS.iter().map(|&length| 1_u64 << (32 - length)).sum();
        assert_eq!(sum, 1 << 32);
        assert_eq!(CODES.iter().map(|codes| codes.symbols.len()).sum::<usize>(), 257);
    }

    #[test]
    fn the_examples_of_the_document_are_read() {
        // RFC 7541, appendix C.4 and C.6.
        for (coded, plain) in [
            (&b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", "custom-key"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", "custom-value"),
            (b"\x64\x02", "302"),
            (
                b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
                "https://www.example.com",
            ),
            (b"", ""),
        ] {
            assert_eq!(text(coded).as_deref(), Some(plain));
        }
    }

    #[test]
    fn what_is_no_string_is_not_read() {
        // Padding of a whole byte, of zeros; the end itself.
        for bad in [
            &b"\xa8\xeb\x10\x64\x9c\xbf\xff"[..],
            b"\xa8\xeb\x10\x64\x9c\xbe",
            b"\xff\xff\xff\xff",
            b"\xff",
        ] {
            assert_eq!(text(bad), None, "{bad:x?}");
        }
    }
}
