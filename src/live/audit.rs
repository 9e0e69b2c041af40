//! What the audit log is told of a process that serves: that it began, what it loaded and could not
//! load, that it ends.

use serde_json::Value;

use super::changes::Changes;
use super::clerk::Clerk;
use super::world::World;
use crate::observe::Event;
use crate::observe::audit_event;
use crate::source::Problems;

/// A table of keys: its generation and its digest.
pub(super) type Table = (u64, String);

/// Which table a world has.
pub(super) fn table(world: &World) -> Table {
    (world.generation(), world.digest().to_owned())
}

/// Says that the process begins or ends to do something.
pub(super) fn process(log: Option<&Clerk>, name: &str, world: &World) {
    let Some(log) = log else { return };
    let mut event = audit_event(name);
    put(&mut event, ["generation", "digest"], &table(world));
    log.take(event);
}

/// What came of reading the files again.
pub(super) struct Reload<'r> {
    pub(super) log: Option<&'r Clerk>,
    /// Whether somebody asked for it; else files had changed.
    pub(super) asked: bool,
}

impl Reload<'_> {
    /// There is another table, or the same once more.
    pub(super) fn done(&self, before: &Table, after: &Table, changes: &Changes) {
        self.tell("done", before, after, |event| changes.tell(event));
    }

    /// The files do not load; nothing has changed, or more keys are revoked.
    pub(super) fn failed(
        &self,
        before: &Table,
        revoked: Option<(&Table, &Changes)>,
        problems: &Problems,
    ) {
        let errors: Vec<Value> = problems
            .iter()
            .filter(|problem| !problem.warning)
            .take(20)
            .map(|problem| problem.line().into())
            .collect();
        let (result, after) = match revoked {
            Some((after, _)) => ("revocations_only", after),
            None => ("failed", before),
        };
        self.tell(result, before, after, |event| {
            event.insert("error".into(), errors.into());
            if let Some((_, changes)) = revoked {
                changes.tell(event);
            }
        });
    }

    fn tell(&self, result: &str, before: &Table, after: &Table, more: impl FnOnce(&mut Event)) {
        let Some(log) = self.log else { return };
        let mut event = audit_event("reload");
        let trigger = if self.asked { "signal" } else { "files" };
        event.insert("trigger".into(), trigger.into());
        event.insert("result".into(), result.into());
        put(&mut event, ["generation_before", "digest_before"], before);
        put(&mut event, ["generation", "digest"], after);
        more(&mut event);
        log.take(event);
    }
}

fn put(event: &mut Event, [generation, digest]: [&str; 2], table: &Table) {
    event.insert(generation.into(), table.0.into());
    event.insert(digest.into(), table.1.clone().into());
}
