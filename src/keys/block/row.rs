//! One key in 64 bytes, which is what a processor fetches at a time.

use jiff::Timestamp;

use crate::keys::digest::KeyDigest;
use crate::keys::draft::Draft;
use crate::keys::record::Access;
use crate::keys::record::KeyStatus;
use crate::keys::record::Kind;
use crate::source::Span;

/// One key. What it names, its block knows.
#[derive(Debug)]
#[repr(align(64))]
pub(in crate::keys) struct Row {
    digest: KeyDigest,
    /// Tells whether the notes for people are still the same.
    notes: u64,
    text: u32,
    span: u32,
    created: u32,
    /// Until when, or since when it is revoked.
    instant: u32,
    owner: u16,
    rules: u16,
    span_length: u16,
    /// One less than it is: 1 to 256.
    id_length: u8,
    flags: u8,
}

/// An instant that has parts of a second, or is too far away.
#[derive(Debug)]
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
    pub(super) text: u32,
    pub(super) owner: u16,
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

impl Row {
    /// A row, and the instants that do not fit into it.
    pub(super) fn new(
        draft: &Draft<'_>,
        placed: &Placed,
    ) -> (Self, [Option<(Field, Timestamp)>; 2]) {
        let (revoked, instant) = match draft.status {
            KeyStatus::Active { until } => (false, until),
            KeyStatus::Revoked { at } => (true, at),
        };
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = match draft.access {
            None => 0,
            Some(Access::Read) => READ,
            Some(Access::Write) => WRITE,
        };
        let flags = flags
            | flag(draft.kind == Kind::Profile, PROFILE)
            | flag(revoked, REVOKED)
            | flag(draft.basic.is_some(), BASIC_SAID)
            | flag(draft.basic == Some(true), BASIC);
        let (created, odd_created) = packed(draft.created);
        let (instant, odd_instant) = packed(instant);
        let row = Self {
            digest: draft.digest.clone(),
            notes: placed.notes,
            text: placed.text,
            span: u32::try_from(draft.span.start).unwrap_or(u32::MAX),
            created,
            instant,
            owner: placed.owner,
            rules: placed.rules.unwrap_or(NO_RULES),
            span_length: u16::try_from(draft.span.len()).unwrap_or(u16::MAX),
            id_length: u8::try_from(draft.id.len().saturating_sub(1)).unwrap_or(u8::MAX),
            flags,
        };
        let odd =
            [odd_created.map(|at| (Field::Created, at)), odd_instant.map(|at| (Field::Status, at))];
        (row, odd)
    }

    pub(in crate::keys) const fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    pub(in crate::keys) const fn notes(&self) -> u64 {
        self.notes
    }

    pub(super) const fn text(&self) -> u32 {
        self.text
    }

    pub(super) const fn id_length(&self) -> usize {
        self.id_length as usize + 1
    }

    pub(super) const fn span(&self) -> Span {
        let start = self.span as usize;
        start..start + self.span_length as usize
    }

    pub(in crate::keys) const fn owner(&self) -> usize {
        self.owner as usize
    }

    pub(in crate::keys) const fn rules(&self) -> Option<usize> {
        if self.rules == NO_RULES { None } else { Some(self.rules as usize) }
    }

    pub(in crate::keys) const fn access(&self) -> Option<Access> {
        match self.flags & ACCESS {
            READ => Some(Access::Read),
            WRITE => Some(Access::Write),
            _ => None,
        }
    }

    pub(in crate::keys) const fn kind(&self) -> Kind {
        if self.flags & PROFILE == 0 { Kind::Workspace } else { Kind::Profile }
    }

    pub(in crate::keys) const fn basic(&self) -> Option<bool> {
        if self.flags & BASIC_SAID == 0 { None } else { Some(self.flags & BASIC != 0) }
    }

    pub(in crate::keys) const fn is_revoked(&self) -> bool {
        self.flags & REVOKED != 0
    }

    /// `None` where the block has to be asked.
    pub(super) fn created(&self) -> Option<Option<Timestamp>> {
        unpacked(self.created)
    }

    pub(super) fn status(&self, odd: impl FnOnce() -> Option<Timestamp>) -> KeyStatus {
        let instant = unpacked(self.instant).unwrap_or_else(odd);
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
    fn a_row_is_what_a_processor_fetches_at_a_time() {
        assert_eq!(size_of::<Row>(), 64);
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
