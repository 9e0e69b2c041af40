//! Keys that rotations made one in the place of another.

use crate::cli::ring::Ring;
use crate::keys::KeyRecord;

/// All that were made in the place of a key, and in the place of those, the nearest first.
pub(super) fn successors<'r>(ring: &'r Ring, old: &'r KeyRecord) -> Vec<&'r KeyRecord> {
    follow(old, |one| ring.keys().filter(|new| new.replaces.as_ref() == Some(&one.id)).collect())
}

/// All in whose place a key was made, and in whose place those were, the nearest first. What stays
/// is none of them, nor what is behind it.
pub(super) fn predecessors<'r>(
    ring: &'r Ring,
    new: &'r KeyRecord,
    stays: impl Fn(&KeyRecord) -> bool,
) -> Vec<&'r KeyRecord> {
    follow(new, |one| {
        let before = ring.keys().filter(|old| one.replaces.as_ref() == Some(&old.id));
        before.filter(|old| old.account == new.account && !stays(old)).collect()
    })
}

/// Each once, wherever it is met: people write key files, too.
fn follow<'r>(
    from: &'r KeyRecord,
    next: impl Fn(&KeyRecord) -> Vec<&'r KeyRecord>,
) -> Vec<&'r KeyRecord> {
    let mut chain = vec![from];
    let mut at = 0;
    while let Some(one) = chain.get(at) {
        let more = next(one);
        for key in more {
            if chain.iter().all(|known| known.id != key.id) {
                chain.push(key);
            }
        }
        at += 1;
    }
    chain.remove(0);
    chain
}
