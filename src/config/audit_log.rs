//! `[audit_log]`: where changes of keys, and what is in force, are told of.

use std::path::PathBuf;

use super::Keys;
use super::LogTo;
use super::files::Files;
use super::logs;
use super::logs::Written;
use super::reading::path;
use crate::source::Section;

/// Where changes are told of.
#[derive(Clone, Debug, Default)]
pub struct AuditConfig {
    /// The file at whose end each event is written.
    pub file: Option<PathBuf>,
    /// The same, as it is named.
    pub(super) written: Option<Written>,
}

pub(super) fn read(
    root: &mut Section<'_, '_>,
    read: (&Files, Option<&Keys>),
    access_log: &LogTo,
) -> AuditConfig {
    let mut audit = AuditConfig::default();
    let Some(table) = root.table("audit_log") else { return audit };
    let mut section = root.enter("[audit_log]", table);
    let file = path(&mut section, "file");
    if let Some(path) = file.filter(|path| logs::is_free(&mut section, path, read)) {
        if matches!(access_log, LogTo::File(other) if read.0.same(other, &path.value)) {
            let message = format!("`{}` is the access log", path.value.display());
            section.wrong(&path.span, message, "name another file for one of them");
        }
        audit.file = Some(path.value.clone());
        audit.written = Some(Written::new(section.source().clone(), path, read));
    }
    audit
}
