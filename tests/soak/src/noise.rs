//! Bytes that both ends can make from a number, so that each byte of a body is known.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

const PIECE: u64 = 16 * 1024;

/// A generator of random numbers; good enough to tell bodies apart.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        // Never zero, where it would stay.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        (self.roll() >> 16) % limit
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or_default();
        &from[at]
    }
}

/// A body of so many bytes.
pub(crate) struct Noise {
    dice: Dice,
    left: u64,
    pace: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Noise {
    pub(crate) const fn new(seed: u64, length: u64) -> Self {
        Self { dice: Dice::new(seed), left: length, pace: None, pause: None }
    }

    /// With a pause after each piece.
    pub(crate) fn paced(self, pace: Duration) -> Self {
        Self { pace: (!pace.is_zero()).then_some(pace), ..self }
    }

    fn piece(&mut self) -> Option<Bytes> {
        let length = self.left.min(PIECE);
        self.left -= length;
        let mut piece = Vec::with_capacity(PIECE as usize);
        while (piece.len() as u64) < length {
            piece.extend_from_slice(&self.dice.roll().to_le_bytes());
        }
        piece.truncate(usize::try_from(length).unwrap_or_default());
        (length > 0).then(|| piece.into())
    }
}

impl Body for Noise {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
        }
        self.pause = self.pace.map(|pace| Box::pin(tokio::time::sleep(pace)));
        Poll::Ready(self.piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

/// Holds what arrives against what was sent.
pub(crate) struct Comparison {
    noise: Noise,
    expected: Bytes,
    pub(crate) taken: u64,
    pub(crate) differs: bool,
}

impl Comparison {
    pub(crate) const fn new(seed: u64, length: u64) -> Self {
        let noise = Noise::new(seed, length);
        Self { noise, expected: Bytes::new(), taken: 0, differs: false }
    }

    pub(crate) fn take(&mut self, mut arrived: &[u8]) {
        while !arrived.is_empty() {
            if self.expected.is_empty() {
                match self.noise.piece() {
                    Some(piece) => self.expected = piece,
                    None => {
                        self.differs = true;
                        return;
                    }
                }
            }
            let length = self.expected.len().min(arrived.len());
            let (now, later) = arrived.split_at(length);
            self.differs |= self.expected.split_to(length) != now;
            self.taken += length as u64;
            arrived = later;
        }
    }

    /// Every byte came, and no other.
    pub(crate) fn whole(&self) -> bool {
        !self.differs && self.expected.is_empty() && self.noise.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compared_to_the_byte() {
        let bytes = |seed| {
            let mut noise = Noise::new(seed, 40_000);
            std::iter::from_fn(move || noise.piece()).flatten().collect::<Vec<u8>>()
        };
        let whole = |arrived: &[u8]| {
            let mut comparison = Comparison::new(7, 40_000);
            arrived.chunks(999).for_each(|piece| comparison.take(piece));
            comparison.whole()
        };
        let mut right = bytes(7);
        assert!(whole(&right));
        assert!(!whole(&bytes(8)));
        assert!(!whole(&right[1..]));
        assert!(!whole(&right[..39_999]));
        right[30_000] ^= 1;
        assert!(!whole(&right));
        right[30_000] ^= 1;
        right.push(0);
        assert!(!whole(&right));
    }
}
