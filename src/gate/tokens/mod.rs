//! Tokens that are minted from keys: signed here, accepted here, and judged against the key of
//! today.

mod endpoint;
mod profile;

use std::time::Duration;

use jiff::Timestamp;

use super::path::CanonicalPath;
use super::verdict::Denial;
use crate::keys::{KeyDigest, KeyId};

pub use self::endpoint::Endpoint;
pub use self::endpoint::Minting;
pub use self::profile::Profile;
pub(super) use self::profile::header as profile_header;

/// Everything that minting and accepting tokens takes.
#[derive(Debug)]
pub struct Tokens {
    /// Of one token.
    lifetime: Duration,
    /// How long refreshing can prolong one login.
    max_age: Duration,
}

/// What a token that verifies says.
pub(super) struct Claims {
    /// The key that it was minted from.
    pub(super) key: KeyId,
    /// The end user, of a profile key's token.
    pub(super) profile: Option<Profile>,
    /// When the login was that it goes back to.
    pub(super) login: Timestamp,
}

impl Tokens {
    /// What is answered here instead of being forwarded; an error where the path is ours and the
    /// method is not.
    pub(super) fn endpoint(
        &self,
        path: &CanonicalPath<'_>,
        method: &http::Method,
    ) -> Option<Result<Endpoint, Denial>> {
        let _ = (path, method, self.lifetime, self.max_age);
        None
    }

    /// What a token says, if it is one of ours and its time is not over.
    pub(super) fn verify(&self, token: &[u8], now: Timestamp) -> Option<Claims> {
        let _ = (token, now);
        None
    }
}

impl Claims {
    /// Whether it was minted from exactly the key that has its id today.
    pub(super) fn binds(&self, digest: &KeyDigest) -> bool {
        let _ = (digest, self.login);
        false
    }
}

/// Whether a value has the shape of a token: three parts with dots between them.
pub(super) fn is_token(value: &[u8]) -> bool {
    value.iter().filter(|&&byte| byte == b'.').count() == 2
}
