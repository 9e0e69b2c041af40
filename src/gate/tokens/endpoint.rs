//! What is answered here instead of being forwarded: logins, refreshing, the public keys.

use http::Method;
use jiff::Timestamp;

use super::super::authenticate::admit;
use super::super::authenticate::log_in;
use super::super::checks::Checks;
use super::super::extract::Carrier;
use super::super::extract::Presented;
use super::super::extract::extract;
use super::super::facts::Facts;
use super::super::snapshot::Snapshot;
use super::super::verdict::Denial;
use super::Tokens;
use super::login::Login;
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

/// One request to an endpoint that is being answered.
struct Asked<'a> {
    facts: &'a Facts<'a>,
    snapshot: &'a Snapshot,
    tokens: &'a Tokens,
    now: Timestamp,
    nonce: [u8; 16],
    key: Option<KeyIndex>,
    bearer: bool,
}

impl Endpoint {
    /// The most bytes of a body that an endpoint reads.
    pub const MOST: usize = 16 << 10;

    /// Whether it reads a body at all.
    #[must_use]
    pub const fn reads_body(self) -> bool {
        matches!(self, Self::Login | Self::LoginSimple)
    }

    /// Whether it is asked with this method: who may GET may HEAD.
    #[must_use]
    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Login | Self::LoginSimple => *method == Method::POST,
            Self::Refresh | Self::Jwks => *method == Method::GET || *method == Method::HEAD,
        }
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
        let Some(tokens) = snapshot.tokens() else {
            return Minting { outcome: Err(Denial::NoRoute), key: None, bearer: false };
        };
        let mut asked = Asked { facts, snapshot, tokens, now, nonce, key: None, bearer: false };
        let outcome = match self {
            Self::Login => asked.login(body, Login::workspace),
            Self::LoginSimple => asked.login(body, Login::simple),
            Self::Refresh => asked.refresh(),
            Self::Jwks => Ok(tokens.jwks().into()),
        };
        Minting { outcome, key: asked.key, bearer: asked.bearer }
    }
}

impl Asked<'_> {
    /// In the documented order: the form of the body, the key, its account, the address, then what
    /// this login asks for.
    fn login(
        &mut self,
        body: Result<&[u8], Denial>,
        read: fn(&[u8]) -> Option<Login>,
    ) -> Result<Box<str>, Denial> {
        let login = read(body?).ok_or(Denial::InvalidBody)?;
        let client = self.facts.client;
        let (index, record) = log_in(&login.key(), self.snapshot, client, self.now);
        self.key = index;
        let record = record?;
        let profile = login.enter(record)?;
        let login = self.now.as_second();
        let token = self.tokens.mint(record, profile, login, self.now, self.nonce);
        token.as_deref().map(document).ok_or(Denial::Overloaded)
    }

    /// A fresh token of the same login, for as long as that may be prolonged.
    fn refresh(&mut self) -> Result<Box<str>, Denial> {
        let presented = extract(self.facts, self.snapshot.credentials())?;
        let Some((carrier, key)) = presented.key() else {
            return Err(match presented {
                Presented::Ignored => Denial::CredentialIgnored,
                Presented::Nothing | Presented::Key(..) | Presented::Basic(..) => {
                    Denial::NoCredential
                }
            });
        };
        self.bearer = carrier == Carrier::Bearer;
        let token = key.text().filter(|_| self.bearer).ok_or(Denial::InvalidToken)?;
        let verified = self.tokens.verify(token, self.now).ok_or(Denial::InvalidToken)?;
        let (index, record) = verified.holder(self.snapshot).ok_or(Denial::InvalidToken)?;
        self.key = Some(index);
        let (client, passed) = (self.facts.client, &mut Checks::default());
        admit((index, record), self.snapshot, client, self.now, passed)?;
        let login = verified.login();
        let profile = verified.into_profile();
        let token = self.tokens.mint(record, profile, login, self.now, self.nonce);
        token.as_deref().map(document).ok_or(Denial::InvalidToken)
    }
}

/// A token needs no escapes.
fn document(token: &str) -> Box<str> {
    format!(r#"{{"token":"{token}"}}"#).into()
}
