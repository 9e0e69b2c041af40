//! The closed list of reasons to say no.
//!
//! One table gives each its name, its default status and its sentence; a new reason does not
//! compile until it stands there.

use http::StatusCode;

macro_rules! denials {
    ($($variant:ident $name:literal $status:literal $sentence:literal $doc:literal;)*) => {
        /// Why a request was not forwarded. The operator always learns the reason; a stranger
        /// learns what [`super::Answers`] tells.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Denial {
            $(#[doc = $doc] $variant,)*
        }

        impl Denial {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable machine name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status unless `[responses]` changes it.
            #[must_use]
            pub const fn default_status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The sentence unless `[responses]` changes it.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

denials! {
    MalformedRequest "malformed_request" 400 "The request is malformed"
        "The request breaks HTTP, or could be read in two ways.";
    InsecureTransport "insecure_transport" 401 "HTTPS is required"
        "It came in clear.";
    NoCredential "no_credential" 401 "A credential is required"
        "It carries none.";
    MalformedCredential "malformed_credential" 401 "The credential is malformed"
        "What it carries is not what its scheme asks for.";
    AmbiguousCredential "ambiguous_credential" 400 "More than one credential was presented"
        "It carries two; we never choose.";
    CredentialIgnored "credential_ignored" 401 "The credential counts only on requests that accept JSON"
        "It carries one that does not count here.";
    MalformedKey "malformed_key" 401 "The key is malformed"
        "The key breaks the configured syntax, or its checksum.";
    UnknownKey "unknown_key" 401 "The key is not known"
        "No record has the key's digest.";
    RevokedKey "revoked_key" 401 "The key was revoked"
        "The key's record is marked revoked.";
    ExpiredKey "expired_key" 401 "The key has expired"
        "The key's time is over.";
    InvalidToken "invalid_token" 401 "The token is not valid"
        "A token that does not verify, or whose key is gone.";
    SimpleAuthRefused "simple_auth_refused" 401 "Simple authentication is refused"
        "Simple authentication is off for the key, or its salt is wrong.";
    InvalidBody "invalid_body" 400 "The body is not valid"
        "An inspected body is not the strict JSON that its route asks for.";
    AmbiguousPath "ambiguous_path" 400 "The path is ambiguous"
        "The path could be read in two ways.";
    TooManyInFlight "too_many_in_flight" 429 "Too many requests in flight"
        "The in-flight limit is reached and the queue was too long or too slow.";
    UpstreamUnreachable "upstream_unreachable" 502 "The upstream cannot be reached"
        "The upstream refused, broke off or answered what is not HTTP.";
    CredentialNotAllowed "credential_not_allowed" 401 "The key may not be presented this way"
        "A key by a carrier that it may not use.";
    MissingPermission "missing_permission" 403 "A permission is missing"
        "The key or its account lacks what the route asks for.";
    MethodNotAllowedForKey "method_not_allowed_for_key" 403 "The key may only read"
        "A read key with a method other than GET and HEAD.";
    IpNotAllowed "ip_not_allowed" 403 "The address is not allowed"
        "The client's address is not on the key's list.";
    EventNotAllowed "event_not_allowed" 403 "The event is not allowed"
        "An event that the key's lists do not let through.";
    AttributeNotAllowed "attribute_not_allowed" 403 "An attribute is not allowed"
        "An attribute or tag that the key's lists do not let through.";
    KindNotAllowed "kind_not_allowed" 403 "This kind of key is not allowed here"
        "The route asks for the other kind of key.";
    WrongProfile "wrong_profile" 403 "The profile is another one"
        "A profile credential on another profile's path.";
    NoRoute "no_route" 403 "No route takes this request"
        "No route takes this path and method.";
    WrongAccount "wrong_account" 404 "No such resource"
        "The path names another account.";
    WrongContentType "wrong_content_type" 415 "The content type is not accepted"
        "The body is not of the type that the route asks for.";
    AccountDisabled "account_disabled" 403 "The account is disabled"
        "The key's account is disabled.";
    Overloaded "overloaded" 503 "The service is overloaded"
        "A budget across connections is spent.";
    BodyTooLarge "body_too_large" 413 "The body is too large"
        "An inspected body is larger than its route takes.";
    RateLimited "rate_limited" 429 "Too many requests"
        "The rate limit is reached.";
    UpstreamTimeout "upstream_timeout" 504 "The upstream did not answer in time"
        "The upstream, or the route's whole time, ran out.";
    BrowserRefused "browser_refused" 403 "This is not for browsers"
        "The request comes from a web page, and the route refuses those.";
    RequestTimeout "request_timeout" 408 "The request did not arrive in time"
        "An inspected body did not arrive in time.";
}

impl Denial {
    /// The reason of a machine name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|denial| denial.name() == name)
    }

    /// The position in [`Self::ALL`], for tables by reason.
    #[must_use]
    pub const fn position(self) -> usize {
        self as usize
    }

    /// What strangers read unless `responses.disclose` is set: the reasons that tell a known key
    /// from an unknown one share a name.
    #[must_use]
    pub const fn stranger_name(self) -> &'static str {
        match self.is_about_the_key() {
            true => "invalid_credential",
            false => self.name(),
        }
    }

    /// The sentence that goes with [`Self::stranger_name`].
    #[must_use]
    pub const fn stranger_sentence(self) -> &'static str {
        match self.is_about_the_key() {
            true => "The credential is not valid",
            false => self.sentence(),
        }
    }

    const fn is_about_the_key(self) -> bool {
        matches!(
            self,
            Self::MalformedKey
                | Self::UnknownKey
                | Self::RevokedKey
                | Self::ExpiredKey
                | Self::InvalidToken
        )
    }

    /// Whether the fault is the upstream's: the outcome is `failed`, not `refused`.
    #[must_use]
    pub const fn is_upstream(self) -> bool {
        matches!(self, Self::UpstreamUnreachable | Self::UpstreamTimeout)
    }

    /// [`Self::default_status`] as a status code.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.default_status()).unwrap_or(StatusCode::FORBIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_table() {
        for (position, denial) in Denial::ALL.iter().enumerate() {
            assert_eq!(denial.position(), position);
            assert_eq!(Denial::from_name(denial.name()), Some(*denial));
            assert_eq!(denial.status().as_u16(), denial.default_status());
        }
        assert_eq!(Denial::ALL.len(), 34);
    }
}
