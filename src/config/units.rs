//! Durations, sizes, addresses and networks as people write them.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// No duration may be longer: sums of two still fit every clock.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// No size may be larger: sums of many still fit 64 bits.
const LARGEST: u64 = 1 << 40;

/// What is wrong with a text, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: String,
}

fn wrong<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), help: help.into() })
}

/// `250ms`, `1s`, `5m`, `24h`, `90d`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    if digits == 0 || milliseconds == 0 {
        return wrong(
            format!("`{text}` is not a duration"),
            "write a whole number and a unit: `250ms`, `1s`, `5m`, `24h` or `90d`",
        );
    }
    let total = number.parse().ok().and_then(|number: u64| number.checked_mul(milliseconds));
    match total.map(Duration::from_millis) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => wrong(format!("`{text}` is too long"), "write at most `3650d`"),
    }
}

/// `1MiB`, `512KiB`, `1024`: how many bytes.
pub(super) fn size(text: &str) -> Result<usize, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    if digits == 0 || bytes == 0 {
        let binary = ["KiB", "MiB", "GiB"].into_iter().find(|binary| {
            let letter = binary.get(..1).unwrap_or_default();
            let names = [letter.to_owned(), format!("{letter}B"), format!("{letter}iB")];
            digits > 0 && names.iter().any(|name| name.eq_ignore_ascii_case(unit.trim()))
        });
        let help = match binary {
            Some(binary) => format!("write `{number}{binary}`"),
            None => "write a whole number and a unit: `1024`, `512KiB`, `1MiB` or `1GiB`".into(),
        };
        return wrong(format!("`{text}` is not a size"), help);
    }
    let total = number.parse().ok().and_then(|number: u64| number.checked_mul(bytes));
    match total.filter(|total| *total <= LARGEST).map(usize::try_from) {
        Some(Ok(total)) => Ok(total),
        _ => wrong(format!("`{text}` is too large"), "write at most `1024GiB`"),
    }
}

/// Bytes with the largest unit that divides them.
pub(super) fn shown(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Where to listen: `IP:port`, `[IPv6]:port` or `localhost:port`.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => return no_port(text),
    };
    let Ok(number) = port.parse::<u16>() else {
        return wrong(
            format!("`{port}` is not a port"),
            format!(
                "write a number up to 65535: `{}:8443`",
                if host.is_empty() { "0.0.0.0" } else { host }
            ),
        );
    };
    match host {
        "localhost" => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, number))),
        "" | "*" => wrong(
            format!("`{text}` does not say on which address"),
            format!(
                "write `0.0.0.0:{number}` for every IPv4 address, `[::]:{number}` for every address"
            ),
        ),
        _ => wrong(
            format!("`{host}` is not an IP address"),
            format!("write an address of this machine, like `127.0.0.1:{number}`"),
        ),
    }
}

fn no_port(text: &str) -> Result<SocketAddr, Wrong> {
    match text.trim_matches(['[', ']']).parse() {
        Ok(address @ IpAddr::V4(_)) => {
            wrong(format!("`{text}` has no port"), format!("write `{address}:8443`"))
        }
        Ok(address @ IpAddr::V6(_)) => {
            wrong(format!("`{text}` has no port"), format!("write `[{address}]:8443`"))
        }
        Err(_) => match text.parse::<u16>() {
            Ok(port) => wrong(
                format!("`{text}` does not say on which address"),
                format!("write `0.0.0.0:{port}`"),
            ),
            Err(_) => wrong(
                format!("`{text}` is not an address"),
                "write an address and a port, like `0.0.0.0:8443`",
            ),
        },
    }
}

/// A network in CIDR notation, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(network) => Ok(network.trunc()),
        Err(_) => wrong(
            format!("`{text}` is not a network"),
            "write an address or a network, like `10.0.0.0/8` or `2001:db8::1`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("1s", 1_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("90d", 7_776_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "1", "s", "1 s", "1.5s", "-1s", "1S", "1y", "1s1", "+1s", "é"] {
            assert!(duration(text).unwrap_err().message.ends_with("is not a duration"), "{text}");
        }
        for text in ["3651d", "18446744073709551615d", "99999999999999999999s"] {
            assert!(duration(text).unwrap_err().message.ends_with("is too long"), "{text}");
        }
    }

    #[test]
    fn sizes_have_a_whole_number_and_a_binary_unit() {
        for (text, bytes) in
            [("1024", 1024), ("7B", 7), ("512KiB", 524_288), ("1MiB", 1 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(size(&shown(bytes)), Ok(bytes));
        }
        for (text, help) in [
            ("1MB", "write `1MiB`"),
            ("1 mib", "write `1MiB`"),
            ("64k", "write `64KiB`"),
            ("1.5MiB", "write a whole number and a unit: `1024`, `512KiB`, `1MiB` or `1GiB`"),
            ("MiB", "write a whole number and a unit: `1024`, `512KiB`, `1MiB` or `1GiB`"),
            ("-1", "write a whole number and a unit: `1024`, `512KiB`, `1MiB` or `1GiB`"),
            ("99999999999GiB", "write at most `1024GiB`"),
            ("99999999999999999999", "write at most `1024GiB`"),
        ] {
            assert_eq!(size(text).unwrap_err().help, help, "{text}");
        }
    }

    #[test]
    fn addresses_name_an_address_and_a_port() {
        for (text, address) in [
            ("0.0.0.0:8443", "0.0.0.0:8443"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::]:8443", "[::]:8443"),
            ("localhost:80", "127.0.0.1:80"),
        ] {
            assert_eq!(socket(text), Ok(address.parse().unwrap()));
        }
        for (text, help) in [
            (":8443", "write `0.0.0.0:8443` for every IPv4 address, `[::]:8443` for every address"),
            ("8443", "write `0.0.0.0:8443`"),
            ("10.0.0.1", "write `10.0.0.1:8443`"),
            ("::1", "write `[::1]:8443`"),
            ("[::1]", "write `[::1]:8443`"),
            ("10.0.0.1:http", "write a number up to 65535: `10.0.0.1:8443`"),
            ("10.0.0.1:65536", "write a number up to 65535: `10.0.0.1:8443`"),
            ("example.com:80", "write an address of this machine, like `127.0.0.1:80`"),
            ("", "write an address and a port, like `0.0.0.0:8443`"),
        ] {
            assert_eq!(socket(text).unwrap_err().help, help, "{text}");
        }
    }

    #[test]
    fn networks_can_be_one_address() {
        assert_eq!(network("10.1.2.3/8"), Ok("10.0.0.0/8".parse().unwrap()));
        assert_eq!(network("2001:db8::1"), Ok("2001:db8::1/128".parse().unwrap()));
        assert!(network("10.0.0.0/33").is_err() && network("x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,20}|[0-9:.\\[\\]]{0,20}") {
            let _ = (duration(&text), size(&text), socket(&text), network(&text));
        }
    }
}
