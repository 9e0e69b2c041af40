//! Where a request stands in a trace (W3C Trace Context, level 2): for the access log, for the header
//! that goes upstream, and for whoever exports spans at its end.

/// A request's own span, and the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace, its upper and its lower half; not both are zero.
    pub trace_id: [u64; 2],
    /// Our own span; not zero.
    pub span_id: u64,
    /// The span of whoever asked; zero where the trace begins here.
    pub parent_id: u64,
    /// Whether whoever asked may have recorded it; where it begins here, whether it shall be.
    pub sampled: bool,
    /// Whether the lower 56 bits of the trace's id are random.
    pub random: bool,
}

impl Trace {
    /// Whether it goes on here and did not begin here.
    #[must_use]
    pub const fn is_continued(&self) -> bool {
        self.parent_id != 0
    }

    /// The trace's id, as it is written.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 32] {
        let mut text = [0; 32];
        let halves = self.trace_id.into_iter().map(hexadecimal);
        for (to, from) in text.as_chunks_mut().0.iter_mut().zip(halves) {
            *to = from;
        }
        text
    }

    /// Our span's id, as it is written.
    #[must_use]
    pub const fn span_id(&self) -> [u8; 16] {
        hexadecimal(self.span_id)
    }
}

/// A number with all its digits, in lower case.
#[must_use]
pub const fn hexadecimal(bits: u64) -> [u8; 16] {
    let mut text = [0; 16];
    let [upper, lower] = [digits(bits >> 32), digits(bits & 0xffff_ffff)];
    let (first, second) = text.split_at_mut(8);
    first.copy_from_slice(&upper.to_be_bytes());
    second.copy_from_slice(&lower.to_be_bytes());
    text
}

/// Eight digits at once, each in a byte of its own: the half bytes are drawn apart, and those above
/// nine are letters.
const fn digits(bits: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let bits = ((bits & 0xffff_0000) << 16) | (bits & 0xffff);
    let bits = ((bits << 8) | bits) & 0x00ff_00ff_00ff_00ff;
    let bits = ((bits << 4) | bits) & (0x0f * EACH);
    let letters = ((bits + 0x06 * EACH) >> 4) & EACH;
    bits + b'0' as u64 * EACH + letters * (b'a' - b'0' - 10) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_all_their_digits() {
        for bits in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX, 0xa0 << 56] {
            assert_eq!(hexadecimal(bits), format!("{bits:016x}").as_bytes());
        }
        let (trace_id, span_id) = ([1, 2], 3);
        let trace = Trace { trace_id, span_id, parent_id: 0, sampled: true, random: true };
        assert_eq!(trace.trace_id(), format!("{:016x}{:016x}", 1, 2).as_bytes());
    }
}
