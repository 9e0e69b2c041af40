//! What is known of when keys were last used, and from where.
//!
//! What was not seen is not known to have not happened: a key is *unused* only as far as uses were
//! recorded, and for how long that is, is said.

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::cli::ring::Ring;
use crate::keys::KeyRecord;
use crate::keys::KeyStatus;
use crate::keys::usage::Usage;
use crate::keys::usage::UsageStore;
use crate::keys::usage::Use;
use crate::source::Problem;

/// The record of uses, as far as there is one.
#[derive(Debug)]
pub(super) enum Uses {
    /// No state directory is configured.
    Off,
    /// Nothing was recorded yet.
    None,
    Known(Usage),
}

/// What is known of one key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    Used(Use),
    /// Uses were recorded ever since there is the key, and it has none.
    Never,
    /// Nor since then, but before nobody looked.
    NotSince(Timestamp),
    Unknown,
}

impl Uses {
    /// Reads the record.
    pub(super) fn of(ring: &Ring) -> Result<Self, Box<Problem>> {
        let Some(directory) = &ring.state else { return Ok(Self::Off) };
        match UsageStore::new(directory.clone()).read() {
            Ok(None) => Ok(Self::None),
            Ok(Some(usage)) => Ok(Self::Known(usage)),
            Err(error) => Err(Box::new(Problem::new(error.to_string()).help(
                "run this as the user that keygate runs as; a file that is damaged is moved aside \
                 when keygate next writes",
            ))),
        }
    }

    /// As [`Uses::of`]; what cannot be read is told, and then unknown.
    pub(super) fn tolerant(ring: &Ring) -> Self {
        Self::of(ring).unwrap_or_else(|problem| {
            crate::cli::print::warn_all(&problem.warning().into());
            Self::None
        })
    }

    pub(super) fn seen(&self, record: &KeyRecord) -> Seen {
        let Self::Known(usage) = self else { return Seen::Unknown };
        match (usage.of(&record.digest), record.created) {
            (Some(last), _) => Seen::Used(last),
            (None, Some(created)) if created >= usage.since() => Seen::Never,
            (None, _) => Seen::NotSince(usage.since()),
        }
    }

    /// Whether nothing speaks for a key having been used in a while. One that is younger than that
    /// has not had the time.
    pub(super) fn is_unused(
        &self,
        record: &KeyRecord,
        while_: SignedDuration,
        now: Timestamp,
    ) -> bool {
        match self.seen(record) {
            Seen::Used(last) => now.duration_since(last.at()) > while_,
            Seen::Never | Seen::NotSince(_) | Seen::Unknown => record.is_older(while_, now),
        }
    }

    /// Since when uses are recorded, if that is not as long as a while.
    pub(super) fn too_young(&self, while_: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        let Self::Known(usage) = self else { return None };
        Some(usage.since()).filter(|since| now.duration_since(*since) < while_)
    }

    /// What programs are told of a key.
    pub(super) fn tell(&self, record: &KeyRecord, members: &mut Map<String, Value>) {
        let last = match self.seen(record) {
            Seen::Used(last) => Some(last),
            Seen::Never | Seen::NotSince(_) | Seen::Unknown => None,
        };
        let since = match self {
            Self::Known(usage) => Some(usage.since().to_string()),
            Self::Off | Self::None => None,
        };
        members.insert("last_used".to_owned(), json!(last.map(|last| last.at().to_string())));
        members.insert("last_used_from".to_owned(), json!(last.map(|last| last.from.to_string())));
        members.insert("use_recorded_since".to_owned(), json!(since));
    }
}

impl Seen {
    /// The cells of a table: when, and from where.
    pub(super) fn cells(self) -> (String, String) {
        match self {
            Self::Used(last) => {
                (last.at().strftime("%Y-%m-%d %H:%MZ").to_string(), last.from.to_string())
            }
            Self::Never => ("never".to_owned(), String::new()),
            Self::NotSince(since) => {
                (since.strftime("not since %Y-%m-%d").to_string(), String::new())
            }
            Self::Unknown => (String::new(), String::new()),
        }
    }

    /// A line for people; empty where nothing is known.
    pub(super) fn line(self, record: &KeyRecord) -> String {
        match self {
            Self::Used(last) => format!("{}{}", in_words(last), over(record, last)),
            Self::Never => "never".to_owned(),
            Self::NotSince(since) => format!("not since {since}, when recording began"),
            Self::Unknown => String::new(),
        }
    }
}

fn in_words(last: Use) -> String {
    format!("{} from {}", last.at(), last.from)
}

/// What had become of the key by then, so that it was refused.
fn over(record: &KeyRecord, last: Use) -> &'static str {
    match record.status {
        KeyStatus::Revoked { at: Some(at) } if last.at() > at => ", after it was revoked",
        KeyStatus::Active { until: Some(until) } if last.at() >= until => ", after it had expired",
        KeyStatus::Revoked { .. } | KeyStatus::Active { .. } => "",
    }
}

/// Keeps a key from being ended while somebody uses it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// How long it must not have been used.
    pub(super) unused_for: SignedDuration,
    /// Whether it must be known that it was not.
    pub(super) strict: bool,
}

impl Guard {
    /// How long a key must not have been used unless it is said.
    pub(super) const UNUSED_FOR: SignedDuration = SignedDuration::from_hours(24);

    /// Whether nobody uses a key any more. What is not known although it does not have to be is
    /// returned, to be told.
    pub(super) fn check(
        self,
        ring: &Ring,
        record: &KeyRecord,
        now: Timestamp,
    ) -> Result<Option<String>, Box<Problem>> {
        let uses = Uses::of(ring).map_err(|problem| {
            let read = "see that the record of uses can be read; `--force` does without it";
            Box::new(problem.help(read))
        })?;
        let id = &record.id;
        let unknown = match (uses.seen(record), &uses) {
            (Seen::Used(last), _) if now.duration_since(last.at()) < self.unused_for => {
                return Err(Box::new(in_use(record, last, now)));
            }
            (Seen::Used(_) | Seen::Never, _) => return Ok(None),
            (Seen::NotSince(_), _) => match uses.too_young(self.unused_for, now) {
                None => return Ok(None),
                Some(since) => format!(
                    "uses are recorded since {since} only: whether key `{id}` is used is not known"
                ),
            },
            (Seen::Unknown, Uses::Off) => {
                format!("no use is recorded: whether key `{id}` is used is not known")
            }
            (Seen::Unknown, _) => {
                format!("no use was recorded yet: whether key `{id}` is used is not known")
            }
        };
        if !self.strict {
            return Ok(matches!(uses, Uses::Known(_)).then_some(unknown));
        }
        let help = match uses {
            Uses::Off => "set `directory` in `[state]` to have uses recorded, or write `--force`",
            Uses::None | Uses::Known(_) => {
                "wait until they were for long enough, or write `--unused-for` with a shorter time, \
                 or `--force`"
            }
        };
        Err(Box::new(Problem::new(unknown).help(help)))
    }
}

fn in_use(record: &KeyRecord, last: Use, now: Timestamp) -> Problem {
    let ago = now.duration_since(last.at()).as_secs().max(0);
    let ago = match (ago / 86_400, ago / 3600, ago / 60) {
        (0, 0, 0) => format!("{ago} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (days, ..) => format!("{days} d"),
    };
    let (id, last_use, over) = (&record.id, in_words(last), over(record, last));
    Problem::new(format!("key `{id}` was used {ago} ago: {last_use}{over}")).help(
        "find who uses it there, and try again when nobody does; `--unused-for 1h` asks for less, \
         `--force` does it all the same",
    )
}
