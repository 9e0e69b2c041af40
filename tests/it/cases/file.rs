//! What a file of cases says.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::actors::setup::sha256;

/// One file: a configuration, its keys, and what must be true of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    /// A directory of `deploy/presets`, instead of `config`.
    pub(crate) preset: Option<String>,
    /// The text of `keygate.toml`, without addresses, upstream and certificate.
    pub(crate) config: Option<String>,
    /// The text of `keys.toml`. `{sha256 NAME}` stands for the digest of that credential,
    /// `{now+1h}` and `{now-1h}` for a time.
    pub(crate) keys: String,
    /// Overrides, as `--set` takes them.
    #[serde(default)]
    pub(crate) set: Vec<String>,
    /// The keys' texts, by the names that the cases use.
    pub(crate) credentials: BTreeMap<String, String>,
    /// Tokens that are minted by a login before the first case is played.
    #[serde(default)]
    pub(crate) tokens: BTreeMap<String, Login>,
    #[serde(rename = "case")]
    pub(crate) cases: Vec<Case>,
}

/// How a token is come by; the members go into the login's body as they are called here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Login {
    /// The credential that is shown to `tokens.login`.
    pub(crate) login: Option<String>,
    /// The credential that is shown to `tokens.login_simple`, instead.
    pub(crate) simple: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) custom_id: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) salt: Option<String>,
}

/// One request and what becomes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) request: Ask,
    pub(crate) expect: Expect,
    #[serde(default)]
    pub(crate) upstream: Upstream,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    /// `{NAME}` stands for a credential, `{basic USER:NAME}` for it in Basic's base64,
    /// `{token NAME}` for a token that was minted before.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
    /// Whether `{NAME}` and `{token NAME}` are filled in in the body too; its other braces stay.
    pub(crate) fill_body: bool,
    /// Each of them is one run of the case.
    pub(crate) over: Vec<Transport>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            target: "/".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            fill_body: false,
            over: vec![Transport::Https1, Transport::Https2],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Https1,
    Https2,
    Http,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) status: u16,
    /// The precise reason, as the metrics count it; absent: the request is forwarded.
    pub(crate) reason: Option<String>,
    /// What the metrics call the outcome, where it is neither `forwarded` nor `refused`.
    pub(crate) outcome: Option<String>,
    /// The body, exactly; `{request_id}` stands for the answer's own.
    pub(crate) body: Option<String>,
    pub(crate) contains: Option<String>,
    /// `Name: value` that the answer has, exactly; `Name` that it has at all.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    #[serde(default)]
    pub(crate) without: Vec<String>,
    /// All `WWW-Authenticate` lines, in any order.
    pub(crate) challenges: Option<Vec<String>>,
    /// The answer equals that of another case of the file, byte for byte but for `Date`,
    /// `X-Request-Id` and its copy in the body.
    pub(crate) same_as: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// `Name: value`, exactly once, or `Name`.
    #[serde(default)]
    pub(crate) sees: Vec<String>,
    #[serde(default)]
    pub(crate) sees_not: Vec<String>,
    /// The target's bytes.
    pub(crate) path: Option<String>,
    pub(crate) body: Option<String>,
}

impl CaseFile {
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut file: Self =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(file.preset.is_some() != file.config.is_some(), "{name}: a preset or a config");
        file.keys = file.fill(&file.keys, &BTreeMap::new());
        file
    }

    /// Fills in the cases, once there are tokens.
    pub(crate) fn fill_cases(&mut self, minted: &BTreeMap<String, String>) {
        for at in 0..self.cases.len() {
            let ask = &self.cases[at].request;
            let headers = ask.headers.iter().map(|header| self.fill(header, minted)).collect();
            let body = match ask.fill_body {
                true => self.fill_known(&ask.body, minted),
                false => ask.body.clone(),
            };
            let ask = &mut self.cases[at].request;
            (ask.headers, ask.body) = (headers, body);
        }
    }

    /// Puts credentials and tokens in place of their names, and leaves every other brace.
    fn fill_known(&self, text: &str, minted: &BTreeMap<String, String>) -> String {
        let names = self.credentials.iter().map(|(name, text)| (format!("{{{name}}}"), text));
        let tokens = minted.iter().map(|(name, text)| (format!("{{token {name}}}"), text));
        names.chain(tokens).fold(text.to_owned(), |text, (name, to)| text.replace(&name, to))
    }

    /// Puts credentials, tokens, digests and times in place of what stands for them.
    fn fill(&self, text: &str, minted: &BTreeMap<String, String>) -> String {
        let mut rest = text;
        let mut filled = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (word, after) = after.split_once('}').expect("a closing brace");
            filled.push_str(before);
            filled.push_str(&self.word(word, minted));
            rest = after;
        }
        filled + rest
    }

    fn word(&self, word: &str, minted: &BTreeMap<String, String>) -> String {
        if let Some(name) = word.strip_prefix("token ") {
            return minted.get(name).unwrap_or_else(|| panic!("no token `{name}`")).clone();
        }
        if let Some(name) = word.strip_prefix("sha256 ") {
            return sha256(self.credential(name));
        }
        if let Some(pair) = word.strip_prefix("basic ") {
            let (user, name) = pair.split_once(':').expect("a user and a credential");
            let header = crate::actors::client::basic(user, self.credential(name));
            return header.replace("Authorization: Basic ", "");
        }
        if let Some(span) = word.strip_prefix("now") {
            let span: jiff::Span = span.parse().expect("a span");
            return keygate::clock::now().checked_add(span).unwrap().to_string();
        }
        self.credential(word).to_owned()
    }

    /// The credentials of the file that stand in a text.
    pub(crate) fn leaked(&self, text: &str) -> Vec<String> {
        // A short one could be a word.
        let keys = self.credentials.iter().filter(|(_, key)| key.len() >= 12);
        let leaked = keys.filter(|(_, key)| text.contains(key.as_str()));
        leaked.map(|(name, _)| format!("explain shows the credential `{name}`")).collect()
    }

    pub(crate) fn credential(&self, name: &str) -> &str {
        self.credentials.get(name).unwrap_or_else(|| panic!("no credential `{name}`"))
    }
}
