//! `[access_log]`: where each request is told of, and of how many of those that were permitted.

use std::path::PathBuf;

use super::Keys;
use super::files::Files;
use super::logs;
use super::logs::Written;
use super::reading::as_path;
use super::reading::share;
use super::reading::size;
use crate::source::At;
use crate::source::Section;
use crate::source::Value;

/// Where each request is told of.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where its line goes.
    pub to: LogTo,
    /// Of how many permitted requests there is a line, from 0 to 1. Of all others there is one
    /// always.
    pub permits: f64,
    /// Whether the line says what the client calls itself.
    pub user_agent: bool,
    /// How many bytes of lines of one worker may wait to be written.
    pub queue: usize,
    /// The file, as it is named.
    pub(crate) written: Option<Written>,
}

/// Where the line of a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// Among the lines of the log, in their words, as far as the log's level asks for it.
    Log,
    /// Standard error.
    Stderr,
    /// The end of a file.
    File(PathBuf),
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { to: LogTo::Log, permits: 1.0, user_agent: false, queue: 1 << 20, written: None }
    }
}

/// The least that may wait: some lines of the longest kind.
const LEAST: usize = 64 << 10;
const MOST: usize = 1 << 30;

pub(super) fn read(root: &mut Section<'_, '_>, files: &Files, keys: Option<&Keys>) -> AccessLog {
    let mut log = AccessLog::default();
    let Some(table) = root.table("access_log") else { return log };
    let mut section = root.enter("[access_log]", table);
    if let Some(to) = to(&mut section, &mut log.written, (files, keys)) {
        log.to = to;
    }
    log.permits = share(&mut section, "permits").unwrap_or(log.permits);
    log.user_agent = section.bool("user_agent").map_or(log.user_agent, |at| at.value);
    if let Some(At { value, span }) = size(&mut section, "queue") {
        if (LEAST..=MOST).contains(&value) {
            log.queue = value;
        } else {
            let help = "write a size from `64KiB` to `1GiB`";
            section.wrong(&span, format!("`queue` cannot be {value} bytes"), help);
        }
    }
    log
}

fn to(
    section: &mut Section<'_, '_>,
    written: &mut Option<Written>,
    (files, keys): (&Files, Option<&Keys>),
) -> Option<LogTo> {
    let at = section.take("file")?;
    if let Value::Boolean(false) = at.value {
        return Some(LogTo::Log);
    }
    let text = section.as_string("file", at)?;
    if text.value == "stderr" {
        return Some(LogTo::Stderr);
    }
    let path = as_path(section, "file", &text)?;
    if !logs::is_free(section, &path, (files, keys)) {
        return None;
    }
    let to = path.value.clone();
    *written = Some(Written::new(section.source().clone(), path, (files, keys)));
    Some(LogTo::File(to))
}
