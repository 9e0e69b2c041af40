//! Headers as proxies send them, as nobody may send them, and in pieces.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::binary::checksum_of;
use super::*;

const SIGNATURE: &[u8] = binary::SIGNATURE;

/// A header of version 2.
fn binary(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, content].concat()
}

fn pair(client: IpAddr) -> Vec<u8> {
    match client {
        IpAddr::V4(client) => {
            [&client.octets()[..], &[10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb]].concat()
        }
        IpAddr::V6(client) => [&client.octets()[..], &[0; 16], &[0x30, 0x39, 0x01, 0xbb]].concat(),
    }
}

fn value(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], content].concat()
}

/// A header whose last value is its checksum, with something added to that.
fn checked(content: &[u8], error: u32) -> Vec<u8> {
    let mut header = binary(0x21, 0x11, &[content, &value(3, &[0; 4])].concat());
    let sum = checksum_of(&header).wrapping_add(error).to_be_bytes();
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum);
    header
}

fn whole(bytes: &[u8]) -> Option<Sender> {
    match read(bytes) {
        Ok(Read::Whole(length, sender)) if length == bytes.len() => Some(sender),
        _ => None,
    }
}

fn client(text: &str) -> Option<Sender> {
    Some(Sender::Client(text.parse().unwrap()))
}

#[test]
fn a_line_names_a_client() {
    for (line, sender) in [
        ("PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\r\n", client("192.0.2.1")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", client("255.255.255.255")),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 0 0\r\n", client("192.0.2.1")),
        ("PROXY TCP6 2001:db8::1 ::1 12345 443\r\n", client("2001:db8::1")),
        ("PROXY TCP6 2001:0DB8:0:0:0:0:0:0001 ::1 1 2\r\n", client("2001:db8::1")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", client("::ffff:192.0.2.1")),
        ("PROXY UNKNOWN\r\n", Some(Sender::Unknown)),
        ("PROXY UNKNOWN 192.0.2.1 anything at all\r\n", Some(Sender::Unknown)),
    ] {
        assert_eq!(whole(line.as_bytes()), sender, "{line:?}");
    }
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    assert_eq!(whole(longest.as_bytes()), Some(Sender::Unknown));
}

#[test]
fn a_line_that_could_be_read_otherwise_names_nobody() {
    for line in [
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1  10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1\t10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\0\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 0x2\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
        "PROXY TCP4 0xc0.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1/32 10.0.0.1 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 1::2::3 ::1 1 2\r\n",
        "PROXY TCP6 00001::1 ::1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN \u{e9}\r\n",
        "PROXY UNKNOWN \rx\r\n",
    ] {
        assert_eq!(read(line.as_bytes()), Err(Fault::Malformed), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "a".repeat(93));
    assert_eq!(read(long.as_bytes()), Err(Fault::Malformed));
    assert_eq!(
        read(format!("PROXY UNKNOWN {}\r\n", "a".repeat(92)).as_bytes()),
        Err(Fault::Malformed)
    );
}

#[test]
fn what_is_no_header_is_found_at_once() {
    for bytes in
        ["GET / HTTP/1.1\r\n", "PO", "PROXy", "proxy TCP4", "\r\nG", "\r\n\r\nG", "\x16\x03\x01"]
    {
        assert_eq!(read(bytes.as_bytes()), Err(Fault::Absent), "{bytes:?}");
    }
    for bytes in ["", "P", "PROXY", "PROXY ", "PROXY TCP4 1", "\r", "\r\n\r\n\0\r\nQUIT"] {
        assert_eq!(read(bytes.as_bytes()), Ok(Read::Partial), "{bytes:?}");
    }
}

#[test]
fn a_binary_header_names_a_client() {
    let v4 = "192.0.2.1".parse().unwrap();
    let v6 = "2001:db8::1".parse().unwrap();
    let told = [value(2, b"keygate.test"), value(4, b""), value(0xea, &[1; 200])].concat();
    for (command, family, content, sender) in [
        (0x21, 0x11, pair(v4), Some(Sender::Client(v4))),
        (0x21, 0x12, pair(v4), Some(Sender::Client(v4))),
        (0x21, 0x21, pair(v6), Some(Sender::Client(v6))),
        (0x21, 0x22, pair(v6), Some(Sender::Client(v6))),
        (0x21, 0x11, [pair(v4), told.clone()].concat(), Some(Sender::Client(v4))),
        (0x21, 0x21, [pair(v6), told.clone()].concat(), Some(Sender::Client(v6))),
        (0x21, 0x31, vec![b'a'; 216], Some(Sender::Unknown)),
        (0x21, 0x32, [vec![0; 216], told].concat(), Some(Sender::Unknown)),
        (0x21, 0x00, vec![], Some(Sender::Unknown)),
        (0x21, 0x00, vec![1; 7], Some(Sender::Unknown)),
        // The proxy's own: nothing else counts.
        (0x20, 0x00, vec![], Some(Sender::Proxy)),
        (0x20, 0x11, pair(v4), Some(Sender::Proxy)),
        (0x20, 0xff, vec![9; 9], Some(Sender::Proxy)),
        (0x21, 0x11, [pair(v4), value(5, &[0; LONGEST - 31])].concat(), Some(Sender::Client(v4))),
    ] {
        assert_eq!(whole(&binary(command, family, &content)), sender, "{family:x}");
    }
}

#[test]
fn a_binary_header_that_could_be_read_otherwise_names_nobody() {
    let v4 = "192.0.2.1".parse().unwrap();
    for (command, family, content) in [
        (0x11, 0x11, pair(v4)),
        (0x31, 0x11, pair(v4)),
        (0x22, 0x11, pair(v4)),
        (0x2f, 0x11, pair(v4)),
        (0x01, 0x11, pair(v4)),
        (0x21, 0x10, pair(v4)),
        (0x21, 0x01, pair(v4)),
        (0x21, 0x13, pair(v4)),
        (0x21, 0x41, pair(v4)),
        (0x21, 0x11, pair(v4)[..11].to_vec()),
        (0x21, 0x21, pair(v4)),
        (0x21, 0x31, vec![0; 215]),
        // What is told besides does not end where the header does.
        (0x21, 0x11, [pair(v4), vec![1]].concat()),
        (0x21, 0x11, [pair(v4), vec![1, 0]].concat()),
        (0x21, 0x11, [pair(v4), vec![1, 0, 1]].concat()),
        (0x21, 0x11, [pair(v4), vec![1, 0xff, 0xff, 0]].concat()),
        // Checksums of the wrong length.
        (0x21, 0x11, [pair(v4), value(3, b"")].concat()),
        (0x21, 0x11, [pair(v4), value(3, &[0; 5])].concat()),
        (0x21, 0x11, [pair(v4), value(5, &[0; LONGEST - 30])].concat()),
    ] {
        let header = binary(command, family, &content);
        assert_eq!(read(&header), Err(Fault::Malformed), "{:x?}", &header[12..16]);
    }
    // A length that nobody needs is refused before all of it has come.
    assert_eq!(read(&[SIGNATURE, &[0x20, 0, 0xff, 0xff]].concat()), Err(Fault::Malformed));
    assert_eq!(read(&[SIGNATURE, &[0x33]].concat()), Err(Fault::Malformed));
    assert_eq!(read(&[SIGNATURE, &[0x21, 0x51]].concat()), Err(Fault::Malformed));
    assert_eq!(read(&[SIGNATURE, &[0x20, 0x51]].concat()), Ok(Read::Partial));
}

#[test]
fn a_checksum_must_be_right_where_there_is_one() {
    // The check value of this CRC, as every catalogue has it.
    assert_eq!(checksum_of(b"123456789"), 0xe306_9283);
    let v4 = pair("192.0.2.1".parse().unwrap());
    assert_eq!(whole(&checked(&v4, 0)), client("192.0.2.1"));
    assert_eq!(read(&checked(&v4, 1)), Err(Fault::Malformed));
    let mut changed = checked(&v4, 0);
    changed[16] = 193;
    assert_eq!(read(&changed), Err(Fault::Malformed));
    let twice = [v4, value(3, &[0; 4])].concat();
    assert_eq!(read(&checked(&twice, 0)), Err(Fault::Malformed));
}

fn sound() -> impl Strategy<Value = (Vec<u8>, Sender)> {
    let four = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let six = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    let values =
        proptest::collection::vec((4u8.., proptest::collection::vec(any::<u8>(), 0..40)), 0..4);
    (prop_oneof![four, six], any::<[u16; 2]>(), any::<bool>(), values).prop_map(
        |(client, [from, to], as_text, values)| {
            let (protocol, other, family) = match client {
                IpAddr::V4(_) => ("TCP4", "10.0.0.1", 0x11),
                IpAddr::V6(_) => ("TCP6", "::1", 0x21),
            };
            let values = values.iter().flat_map(|(kind, content)| value(*kind, content));
            let header = match as_text {
                true => format!("PROXY {protocol} {client} {other} {from} {to}\r\n").into_bytes(),
                false => binary(
                    0x21,
                    family,
                    &pair(client).into_iter().chain(values).collect::<Vec<_>>(),
                ),
            };
            (header, Sender::Client(client))
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_nothing_after_it(
        (header, sender) in sound(), rest in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let all = [header.as_slice(), &rest].concat();
        prop_assert_eq!(read(&all), Ok(Read::Whole(header.len(), sender)));
        for length in 0..header.len() {
            prop_assert_eq!(read(&header[..length]), Ok(Read::Partial), "{}", length);
        }
    }

    /// Whatever comes: the judgement of a beginning stands whatever follows it.
    #[test]
    fn any_bytes_are_judged_once_and_for_all(
        (mut header, _) in sound(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        rest in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        for (at, byte) in changes {
            let at = at.index(header.len());
            header[at] = byte;
        }
        let all = [header, rest].concat();
        let mut judged = None;
        for length in 0..=all.len() {
            let now = read(&all[..length]);
            match judged {
                None if now == Ok(Read::Partial) => {}
                None => {
                    if let Ok(Read::Whole(until, _)) = now {
                        prop_assert_eq!(until, length);
                    }
                    judged = Some(now);
                }
                Some(before) => prop_assert_eq!(now, before),
            }
        }
    }

    #[test]
    fn no_bytes_end_in_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = read(&bytes);
        let _ = read(&[SIGNATURE, &bytes].concat());
        let _ = read(&[text::SIGNATURE, &bytes].concat());
    }
}
