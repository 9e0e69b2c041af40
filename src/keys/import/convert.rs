//! From a row to a record: every column of it is judged, and no value is quoted.

use ipnet::IpNet;
use jiff::Timestamp;

use super::Rules;
use super::problem;
use super::row::Cell;
use super::row::Row;
use crate::keys::digest::KeyDigest;
use crate::keys::file::parse_instant;
use crate::keys::file::parse_network;
use crate::keys::record::Access;
use crate::keys::record::EventRules;
use crate::keys::record::KeyRecord;
use crate::keys::record::KeyStatus;
use crate::keys::record::Kind;
use crate::keys::record::Name;
use crate::keys::record::Origin;
use crate::keys::record::Permission;
use crate::keys::token::ApiKey;
use crate::keys::token::hint;
use crate::keys::ulid::new_key_id;
use crate::source::Problems;

pub(super) fn record(row: Row, rules: &Rules<'_>, problems: &mut Problems) -> Option<KeyRecord> {
    let before = problems.len();
    let mut reader = Reader { line: row.line, row, rules, problems };
    let id = match reader.name("id") {
        Some(id) => Some(id),
        None => new_key_id(rules.now).ok(),
    };
    let account = reader.account();
    let (digest, made_hint) = reader.digest().map_or((None, None), |(d, hint)| (Some(d), hint));
    let name = reader.text("name").map(Box::from);
    let hint = reader.text("hint").map(Box::from).or(made_hint);
    let access = reader.word("access", &[("read", Access::Read), ("write", Access::Write)]);
    let kind = reader.word("kind", &[("workspace", Kind::Workspace), ("profile", Kind::Profile)]);
    let permissions = reader.permissions();
    let ips = reader.networks();
    let basic = reader.flag("basic");
    let created = reader.instant("created").or(Some(rules.now));
    let until = reader.instant("expires");
    let record = KeyRecord {
        id: id?,
        account: account?,
        name,
        digest: digest?,
        hint,
        access,
        kind: kind.unwrap_or_default(),
        permissions,
        ips,
        events: EventRules::default(),
        attributes: None,
        basic,
        simple_auth: None,
        created,
        status: KeyStatus::Active { until },
        origin: Origin::default(),
    };
    (!problems.fatal_since(before)).then_some(record)
}

struct Reader<'a, 'r> {
    line: usize,
    row: Row,
    rules: &'a Rules<'r>,
    problems: &'a mut Problems,
}

impl Reader<'_, '_> {
    fn wrong(&mut self, message: impl AsRef<str>, help: Option<String>) {
        let problem = problem(self.rules.name, self.line, message);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    fn text(&mut self, column: &'static str) -> Option<String> {
        match self.row.take(column)? {
            Cell::Text(ref mut text) => Some(std::mem::take(text)),
            Cell::List(_) | Cell::Flag(_) => {
                self.wrong(format!("`{column}` wants a string"), None);
                None
            }
        }
    }

    fn name(&mut self, column: &'static str) -> Option<Name> {
        let text = self.text(column)?;
        match Name::new(&text) {
            Ok(name) => Some(name),
            Err(_) => {
                let message = format!("`{column}` is not 1 to 256 visible ASCII characters");
                self.wrong(message, Some("no spaces and no commas can stand in it".to_owned()));
                None
            }
        }
    }

    fn account(&mut self) -> Option<Name> {
        let before = self.problems.len();
        let given = self.name("account").or_else(|| self.rules.account.cloned());
        match given {
            Some(account) if (self.rules.account_exists)(&account) => Some(account),
            Some(account) => {
                // It may be a key that stands in the wrong column.
                let secret = (self.rules.fits)(&ApiKey::new(account.as_str().as_bytes()));
                let help = if secret {
                    "create it first".to_owned()
                } else {
                    format!("create it first: `keygate accounts create {account}`")
                };
                self.wrong("its `account` does not exist", Some(help));
                None
            }
            None if self.problems.len() == before => {
                let help = "add the column, or say it for all with `--account`".to_owned();
                self.wrong("it has no `account`", Some(help));
                None
            }
            None => None,
        }
    }

    fn digest(&mut self) -> Option<(KeyDigest, Option<Box<str>>)> {
        let key = self.text("key").map(zeroize::Zeroizing::new);
        let digest = self.text("digest");
        match (key, digest) {
            (Some(key), None) => self.digest_of(&key),
            (None, Some(digest)) => {
                let prefixed = match self.rules.algorithm {
                    Some(algorithm) if !digest.contains(':') => format!("{algorithm}:{digest}"),
                    _ => digest,
                };
                match self.rules.digester.parse(&prefixed) {
                    Ok(digest) => Some((digest, None)),
                    Err(error) => {
                        let help = "if it is hexadecimal alone, say of what with `--hash`";
                        self.wrong(format!("`digest`: {error}"), Some(help.to_owned()));
                        None
                    }
                }
            }
            (Some(_), Some(_)) => {
                self.wrong("it has both a `key` and a `digest`", Some("keep one".to_owned()));
                None
            }
            (None, None) => {
                self.wrong("it has neither a `key` nor a `digest`", None);
                None
            }
        }
    }

    fn digest_of(&mut self, key: &str) -> Option<(KeyDigest, Option<Box<str>>)> {
        let presented = ApiKey::new(key.as_bytes());
        if self.rules.prefix.mistyped(&presented) {
            let message = format!(
                "its `key` begins like one of ours, `{}_`, and its checksum does not fit",
                self.rules.prefix
            );
            self.wrong(message, Some("it was mistyped or cut off".to_owned()));
            return None;
        }
        if !(self.rules.fits)(&presented) {
            let help = "it would be refused as malformed: change `keys.pattern` if it is right";
            self.wrong("its `key` does not match `keys.pattern`", Some(help.to_owned()));
            return None;
        }
        let hint = Some(hint(key)).filter(|hint| !hint.is_empty()).map(Box::from);
        Some((self.rules.digester.digest(&presented), hint))
    }

    fn word<T: Copy>(&mut self, column: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(column)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.wrong(format!("`{column}` is neither {}", words.join(" nor ")), None);
        None
    }

    fn flag(&mut self, column: &'static str) -> Option<bool> {
        match self.row.take(column)? {
            Cell::Flag(flag) => Some(flag),
            Cell::Text(ref text) if text == "true" => Some(true),
            Cell::Text(ref text) if text == "false" => Some(false),
            Cell::Text(_) | Cell::List(_) => {
                self.wrong(format!("`{column}` is neither `true` nor `false`"), None);
                None
            }
        }
    }

    fn instant(&mut self, column: &'static str) -> Option<Timestamp> {
        let text = self.text(column)?;
        match parse_instant(&text) {
            Ok(instant) => Some(instant),
            Err(error) => {
                self.wrong(format!("`{column}`: {error}"), None);
                None
            }
        }
    }

    /// A list, or in a table a text of several: with spaces, commas or semicolons between them.
    fn several(&mut self, column: &'static str) -> Option<Vec<String>> {
        match self.row.take(column)? {
            Cell::List(ref mut list) => Some(std::mem::take(list)),
            Cell::Text(ref text) => {
                let parts = text.split([' ', ',', ';']).filter(|part| !part.is_empty());
                Some(parts.map(str::to_owned).collect())
            }
            Cell::Flag(_) => {
                self.wrong(format!("`{column}` wants a list"), None);
                None
            }
        }
    }

    fn permissions(&mut self) -> Option<Box<[Permission]>> {
        let list = self.several("permissions")?;
        let permissions: Result<_, _> = list.iter().map(|text| Permission::new(text)).collect();
        if permissions.is_err() {
            let help = "a `*` can stand only at the end of one".to_owned();
            self.wrong("one of its `permissions` is none", Some(help));
        }
        permissions.ok()
    }

    fn networks(&mut self) -> Box<[IpNet]> {
        let list = self.several("ips").unwrap_or_default();
        let networks: Vec<_> = list
            .iter()
            .filter_map(|text| parse_network(text))
            .filter(|n| n.trunc() == *n)
            .collect();
        if networks.len() != list.len() {
            let help = "write addresses like `203.0.113.7` or networks like `2001:db8::/32`";
            self.wrong("one of its `ips` is no address and no network", Some(help.to_owned()));
        }
        networks.into()
    }
}
