//! Tokens that are minted from keys: signed here, accepted here, and judged against the key of
//! today.
//!
//! A token says which key it was minted from, and that is all that is believed of it: whether that
//! key is in force, what it may do and from where is asked of its record at each request.

mod algorithm;
mod claims;
mod endpoint;
mod jwt;
mod login;
mod pair;
mod profile;
mod signing;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::path::CanonicalPath;
use super::snapshot::Snapshot;
use super::verdict::Denial;
use crate::keys::Key;
use crate::keys::KeyIndex;
use crate::keys::Kind;

use self::claims::Claims;
use self::claims::Parties;

pub use self::algorithm::Algorithm;
pub use self::endpoint::Endpoint;
pub use self::endpoint::Minting;
pub(super) use self::jwt::is_token;
pub use self::pair::SigningKeyError;
pub use self::profile::Profile;
pub(super) use self::profile::header as profile_header;
pub use self::signing::SigningKey;

/// `[tokens]`, read.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// What signs; it verifies too.
    pub signer: Arc<SigningKey>,
    /// What verifies besides.
    pub verifiers: Vec<Arc<SigningKey>>,
    /// Of one token.
    pub lifetime: Duration,
    /// How long refreshing can prolong one login.
    pub max_age: Duration,
    /// `iss`.
    pub issuer: Box<str>,
    /// `aud`.
    pub audience: Box<str>,
    /// The paths that are answered here, none of them twice.
    pub endpoints: Vec<(Endpoint, Box<str>)>,
}

/// Everything that minting and accepting tokens takes.
#[derive(Debug)]
pub struct Tokens {
    signer: Arc<SigningKey>,
    verifiers: Vec<Arc<SigningKey>>,
    lifetime: Duration,
    max_age: Duration,
    parties: Parties,
    endpoints: Vec<Place>,
    jwks: Box<str>,
}

/// Where an endpoint is.
#[derive(Debug)]
struct Place {
    endpoint: Endpoint,
    /// As it stands in the file.
    path: Box<str>,
    /// As it is compared: an encoded `/` is kept apart from a separator in it.
    decoded: Box<str>,
}

/// A token that is one of ours and whose time is not over.
pub(super) struct Verified<'t> {
    claims: Claims,
    signer: &'t SigningKey,
}

impl Tokens {
    /// Prepares everything that a request would otherwise have to.
    #[must_use]
    pub fn new(settings: TokenSettings) -> Self {
        let TokenSettings { signer, verifiers, lifetime, max_age, issuer, audience, endpoints } =
            settings;
        let keys: Vec<_> =
            std::iter::once(&signer).chain(&verifiers).map(|key| key.jwk()).collect();
        let jwks = format!(r#"{{"keys":[{}]}}"#, keys.join(",")).into();
        let place = |(endpoint, path): (Endpoint, Box<str>)| {
            let decoded = CanonicalPath::new(&path).ok()?.decoded().into();
            Some(Place { endpoint, path, decoded })
        };
        let endpoints = endpoints.into_iter().filter_map(place).collect();
        let parties = Parties { issuer, audience };
        Self { signer, verifiers, lifetime, max_age, parties, endpoints, jwks }
    }

    /// The public ids of the keys: the one that signs, then those that only verify.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.signer).chain(&self.verifiers).map(|key| key.kid())
    }

    /// The paths that are answered here, as they stand in the file.
    pub fn endpoints(&self) -> impl Iterator<Item = (Endpoint, &str)> {
        self.endpoints.iter().map(|place| (place.endpoint, &*place.path))
    }

    /// What is answered here instead of being forwarded; an error where the path is ours and the
    /// method is not.
    pub(super) fn endpoint(
        &self,
        path: &CanonicalPath<'_>,
        method: &http::Method,
    ) -> Option<Result<Endpoint, Denial>> {
        let place = self.endpoints.iter().find(|place| *place.decoded == *path.decoded())?;
        let endpoint = place.endpoint;
        Some(if endpoint.takes(method) { Ok(endpoint) } else { Err(Denial::NoRoute) })
    }

    /// What a token says, if it is one of ours and its time is not over.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Option<Verified<'_>> {
        let keys = std::iter::once(&self.signer).chain(&self.verifiers).map(|key| &**key);
        let (payload, signer) = jwt::read(token, keys)?;
        let claims = Claims::read(&payload, &self.parties)?;
        let live = claims.is_live(now) && now.as_second() < self.end_of_login(claims.login);
        live.then_some(Verified { claims, signer })
    }

    /// The public keys (RFC 7517, section 5).
    fn jwks(&self) -> &str {
        &self.jwks
    }

    /// A new token of a key, for a login at some second; `nonce` makes its id unlike every other.
    /// `None` where the login is too long ago.
    fn mint(
        &self,
        record: Key<'_>,
        profile: Option<Profile>,
        login: i64,
        now: Timestamp,
        nonce: [u8; 16],
    ) -> Option<Box<str>> {
        let end = now.checked_add(self.lifetime).ok()?.as_second().min(self.end_of_login(login));
        let subject = profile.as_ref().map_or(record.account().as_str(), Profile::id);
        let claims = Claims {
            subject: subject.into(),
            minted: now.as_second(),
            until: end,
            login,
            id: URL_SAFE_NO_PAD.encode(nonce).into(),
            key: record.id(),
            binding: self.signer.bind(&record.digest()),
            profile,
        };
        let alive = claims.is_live(now);
        alive.then(|| jwt::write(&claims.write(&self.parties), &self.signer))?
    }

    fn end_of_login(&self, login: i64) -> i64 {
        login.saturating_add(i64::try_from(self.max_age.as_secs()).unwrap_or(i64::MAX))
    }
}

impl Verified<'_> {
    /// The key that it was minted from, if that is still the same key: not another one under its
    /// id, and not one that could no longer mint it.
    pub(super) fn holder<'s>(&self, snapshot: &'s Snapshot) -> Option<(KeyIndex, Key<'s>)> {
        let (index, record) = snapshot.table().find_id(&self.claims.key)?;
        let mints = match record.kind() {
            Kind::Workspace => self.claims.profile.is_none(),
            Kind::Profile => self.claims.profile.is_some() && record.simple_auth().is_some(),
        };
        let same = mints && self.signer.binds(&record.digest(), &self.claims.binding);
        same.then_some((index, record))
    }

    /// The end user, of a profile key's token.
    pub(super) fn into_profile(self) -> Option<Profile> {
        self.claims.profile
    }

    /// When the login was that it goes back to, in seconds since 1970.
    const fn login(&self) -> i64 {
        self.claims.login
    }
}

#[cfg(test)]
mod tests;
