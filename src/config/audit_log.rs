//! `[audit_log]`: where changes of keys, and what is in force, are told of.

use std::path::PathBuf;

use super::logs;
use super::reading::path;
use crate::source::Problem;
use crate::source::Section;

/// Where changes are told of.
#[derive(Clone, Debug, Default)]
pub struct AuditConfig {
    /// The file at whose end each event is written.
    pub file: Option<PathBuf>,
    /// Why it cannot be written, if it cannot.
    pub(super) trouble: Option<Box<Problem>>,
}

pub(super) fn read(root: &mut Section<'_, '_>) -> AuditConfig {
    let mut audit = AuditConfig::default();
    let Some(table) = root.table("audit_log") else { return audit };
    let mut section = root.enter("[audit_log]", table);
    if let Some(path) = path(&mut section, "file") {
        audit.trouble = logs::trouble(section.source(), &path);
        audit.file = Some(path.value);
    }
    audit
}
