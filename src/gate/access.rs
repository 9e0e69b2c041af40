//! What a key may do: its own list limited to its account's, compiled for the routes.

use std::collections::HashMap;

use http::HeaderValue;

use crate::keys::{Name, Permission};

/// Every permission that a route asks for, numbered.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    numbers: HashMap<Name, usize>,
}

impl Permissions {
    /// The number of a permission, a new one if it has none.
    pub(super) fn number(&mut self, name: &Name) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(name.clone()).or_insert(next)
    }
}

/// The effective permissions of a key.
#[derive(Clone, Debug)]
pub struct PermissionSet {
    patterns: Option<Box<[Permission]>>,
    granted: Box<[u64]>,
    header: HeaderValue,
}

impl PermissionSet {
    pub(super) fn compile(patterns: Option<Vec<Permission>>, known: &Permissions) -> Self {
        let mut granted = vec![0u64; known.numbers.len().div_ceil(64)];
        for (name, &number) in &known.numbers {
            let holds = match &patterns {
                None => true,
                Some(list) => list.iter().any(|pattern| pattern.grants(name.as_str())),
            };
            if let (true, Some(word)) = (holds, granted.get_mut(number / 64)) {
                *word |= 1 << (number % 64);
            }
        }
        let header = header(patterns.as_deref());
        let patterns = patterns.map(Vec::into_boxed_slice);
        Self { patterns, granted: granted.into_boxed_slice(), header }
    }

    /// Whether it holds the permission of a number.
    pub(super) fn holds(&self, number: usize) -> bool {
        self.granted.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Whether it grants a permission by name; for names that no route lists.
    #[must_use]
    pub fn grants(&self, name: &str) -> bool {
        self.patterns.as_ref().is_none_or(|list| list.iter().any(|pattern| pattern.grants(name)))
    }

    /// Its value in a header: space separated and sorted, `*` where it is not limited.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.header
    }
}

fn header(patterns: Option<&[Permission]>) -> HeaderValue {
    let text = match patterns {
        None => "*".to_owned(),
        Some(list) => list.iter().map(Permission::as_str).collect::<Vec<_>>().join(" "),
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A key's list limited to its account's, sorted. `None` is not limited.
#[must_use]
pub fn effective(
    key: Option<&[Permission]>,
    account: Option<&[Permission]>,
) -> Option<Vec<Permission>> {
    let mut list = match (key, account) {
        (None, None) => return None,
        (Some(list), None) | (None, Some(list)) => list.to_vec(),
        (Some(key), Some(account)) => {
            key.iter().flat_map(|mine| account.iter().filter_map(|its| mine.meet(its))).collect()
        }
    };
    list.sort();
    list.dedup();
    Some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(names: &[&str]) -> Vec<Permission> {
        names.iter().map(|name| Permission::new(name).unwrap()).collect()
    }

    fn shown(key: Option<&[&str]>, account: Option<&[&str]>) -> String {
        let (key, account) = (key.map(list), account.map(list));
        let set = effective(key.as_deref(), account.as_deref());
        PermissionSet::compile(set, &Permissions::default()).header().to_str().unwrap().to_owned()
    }

    #[test]
    fn the_effective_set_is_shown_sorted() {
        assert_eq!(shown(None, None), "*");
        assert_eq!(shown(Some(&["b", "a"]), None), "a b");
        assert_eq!(shown(None, Some(&["b", "a"])), "a b");
        assert_eq!(shown(Some(&["a", "c"]), Some(&["a", "b"])), "a");
        assert_eq!(shown(Some(&["API_*"]), Some(&["API_READ", "X"])), "API_READ");
        assert_eq!(shown(Some(&[]), None), "");
        assert_eq!(shown(Some(&["a"]), Some(&[])), "");
    }

    fn some_list() -> impl Strategy<Value = Option<Vec<Permission>>> {
        let one = "[AB](_[AB]){0,2}(_\\*)?|\\*".prop_map(|text| Permission::new(&text).unwrap());
        proptest::option::of(proptest::collection::vec(one, 0..4))
    }

    proptest! {
        #[test]
        fn a_key_has_exactly_what_it_and_its_account_both_list(
            key in some_list(), account in some_list(), name in "[AB](_[AB]){0,2}"
        ) {
            let grants = |list: &Option<Vec<Permission>>| {
                list.as_ref().is_none_or(|list| list.iter().any(|p| p.grants(&name)))
            };
            let mut known = Permissions::default();
            let number = known.number(&Name::new(&name).unwrap());
            let set = PermissionSet::compile(effective(key.as_deref(), account.as_deref()), &known);
            prop_assert_eq!(set.grants(&name), grants(&key) && grants(&account));
            prop_assert_eq!(set.holds(number), set.grants(&name));
        }
    }
}
