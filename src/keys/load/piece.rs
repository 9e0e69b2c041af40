//! A piece of a file: some records that stand together, and the blocks that were made of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha2::Digest as _;
use sha2::Sha256;

use super::Depth;
use super::How;
use crate::clock;
use crate::keys::block::Block;
use crate::keys::block::BlockBuilder;
use crate::keys::file;
use crate::keys::file::plain;
use crate::keys::file::plain::Item;
use crate::keys::sheet::Sheet;
use crate::source::Problems;
use crate::source::Source;

/// How much is hashed at a stretch, in bytes, and how many records are parsed.
const PART: usize = 16 << 10;
const RECORDS: u32 = 8;

/// Blocks by the digests of what they were made of.
pub(super) type Known<'k> = HashMap<&'k [u8; 32], &'k Vec<Arc<Block>>>;

#[derive(Debug)]
pub(super) struct Piece {
    /// SHA-256 over the text.
    pub(super) digest: [u8; 32],
    /// Where in the file it begins.
    pub(super) base: usize,
    pub(super) blocks: Vec<Arc<Block>>,
}

impl Piece {
    /// Reads a text that begins with a header, or is the beginning of a file. Where something in
    /// it is wrong, or might be, there is only its digest.
    pub(super) fn read(
        base: usize,
        text: &[u8],
        known: &Known<'_>,
        how: How<'_>,
    ) -> Result<Self, [u8; 32]> {
        let digest: [u8; 32] = match how.depth {
            Depth::Keys => digest(text),
            Depth::Accounts => [0; 32],
        };
        if let Some(blocks) = known.get(&digest) {
            return Ok(Self { digest, base, blocks: (*blocks).clone() });
        }
        let text = std::str::from_utf8(text).map_err(|_| digest)?;
        let blocks = plainly(text, how).or_else(|| fully(text, how)).ok_or(digest)?;
        Ok(Self { digest, base, blocks })
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in text.chunks(PART) {
        digest.update(part);
        clock::give_way();
    }
    digest.finalize().into()
}

fn plainly(text: &str, how: How<'_>) -> Option<Vec<Arc<Block>>> {
    let mut blocks = Vec::with_capacity(1);
    let mut open = BlockBuilder::new(how.owners);
    let mut records = 0u32;
    plain::read(text, how.digester, |item| {
        records = records.wrapping_add(1);
        if records.is_multiple_of(RECORDS) {
            clock::give_way();
        }
        match item {
            Item::Account(account) => open.account(account),
            Item::Key(_) if how.depth == Depth::Accounts => {}
            Item::Key(draft) => {
                if open.is_full() {
                    let full = std::mem::replace(&mut open, BlockBuilder::new(how.owners));
                    blocks.push(Arc::new(full.build()));
                }
                open.key(&draft);
            }
        }
    })?;
    blocks.push(Arc::new(open.build()));
    Some(blocks)
}

/// Reads a piece as if it were a file: records do not depend on those before them. Only where
/// nothing at all is to be said of it is that what the whole file would say.
fn fully(text: &str, how: How<'_>) -> Option<Vec<Arc<Block>>> {
    // What stands before the first header could stand against those of the next piece.
    let mut lines = text.lines().map(str::trim_start);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    if first.is_some_and(|line| !line.starts_with("[[")) {
        return None;
    }
    let mut problems = Problems::default();
    let source = Source::new("", Path::new(""), text);
    let mut read = file::parse(&source, 0, how.digester, &mut problems);
    if how.depth == Depth::Accounts {
        read.keys.clear();
    }
    let blocks = || {
        let sheet = Sheet::owned_by(how.owners, &read);
        sheet.parts().iter().map(|(_, block)| Arc::clone(block)).collect()
    };
    problems.is_empty().then(blocks)
}
