//! From keys as they are read to a [`Block`].

use std::collections::HashMap;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap as QuickMap;

use super::Block;
use super::KeyRules;
use super::MOST;
use super::Rows;
use super::row::Odd;
use super::row::Placed;
use super::row::SHORT;
use super::row::STRIDE;
use super::row::written;
use crate::keys::draft::Draft;
use crate::keys::draft::Rules;
use crate::keys::owners::Owners;
use crate::keys::record::Account;
use crate::keys::record::Name;
use crate::keys::record::Permission;
use crate::keys::record::SimpleAuth;

/// Collects what one block will hold.
#[derive(Debug)]
pub(in crate::keys) struct BlockBuilder<'t> {
    rows: Vec<u8>,
    odd: Vec<Odd>,
    texts: Vec<u8>,
    owners: Owners,
    /// Whose key came last.
    last: Option<(&'t str, u32)>,
    rules: Numbered<Rules<'t>>,
    accounts: Vec<Arc<Account>>,
}

/// Different things in the order in which they first came.
#[derive(Debug)]
struct Numbered<T> {
    numbers: QuickMap<T, u16>,
    list: Vec<T>,
    last: usize,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { numbers: QuickMap::default(), list: Vec::new(), last: 0 }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Numbered<T> {
    fn number(&mut self, thing: &T) -> u16 {
        // Records that stand together are often alike.
        if self.list.get(self.last).is_none_or(|last| last != thing) {
            let next = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
            let number = self.numbers.get(thing).copied().unwrap_or_else(|| {
                self.numbers.insert(thing.clone(), next);
                self.list.push(thing.clone());
                next
            });
            self.last = usize::from(number);
        }
        u16::try_from(self.last).unwrap_or(u16::MAX)
    }
}

impl<'t> BlockBuilder<'t> {
    pub(in crate::keys) fn new(owners: &Owners) -> Self {
        Self {
            // All at once: what grew step by step would leave holes between the blocks that stay.
            rows: Vec::with_capacity(MOST * STRIDE),
            odd: Vec::new(),
            texts: Vec::new(),
            owners: owners.clone(),
            last: None,
            rules: Numbered::default(),
            accounts: Vec::new(),
        }
    }

    /// Whether it holds as many keys as a block can.
    pub(in crate::keys) const fn is_full(&self) -> bool {
        self.rows.len() >= MOST * STRIDE
    }

    pub(in crate::keys) fn account(&mut self, account: Account) {
        self.accounts.push(Arc::new(account));
    }

    /// Adds a key; not to a block that is full.
    pub(in crate::keys) fn key(&mut self, draft: &Draft<'t>) {
        let text = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        if draft.id.len() > SHORT {
            self.texts.extend_from_slice(draft.id.as_bytes());
        }
        let placed = Placed {
            text,
            owner: self.owner(draft.account),
            rules: (!draft.rules.is_empty()).then(|| self.rules.number(&draft.rules)),
            notes: notes(draft),
        };
        let (row, odd) = written(draft, &placed);
        let number = u16::try_from(self.rows.len() / STRIDE).unwrap_or(u16::MAX);
        let odd = odd.into_iter().flatten();
        self.odd.extend(odd.map(|(field, at)| Odd { row: number, field, at }));
        self.rows.extend_from_slice(&row);
    }

    fn owner(&mut self, account: &'t str) -> u32 {
        // Records that stand together are often of one account.
        match self.last {
            Some((last, number)) if last == account => number,
            _ => self.last.insert((account, self.owners.number(account))).1,
        }
    }

    pub(in crate::keys) fn build(self) -> Block {
        let Self { rows, odd, mut texts, owners, rules, accounts, .. } = self;
        let mut append = |text: &str| {
            let start = u32::try_from(texts.len()).unwrap_or(u32::MAX);
            texts.extend_from_slice(text.as_bytes());
            (start, u16::try_from(text.len()).unwrap_or(u16::MAX))
        };
        let mut named = HashMap::new();
        let mut parts: Vec<(u32, u16)> = Vec::new();
        let mut number = |name: &'t str| {
            *named.entry(name).or_insert_with(|| {
                parts.push(append(name));
                u32::try_from(parts.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let rules: Box<[KeyRules]> =
            rules.list.iter().map(|rules| kept(rules, &mut number)).collect();
        texts.shrink_to_fit();
        let texts = Bytes::from(texts);
        let permission = |(start, length): (u32, u16)| {
            let start = start as usize;
            Permission::shared(Name::shared(texts.slice(start..start + usize::from(length))))
        };
        let permissions = parts.into_iter().map(permission).collect();
        let (rows, odd) = (Rows::of(&rows), odd.into());
        Block { rows, owners, odd, texts, rules, permissions, accounts: accounts.into() }
    }
}

fn kept<'t>(rules: &Rules<'t>, number: &mut impl FnMut(&'t str) -> u32) -> KeyRules {
    let permissions = rules.permissions.as_ref();
    KeyRules {
        permissions: permissions.map(|list| list.iter().map(|name| number(name)).collect()),
        ips: rules.ips.clone().into(),
        events: rules.events.to_events(),
        attributes: rules.attributes.as_ref().map(|lists| Box::new(lists.to_attributes())),
        simple_auth: rules
            .simple_auth
            .map(|salt| Box::new(SimpleAuth { salt: salt.map(Box::from) })),
    }
}

fn notes(draft: &Draft<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    draft.name.hash(&mut hasher);
    hasher.finish()
}
