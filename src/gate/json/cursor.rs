//! A rule's pointer on its way into a document.

use super::super::pointer::Step;
use super::fold::alike;
use super::reader::Container;

/// What is done with what a pointer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It names the permission that is needed.
    Permission,
    /// It names an event.
    Event,
    /// Its members are attributes.
    Attributes,
    /// It is a tag, or a list of them.
    Tags,
}

/// What is left of a pointer at some place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'r> {
    pub(super) rule: Rule,
    steps: &'r [Step],
    /// Whether what it points at must be there: it has entered an array by `*`.
    pub(super) must: bool,
}

/// What a step makes of a name.
#[derive(Debug)]
pub(super) enum Named<'r> {
    /// It goes this way.
    On(Cursor<'r>),
    /// It goes another way, and some parser would take this one.
    Alike,
    /// It goes another way.
    Past,
}

impl<'r> Cursor<'r> {
    pub(super) const fn new(rule: Rule, steps: &'r [Step]) -> Self {
        Self { rule, steps, must: false }
    }

    /// Whether this is the place that it points at.
    pub(super) const fn has_arrived(&self) -> bool {
        self.steps.is_empty()
    }

    /// Into a member of an object.
    pub(super) fn member(&self, name: &str) -> Named<'r> {
        match self.steps.split_first() {
            Some((Step::Member(wanted), rest)) if **wanted == *name => {
                Named::On(Self { steps: rest, ..*self })
            }
            Some((Step::Member(wanted), _)) if alike(wanted, name) => Named::Alike,
            Some(_) | None => Named::Past,
        }
    }

    /// Into an element of an array.
    pub(super) fn element(&self, index: usize) -> Option<Self> {
        match self.steps.split_first()? {
            (Step::Each, rest) => Some(Self { steps: rest, must: true, ..*self }),
            (Step::Member(digits), rest) => {
                (number(digits)? == index).then_some(Self { steps: rest, ..*self })
            }
        }
    }

    /// Whether it can go into such a container at all.
    pub(super) fn enters(&self, container: Container) -> bool {
        match (self.steps.first(), container) {
            (Some(Step::Each), Container::Array) | (Some(Step::Member(_)), Container::Object) => {
                true
            }
            (Some(Step::Member(digits)), Container::Array) => number(digits).is_some(),
            (Some(Step::Each), Container::Object) | (None, _) => false,
        }
    }

    /// Whether it goes into every element of an array that it enters.
    pub(super) fn goes_everywhere(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Each))
    }

    /// Whether all that is left of it is `*`.
    pub(super) fn only_spreads(&self) -> bool {
        self.steps.iter().all(|step| *step == Step::Each)
    }
}

/// The number of an element: without leading zeros (RFC 6901, section 4).
fn number(digits: &str) -> Option<usize> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    (plain && canonical).then(|| digits.parse().ok()).flatten()
}
