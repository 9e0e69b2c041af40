//! The revocations file: one key id or digest a line, `#` begins a comment.

use std::collections::HashSet;

use crate::keys::Digester;
use crate::keys::KeyDigest;
use crate::keys::KeyId;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Source;

/// Keys that are known to be revoked, whatever else is known of them.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    /// By id.
    pub ids: HashSet<KeyId>,
    /// By digest.
    pub digests: Vec<KeyDigest>,
}

/// Reads the file. A line that is neither is a problem, and costs the other lines nothing.
pub(super) fn parse(source: &Source, digester: &Digester, problems: &mut Problems) -> Revoked {
    let mut revoked = Revoked::default();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let entry = line.split('#').next().unwrap_or_default();
        let text = entry.trim();
        let at = start + entry.len() - entry.trim_start().len();
        let span = at..at + text.len();
        start += line.len();
        if text.is_empty() {
            continue;
        }
        let wrong = if text.starts_with("sha256:") || text.starts_with("hmac-sha256:") {
            let digest = digester.parse(text);
            digest.map(|digest| revoked.digests.push(digest)).err().map(|error| error.to_string())
        } else {
            let id = KeyId::new(text);
            let error = id.map(|id| revoked.ids.insert(id)).err();
            error.map(|error| format!("this is neither the id of a key nor a digest: {error}"))
        };
        if let Some(message) = wrong {
            let help = "write one key id or digest a line; `#` begins a comment";
            problems.push(Problem::at(source, span, message).help(help));
        }
    }
    revoked
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> (Revoked, Vec<String>) {
        let mut problems = Problems::default();
        let source = Source::new("revoked.txt", Path::new(""), text);
        (parse(&source, &Digester::Sha256, &mut problems), problems.lines())
    }

    #[test]
    fn lines_are_ids_or_digests_or_comments() {
        let text =
            format!("# leaked\nkey_1 # by hand\r\n\n  key_2\nSHA256:x\nsha256:{}", "0".repeat(64));
        let (revoked, problems) = read(&text);
        assert!(problems.is_empty(), "{problems:?}");
        let mut ids: Vec<_> = revoked.ids.iter().map(KeyId::as_str).collect();
        ids.sort_unstable();
        assert_eq!((ids, revoked.digests.len()), (vec!["SHA256:x", "key_1", "key_2"], 1));
    }

    #[test]
    fn a_bad_line_costs_the_others_nothing() {
        let (revoked, problems) = read("a b\nsha256:zz\nkey_1\n");
        assert_eq!(revoked.ids.len(), 1);
        let help = "(write one key id or digest a line; `#` begins a comment)";
        assert_eq!(
            problems,
            [
                format!(
                    "revoked.txt:1:1: this is neither the id of a key nor a digest: ` ` cannot \
                     stand in it: only visible ASCII without spaces or commas {help}"
                ),
                format!("revoked.txt:2:1: `z` is not a hexadecimal digit {help}"),
            ]
        );
    }
}
