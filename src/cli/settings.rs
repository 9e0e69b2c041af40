//! What `[keys]` and its neighbours say, for commands that work on key files.
//!
//! The rest of a configuration does not concern them: a key can be revoked while the certificate is
//! missing. Where the key files are named on the command line, neither does most of `[keys]`; but what
//! a command stands on is never guessed.

use std::ops::Range;
use std::path::PathBuf;

use super::print;
use super::ring::Place;
use crate::clock;
use crate::config;
use crate::config::Keys;
use crate::gate::BasicUser;
use crate::observe::AuditLog;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Source;

const DEFAULT_CONFIG: &str = "keygate.toml";

/// What of `[keys]` a command stands on, besides where the key files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// How digests are told.
    Digests,
    /// Also how keys look: what is added must be what the gate takes.
    Looks,
}

impl Need {
    /// The members without which it cannot be told.
    const fn members(self) -> &'static [&'static str] {
        match self {
            Self::Digests => &["pepper"],
            Self::Looks => &["pepper", "prefix", "pattern"],
        }
    }
}

/// What of a configuration matters here.
pub(super) struct Settings {
    pub(super) keys: Keys,
    pub(super) basic_names_account: bool,
    pub(super) state: Option<PathBuf>,
    pub(super) audit: Option<AuditLog>,
    /// Why it is not known where the revocations are.
    pub(super) unread: Problems,
}

/// From the configuration or, without one, as they are by default.
pub(super) fn settings(place: &Place, need: Need) -> Result<Settings, Problems> {
    let path = place.config.clone().unwrap_or_else(|| DEFAULT_CONFIG.into());
    if let (None, Some(files), false) = (&place.config, &place.keys, path.exists()) {
        let keys = Keys::defaults(vec![files.clone()]).ok_or_else(Problems::default)?;
        let unread = Problems::default();
        return Ok(Settings { keys, basic_names_account: false, state: None, audit: None, unread });
    }
    let loaded = config::load(&path, &[], clock::now());
    let basic = loaded.config.as_ref().and_then(|config| config.credentials.basic.as_ref());
    let basic_names_account = basic.is_some_and(|user| *user == BasicUser::Account);
    let (mut stops, mut beside) = (Problems::default(), Problems::default());
    let mut unread = Problems::default();
    for problem in loaded.problems.iter().filter(|problem| !problem.warning) {
        let misnamed = is_misnamed(problem);
        let in_keys = misnamed || is_in(problem, "[keys]");
        let stands_on = place.keys.is_none()
            || names(problem, need.members())
            || (misnamed && need == Need::Looks);
        if is_in(problem, "[audit_log]") || (in_keys && stands_on) {
            stops.push(problem.clone());
        } else if misnamed || (in_keys && names(problem, &["revocations"])) {
            unread.push(problem.clone());
        } else if in_keys {
            beside.push(problem.clone().warning());
        }
    }
    match loaded.keys {
        Some(mut keys) if stops.is_empty() => {
            if !beside.is_empty() {
                print::warn_all(&beside);
            }
            if let Some(files) = &place.keys {
                keys.files = vec![files.clone()];
            }
            let audit = loaded.audit_log.map(AuditLog::new);
            Ok(Settings { keys, basic_names_account, state: loaded.state, audit, unread })
        }
        Some(_) => Err(stops),
        None => Err(loaded.problems),
    }
}

/// Whether a problem is about something that may be meant for `[keys]` as a whole, or for a member
/// of it: `[[keys]]`, `[key]`, `[Keys]`, a `revocations` that stands in no table.
fn is_misnamed(problem: &Problem) -> bool {
    // What is missing from the file as a whole stands nowhere.
    let Some((source, span)) = problem.place.as_ref().filter(|(_, span)| !span.is_empty()) else {
        return false;
    };
    let own = bare(line(source, span)).to_ascii_lowercase();
    let before = source.text.get(..span.start).unwrap_or_default();
    let in_no_table = !before.lines().any(|line| bare(line).starts_with('['));
    let meant = |name: &str| own.starts_with(name);
    own.trim_start_matches('[').starts_with("key") && (own.starts_with('[') || in_no_table)
        || (in_no_table && ["revoc", "prefix", "pattern", "pepper"].into_iter().any(meant))
}

/// A line, however it is spaced and quoted.
fn bare(line: &str) -> String {
    line.replace([' ', '\t', '"', '\''], "")
}

/// Whether a problem is about one of these members, or about one that may be meant for it.
fn names(problem: &Problem, members: &[&str]) -> bool {
    let names = |text: &str| members.iter().any(|member| text.contains(member));
    names(&problem.message)
        || problem.help.as_deref().is_some_and(names)
        || problem.place.as_ref().is_some_and(|(source, span)| names(line(source, span)))
}

/// The line that a span begins in.
fn line<'s>(source: &'s Source, span: &Range<usize>) -> &'s str {
    let (before, after) = source.text.split_at_checked(span.start).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let end = after.find('\n').map_or(source.text.len(), |at| span.start + at);
    source.text.get(begin..end).unwrap_or_default()
}

/// Whether a problem of the configuration is in a table that key commands need. The others do not
/// concern key files: a key can be revoked while the certificate is missing. But an edit that would go
/// untold is none.
fn is_in(problem: &Problem, table: &str) -> bool {
    let Some((source, span)) = &problem.place else { return false };
    if span.is_empty() {
        // Something is missing from the file as a whole.
        return false;
    }
    let end = source.text.get(span.start..).and_then(|rest| rest.find('\n'));
    let end = end.map_or(source.text.len(), |line| span.start + line);
    let before = source.text.get(..end).unwrap_or_default();
    let header = before.lines().rev().map(bare).find(|line| line.starts_with('['));
    header.is_some_and(|header| header.starts_with(table))
        || (table == "[keys]" && bare(line(source, span)).starts_with("keys"))
}
