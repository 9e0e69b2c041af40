//! What arguments are made of: durations, instants, names, the words of closed lists.

use clap::ValueEnum;
use ipnet::IpNet;
use jiff::SignedDuration;
use jiff::Span;
use jiff::SpanRelativeTo;
use jiff::Timestamp;

use crate::keys::Access;
use crate::keys::Kind;
use crate::keys::Name;
use crate::keys::Permission;
use crate::keys::file;

/// When something ends, or began.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expiry {
    After(SignedDuration),
    At(Timestamp),
}

impl Expiry {
    pub(crate) fn instant(self, now: Timestamp) -> Result<Timestamp, jiff::Error> {
        match self {
            Self::After(duration) => now.checked_add(duration),
            Self::At(instant) => Ok(instant),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AccessWord {
    /// GET and HEAD
    Read,
    /// Every method
    Write,
}

impl From<AccessWord> for Access {
    fn from(word: AccessWord) -> Self {
        match word {
            AccessWord::Read => Self::Read,
            AccessWord::Write => Self::Write,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindWord {
    /// A server: all data of the account
    Workspace,
    /// One end user
    Profile,
}

impl From<KindWord> for Kind {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::Workspace => Self::Workspace,
            KindWord::Profile => Self::Profile,
        }
    }
}

/// `1s`, `250ms`, `24h`, `90d`.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: Option<Span> =
        text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .filter(|duration| !duration.is_negative())
        .ok_or_else(|| "write a number and a unit, like `10s`, `24h` or `90d`".to_owned())
}

/// A duration from now, a time with its offset, or a date, which means its beginning in UTC.
pub(crate) fn expiry(text: &str) -> Result<Expiry, String> {
    let dated = text.as_bytes().get(4) == Some(&b'-');
    if !dated {
        return duration(text).map(Expiry::After).map_err(|_| {
            "write a duration like `90d`, a date like `2027-02-20` or a time like \
             `2027-02-20T10:00:00Z`"
                .to_owned()
        });
    }
    file::parse_instant(text).map(Expiry::At).map_err(|error| error.to_string())
}

pub(crate) fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

/// One of several; none at all is an empty list.
pub(crate) fn permission(text: &str) -> Result<Option<Permission>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    Permission::new(text).map(Some).map_err(|error| error.to_string())
}

/// What `--permissions` holds: absent and empty are different things.
pub(crate) fn permissions(given: Option<Vec<Option<Permission>>>) -> Option<Box<[Permission]>> {
    given.map(|list| list.into_iter().flatten().collect())
}

/// One of several; none at all is an empty list.
#[expect(clippy::unnecessary_wraps, reason = "what reads an argument can fail")]
pub(crate) fn listed(text: &str) -> Result<Option<Box<str>>, String> {
    Ok((!text.is_empty()).then(|| text.into()))
}

/// One of several, of which none at all would not restrict anything.
pub(crate) fn event(text: &str) -> Result<Box<str>, String> {
    match text {
        "" => Err("it names no event: leave it out, or write names with commas between".to_owned()),
        name => Ok(name.into()),
    }
}

/// The form of `PATH=VALUE`; what it changes is judged like the file.
pub(crate) fn setting(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((path, _)) if !path.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("write `PATH=VALUE`, like `listen.https=127.0.0.1:8443`".to_owned()),
    }
}

pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let network = file::parse_network(text).ok_or_else(|| {
        "write an address like `203.0.113.7` or a network like `2001:db8::/32`".to_owned()
    })?;
    if network.trunc() == network {
        return Ok(network);
    }
    let (whole, one) = (network.trunc(), network.addr());
    Err(format!("write `{whole}` for the network, or `{one}` for the one address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("10s", 10), ("24h", 86_400), ("90d", 7_776_000), ("5m", 300)] {
            assert_eq!(duration(text).unwrap(), SignedDuration::from_secs(seconds));
        }
        assert_eq!(duration("250ms").unwrap(), SignedDuration::from_millis(250));
        for text in ["", "10", "-1s", "1y", "soon", "s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_expiry_is_a_duration_a_date_or_an_instant() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let at = |text: &str| expiry(text).unwrap().instant(now).unwrap().to_string();
        assert_eq!(at("90d"), "2027-02-20T10:00:00Z");
        assert_eq!(at("2027-02-20"), "2027-02-20T00:00:00Z");
        assert_eq!(at("2027-02-20T10:00:00+02:00"), "2027-02-20T08:00:00Z");
        assert!(expiry("2027-02-20T10:00:00").unwrap_err().contains("add `Z`"));
        for text in ["2027-02-30", "tomorrow", "2027", "", "2027-02-20 noon"] {
            assert!(expiry(text).is_err(), "{text}");
        }
        assert!(expiry("999999999999d").is_err());
    }

    #[test]
    fn networks_are_written_as_they_are_meant() {
        assert_eq!(network("203.0.113.7").unwrap().to_string(), "203.0.113.7/32");
        assert_eq!(network("::ffff:203.0.113.7").unwrap().to_string(), "203.0.113.7/32");
        assert!(
            network("203.0.113.7/24").unwrap_err().contains("`203.0.113.0/24` for the network")
        );
        assert!(network("x").is_err());
    }
}
