//! Any first bytes of a connection: what is a header is one however it arrives, names a client only
//! where it is written so, and nothing panics.

#![no_main]

use std::net::IpAddr;

use keygate::proxy::preamble::{Fault, LONGEST, Read, Sender, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    let first = (0..=bytes.len().min(LONGEST)).map(|length| (length, read(&bytes[..length])));
    let mut judged = first.skip_while(|(_, judged)| *judged == Ok(Read::Partial));
    // Whatever follows, the first judgement stands.
    let Some((at, judgement)) = judged.next() else {
        assert_eq!(whole, Ok(Read::Partial));
        return;
    };
    assert_eq!(judgement, whole);
    match judgement {
        Ok(Read::Whole(length, sender)) => {
            assert!(length == at && length <= LONGEST);
            if let Sender::Client(client) = sender {
                assert!(is_written(&bytes[..length], client), "{client}");
            }
        }
        Ok(Read::Partial) | Err(Fault::Malformed) => {}
        Err(Fault::Absent) => assert!(at <= 12),
    }
});

/// Whether the address stands where it must, read in another way.
fn is_written(header: &[u8], client: IpAddr) -> bool {
    if let Some(line) = header.strip_prefix(b"PROXY ") {
        let words: Vec<&[u8]> = line[..line.len() - 2].split(|byte| *byte == b' ').collect();
        let family: &[u8] = if client.is_ipv4() { b"TCP4" } else { b"TCP6" };
        let text = std::str::from_utf8(words[1]).unwrap();
        return words.len() == 5
            && words[0] == family
            && text.parse::<IpAddr>() == Ok(client)
            && line.ends_with(b"\r\n");
    }
    let octets = match client {
        IpAddr::V4(client) => client.octets().to_vec(),
        IpAddr::V6(client) => client.octets().to_vec(),
    };
    header[12] == 0x21
        && header[13] >> 4 == octets.len() as u8 / 12 + 1
        && header[16..].starts_with(&octets)
}
