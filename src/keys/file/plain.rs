//! Key files as they are usually written, read straight through: no document is built of them.
//!
//! Understands one form only: a field a line, strings in plain double quotes, lists and tables on
//! their line. Whatever else there is, a mistake above all, is for the full reader: this one says
//! nothing but that it does not understand. What it does understand means the same to both.

use super::field::parse_network;
use super::time;
use crate::keys::digest::Digester;
use crate::keys::digest::KeyDigest;
use crate::keys::draft::Draft;
use crate::keys::draft::Lists;
use crate::keys::draft::Rules;
use crate::keys::record::Access;
use crate::keys::record::Account;
use crate::keys::record::KeyStatus;
use crate::keys::record::Kind;
use crate::keys::record::Name;
use crate::keys::record::Origin;
use crate::keys::record::Permission;
use crate::source::Span;

mod line;

use self::line::Line;

/// What a text holds.
#[expect(clippy::large_enum_variant, reason = "nearly all are keys, and none is kept")]
pub(in crate::keys) enum Item<'t> {
    Account(Account),
    Key(Draft<'t>),
}

/// Gives every record of a text in turn; `None` where it is not in the usual form. Then what was
/// given already does not count.
pub(in crate::keys) fn read<'t>(
    text: &'t str,
    digester: &Digester,
    mut take: impl FnMut(Item<'t>),
) -> Option<()> {
    if !line::is_plain(text) {
        return None;
    }
    let mut open = Open::Nothing;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        let whole = text.get(start..end)?;
        let mut line = Line::new(whole, start);
        start = end + 1;
        if line.ends() {
            continue;
        }
        let next = match line.header() {
            Some("key") => Open::Key(KeyFields::default()),
            Some("account") => Open::Account(AccountFields::default()),
            Some(_) => return None,
            None => {
                match &mut open {
                    Open::Nothing => return None,
                    Open::Account(fields) => fields.take(&mut line)?,
                    Open::Key(fields) => fields.take(&mut line, digester)?,
                }
                if line.ends() {
                    continue;
                }
                return None;
            }
        };
        if !line.ends() {
            return None;
        }
        close(std::mem::replace(&mut open, next), &mut take)?;
    }
    close(open, &mut take)
}

#[expect(clippy::large_enum_variant, reason = "there is one, and it mostly holds a key")]
enum Open<'t> {
    Nothing,
    Account(AccountFields<'t>),
    Key(KeyFields<'t>),
}

fn close<'t>(open: Open<'t>, take: &mut impl FnMut(Item<'t>)) -> Option<()> {
    match open {
        Open::Nothing => {}
        Open::Account(fields) => take(Item::Account(fields.close()?)),
        Open::Key(fields) => take(Item::Key(fields.close()?)),
    }
    Some(())
}

/// Puts a value where none was.
fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

#[derive(Default)]
struct AccountFields<'t> {
    id: Option<(&'t str, Span)>,
    name: Option<&'t str>,
    permissions: Option<Vec<&'t str>>,
    disabled: Option<bool>,
}

impl<'t> AccountFields<'t> {
    fn take(&mut self, line: &mut Line<'t>) -> Option<()> {
        match line.name()? {
            "id" => set(&mut self.id, name_at(line)?),
            "name" => set(&mut self.name, line.string()?),
            "permissions" => set(&mut self.permissions, permissions(line)?),
            "disabled" => set(&mut self.disabled, line.bool()?),
            _ => None,
        }
    }

    fn close(self) -> Option<Account> {
        let (id, span) = self.id?;
        let permissions = self.permissions.as_ref();
        let permissions =
            permissions.map(|list| list.iter().map(|name| Permission::new(name).ok()).collect());
        let permissions = match permissions {
            Some(None) => return None,
            Some(list) => list,
            None => None,
        };
        Some(Account {
            id: Name::new(id).ok()?,
            name: self.name.map(Box::from),
            permissions,
            disabled: self.disabled.unwrap_or(false),
            origin: Origin { file: 0, span },
        })
    }
}

#[derive(Default)]
struct KeyFields<'t> {
    id: Option<(&'t str, Span)>,
    account: Option<&'t str>,
    name: Option<&'t str>,
    digest: Option<KeyDigest>,
    hint: Option<&'t str>,
    access: Option<Access>,
    kind: Option<Kind>,
    permissions: Option<Vec<&'t str>>,
    ips: Option<Vec<ipnet::IpNet>>,
    events: Option<Lists<'t>>,
    attributes: Option<Lists<'t>>,
    basic: Option<bool>,
    simple_auth: Option<Option<&'t str>>,
    created: Option<jiff::Timestamp>,
    replaces: Option<&'t str>,
    expires: Option<jiff::Timestamp>,
    revoked: Option<Option<jiff::Timestamp>>,
}

impl<'t> KeyFields<'t> {
    fn take(&mut self, line: &mut Line<'t>, digester: &Digester) -> Option<()> {
        match line.name()? {
            "id" => set(&mut self.id, name_at(line)?),
            "account" => set(&mut self.account, name_at(line)?.0),
            "name" => set(&mut self.name, line.string()?),
            "digest" => set(&mut self.digest, digester.parse(line.string()?).ok()?),
            "hint" => set(&mut self.hint, line.string()?),
            "access" => set(&mut self.access, access(line.string()?)?),
            "kind" => set(&mut self.kind, kind(line.string()?)?),
            "permissions" => set(&mut self.permissions, permissions(line)?),
            "ips" => set(&mut self.ips, networks(line)?),
            "events" => set(&mut self.events, lists(line, "deny")?),
            "attributes" => set(&mut self.attributes, lists(line, "tags")?),
            "basic" => set(&mut self.basic, line.bool()?),
            "simple_auth" => set(&mut self.simple_auth, salt(line)?),
            "created" => set(&mut self.created, instant(line)?),
            "replaces" => set(&mut self.replaces, name_at(line)?.0),
            "expires" => set(&mut self.expires, instant(line)?),
            "revoked" => set(&mut self.revoked, revoked(line)?),
            _ => None,
        }
    }

    fn close(self) -> Option<Draft<'t>> {
        let (id, span) = self.id?;
        Some(Draft {
            id,
            span,
            account: self.account?,
            name: self.name,
            digest: self.digest?,
            hint: self.hint,
            access: self.access,
            kind: self.kind.unwrap_or_default(),
            basic: self.basic,
            created: self.created,
            replaces: self.replaces,
            status: match self.revoked {
                Some(at) => KeyStatus::Revoked { at },
                None => KeyStatus::Active { until: self.expires },
            },
            rules: Rules {
                permissions: self.permissions,
                ips: self.ips.unwrap_or_default(),
                events: self.events.unwrap_or_default(),
                attributes: self.attributes,
                simple_auth: self.simple_auth,
            },
        })
    }
}

fn name_at<'t>(line: &mut Line<'t>) -> Option<(&'t str, Span)> {
    let start = line.at();
    let text = line.string()?;
    Name::check(text).ok()?;
    Some((text, start..line.at()))
}

fn access(word: &str) -> Option<Access> {
    [Access::Read, Access::Write].into_iter().find(|access| access.as_str() == word)
}

fn kind(word: &str) -> Option<Kind> {
    [Kind::Workspace, Kind::Profile].into_iter().find(|kind| kind.as_str() == word)
}

fn permissions<'t>(line: &mut Line<'t>) -> Option<Vec<&'t str>> {
    let list = line.strings()?;
    list.iter().all(|name| Permission::check(name).is_ok()).then_some(list)
}

fn networks(line: &mut Line<'_>) -> Option<Vec<ipnet::IpNet>> {
    let list = line.strings()?;
    let meant = list.iter().map(|text| {
        // One that means more than it says is worth a warning.
        parse_network(text).filter(|network| network.trunc() == *network)
    });
    meant.collect()
}

/// `{ allow = […], deny = […] }`.
fn lists<'t>(line: &mut Line<'t>, other: &str) -> Option<Lists<'t>> {
    let (mut allow, mut others) = (None, None);
    line.table(|name, line| {
        let list = line.strings()?;
        let whole = list.iter().all(|name| !name.is_empty()).then_some(list)?;
        match name {
            "allow" => set(&mut allow, whole),
            _ if name == other => set(&mut others, whole),
            _ => None,
        }
    })?;
    Some(Lists { allow: allow.unwrap_or_default(), other: others.unwrap_or_default() })
}

/// `{ salt = "…" }`.
fn salt<'t>(line: &mut Line<'t>) -> Option<Option<&'t str>> {
    let mut salt = None;
    line.table(|name, line| match name {
        "salt" => set(&mut salt, line.string().filter(|salt| !salt.is_empty())?),
        _ => None,
    })?;
    Some(salt)
}

fn instant(line: &mut Line<'_>) -> Option<jiff::Timestamp> {
    time::plain(&line.word()?.parse().ok()?)
}

fn revoked(line: &mut Line<'_>) -> Option<Option<jiff::Timestamp>> {
    match line.word()? {
        "true" => Some(None),
        word => time::plain(&word.parse().ok()?).map(Some),
    }
}
