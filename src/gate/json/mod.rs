//! A body, read strictly (RFC 8259), and what it says where the rules point.
//!
//! What two parsers could read differently is refused: whatever passes here has one reading. One
//! pass without recursion; no tree is built. What is kept is the member names of the objects that
//! are open, and what the rules point at.

mod cursor;
mod fold;
mod object;
mod reader;
mod scanner;
mod string;
mod walk;

use std::borrow::Cow;

use super::rules::BodyRules;
use super::verdict::Denial;

use self::walk::Walk;

pub(super) use self::object::{Object, object};

/// A text that is not strict JSON, or not what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// What a body says where the rules of its route point.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings<'b> {
    /// The one name that `permission_from` found.
    pub permission: Option<Cow<'b, str>>,
    /// Every name that `events_from` found.
    pub events: Vec<Cow<'b, str>>,
    /// The member names of the objects that `attributes_from` found.
    pub attributes: Vec<Cow<'b, str>>,
    /// Every tag that `tags_from` found.
    pub tags: Vec<Cow<'b, str>>,
}

/// Reads a body and finds what its route's rules point at.
///
/// # Errors
/// [`Denial::InvalidBody`] where it is not strict JSON, or not what the rules ask for.
pub(super) fn find<'b>(body: &'b [u8], rules: &BodyRules) -> Result<Findings<'b>, Denial> {
    Walk::over(body, rules).map_err(|Invalid| Denial::InvalidBody)
}

#[cfg(test)]
mod tests;
