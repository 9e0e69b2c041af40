//! What is prepared of a table so that no request has to: the header values of accounts, and the
//! permissions of keys compiled for the routes.

use std::collections::HashMap;

use http::HeaderValue;

use super::access::{PermissionSet, Permissions, effective};
use crate::keys::{KeyIndex, KeyTable, Lists, Name, Permission};

/// All that is prepared of one table.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Different effective permissions, each once.
    sets: Vec<PermissionSet>,
    /// By the positions of accounts: the header value, and the set of a key that lists nothing.
    accounts: Vec<(HeaderValue, u32)>,
    /// By slots, where keys list permissions of their own: the set of each key.
    slots: Vec<Option<Box<[u32]>>>,
}

/// Lists that are the same have the same number.
type Numbers = HashMap<Option<Vec<Permission>>, u32>;

impl Prepared {
    pub(super) fn new(table: &KeyTable, known: &Permissions, pause: impl Fn()) -> Self {
        let mut making = Making { known, sets: Vec::new(), numbers: Numbers::new() };
        let mut limits = Limits { numbers: Numbers::new(), of: Vec::new(), lists: Vec::new() };
        let accounts = table.accounts().map(|account| {
            let limit = account.permissions.as_deref();
            limits.note(limit);
            (value(&account.id), making.set(effective(None, limit)))
        });
        let accounts: Vec<_> = accounts.collect();
        let slots = (0..table.slots()).map(|slot| {
            pause();
            table.lists(slot).map(|lists| of_slot(&lists, &accounts, &limits, &mut making))
        });
        let slots = slots.collect();
        Self { sets: making.sets, accounts, slots }
    }

    /// The effective permissions of a key.
    pub(super) fn set(&self, table: &KeyTable, key: KeyIndex) -> Option<&PermissionSet> {
        let set = match self.slots.get(key.slot())? {
            Some(sets) => *sets.get(key.row())?,
            None => self.accounts.get(table.account_position(key)?)?.1,
        };
        self.sets.get(set as usize)
    }

    /// The value that tells the account of a key.
    pub(super) fn account(&self, table: &KeyTable, key: KeyIndex) -> Option<&HeaderValue> {
        self.accounts.get(table.account_position(key)?).map(|(value, _)| value)
    }
}

/// The sets so far.
struct Making<'k> {
    known: &'k Permissions,
    sets: Vec<PermissionSet>,
    numbers: Numbers,
}

impl Making<'_> {
    fn set(&mut self, list: Option<Vec<Permission>>) -> u32 {
        if let Some(number) = self.numbers.get(&list) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(PermissionSet::compile(list.clone(), self.known));
        self.numbers.insert(list, number);
        number
    }
}

/// What accounts limit their keys to: few lists, by the positions of many accounts.
struct Limits {
    numbers: Numbers,
    of: Vec<u32>,
    lists: Vec<Option<Vec<Permission>>>,
}

impl Limits {
    fn note(&mut self, limit: Option<&[Permission]>) {
        let limit = limit.map(<[Permission]>::to_vec);
        let next = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(limit).or_insert_with_key(|limit| {
            self.lists.push(limit.clone());
            next
        });
        self.of.push(number);
    }
}

/// The set of each key in a slot. Each pair of lists is met once.
fn of_slot(
    lists: &Lists<'_>,
    accounts: &[(HeaderValue, u32)],
    limits: &Limits,
    making: &mut Making<'_>,
) -> Box<[u32]> {
    let mut met: HashMap<(usize, u32), u32> = HashMap::new();
    let keys = lists.of_keys().map(|(own, account)| {
        let own = own.and_then(|at| Some((at, lists.distinct().get(at)?.as_deref()?)));
        let Some((at, list)) = own else { return accounts.get(account).map_or(0, |(_, set)| *set) };
        let limit = limits.of.get(account).copied().unwrap_or(u32::MAX);
        *met.entry((at, limit)).or_insert_with(|| {
            let limit = limits.lists.get(limit as usize).and_then(|limit| limit.as_deref());
            making.set(effective(Some(list), limit))
        })
    });
    keys.collect()
}

/// A name as a header has it: a part of the same text. Names are visible ASCII, so this never falls
/// back.
pub(super) fn value(name: &Name) -> HeaderValue {
    HeaderValue::from_maybe_shared(name.bytes()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
