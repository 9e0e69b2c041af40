//! What is answered here instead of being forwarded: logins, refreshing, the public keys.

use jiff::Timestamp;

use super::super::facts::Facts;
use super::super::snapshot::Snapshot;
use super::super::verdict::Denial;
use crate::keys::KeyIndex;

/// A path of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `tokens.login`: a workspace key for a token.
    Login,
    /// `tokens.login_simple`: a profile key and a profile's identifiers for a token.
    LoginSimple,
    /// `tokens.refresh`: a live token for a fresh one.
    Refresh,
    /// `tokens.jwks`: the public keys (RFC 7517).
    Jwks,
}

/// What comes of asking an endpoint.
#[derive(Debug)]
pub struct Minting {
    /// The JSON document to answer with, or why not.
    pub outcome: Result<Box<str>, Denial>,
    /// The key that was presented, if it is known; of a refusal too.
    pub key: Option<KeyIndex>,
    /// Whether a credential came by Bearer.
    pub bearer: bool,
}

impl Endpoint {
    /// The most bytes of a body that an endpoint reads.
    pub const MOST: usize = 16 << 10;

    /// Whether it reads a body at all.
    #[must_use]
    pub const fn reads_body(self) -> bool {
        matches!(self, Self::Login | Self::LoginSimple)
    }

    /// The answer. `body` is the whole body, or why there is none; `nonce` makes a token's id
    /// unlike every other.
    #[must_use]
    pub fn answer(
        self,
        facts: &Facts<'_>,
        body: Result<&[u8], Denial>,
        snapshot: &Snapshot,
        now: Timestamp,
        nonce: [u8; 16],
    ) -> Minting {
        let _ = (facts, body, snapshot, now, nonce);
        Minting { outcome: Err(Denial::NoRoute), key: None, bearer: false }
    }
}
