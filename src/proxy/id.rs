//! The id of a request: the client's own where it is well formed, else one of ours.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::observe::hexadecimal;

/// How many bytes an id has.
const LENGTH: usize = 32;
/// How many ids share one piece of memory.
const BLOCK: usize = 32;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where the ids of one worker begin. Without randomness they still differ within it.
pub(super) fn anywhere() -> [u64; 2] {
    let mut seed = [[0u8; 8]; 2];
    let _ = getrandom::fill(seed.as_flattened_mut());
    seed.map(u64::from_le_bytes)
}

/// Makes the ids of one worker: 128 bits that begin at random and never repeat within it. They
/// name requests; they protect nothing.
#[derive(Debug)]
pub(super) struct RequestIds {
    worker: u64,
    next: Cell<u64>,
    /// Where ids are written that have not been made yet.
    room: RefCell<BytesMut>,
}

impl RequestIds {
    /// Begins anywhere.
    pub(super) fn new() -> Self {
        let [worker, next] = anywhere();
        Self { worker, next: Cell::new(next), room: RefCell::default() }
    }

    /// The id of a request.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let mut own = headers.get_all(REQUEST_ID).iter();
        match (own.next(), own.next()) {
            (Some(value), None) if is_well_formed(value.as_bytes()) => value.clone(),
            _ => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        let next = self.next.get();
        self.next.set(next.wrapping_add(1));
        let mut room = self.room.borrow_mut();
        if room.capacity() < LENGTH {
            room.reserve(LENGTH * BLOCK);
        }
        for bits in [self.worker, mix(next)] {
            room.extend_from_slice(&hexadecimal(bits));
        }
        let id = room.split().freeze();
        HeaderValue::from_maybe_shared(id).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

/// Letters, digits and a few marks, at most 128: nothing that a log, a header or JSON must escape.
fn is_well_formed(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@~".contains(byte);
    (1..=128).contains(&id.len()) && id.iter().all(plain)
}

/// A permutation of 64 bits (the finaliser of SplitMix64), so that ids do not look alike.
pub(super) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(own: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in own {
            headers.append("x-request-id", value.parse().unwrap());
        }
        RequestIds::new().of(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_well_formed_id_of_the_client_is_kept() {
        assert_eq!(id(&["abc-123"]), "abc-123");
        for bad in [&["a b"][..], &["a\"b"], &["a", "b"], &[""], &[&"a".repeat(129)], &[]] {
            assert_eq!(id(bad).len(), 32, "{bad:?}");
        }
    }
}
