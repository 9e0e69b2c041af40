//! The order of judgement, as a list: what was asked of a request and passed.

use super::verdict::Denial;

macro_rules! checks {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// One question of the order of judgement. The first that fails is the answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Check {
            $(#[doc = $doc] $variant,)*
        }

        impl Check {
            /// Every check, in the order in which they are made.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable machine name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

checks! {
    Transport "transport" "Did it come by HTTPS, or by what is accepted instead?";
    RequestForm "request_form" "Has the message one reading?";
    PathForm "path_form" "Has the path one reading?";
    CredentialForm "credential_form" "Is there one credential, well formed, that counts here?";
    Key "key" "Is it a key that is in force, or a token of one?";
    AccountStatus "account_status" "Is the key's account enabled?";
    Address "address" "May the key be used from there?";
    Route "route" "Is there a route?";
    Browser "browser" "Does it come from a web page, where those are refused?";
    AccountFrom "account_from" "Is the account that the path names the key's own?";
    ProfileFrom "profile_from" "Is the profile that the path names the credential's own?";
    Kind "kind" "Is it the kind of key that the route asks for?";
    Access "access" "May the key do more than read?";
    Permissions "permissions" "Has the key what the route asks for?";
    BodyForm "body_form" "Is the body of the right type, size and form?";
    BodyPermission "body_permission" "Has the key what the body asks for?";
    Events "events" "May the key send these events?";
    Attributes "attributes" "May the key change these attributes and tags?";
    Limits "limits" "Is there room for one more?";
}

/// The checks that a request has passed; what was not asked of it is not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks(u32);

impl Checks {
    /// Notes one that passed.
    pub const fn pass(&mut self, check: Check) {
        self.0 |= 1 << check as u32;
    }

    /// Whether one was asked and passed.
    #[must_use]
    pub const fn passed(self, check: Check) -> bool {
        self.0 >> check as u32 & 1 == 1
    }

    /// Those of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Denial {
    /// The check that a reason is the failure of. `missing_permission` can come from the route or
    /// from the body: from the body if its form was judged before.
    #[must_use]
    pub const fn check(self, passed: Checks) -> Check {
        match self {
            Self::InsecureTransport => Check::Transport,
            Self::MalformedRequest | Self::RequestTimeout => Check::RequestForm,
            Self::AmbiguousPath => Check::PathForm,
            Self::NoCredential
            | Self::MalformedCredential
            | Self::AmbiguousCredential
            | Self::CredentialIgnored => Check::CredentialForm,
            Self::MalformedKey
            | Self::UnknownKey
            | Self::RevokedKey
            | Self::ExpiredKey
            | Self::InvalidToken
            | Self::SimpleAuthRefused
            | Self::CredentialNotAllowed => Check::Key,
            Self::AccountDisabled => Check::AccountStatus,
            Self::IpNotAllowed => Check::Address,
            Self::NoRoute => Check::Route,
            Self::BrowserRefused => Check::Browser,
            Self::WrongAccount => Check::AccountFrom,
            Self::WrongProfile => Check::ProfileFrom,
            Self::KindNotAllowed => Check::Kind,
            Self::MethodNotAllowedForKey => Check::Access,
            Self::MissingPermission if passed.passed(Check::BodyForm) => Check::BodyPermission,
            Self::MissingPermission => Check::Permissions,
            Self::InvalidBody | Self::WrongContentType | Self::BodyTooLarge => Check::BodyForm,
            Self::EventNotAllowed => Check::Events,
            Self::AttributeNotAllowed => Check::Attributes,
            Self::TooManyInFlight
            | Self::RateLimited
            | Self::Overloaded
            | Self::UpstreamUnreachable
            | Self::UpstreamTimeout => Check::Limits,
        }
    }
}
