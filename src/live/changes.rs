//! What a reload changed, for the log: the public ids of keys that came, went, or are different.

use std::collections::HashMap;

use crate::gate::Snapshot;
use crate::keys::KeyId;
use crate::keys::KeyIndex;
use crate::keys::KeyRecord;
use crate::keys::KeyStatus;

/// How many ids of each kind a log line names.
const MOST_NAMED: usize = 20;

/// The difference between two snapshots.
#[derive(Debug, Default)]
pub(super) struct Changes {
    added: Named,
    removed: Named,
    revoked: Named,
    altered: Named,
}

/// Some ids, and how many there are in all.
#[derive(Debug, Default)]
struct Named {
    count: usize,
    ids: Vec<KeyId>,
}

impl Changes {
    pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut changes = Self::default();
        let mut before: HashMap<&KeyId, (KeyIndex, &KeyRecord)> =
            old.table().keys().map(|(index, record)| (&record.id, (index, record))).collect();
        for (index, record) in new.table().keys() {
            match before.remove(&record.id) {
                None => changes.added.add(&record.id),
                Some((at, was)) if !dead(old, at, was) && dead(new, index, record) => {
                    changes.revoked.add(&record.id);
                }
                Some((_, was)) if !same(was, record) => changes.altered.add(&record.id),
                Some(_) => {}
            }
        }
        before.into_keys().for_each(|id| changes.removed.add(id));
        changes
    }

    /// Writes the log line.
    pub(super) fn log(&self, generation: u64, message: &'static str) {
        tracing::info!(
            generation,
            added = self.added.count,
            removed = self.removed.count,
            revoked = self.revoked.count,
            altered = self.altered.count,
            added_keys = self.added.text(),
            removed_keys = self.removed.text(),
            revoked_keys = self.revoked.text(),
            altered_keys = self.altered.text(),
            "{message}"
        );
    }
}

impl Named {
    fn add(&mut self, id: &KeyId) {
        self.count += 1;
        if self.ids.len() < MOST_NAMED {
            self.ids.push(id.clone());
        }
    }

    fn text(&self) -> Option<String> {
        if self.ids.is_empty() {
            return None;
        }
        let ids: Vec<_> = self.ids.iter().map(KeyId::as_str).collect();
        let more = if self.count > self.ids.len() { " …" } else { "" };
        Some(format!("{}{more}", ids.join(" ")))
    }
}

fn dead(snapshot: &Snapshot, index: KeyIndex, record: &KeyRecord) -> bool {
    matches!(record.status, KeyStatus::Revoked { .. }) || snapshot.is_revoked(index)
}

/// Whether two records of one id say the same, wherever they stand.
fn same(a: &KeyRecord, b: &KeyRecord) -> bool {
    a.account == b.account
        && a.name == b.name
        && a.digest.matches(&b.digest)
        && a.access == b.access
        && a.kind == b.kind
        && a.permissions == b.permissions
        && a.ips == b.ips
        && a.events == b.events
        && a.attributes == b.attributes
        && a.basic == b.basic
        && a.simple_auth == b.simple_auth
        && a.status == b.status
}
