//! `keygate keys rotate --finish`.

use std::process::ExitCode;

use super::create::whole_second;
use super::usage::Guard;
use super::view::State;
use super::view::View;
use crate::cli::audit;
use crate::cli::print;
use crate::cli::ring::Ring;
use crate::clock;
use crate::keys::KeyId;
use crate::keys::KeyRecord;
use crate::source::Problem;
use crate::source::Problems;

/// Ends a key that was replaced, once nobody uses it any more (`None`: whoever does).
pub(super) fn finish(ring: &Ring, id: &KeyId, guard: Option<Guard>) -> Result<ExitCode, Problems> {
    let now = clock::now();
    let (path, old) = ring.require_key(id)?;
    if View::new(ring, old, now).state() == State::Revoked {
        return Ok(print::answer(&format!("{id} is revoked already\n")));
    }
    // The new key must not be ended in the place of the old one.
    if !has_successor(ring, old) {
        let message =
            format!("key `{id}` was not replaced: `{}` has no key that is newer", old.account);
        let help = format!(
            "`keygate keys rotate {id}` replaces it; `keygate keys revoke {id}` ends it all the same"
        );
        return Err(Problem::new(message).help(help).into());
    }
    if let Some(guard) = guard {
        guard.check(ring, old, now)?;
    }
    let now = whole_second(now);
    let mut edit = ring.edit_sound(path)?;
    edit.revoke(id, now)?;
    audit::save_in_any_case(ring, edit)?;
    Ok(print::answer(&format!("{id} is revoked since {now}, in {}\n", path.display())))
}

/// Whether the account has a key that is in force and was made later.
fn has_successor(ring: &Ring, old: &KeyRecord) -> bool {
    let newer = |record: &KeyRecord| {
        record.account == old.account
            && record.id != old.id
            && record.created.is_some_and(|at| old.created.is_none_or(|before| at >= before))
            && View::new(ring, record, clock::now()).state() == State::Active
    };
    ring.keys().any(newer)
}
