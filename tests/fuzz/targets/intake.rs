//! Any input of an HTTP/1 connection: what the guard hands on is what the HTTP library hears, request
//! by request, and what it hears has one reading.

#![no_main]

#[path = "../../gate/wire.rs"]
#[expect(clippy::indexing_slicing, reason = "a panic is a finding")]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(why) = wire::compared(input) {
        panic!("{why}");
    }
});
