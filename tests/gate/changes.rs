//! Input that is almost right: bytes put in, changed and taken away.

use proptest::prelude::*;
use proptest::sample::select;

/// A byte that someone might take for another.
pub(crate) fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![select(&b"\r\n\t \0:;,0123aAfFx+-_\x0b\x0c\x7f\x80\xff"[..]), any::<u8>()]
}

/// Each change is a place, a byte, and what to do with it there.
pub(crate) fn changed(input: Vec<u8>, changes: Vec<(prop::sample::Index, u8, u8)>) -> Vec<u8> {
    changes.into_iter().fold(input, |mut input, (at, byte, how)| {
        let at = at.index(input.len() + 1);
        match how % 3 {
            0 => input.insert(at, byte),
            1 if at < input.len() => input[at] = byte,
            _ if at < input.len() => drop(input.remove(at)),
            _ => {}
        }
        input
    })
}
