//! A key as it is read: checked, and still borrowed from the text that it stands in.

use ipnet::IpNet;
use jiff::Timestamp;

use super::digest::KeyDigest;
use super::record::Access;
use super::record::AttributeRules;
use super::record::EventRules;
use super::record::KeyRecord;
use super::record::KeyStatus;
use super::record::Kind;
use super::record::Name;
use super::record::NameError;
use super::record::Origin;
use super::record::Permission;
use super::record::SimpleAuth;
use crate::source::Span;

/// One key. Every name in it was checked.
#[derive(Clone, Debug)]
pub(super) struct Draft<'t> {
    pub(super) id: &'t str,
    /// The bytes of `id` as it is written.
    pub(super) span: Span,
    pub(super) account: &'t str,
    pub(super) name: Option<&'t str>,
    pub(super) digest: KeyDigest,
    pub(super) hint: Option<&'t str>,
    pub(super) access: Option<Access>,
    pub(super) kind: Kind,
    pub(super) basic: Option<bool>,
    pub(super) created: Option<Timestamp>,
    pub(super) replaces: Option<&'t str>,
    pub(super) status: KeyStatus,
    pub(super) rules: Rules<'t>,
}

/// What few keys have, or many keys have alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Rules<'t> {
    pub(super) permissions: Option<Vec<&'t str>>,
    pub(super) ips: Vec<IpNet>,
    pub(super) events: Lists<'t>,
    pub(super) attributes: Option<Lists<'t>>,
    pub(super) simple_auth: Option<Option<&'t str>>,
}

/// Two lists of names, the first of which allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lists<'t> {
    pub(super) allow: Vec<&'t str>,
    pub(super) other: Vec<&'t str>,
}

impl Rules<'_> {
    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.permissions.is_none()
            && self.ips.is_empty()
            && self.events.allow.is_empty()
            && self.events.other.is_empty()
            && self.attributes.is_none()
            && self.simple_auth.is_none()
    }
}

impl<'t> From<&'t KeyRecord> for Draft<'t> {
    fn from(record: &'t KeyRecord) -> Self {
        let permissions = record.permissions.as_deref();
        let attributes = record.attributes.as_deref();
        Self {
            id: record.id.as_str(),
            span: record.origin.span.clone(),
            account: record.account.as_str(),
            name: record.name.as_deref(),
            digest: record.digest.clone(),
            hint: record.hint.as_deref(),
            access: record.access,
            kind: record.kind,
            basic: record.basic,
            created: record.created,
            replaces: record.replaces.as_ref().map(Name::as_str),
            status: record.status,
            rules: Rules {
                permissions: permissions.map(|list| list.iter().map(Permission::as_str).collect()),
                ips: record.ips.to_vec(),
                events: lists(&record.events.allow, &record.events.deny),
                attributes: attributes.map(|rules| lists(&rules.allow, &rules.tags)),
                simple_auth: record.simple_auth.as_deref().map(|simple| simple.salt.as_deref()),
            },
        }
    }
}

fn lists<'t>(allow: &'t [Box<str>], other: &'t [Box<str>]) -> Lists<'t> {
    let borrowed = |list: &'t [Box<str>]| list.iter().map(|name| &**name).collect();
    Lists { allow: borrowed(allow), other: borrowed(other) }
}

impl Draft<'_> {
    /// The key as a record of its own.
    pub(super) fn to_record(&self, file: usize) -> Result<KeyRecord, NameError> {
        let Rules { permissions, ips, events, attributes, simple_auth } = &self.rules;
        let permissions = permissions.as_ref();
        let permissions = permissions.map(|list| list.iter().map(|name| Permission::new(name)));
        Ok(KeyRecord {
            id: Name::new(self.id)?,
            account: Name::new(self.account)?,
            name: self.name.map(Box::from),
            digest: self.digest.clone(),
            hint: self.hint.map(Box::from),
            access: self.access,
            kind: self.kind,
            permissions: permissions.map(Iterator::collect).transpose()?,
            ips: ips.clone().into(),
            events: events.to_events(),
            attributes: attributes.as_ref().map(|lists| Box::new(lists.to_attributes())),
            basic: self.basic,
            simple_auth: simple_auth.map(|salt| Box::new(SimpleAuth { salt: salt.map(Box::from) })),
            created: self.created,
            replaces: self.replaces.map(Name::new).transpose()?,
            status: self.status,
            origin: Origin { file, span: self.span.clone() },
        })
    }
}

impl Lists<'_> {
    pub(super) fn to_events(&self) -> EventRules {
        EventRules { allow: owned(&self.allow), deny: owned(&self.other) }
    }

    pub(super) fn to_attributes(&self) -> AttributeRules {
        AttributeRules { allow: owned(&self.allow), tags: owned(&self.other) }
    }
}

fn owned(list: &[&str]) -> Box<[Box<str>]> {
    list.iter().map(|name| Box::from(*name)).collect()
}
