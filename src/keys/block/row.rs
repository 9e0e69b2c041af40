//! One key in 96 bytes: a line and a half of what a processor fetches at a time.
//!
//! Rows are bytes, so that the id, which stands in its row, can be shared as a part of them.

use jiff::Timestamp;

use crate::keys::digest::KeyDigest;
use crate::keys::draft::Draft;
use crate::keys::record::Access;
use crate::keys::record::KeyStatus;
use crate::keys::record::Kind;
use crate::source::Span;

/// How many bytes a row takes.
pub(super) const STRIDE: usize = 96;
/// Where in it the id stands, and how long one is at most that does; longer ones are elsewhere.
pub(super) const ID: usize = 64;
pub(super) const SHORT: usize = STRIDE - ID;

// What else stands where: instants until when or since when, the first byte of the id as it is
// written in the file, and what tells whether the notes for people are still the same.
const DIGEST: usize = 0;
const OWNER: usize = 32;
const RULES: usize = 36;
const FLAGS: usize = 38;
/// One less than it is: 1 to 256.
const ID_LENGTH: usize = 39;
const INSTANT: usize = 40;
const CREATED: usize = 44;
const SPAN: usize = 48;
const SPAN_LENGTH: usize = 52;
const NOTES: usize = 54;

/// One key. What it names, its block knows.
#[derive(Clone, Copy, Debug)]
pub(in crate::keys) struct Row<'b>(&'b [u8; STRIDE]);

/// An instant that has parts of a second, or is too far away.
#[derive(Clone, Debug)]
pub(super) struct Odd {
    pub(super) row: u16,
    pub(super) field: Field,
    pub(super) at: Timestamp,
}

/// Which instant of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Created,
    Status,
}

/// What a block knows of a key that is put into it.
pub(super) struct Placed {
    /// Where its id begins, if it is long.
    pub(super) text: u32,
    pub(super) owner: u32,
    pub(super) rules: Option<u16>,
    pub(super) notes: u64,
}

const NO_RULES: u16 = u16::MAX;
const NEVER: u32 = u32::MAX;
const ODD: u32 = u32::MAX - 1;

const ACCESS: u8 = 0b11;
const READ: u8 = 0b01;
const WRITE: u8 = 0b10;
const PROFILE: u8 = 1 << 2;
const REVOKED: u8 = 1 << 3;
const BASIC_SAID: u8 = 1 << 4;
const BASIC: u8 = 1 << 5;
const ADDRESSES: u8 = 1 << 6;

/// The bytes of a row, and the instants that do not fit into it.
pub(super) fn written(
    draft: &Draft<'_>,
    placed: &Placed,
) -> ([u8; STRIDE], [Option<(Field, Timestamp)>; 2]) {
    let instant = match draft.status {
        KeyStatus::Active { until } => until,
        KeyStatus::Revoked { at } => at,
    };
    let (created, odd_created) = packed(draft.created);
    let (instant, odd_instant) = packed(instant);
    let span_length = u16::try_from(draft.span.len()).unwrap_or(u16::MAX);
    let id_length = u8::try_from(draft.id.len().saturating_sub(1)).unwrap_or(u8::MAX);
    let mut row = [0; STRIDE];
    let mut put = |at: usize, bytes: &[u8]| {
        let room = row.get_mut(at..at + bytes.len());
        room.into_iter().for_each(|room| room.copy_from_slice(bytes));
    };
    put(DIGEST, draft.digest.as_bytes());
    put(OWNER, &placed.owner.to_le_bytes());
    put(RULES, &placed.rules.unwrap_or(NO_RULES).to_le_bytes());
    put(FLAGS, &[flags(draft)]);
    put(ID_LENGTH, &[id_length]);
    put(INSTANT, &instant.to_le_bytes());
    put(CREATED, &created.to_le_bytes());
    put(SPAN, &u32::try_from(draft.span.start).unwrap_or(u32::MAX).to_le_bytes());
    put(SPAN_LENGTH, &span_length.to_le_bytes());
    put(NOTES, &placed.notes.to_le_bytes());
    match draft.id.len() > SHORT {
        true => put(ID, &placed.text.to_le_bytes()),
        false => put(ID, draft.id.as_bytes()),
    }
    let odd =
        [odd_created.map(|at| (Field::Created, at)), odd_instant.map(|at| (Field::Status, at))];
    (row, odd)
}

fn flags(draft: &Draft<'_>) -> u8 {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let access = match draft.access {
        None => 0,
        Some(Access::Read) => READ,
        Some(Access::Write) => WRITE,
    };
    access
        | flag(draft.kind == Kind::Profile, PROFILE)
        | flag(matches!(draft.status, KeyStatus::Revoked { .. }), REVOKED)
        | flag(draft.basic.is_some(), BASIC_SAID)
        | flag(draft.basic == Some(true), BASIC)
        | flag(!draft.rules.ips.is_empty(), ADDRESSES)
}

/// Has a row belong to another owner.
pub(super) fn give(row: &mut [u8], owner: u32) {
    let room = row.get_mut(OWNER..RULES);
    room.into_iter().for_each(|room| room.copy_from_slice(&owner.to_le_bytes()));
}

impl<'b> Row<'b> {
    /// A row that says nothing.
    pub(super) const NONE: Self = Self(&[0; STRIDE]);

    /// The row of these bytes; `None` where they are too few.
    #[inline]
    pub(super) fn at(bytes: &'b [u8]) -> Option<Self> {
        bytes.first_chunk().map(Self)
    }

    /// Has all of it fetched at once, not the rest when that is asked for.
    #[inline]
    pub(in crate::keys) fn touch(self) {
        std::hint::black_box(self.field::<{ STRIDE - 1 }, 1>());
    }

    /// Whether it is the very same one.
    pub(in crate::keys) fn is(self, other: Row<'_>) -> bool {
        std::ptr::eq(self.0, other.0)
    }

    #[inline]
    fn field<const AT: usize, const LENGTH: usize>(self) -> [u8; LENGTH] {
        let bytes = self.0.get(AT..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or([0; LENGTH])
    }

    #[inline]
    pub(in crate::keys) fn digest(self) -> KeyDigest {
        KeyDigest::from_bytes(self.field::<DIGEST, 32>())
    }

    pub(in crate::keys) fn notes(self) -> u64 {
        u64::from_le_bytes(self.field::<NOTES, 8>())
    }

    /// Where the id begins, if it is long.
    pub(super) fn text(self) -> u32 {
        u32::from_le_bytes(self.field::<ID, 4>())
    }

    /// The bytes of the id, unless it is long.
    #[inline]
    pub(super) fn short_id(self) -> Option<&'b [u8]> {
        self.0.get(ID..ID + self.id_length())
    }

    #[inline]
    pub(super) fn id_length(self) -> usize {
        let [length] = self.field::<ID_LENGTH, 1>();
        usize::from(length) + 1
    }

    pub(in crate::keys) fn span(self) -> Span {
        let start = u32::from_le_bytes(self.field::<SPAN, 4>()) as usize;
        start..start + usize::from(u16::from_le_bytes(self.field::<SPAN_LENGTH, 2>()))
    }

    /// The number of whom it belongs to.
    #[inline]
    pub(in crate::keys) fn owner(self) -> u32 {
        u32::from_le_bytes(self.field::<OWNER, 4>())
    }

    #[inline]
    pub(in crate::keys) fn rules(self) -> Option<usize> {
        let rules = u16::from_le_bytes(self.field::<RULES, 2>());
        if rules == NO_RULES { None } else { Some(usize::from(rules)) }
    }

    #[inline]
    fn flags(self) -> u8 {
        let [flags] = self.field::<FLAGS, 1>();
        flags
    }

    #[inline]
    pub(in crate::keys) fn access(self) -> Option<Access> {
        match self.flags() & ACCESS {
            READ => Some(Access::Read),
            WRITE => Some(Access::Write),
            _ => None,
        }
    }

    #[inline]
    pub(in crate::keys) fn kind(self) -> Kind {
        if self.flags() & PROFILE == 0 { Kind::Workspace } else { Kind::Profile }
    }

    #[inline]
    pub(in crate::keys) fn basic(self) -> Option<bool> {
        if self.flags() & BASIC_SAID == 0 { None } else { Some(self.flags() & BASIC != 0) }
    }

    #[inline]
    pub(in crate::keys) fn is_revoked(self) -> bool {
        self.flags() & REVOKED != 0
    }

    /// Whether its rules list addresses.
    #[inline]
    pub(in crate::keys) fn has_addresses(self) -> bool {
        self.flags() & ADDRESSES != 0
    }

    /// `None` where the block has to be asked.
    pub(super) fn created(self) -> Option<Option<Timestamp>> {
        unpacked(u32::from_le_bytes(self.field::<CREATED, 4>()))
    }

    #[inline]
    pub(super) fn status(self, odd: impl FnOnce() -> Option<Timestamp>) -> KeyStatus {
        let instant = unpacked(u32::from_le_bytes(self.field::<INSTANT, 4>())).unwrap_or_else(odd);
        match self.is_revoked() {
            true => KeyStatus::Revoked { at: instant },
            false => KeyStatus::Active { until: instant },
        }
    }
}

/// Whole seconds up to the year 2106 fit; what does not is given back.
fn packed(at: Option<Timestamp>) -> (u32, Option<Timestamp>) {
    let Some(at) = at else { return (NEVER, None) };
    let whole = at.subsec_nanosecond() == 0;
    match u32::try_from(at.as_second()) {
        Ok(seconds) if whole && seconds < ODD => (seconds, None),
        _ => (ODD, Some(at)),
    }
}

fn unpacked(seconds: u32) -> Option<Option<Timestamp>> {
    match seconds {
        NEVER => Some(None),
        ODD => None,
        seconds => Some(Timestamp::from_second(i64::from(seconds)).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_holds_stands_side_by_side() {
        let ends = [OWNER, RULES, FLAGS, ID_LENGTH, INSTANT, CREATED, SPAN, SPAN_LENGTH, NOTES];
        let begins = [32, OWNER + 4, RULES + 2, FLAGS + 1, ID_LENGTH + 1, INSTANT + 4, CREATED + 4];
        let begins = begins.into_iter().chain([SPAN + 4, SPAN_LENGTH + 2]);
        assert!(ends.into_iter().eq(begins));
        const { assert!(NOTES + 8 <= ID) };
    }

    #[test]
    fn an_instant_that_does_not_fit_is_given_back() {
        for (text, fits) in [
            ("2026-11-22T10:00:00Z", true),
            ("1970-01-01T00:00:00Z", true),
            ("2026-11-22T10:00:00.5Z", false),
            ("1969-12-31T23:59:59Z", false),
            ("2106-02-07T06:28:13Z", true),
            ("2106-02-07T06:28:14Z", false),
            ("2106-02-07T06:28:15Z", false),
            ("9999-12-30T22:00:00Z", false),
        ] {
            let at: Timestamp = text.parse().unwrap();
            let (seconds, odd) = packed(Some(at));
            assert_eq!(odd.is_none(), fits, "{text}");
            assert_eq!(unpacked(seconds).unwrap_or(odd), Some(at), "{text}");
        }
        assert_eq!(packed(None), (NEVER, None));
        assert_eq!(unpacked(NEVER), Some(None));
    }
}
