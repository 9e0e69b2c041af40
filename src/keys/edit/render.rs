//! Records as a key file has them.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::keys::digest::Digester;
use crate::keys::record::Account;
use crate::keys::record::KeyId;
use crate::keys::record::KeyRecord;
use crate::keys::record::KeyStatus;
use crate::keys::record::Kind;
use crate::keys::record::Permission;

/// A `[[account]]`.
pub(super) fn account(account: &Account) -> String {
    let mut block = Block::new("account");
    block.text("id", account.id.as_str());
    block.maybe("name", account.name.as_deref());
    block.permissions(account.permissions.as_deref());
    if account.disabled {
        block.line("disabled", "true");
    }
    block.0
}

/// A `[[key]]`.
pub(super) fn key(record: &KeyRecord, digester: &Digester) -> String {
    let mut block = Block::new("key");
    block.text("id", record.id.as_str());
    block.text("account", record.account.as_str());
    block.maybe("name", record.name.as_deref());
    block.text("digest", &digester.format(&record.digest));
    block.maybe("hint", record.hint.as_deref());
    block.maybe("access", record.access.map(|access| access.as_str()));
    if record.kind != Kind::Workspace {
        block.text("kind", record.kind.as_str());
    }
    block.permissions(record.permissions.as_deref());
    if !record.ips.is_empty() {
        let ips: Vec<_> = record.ips.iter().map(network).collect();
        block.line("ips", &list(ips.iter().map(String::as_str)));
    }
    let events = &record.events;
    if !events.allow.is_empty() || !events.deny.is_empty() {
        let lists = [("allow", &*events.allow), ("deny", &*events.deny)];
        block.line("events", &lists_of(&lists));
    }
    if let Some(attributes) = &record.attributes {
        let lists = [("allow", &*attributes.allow), ("tags", &*attributes.tags)];
        block.line("attributes", &lists_of(&lists));
    }
    if let Some(basic) = record.basic {
        block.line("basic", if basic { "true" } else { "false" });
    }
    if let Some(simple) = &record.simple_auth {
        let salt = simple.salt.as_deref();
        let salt = salt.map_or("{}".to_owned(), |salt| format!("{{ salt = {} }}", quote(salt)));
        block.line("simple_auth", &salt);
    }
    if let Some(created) = record.created {
        block.line("created", &instant(created));
    }
    block.maybe("replaces", record.replaces.as_ref().map(KeyId::as_str));
    match record.status {
        KeyStatus::Active { until: Some(until) } => block.line("expires", &instant(until)),
        KeyStatus::Active { until: None } => {}
        KeyStatus::Revoked { at: Some(at) } => block.line("revoked", &instant(at)),
        KeyStatus::Revoked { at: None } => block.line("revoked", "true"),
    }
    block.0
}

/// An instant in UTC (RFC 3339).
pub(super) fn instant(at: Timestamp) -> String {
    at.to_string()
}

struct Block(String);

impl Block {
    fn new(name: &str) -> Self {
        Self(format!("[[{name}]]\n"))
    }

    fn line(&mut self, field: &str, value: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{field} = {value}");
    }

    fn text(&mut self, field: &str, value: &str) {
        self.line(field, &quote(value));
    }

    fn maybe(&mut self, field: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.text(field, value);
        }
    }

    fn permissions(&mut self, permissions: Option<&[Permission]>) {
        if let Some(permissions) = permissions {
            self.line("permissions", &list(permissions.iter().map(Permission::as_str)));
        }
    }
}

/// One address is written without its prefix.
fn network(network: &ipnet::IpNet) -> String {
    let whole = network.prefix_len() == network.max_prefix_len();
    if whole { network.addr().to_string() } else { network.to_string() }
}

fn lists_of(lists: &[(&str, &[Box<str>])]) -> String {
    let written = lists.iter().filter(|(_, names)| !names.is_empty());
    let written: Vec<_> = written
        .map(|(field, names)| format!("{field} = {}", list(names.iter().map(|name| &**name))))
        .collect();
    if written.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", written.join(", ")) }
}

fn list<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let values: Vec<_> = values.map(quote).collect();
    format!("[{}]", values.join(", "))
}

/// A basic string: on one line whatever is in it.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
