//! What a route asks of a body.

use super::pointer::Pointer;

/// The rules of a route about the body of its requests, and about the events that it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyRules {
    /// The one media type, in lower case and without parameters, like `application/json`.
    pub content_type: Option<Box<str>>,
    /// Where the name of the permission stands; exactly one of them is there.
    pub permission_from: Vec<Pointer>,
    /// The events that every request of the route counts as.
    pub events: Vec<Box<str>>,
    /// Where the names of events stand; alternatives.
    pub events_from: Vec<Pointer>,
    /// Objects whose member names are attributes.
    pub attributes_from: Vec<Pointer>,
    /// Where tags stand: an array of them.
    pub tags_from: Vec<Pointer>,
    /// The most bytes of a body that is inspected.
    pub max_body: Option<usize>,
}

/// Of an inspected body, unless `max_body` says otherwise: 1 MiB.
pub(super) const DEFAULT_MAX_BODY: usize = 1 << 20;

impl BodyRules {
    /// Whether the body must be read to judge a request.
    #[must_use]
    pub const fn inspects(&self) -> bool {
        !self.permission_from.is_empty()
            || !self.events_from.is_empty()
            || !self.attributes_from.is_empty()
            || !self.tags_from.is_empty()
    }

    /// Whether anything is asked at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.content_type.is_none() && self.events.is_empty() && !self.inspects()
    }

    /// The most bytes of a body that is inspected.
    #[must_use]
    pub fn max_body(&self) -> usize {
        self.max_body.unwrap_or(DEFAULT_MAX_BODY)
    }
}
