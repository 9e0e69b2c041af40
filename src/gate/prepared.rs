//! What is prepared of a table so that no request has to: the names of accounts where they are at
//! hand, and the permissions of keys compiled for the routes.

use std::collections::HashMap;
use std::hash::Hash;

use hashbrown::HashMap as QuickMap;

use super::access::{PermissionSet, Permissions, effective};
use crate::keys::{KeyIndex, KeyTable, Name, Permission};

/// All that is prepared of one table.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Different effective permissions, each once.
    sets: Vec<PermissionSet>,
    /// By the positions of accounts.
    accounts: Vec<Prepped>,
    /// By slots, which list of all a list of the slot is.
    slots: Vec<Which>,
    /// The set of a key, by its list and by what its account limits it to.
    of: Grid,
}

/// Sets by the numbers of a list and of a limit.
#[derive(Debug)]
enum Grid {
    /// Of all lists with all limits, so many of which there are.
    All(Box<[u32]>, usize),
    /// Of those that meet.
    Some(QuickMap<(u32, u32), u32>),
}

/// What is prepared of an account: one line of what a processor fetches at a time.
#[derive(Debug)]
#[repr(align(64))]
struct Prepped {
    /// The number of what it limits its keys to.
    limit: u32,
    /// The set of a key that lists nothing.
    set: u32,
    /// How long its id is; 0 if that is too long to stand here.
    length: u8,
    id: [u8; SHORT],
}

/// Of the lists of a slot the numbers that they have among all. Many keys have few lists.
#[derive(Debug)]
enum Which {
    Few([u32; FEW]),
    Many(Box<[u32]>),
}

/// A list of permissions, or that there is none.
type List = Option<Vec<Permission>>;

/// How long an id is at most that stands beside what else is prepared of an account.
const SHORT: usize = 55;
/// How many lists are kept where the slot is.
const FEW: usize = 3;
/// Where it is said that rules have no list.
const UNLISTED: u32 = u32::MAX;
/// Where there are no rules at all: the number of no list, with which no set is found.
const ABSENT: u32 = u32::MAX - 1;
/// Up to how many sets are compiled without a look at which of them any key has.
const ALL: usize = 1 << 8;
/// How many keys are looked at at a stretch.
const SOME: usize = 1 << 8;

impl Prepared {
    pub(super) fn new(table: &KeyTable, known: &Permissions, pause: impl Fn()) -> Self {
        let mut sets = Sets { known, sets: Vec::new(), numbers: HashMap::new() };
        let (mut limits, mut lists) = (Numbered::default(), Numbered::default());
        let accounts = table.accounts().map(|account| {
            pause();
            let limit = account.permissions.as_deref();
            let set = sets.number(effective(None, limit));
            let limit = limits.number(limit.map(<[Permission]>::to_vec));
            Prepped::new(&account.id, limit, set)
        });
        let accounts: Vec<_> = accounts.collect();
        let slots = (0..table.slots()).map(|slot| {
            pause();
            Which::of(table.lists(slot).map(|list| match list {
                Some(list) => lists.number(Some(list)),
                None => UNLISTED,
            }))
        });
        let slots: Vec<_> = slots.collect();
        let known = (&*lists.things, &*limits.things);
        let of = Grid::of(table, (&slots, &accounts), known, &mut sets, pause);
        Self { sets: sets.sets, accounts, slots, of }
    }

    /// The effective permissions of a key; `None`, which is nothing, where they are not known.
    #[inline]
    pub(super) fn set(&self, table: &KeyTable, key: KeyIndex) -> Option<&PermissionSet> {
        let account = self.accounts.get(table.account_position(key)?)?;
        let list = match table.list(key) {
            Some(list) => self.slots.get(key.slot())?.get(list)?,
            None => UNLISTED,
        };
        let set = match list {
            UNLISTED => account.set,
            list => self.of.get(list, account.limit)?,
        };
        self.sets.get(set as usize)
    }

    /// The id of the account of a key.
    #[inline]
    pub(super) fn account<'s>(&'s self, table: &'s KeyTable, key: KeyIndex) -> Option<&'s [u8]> {
        let account = self.accounts.get(table.account_position(key)?)?;
        account.short_id().or_else(|| Some(table.account(key)?.id.as_str().as_bytes()))
    }
}

impl Prepped {
    fn new(id: &Name, limit: u32, set: u32) -> Self {
        let mut account = Self { limit, set, length: 0, id: [0; SHORT] };
        let id = id.as_str().as_bytes();
        if let Some(room) = account.id.get_mut(..id.len()) {
            room.copy_from_slice(id);
            account.length = u8::try_from(id.len()).unwrap_or(0);
        }
        account
    }

    #[inline]
    fn short_id(&self) -> Option<&[u8]> {
        let id = self.id.get(..usize::from(self.length));
        id.filter(|id| !id.is_empty())
    }
}

impl Grid {
    /// Compiles each list with each limit that it meets.
    fn of(
        table: &KeyTable,
        (slots, accounts): (&[Which], &[Prepped]),
        (lists, limits): (&[List], &[List]),
        sets: &mut Sets<'_>,
        pause: impl Fn(),
    ) -> Self {
        let mut meet =
            |list: &List, limit: &List| sets.number(effective(list.as_deref(), limit.as_deref()));
        if lists.len().saturating_mul(limits.len()) <= ALL {
            let pairs = lists.iter().flat_map(|list| limits.iter().map(move |limit| (list, limit)));
            return Self::All(pairs.map(|(list, limit)| meet(list, limit)).collect(), limits.len());
        }
        let mut some = QuickMap::new();
        for (slot, which) in slots.iter().enumerate() {
            for (number, (list, account)) in table.holders(slot).enumerate() {
                if number.is_multiple_of(SOME) {
                    pause();
                }
                let list = list.and_then(|list| which.get(list)).filter(|list| *list != UNLISTED);
                let Some((list, account)) = list.zip(accounts.get(account)) else { continue };
                some.entry((list, account.limit)).or_insert_with(|| {
                    let list = lists.get(list as usize).unwrap_or(&None);
                    meet(list, limits.get(account.limit as usize).unwrap_or(&None))
                });
            }
        }
        Self::Some(some)
    }

    #[inline]
    fn get(&self, list: u32, limit: u32) -> Option<u32> {
        match self {
            Self::All(sets, limits) => sets.get(list as usize * limits + limit as usize).copied(),
            Self::Some(sets) => sets.get(&(list, limit)).copied(),
        }
    }
}

impl Which {
    fn of(numbers: impl Iterator<Item = u32>) -> Self {
        let numbers: Vec<_> = numbers.collect();
        let mut few = [ABSENT; FEW];
        match few.get_mut(..numbers.len()) {
            Some(room) => {
                room.copy_from_slice(&numbers);
                Self::Few(few)
            }
            None => Self::Many(numbers.into()),
        }
    }

    /// The number of a list of the slot.
    #[inline]
    fn get(&self, list: usize) -> Option<u32> {
        let number = match self {
            Self::Few(few) => few.get(list),
            Self::Many(many) => many.get(list),
        };
        number.copied()
    }
}

/// Different things, in the order in which they first came.
struct Numbered<T> {
    numbers: HashMap<T, u32>,
    things: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), things: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn number(&mut self, thing: T) -> u32 {
        let next = u32::try_from(self.things.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(thing).or_insert_with_key(|thing| {
            self.things.push(thing.clone());
            next
        })
    }
}

/// The sets so far.
struct Sets<'k> {
    known: &'k Permissions,
    sets: Vec<PermissionSet>,
    numbers: HashMap<List, u32>,
}

impl Sets<'_> {
    fn number(&mut self, list: List) -> u32 {
        if let Some(number) = self.numbers.get(&list) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(PermissionSet::compile(list.clone(), self.known));
        self.numbers.insert(list, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Access, Account, KeyDigest, KeyRecord, KeyTableBuilder, Origin};

    fn list(names: &str) -> Box<[Permission]> {
        names.split(' ').map(|name| Permission::new(name).unwrap()).collect()
    }

    /// Keys of accounts that all have other limits, with lists that all differ.
    fn table(accounts: u8, keys: u8) -> KeyTable {
        // Some are too long to stand beside the rest.
        let name = |number: u8| {
            let long = "-long".repeat(usize::from(number % 3) * 7);
            Name::new(&format!("n{number}{long}")).unwrap()
        };
        let account = |number: u8| Account {
            id: name(number),
            name: None,
            permissions: (number > 0).then(|| list(&format!("a{number} b{number} c"))),
            disabled: false,
            origin: Origin::default(),
        };
        let plain = |number: u8| {
            let (id, account) = (name(number), name(number % accounts));
            KeyRecord::plain(id.as_str(), account.as_str(), KeyDigest::from_bytes([number; 32]))
        };
        let key = |number: u8| KeyRecord {
            access: Some(Access::Read),
            permissions: (!number.is_multiple_of(5))
                .then(|| list(&format!("a{} c d{number}", number % 7))),
            basic: Some(true),
            simple_auth: number.is_multiple_of(3).then(Box::default),
            ..plain(number)
        };
        let mut builder = KeyTableBuilder::default();
        builder.add((0..accounts).map(account), (0..keys).map(key));
        builder.build().unwrap()
    }

    #[test]
    fn every_key_has_its_own_list_within_the_limit_of_its_account() {
        for (accounts, keys, few) in [(1, 1, true), (3, 20, true), (30, 200, false)] {
            let table = table(accounts, keys);
            let prepared = Prepared::new(&table, &Permissions::default(), || ());
            assert_eq!(matches!(prepared.of, Grid::All(..)), few, "{accounts} {keys}");
            for (at, key) in table.keys() {
                let limit = table.account(at).unwrap().permissions.as_deref();
                let own = effective(key.permissions().as_deref(), limit);
                let wanted = PermissionSet::compile(own, &Permissions::default());
                let set = prepared.set(&table, at).unwrap();
                assert_eq!(set.header(), wanted.header(), "{}", key.id());
                let account = prepared.account(&table, at).unwrap();
                assert_eq!(account, key.account().as_str().as_bytes());
            }
        }
    }

    #[test]
    fn a_key_whose_list_is_not_among_those_prepared_may_do_nothing() {
        // Each key has a list of its own, and its account more than those.
        for keys in [2, 40] {
            let table = table(1, keys);
            let known = Permissions::default();
            let whole = Prepared::new(&table, &known, || ());
            let cut = |which: Which| Prepared {
                slots: vec![which],
                ..Prepared::new(&table, &known, || ())
            };
            let listed = table.keys().filter(|(_, key)| key.permissions().is_some());
            for (at, key) in listed {
                assert!(whole.set(&table, at).is_some());
                for which in [Which::of([].into_iter()), Which::Many(Box::default())] {
                    assert!(cut(which).set(&table, at).is_none(), "{}", key.id());
                }
                let gone = Prepared { slots: Vec::new(), ..Prepared::new(&table, &known, || ()) };
                assert!(gone.set(&table, at).is_none());
            }
        }
    }
}
