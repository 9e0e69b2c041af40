//! A list of names that a body's names are looked up in.

use std::collections::HashSet;

/// A list, and how often it was asked. A body can name tens of thousands, and a list can be long
/// too: who asks often is answered from a set, so that the one is never gone through for each of
/// the other.
pub(super) struct Listed<'l> {
    list: &'l [Box<str>],
    asked: usize,
    set: Option<HashSet<&'l str>>,
}

/// So many times the list itself is looked through, which is quicker than making a set of it.
const SELDOM: usize = 16;

impl<'l> Listed<'l> {
    pub(super) const fn new(list: &'l [Box<str>]) -> Self {
        Self { list, asked: 0, set: None }
    }

    /// Whether a name is on the list, to the letter.
    pub(super) fn has(&mut self, name: &str) -> bool {
        if self.asked < SELDOM {
            self.asked += 1;
            return self.list.iter().any(|listed| **listed == *name);
        }
        let list = self.list;
        self.set.get_or_insert_with(|| list.iter().map(|listed| &**listed).collect()).contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_same_however_often_it_is_asked() {
        let list: Vec<Box<str>> = (0..100).map(|n| format!("event.{n}").into()).collect();
        let mut listed = Listed::new(&list);
        for round in 0..4 {
            for n in 0..100 {
                assert!(listed.has(&format!("event.{n}")), "{round} {n}");
            }
            for other in ["", "event.", "event.100", "Event.1", "event.1 "] {
                assert!(!listed.has(other), "{round} {other}");
            }
        }
        let mut none = Listed::new(&[]);
        assert!((0..100).all(|n| !none.has(&n.to_string())));
    }
}
