//! Facts → what was presented: which carrier, exactly one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use zeroize::Zeroizing;

use super::facts::{Facts, Sole};
use super::policy::{BasicUser, Credentials};
use super::verdict::Denial;
use crate::keys::ApiKey;

/// How a credential travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Bearer,
    Basic,
    Header,
}

/// What a request presents.
pub(super) enum Presented<'r> {
    /// Nothing.
    Nothing,
    /// A credential that does not count on this request.
    Ignored,
    /// A key by itself.
    Key(Carrier, &'r [u8]),
    /// `user:key`, with the length of the user name.
    Basic(Zeroizing<Vec<u8>>, usize),
}

impl Presented<'_> {
    /// The key and its carrier, if there is one.
    pub(super) fn key(&self) -> Option<(Carrier, ApiKey<'_>)> {
        match self {
            Self::Nothing | Self::Ignored => None,
            Self::Key(carrier, bytes) => Some((*carrier, ApiKey::new(bytes))),
            Self::Basic(pair, user) => {
                pair.get(user + 1..).map(|key| (Carrier::Basic, ApiKey::new(key)))
            }
        }
    }

    /// The user name of Basic.
    pub(super) fn user(&self) -> Option<&[u8]> {
        match self {
            Self::Basic(pair, user) => pair.get(..*user),
            Self::Nothing | Self::Ignored | Self::Key(..) => None,
        }
    }
}

/// Finds the one credential of a request.
pub(super) fn extract<'r>(
    facts: &Facts<'r>,
    credentials: &Credentials,
) -> Result<Presented<'r>, Denial> {
    let authorization = match credentials.uses_authorization() {
        true => facts.sole(&AUTHORIZATION),
        false => Sole::Absent,
    };
    let header = credentials.header.as_ref().map_or(Sole::Absent, |name| facts.sole(name));
    match (authorization, header) {
        (Sole::Absent, Sole::Absent) => Ok(Presented::Nothing),
        (Sole::Absent, Sole::One([])) => Err(Denial::MalformedCredential),
        (Sole::Absent, Sole::One(key)) => Ok(Presented::Key(Carrier::Header, key)),
        (Sole::One(value), Sole::Absent) => from_authorization(value, facts, credentials),
        _ => Err(Denial::AmbiguousCredential),
    }
}

fn from_authorization<'r>(
    value: &'r [u8],
    facts: &Facts<'_>,
    credentials: &Credentials,
) -> Result<Presented<'r>, Denial> {
    let end = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    let rest = rest.trim_ascii_start();
    if credentials.takes_bearer() && scheme.eq_ignore_ascii_case(b"bearer") {
        return match rest {
            _ if credentials.requires_json && !accepts_json(facts) => Ok(Presented::Ignored),
            [] => Err(Denial::MalformedCredential),
            key => Ok(Presented::Key(Carrier::Bearer, key)),
        };
    }
    match &credentials.basic {
        Some(user) if scheme.eq_ignore_ascii_case(b"basic") => basic(rest, user),
        _ => Err(Denial::MalformedCredential),
    }
}

fn basic<'r>(encoded: &[u8], user: &BasicUser) -> Result<Presented<'r>, Denial> {
    let pair = STANDARD.decode(encoded).map(Zeroizing::new);
    let pair = pair.map_err(|_| Denial::MalformedCredential)?;
    let colon = pair.iter().position(|&byte| byte == b':').ok_or(Denial::MalformedCredential)?;
    let (name, password) = pair.split_at(colon);
    let wrong_user = match user {
        BasicUser::Fixed(fixed) => name != fixed.as_bytes(),
        BasicUser::Account => name.is_empty(),
    };
    if wrong_user || password == b":" {
        return Err(Denial::MalformedCredential);
    }
    Ok(Presented::Basic(pair, colon))
}

/// Whether a request asks for JSON by name: `application/json` or a `+json` type whose weight is
/// not zero. Wildcards ask for anything, so they do not count.
fn accepts_json(facts: &Facts<'_>) -> bool {
    facts.elements(&ACCEPT).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let json = media_type == "application/json"
            || (media_type.ends_with("+json") && media_type.contains('/'));
        json && parts.all(|parameter| !is_zero_weight(parameter))
    })
}

/// `q=0`, or a weight that is no number: digits and a point (RFC 9110, section 12.4.2).
fn is_zero_weight(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, weight)) if name.trim().eq_ignore_ascii_case("q") => {
            let weight = weight.trim();
            let plain = weight.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            !(plain && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
        }
        _ => false,
    }
}
