//! What a reload changed, for the log: the public ids of keys that came, went, or are different.

use crate::clock;
use crate::gate::Snapshot;
use crate::keys::Key;
use crate::keys::KeyId;
use crate::keys::KeyIndex;
use crate::keys::KeyStatus;
use crate::observe::Event;

/// How many ids of each kind a log line names, and how many the audit log.
const MOST_NAMED: usize = 20;
const MOST_TOLD: usize = 1000;

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
        let (before, after) = (old.table(), new.table());
        for (at, key) in after.keys_beyond(before) {
            clock::give_way();
            match before.find_id(&key.id()) {
                None => changes.added.add(&key),
                Some((then, was)) if !dead(old, then, was) && dead(new, at, key) => {
                    changes.revoked.add(&key);
                }
                Some((_, was)) if !was.says_the_same(&key) => changes.altered.add(&key),
                Some(_) => {}
            }
        }
        // Of the very same records, only revocations from elsewhere tell two worlds apart.
        for key in new.revoked().filter_map(|at| after.record(at)) {
            let was = before.find_id(&key.id()).filter(|(_, was)| was.is(&key));
            if was.is_some_and(|(then, was)| !dead(old, then, was)) {
                changes.revoked.add(&key);
            }
        }
        for (_, key) in before.keys_beyond(after) {
            clock::give_way();
            if after.find_id(&key.id()).is_none() {
                changes.removed.add(&key);
            }
        }
        changes
    }

    /// Tells the audit log.
    pub(super) fn tell(&self, event: &mut Event) {
        let kinds = [
            (["added", "added_keys"], &self.added),
            (["removed", "removed_keys"], &self.removed),
            (["revoked", "revoked_keys"], &self.revoked),
            (["altered", "altered_keys"], &self.altered),
        ];
        for ([count, ids], named) in kinds {
            event.insert(count.into(), named.count.into());
            if named.count > 0 {
                event.insert(ids.into(), named.ids.iter().map(KeyId::as_str).collect());
            }
        }
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
    fn add(&mut self, key: &Key<'_>) {
        self.count += 1;
        if self.ids.len() < MOST_TOLD {
            self.ids.push(key.id());
        }
    }

    fn text(&self) -> Option<String> {
        if self.ids.is_empty() {
            return None;
        }
        let ids: Vec<_> = self.ids.iter().take(MOST_NAMED).map(KeyId::as_str).collect();
        let more = if self.count > ids.len() { " …" } else { "" };
        Some(format!("{}{more}", ids.join(" ")))
    }
}

fn dead(snapshot: &Snapshot, at: KeyIndex, key: Key<'_>) -> bool {
    matches!(key.status(), KeyStatus::Revoked { .. }) || snapshot.is_revoked(at)
}
