//! What counts as a credential, and over which transport.

use http::HeaderName;

/// Which carriers are on, and what a request without a credential gets.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `Authorization: Bearer KEY` (RFC 6750).
    pub bearer: bool,
    /// `Authorization: Basic …` (RFC 7617), the key as the password.
    pub basic: Option<BasicUser>,
    /// The key alone in a header of this name.
    pub header: Option<HeaderName>,
    /// `Authorization: Bearer TOKEN`, tokens that were minted here.
    pub tokens: bool,
    /// Bearer counts only on requests that accept JSON.
    pub requires_json: bool,
    /// Of the challenges; visible ASCII without `"` and `\`.
    pub realm: Box<str>,
    /// What a request without a counted credential gets.
    pub anonymous: Anonymous,
}

impl Credentials {
    /// Whether Bearer carries anything that counts.
    #[must_use]
    pub const fn takes_bearer(&self) -> bool {
        self.bearer || self.tokens
    }

    /// Whether `Authorization` is a carrier at all; if not it is the upstream's own business.
    #[must_use]
    pub const fn uses_authorization(&self) -> bool {
        self.takes_bearer() || self.basic.is_some()
    }
}

/// Who the user name of Basic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BasicUser {
    /// Always this one.
    Fixed(Box<str>),
    /// The account's id; the key must allow it.
    Account,
}

/// What a request without a counted credential gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// 401.
    #[default]
    Refuse,
    /// Forwarded without identity, on routes without conditions.
    Forward,
}

/// What the plain listener takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpAccepts {
    /// Nothing: every request is `insecure_transport`.
    #[default]
    Nothing,
    /// What a trusted proxy says came by HTTPS.
    ForwardedHttps,
    /// Everything.
    Everything,
}

/// What happens to a request that no route takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// `no_route`.
    #[default]
    Refuse,
    /// Any valid key passes.
    Allow,
}
