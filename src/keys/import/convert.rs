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
use crate::keys::record::AttributeRules;
use crate::keys::record::EventRules;
use crate::keys::record::KeyRecord;
use crate::keys::record::KeyStatus;
use crate::keys::record::Kind;
use crate::keys::record::Name;
use crate::keys::record::Origin;
use crate::keys::record::Permission;
use crate::keys::record::SimpleAuth;
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
    let kind = kind.unwrap_or_default();
    let permissions = reader.permissions();
    let ips = reader.networks();
    let events =
        EventRules { allow: reader.events("events_allow"), deny: reader.events("events_deny") };
    let attributes = reader.attributes();
    let basic = reader.basic(kind);
    let simple_auth = reader.simple_auth(kind);
    let created = reader.instant("created").or(Some(rules.now));
    let until = reader.instant("expires");
    let record = KeyRecord {
        id: id?,
        account: account?,
        name,
        digest: digest?,
        hint,
        access,
        kind,
        permissions,
        ips,
        events,
        attributes,
        basic,
        simple_auth,
        created,
        replaces: None,
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
    /// Names as they are; in a table with commas or semicolons between them, not with spaces:
    /// these are the names of others.
    fn names(&mut self, column: &'static str) -> Option<Box<[Box<str>]>> {
        let names: Vec<Box<str>> = match self.row.take(column)? {
            Cell::List(ref list) => list.iter().map(|name| name.as_str().into()).collect(),
            Cell::Text(ref text) => text.split([',', ';']).map(|name| name.trim().into()).collect(),
            Cell::Flag(_) => {
                self.wrong(format!("`{column}` wants a list"), None);
                return None;
            }
        };
        if names.iter().any(|name| name.is_empty()) {
            self.wrong(format!("one of its `{column}` is empty"), None);
        }
        Some(names.into())
    }

    fn events(&mut self, column: &'static str) -> Box<[Box<str>]> {
        self.names(column).unwrap_or_default()
    }

    /// Where either is said, what neither lists is refused.
    fn attributes(&mut self) -> Option<Box<AttributeRules>> {
        let (allow, tags) = (self.names("attributes"), self.names("tags"));
        let said = allow.is_some() || tags.is_some();
        let rules =
            AttributeRules { allow: allow.unwrap_or_default(), tags: tags.unwrap_or_default() };
        said.then(|| Box::new(rules))
    }

    fn basic(&mut self, kind: Kind) -> Option<bool> {
        let basic = self.flag("basic");
        if basic == Some(true) && kind == Kind::Profile && self.rules.basic_names_account {
            let help = "leave it empty, or make it a workspace key";
            self.wrong("a profile key cannot be presented by Basic", Some(help.to_owned()));
        }
        basic
    }

    fn simple_auth(&mut self, kind: Kind) -> Option<Box<SimpleAuth>> {
        let enabled = self.flag("simple_auth");
        let salt = self.text("salt");
        let help = match (enabled.unwrap_or(salt.is_some()), &salt, kind) {
            (false, None, _) | (true, _, Kind::Profile) => None,
            (false, Some(_), _) => {
                Some(("it has a `salt` without `simple_auth`", "remove one of them"))
            }
            (true, _, Kind::Workspace) => {
                Some(("simple authentication is for profile keys", "write `profile` as its `kind`"))
            }
        };
        if let Some((message, help)) = help {
            self.wrong(message, Some(help.to_owned()));
        }
        let enabled = enabled.unwrap_or(salt.is_some());
        enabled.then(|| Box::new(SimpleAuth { salt: salt.map(Box::from) }))
    }
}
