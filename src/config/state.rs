//! `[state]`: where what shall outlive the process is kept.
//!
//! Only a directory that cannot be one is an error: one that cannot be written to today costs the
//! record of uses, and must not cost the service.

use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Access;
use rustix::fs::access;

use super::files::Files;
use super::reading::path;
use crate::source::At;
use crate::source::Section;

/// The directory, if there is one.
pub(super) fn read(root: &mut Section<'_, '_>, files: &Files) -> Option<PathBuf> {
    let table = root.table("state")?;
    let mut section = root.enter("[state]", table);
    let At { value, span } = path(&mut section, "directory")?;
    if files.are_serving() {
        return Some(value);
    }
    let shown = value.display();
    if value.exists() && !value.is_dir() {
        section.wrong(&span, format!("`{shown}` is no directory"), "name a directory");
        return None;
    }
    if !is_writable(&value) {
        let message = format!("`{shown}` cannot be written to: no use of keys will be recorded");
        let help = "make the directory, and give it to the user that keygate runs as";
        section.warn(&span, message, help);
    }
    Some(value)
}

/// Whether files can be made in a directory, or it can be made itself.
fn is_writable(directory: &Path) -> bool {
    let place = match directory.parent() {
        Some(parent) if !directory.exists() => parent,
        Some(_) | None => directory,
    };
    let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    access(place, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}
