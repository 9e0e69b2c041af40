//! The names of the accounts that keys belong to, each kept once and numbered: many keys, in many
//! files, belong to few accounts.
//!
//! A number stays with its name as long as these are the same owners, so that what was read of a
//! file means the same in each table that it becomes a part of.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use hashbrown::HashMap as QuickMap;

use super::record::AccountId;
use super::record::Name;

/// Numbered names. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    numbers: QuickMap<AccountId, u32>,
    names: Vec<AccountId>,
}

impl Owners {
    /// The number of a name that was checked; a new one if it has none.
    pub(super) fn number(&self, checked: &str) -> u32 {
        let Names { numbers, names } = &mut *self.names();
        if let Some(number) = numbers.get(checked.as_bytes()) {
            return *number;
        }
        let number = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let name = Name::shared(bytes::Bytes::copy_from_slice(checked.as_bytes()));
        numbers.insert(name.clone(), number);
        names.push(name);
        number
    }

    /// The name that has a number.
    pub(super) fn name(&self, number: u32) -> Option<AccountId> {
        self.names().names.get(number as usize).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.names().names.len()
    }

    /// Whether numbers mean the same in both.
    pub(super) fn are(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.0, &others.0)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_and_a_number_one_name() {
        let owners = Owners::default();
        let numbers = ["a", "b", "a", "c", "b"].map(|name| owners.number(name));
        assert_eq!((numbers, owners.len()), ([0, 1, 0, 2, 1], 3));
        assert_eq!(owners.name(2).unwrap().as_str(), "c");
        assert_eq!(owners.name(3), None);
        assert!(owners.are(&owners.clone()) && !owners.are(&Owners::default()));
    }
}
