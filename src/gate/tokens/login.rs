//! The bodies of logins: a key, and for a profile its identifiers and a salt.

use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::super::json;
use super::super::json::Object;
use super::super::verdict::Denial;
use super::claims;
use super::profile::Profile;
use crate::keys::ApiKey;
use crate::keys::Key;
use crate::keys::Kind;

/// What the body of a login says. Never printed, wiped when it is dropped.
pub(super) struct Login {
    key: Zeroizing<String>,
    simple: Option<Simple>,
}

/// What simple authentication says besides.
struct Simple {
    profile: Profile,
    salt: Option<Zeroizing<String>>,
}

impl Login {
    /// Reads `{"apiKey": …}`.
    pub(super) fn workspace(body: &[u8]) -> Option<Self> {
        let object = json::object(body).ok()?;
        Some(Self { key: secret(&object, "apiKey")??, simple: None })
    }

    /// Reads `{"apiKey": …, "email": …, "customId": …, "uuid": …, "salt": …}`, where one of `email`
    /// and `customId` must be there.
    pub(super) fn simple(body: &[u8]) -> Option<Self> {
        let object = json::object(body).ok()?;
        let profile = claims::profile(&object)??;
        let named = profile.email.is_some() || profile.custom_id.is_some();
        let simple = Simple { profile, salt: secret(&object, "salt")? };
        named.then_some(Self { key: secret(&object, "apiKey")??, simple: Some(simple) })
    }

    /// The key that it presents.
    pub(super) fn key(&self) -> ApiKey<'_> {
        ApiKey::new(self.key.as_bytes())
    }

    /// For whom a token may be minted of a key that is in force.
    pub(super) fn enter(self, record: Key<'_>) -> Result<Option<Profile>, Denial> {
        match (self.simple, record.kind()) {
            (None, Kind::Workspace) => Ok(None),
            (Some(simple), Kind::Profile) => simple.enter(record).map(Some),
            (None, Kind::Profile) | (Some(_), Kind::Workspace) => Err(Denial::KindNotAllowed),
        }
    }
}

impl Simple {
    /// A salt that nobody asks for does not count.
    fn enter(self, record: Key<'_>) -> Result<Profile, Denial> {
        let rules = record.simple_auth().ok_or(Denial::SimpleAuthRefused)?;
        let given = self.salt.as_ref();
        let fits = rules
            .salt
            .as_ref()
            .is_none_or(|salt| given.is_some_and(|given| same(given.as_bytes(), salt.as_bytes())));
        if fits { Ok(self.profile) } else { Err(Denial::SimpleAuthRefused) }
    }
}

/// Whether two secrets are the same, in time that tells neither where they differ nor how long the
/// right one is.
fn same(given: &[u8], right: &[u8]) -> bool {
    Sha256::digest(given).ct_eq(&Sha256::digest(right)).into()
}

/// A member that is a string or absent; `None` where it is something else.
fn secret(object: &Object<'_>, name: &str) -> Option<Option<Zeroizing<String>>> {
    match object.get(name) {
        None => Some(None),
        Some(_) => object.string(name).map(|text| Some(Zeroizing::new(text.to_owned()))),
    }
}
