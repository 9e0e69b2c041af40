//! What a token says (RFC 7519, section 4): written at a login, and read back without leniency.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::super::json;
use super::super::json::Object;
use super::profile::Profile;
use super::signing::BINDING;
use crate::keys::KeyId;

/// How far a replica's clock may be ahead of ours, in seconds.
const AHEAD: i64 = 60;

/// What a token says, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// Whose: the account, or the profile (`sub`).
    pub(super) subject: Box<str>,
    /// When it was minted (`iat`), in seconds since 1970.
    pub(super) minted: i64,
    /// When it ends (`exp`): over at that second.
    pub(super) until: i64,
    /// When the login was that it goes back to (`auth_time`).
    pub(super) login: i64,
    /// Unlike that of any other token (`jti`).
    pub(super) id: Box<str>,
    /// The key that it was minted from (`key_id`).
    pub(super) key: KeyId,
    /// What ties it to that key's digest (`key_binding`).
    pub(super) binding: [u8; BINDING],
    /// The end user, of a profile key's token (`uuid`, `customId`, `email`).
    pub(super) profile: Option<Profile>,
}

/// Who mints, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parties {
    /// `iss`.
    pub(super) issuer: Box<str>,
    /// `aud`.
    pub(super) audience: Box<str>,
}

impl Claims {
    /// As JSON.
    pub(super) fn write(&self, parties: &Parties) -> String {
        let mut text = String::with_capacity(384);
        let mut string = |name: &str, value: &str| {
            text.push_str(if text.is_empty() { "{" } else { "," });
            quote(name, &mut text);
            text.push(':');
            quote(value, &mut text);
        };
        string("iss", &parties.issuer);
        string("aud", &parties.audience);
        string("sub", &self.subject);
        string("jti", &self.id);
        string("key_id", self.key.as_str());
        string("key_binding", &URL_SAFE_NO_PAD.encode(self.binding));
        if let Some(Profile { uuid, custom_id, email }) = &self.profile {
            for (name, value) in [(UUID, uuid), (CUSTOM_ID, custom_id), (EMAIL, email)] {
                value.iter().for_each(|value| string(name, value));
            }
        }
        let (minted, until, login) = (self.minted, self.until, self.login);
        text.push_str(&format!(r#","iat":{minted},"exp":{until},"auth_time":{login}}}"#));
        text
    }

    /// Reads what was written so: every claim that must be there is there once and of its type,
    /// and it is between these parties. Not whether its time is over.
    pub(super) fn read(bytes: &[u8], parties: &Parties) -> Option<Self> {
        let object = json::object(bytes).ok()?;
        let ours = object.string("iss") == Some(&*parties.issuer)
            && object.string("aud") == Some(&*parties.audience);
        // Nothing of ours begins later than it is minted.
        if !ours || object.get("nbf").is_some() {
            return None;
        }
        let binding = URL_SAFE_NO_PAD.decode(object.string("key_binding")?).ok()?;
        let claims = Self {
            subject: filled(object.string("sub")?)?,
            minted: object.integer("iat")?,
            until: object.integer("exp")?,
            login: object.integer("auth_time")?,
            id: filled(object.string("jti")?)?,
            key: KeyId::new(object.string("key_id")?).ok()?,
            binding: binding.try_into().ok()?,
            profile: profile(&object)?,
        };
        (claims.login <= claims.minted && claims.minted < claims.until).then_some(claims)
    }

    /// Whether it is in force: `exp` without any leeway, and nothing from tomorrow.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        let goes_on = Timestamp::from_second(self.until).is_ok_and(|until| now < until);
        goes_on && self.minted <= now.as_second().saturating_add(AHEAD)
    }
}

pub(super) const UUID: &str = "uuid";
pub(super) const CUSTOM_ID: &str = "customId";
pub(super) const EMAIL: &str = "email";

/// The identifiers, where there are any; `None` where one of them is none.
pub(super) fn profile(object: &Object<'_>) -> Option<Option<Profile>> {
    let identifier = |name| match object.get(name) {
        None => Some(None),
        Some(_) => object.string(name).filter(|id| Profile::may_be(id)).map(|id| Some(id.into())),
    };
    let profile = Profile {
        uuid: identifier(UUID)?,
        custom_id: identifier(CUSTOM_ID)?,
        email: identifier(EMAIL)?,
    };
    Some(Some(profile).filter(|profile| *profile != Profile::default()))
}

fn filled(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// A string as JSON has it (RFC 8259, section 7).
fn quote(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}
