//! Any answer of an upstream, to HEAD where the first byte is odd: however it comes in pieces it is read
//! in one way, and the HTTP library's client reads the same.

#![no_main]

#[path = "../../gate/answered.rs"]
#[expect(clippy::indexing_slicing, reason = "a panic is a finding")]
mod answered;

use http::Method;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, says)) = input.split_first() else { return };
    let method = if first % 2 == 1 { Method::HEAD } else { Method::GET };
    if let Err(why) = answered::compared(&method, says) {
        panic!("{why}");
    }
});
