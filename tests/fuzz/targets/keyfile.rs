//! Any text in a key file: the reader of the usual form understands nothing that the full reader
//! does not understand alike, and what is loaded in pieces is what the whole is.

#![no_main]

use std::fs;
use std::path::Path;
use std::slice;
use std::sync::LazyLock;

use keygate::keys::Digester;
use keygate::keys::KeyFile;
use keygate::keys::KeyStore;
use keygate::keys::KeyTable;
use keygate::keys::KeyTableBuilder;
use keygate::keys::Sheet;
use keygate::keys::file;
use keygate::source::Problems;
use keygate::source::Source;
use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// A comment that no usual file has: with it the text means the same, to the full reader alone.
const UNUSUAL: &str = "\n# \\\n";

fn read(text: &str) -> (KeyFile, Problems) {
    let mut problems = Problems::default();
    let source = Source::new("keys.toml", Path::new(""), text);
    let read = file::parse(&source, 0, &Digester::Sha256, &mut problems);
    (read, problems)
}

fn table(sheet: Sheet) -> Option<KeyTable> {
    let mut builder = KeyTableBuilder::default();
    builder.add_sheet(sheet.into());
    builder.build().ok()
}

fuzz_target!(|text: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(text) else { return Corpus::Reject };
    let path = DIRECTORY.path().join("keys.toml");
    fs::write(&path, text).unwrap();
    let loaded = KeyStore::default().load(slice::from_ref(&path), &Digester::Sha256).remove(0);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (quick, problems) = read(text);
    let (full, more) = read(&format!("{text}{UNUSUAL}"));
    let sheet = loaded.unwrap().sheet;
    if !problems.is_empty() {
        assert!(sheet.is_none(), "a file with mistakes was loaded in pieces");
        return Corpus::Keep;
    }
    assert!(more.is_empty(), "{:?}", more.lines());
    assert_eq!(format!("{:?}", quick.accounts), format!("{:?}", full.accounts));
    assert_eq!(format!("{:?}", quick.keys), format!("{:?}", full.keys));
    assert_eq!(quick.revoked, full.revoked);
    let Some(sheet) = sheet else { return Corpus::Keep };
    let (pieces, whole) = (table((*sheet).clone()), table(Sheet::of(&full)));
    let Some((pieces, whole)) = pieces.zip(whole) else { return Corpus::Keep };
    assert_eq!(pieces.len(), whole.len());
    for ((_, a), (_, b)) in pieces.keys().zip(whole.keys()) {
        assert!(a.id() == b.id() && a.says_the_same(&b) && a.created() == b.created());
        assert_eq!(a.origin(), b.origin());
    }
    Corpus::Keep
});
