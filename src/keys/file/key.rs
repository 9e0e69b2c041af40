//! One `[[key]]`.

use super::field;
use super::time;
use crate::keys::digest::DigestError;
use crate::keys::digest::Digester;
use crate::keys::digest::KeyDigest;
use crate::keys::record::Access;
use crate::keys::record::AttributeRules;
use crate::keys::record::EventRules;
use crate::keys::record::KeyId;
use crate::keys::record::KeyRecord;
use crate::keys::record::KeyStatus;
use crate::keys::record::Kind;
use crate::keys::record::Origin;
use crate::keys::record::SimpleAuth;
use crate::source::Section;
use crate::source::Value;

pub(super) fn read(
    section: &mut Section<'_, '_>,
    file: usize,
    digester: &Digester,
    revoked: &mut Vec<KeyId>,
) -> Option<KeyRecord> {
    let id = field::required_name(section, "id");
    let account = field::required_name(section, "account");
    let digest = read_digest(section, digester);
    let (withdrawn, status) = read_status(section);
    if let (Some(id), true) = (&id, withdrawn) {
        revoked.push(id.value.clone());
    }
    let access =
        field::choice(section, "access", &[("read", Access::Read), ("write", Access::Write)]);
    let kind = [("workspace", Kind::Workspace), ("profile", Kind::Profile)];
    let kind = field::choice(section, "kind", &kind).unwrap_or_default();
    let name = field::note(section, "name");
    let hint = field::note(section, "hint");
    let permissions = field::permissions(section);
    let ips = field::networks(section);
    let events = read_events(section);
    let attributes = read_attributes(section);
    let basic = section.bool("basic").map(|basic| basic.value);
    let simple_auth = read_simple_auth(section);
    let created = time::instant(section, "created");
    let replaces = field::name(section, "replaces").map(|at| at.value);
    let (id, account, digest) = (id?, account?, digest?);
    Some(KeyRecord {
        id: id.value,
        account: account.value,
        name,
        digest,
        hint,
        access,
        kind,
        permissions,
        ips,
        events,
        attributes,
        basic,
        simple_auth,
        created,
        replaces,
        status,
        origin: Origin { file, span: id.span },
    })
}

fn read_digest(section: &mut Section<'_, '_>, digester: &Digester) -> Option<KeyDigest> {
    let at = section.required_string("digest")?;
    match digester.parse(&at.value) {
        Ok(digest) => Some(digest),
        Err(error) => {
            let help = match error {
                DigestError::Mismatch { .. } => {
                    "a digest of the other kind cannot be converted: make a new key, or import \
                     the key itself with `keygate keys import`"
                }
                DigestError::Algorithm { .. }
                | DigestError::Length { .. }
                | DigestError::Hex { .. } => {
                    "keys are never stored, only their digests: `keygate keys create` and \
                     `keygate keys import` write them"
                }
            };
            section.wrong(&at.span, error.to_string(), help);
            None
        }
    }
}

/// Whether the key is marked as revoked, which counts whatever is marked, and its status.
fn read_status(section: &mut Section<'_, '_>) -> (bool, KeyStatus) {
    let until = time::instant(section, "expires");
    let Some(at) = section.take("revoked") else {
        return (false, KeyStatus::Active { until });
    };
    let when = match at.value {
        Value::Boolean(true) => None,
        Value::Datetime(ref date) => time::convert(section, "revoked", date, &at.span),
        Value::Boolean(false) => {
            let message = "`revoked` counts by its presence, `false` does not undo it";
            section.wrong(&at.span, message, "remove the line");
            None
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Array(_)
        | Value::Table(_) => {
            section.mistyped::<()>("revoked", &at, "a date, a time or `true`");
            None
        }
    };
    (true, KeyStatus::Revoked { at: when })
}

fn read_events(section: &mut Section<'_, '_>) -> EventRules {
    let Some(table) = section.table("events") else { return EventRules::default() };
    let mut section = section.enter("events", table);
    EventRules {
        allow: field::texts(&mut section, "allow"),
        deny: field::texts(&mut section, "deny"),
    }
}

fn read_attributes(section: &mut Section<'_, '_>) -> Option<Box<AttributeRules>> {
    let table = section.table("attributes")?;
    let mut section = section.enter("attributes", table);
    Some(Box::new(AttributeRules {
        allow: field::texts(&mut section, "allow"),
        tags: field::texts(&mut section, "tags"),
    }))
}

fn read_simple_auth(section: &mut Section<'_, '_>) -> Option<Box<SimpleAuth>> {
    let table = section.table("simple_auth")?;
    let mut section = section.enter("simple_auth", table);
    let salt = section.string("salt");
    if let Some(salt) = salt.as_ref().filter(|salt| salt.value.is_empty()) {
        section.wrong(&salt.span, "`salt` is empty", "remove it if none is to be asked for");
    }
    Some(Box::new(SimpleAuth { salt: salt.map(|salt| salt.value.into()) }))
}
