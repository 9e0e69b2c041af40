//! A key's record as people and programs are shown it: everything but the digest and the salt.

use anstyle::AnsiColor;
use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::cli::ring::Ring;
use crate::gate::effective;
use crate::keys::Access;
use crate::keys::KeyRecord;
use crate::keys::KeyStatus;
use crate::keys::Permission;

/// Whether a key is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Revoked,
    Expired,
    /// Its account is.
    Disabled,
    /// Its account does not exist, so that nothing loads.
    Orphaned,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Orphaned => "orphaned",
        }
    }

    pub(crate) const fn colour(self) -> AnsiColor {
        match self {
            Self::Active => AnsiColor::Green,
            Self::Expired | Self::Disabled => AnsiColor::Yellow,
            Self::Revoked | Self::Orphaned => AnsiColor::Red,
        }
    }
}

/// A record among the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'r> {
    ring: &'r Ring,
    record: &'r KeyRecord,
    now: Timestamp,
}

impl<'r> View<'r> {
    pub(crate) const fn new(ring: &'r Ring, record: &'r KeyRecord, now: Timestamp) -> Self {
        Self { ring, record, now }
    }

    pub(crate) fn state(&self) -> State {
        match self.record.status {
            _ if self.ring.withdrawn(self.record) => State::Revoked,
            KeyStatus::Revoked { .. } => State::Revoked,
            KeyStatus::Active { until: Some(until) } if self.now >= until => State::Expired,
            KeyStatus::Active { .. } => match self.ring.account(&self.record.account) {
                Some(account) if account.disabled => State::Disabled,
                Some(_) => State::Active,
                None => State::Orphaned,
            },
        }
    }

    pub(crate) fn access(&self) -> Access {
        self.record.access.unwrap_or(self.ring.keys.default_access)
    }

    /// What it may do: its own permissions limited to its account's. `None` is not limited.
    pub(crate) fn permissions(&self) -> Option<Vec<Permission>> {
        let account = self.ring.account(&self.record.account);
        effective(
            self.record.permissions.as_deref(),
            account.and_then(|account| account.permissions.as_deref()),
        )
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        match self.record.status {
            KeyStatus::Active { until } => until,
            KeyStatus::Revoked { .. } => None,
        }
    }

    pub(crate) fn json(&self) -> Map<String, Value> {
        let record = self.record;
        let revoked = match record.status {
            KeyStatus::Revoked { at } => at.map_or(json!(true), |at| json!(at.to_string())),
            KeyStatus::Active { .. } if self.ring.withdrawn(record) => json!(true),
            KeyStatus::Active { .. } => Value::Null,
        };
        let attributes = record
            .attributes
            .as_ref()
            .map(|attributes| json!({ "allow": attributes.allow, "tags": attributes.tags }));
        let value = json!({
            "id": record.id.as_str(),
            "account": record.account.as_str(),
            "name": record.name,
            "access": self.access().as_str(),
            "kind": record.kind.as_str(),
            "status": self.state().as_str(),
            "permissions": record.permissions.as_deref().map(texts),
            "effective_permissions": self.permissions().as_deref().map(texts),
            "ips": record.ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "events": { "allow": record.events.allow, "deny": record.events.deny },
            "attributes": attributes,
            "basic": record.basic,
            "simple_auth": record.simple_auth.is_some(),
            "salted": record.simple_auth.as_ref().is_some_and(|simple| simple.salt.is_some()),
            "created": record.created.map(|at| at.to_string()),
            "expires": self.expires().map(|at| at.to_string()),
            "revoked": revoked,
            "hint": record.hint,
        });
        match value {
            Value::Object(members) => members,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        }
    }

    /// What there is to say of it, line by line.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let record = self.record;
        let mut lines = vec![
            ("id", record.id.to_string()),
            ("account", record.account.to_string()),
            ("name", record.name.as_deref().unwrap_or_default().to_owned()),
            ("status", self.status()),
            ("access", access_in_words(self.access())),
            ("kind", record.kind.as_str().to_owned()),
            ("permissions", permissions_in_words(self.permissions().as_deref())),
            ("from", joined(record.ips.iter())),
            ("events", joined(record.events.allow.iter())),
            ("never", joined(record.events.deny.iter())),
        ];
        if let Some(attributes) = &record.attributes {
            lines.push(("attributes", or_nothing(joined(attributes.allow.iter()))));
            lines.push(("tags", or_nothing(joined(attributes.tags.iter()))));
        }
        if let Some(basic) = record.basic {
            lines.push(("basic", if basic { "yes" } else { "no" }.to_owned()));
        }
        if let Some(simple) = &record.simple_auth {
            let salt = if simple.salt.is_some() { "with a salt" } else { "without a salt" };
            lines.push(("simple auth", salt.to_owned()));
        }
        lines.push(("created", record.created.map(|at| at.to_string()).unwrap_or_default()));
        lines.push(("expires", self.expires().map(|at| at.to_string()).unwrap_or_default()));
        lines.push(("hint", record.hint.as_deref().unwrap_or_default().to_owned()));
        lines.retain(|(_, text)| !text.is_empty());
        lines
    }

    fn status(&self) -> String {
        let state = self.state();
        match (state, self.record.status) {
            (State::Revoked, KeyStatus::Revoked { at: Some(at) }) => format!("revoked {at}"),
            (State::Disabled, _) => "its account is disabled".to_owned(),
            (State::Orphaned, _) => "its account does not exist".to_owned(),
            _ => state.as_str().to_owned(),
        }
    }
}

fn access_in_words(access: Access) -> String {
    match access {
        Access::Read => "read (GET and HEAD)".to_owned(),
        Access::Write => "write (every method)".to_owned(),
    }
}

fn permissions_in_words(permissions: Option<&[Permission]>) -> String {
    match permissions {
        None => "not limited".to_owned(),
        Some(list) => or_nothing(joined(list.iter().map(Permission::as_str))),
    }
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn joined(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

fn texts(permissions: &[Permission]) -> Vec<&str> {
    permissions.iter().map(Permission::as_str).collect()
}
