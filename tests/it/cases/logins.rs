//! The tokens of a file of cases, minted by real logins before the first case.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::file::{CaseFile, Login};
use crate::actors::setup::Setup;
use crate::actors::sidecar::Sidecar;

/// Where tokens are minted, and by what.
pub(crate) struct Logins {
    login: String,
    simple: String,
    algorithm: String,
    wanted: bool,
}

impl Logins {
    /// As the configuration has it, with what the file overrides.
    pub(crate) fn of(file: &CaseFile, config: &str) -> Self {
        let config: toml::Table = config.parse().unwrap_or_default();
        let setting = |name: &str, default: &str| {
            let argument = format!("tokens.{name}=");
            let set = file.set.iter().rev().find_map(|set| set.strip_prefix(&argument));
            let written = || config.get("tokens")?.get(name)?.as_str();
            set.or_else(written).unwrap_or(default).to_owned()
        };
        Self {
            login: setting("login", "/uauth/v2/auth/login/profile"),
            simple: setting("login_simple", "/sauth/v3/auth/login/client/simple"),
            algorithm: setting("algorithm", "EdDSA"),
            wanted: !file.tokens.is_empty(),
        }
    }

    /// Gives the program a signing key that others can read too, so that all who judge a case take
    /// the same tokens.
    pub(crate) fn prepare(&self, setup: &mut Setup) {
        if self.wanted {
            let pem = signing_key(&self.algorithm);
            setup.files.push(("cases-tokens.pem".to_owned(), pem.into_bytes()));
            setup.sets.push("tokens.signing_key={dir}/cases-tokens.pem".to_owned());
        }
    }

    /// Logs in for every token, and gives them by name.
    pub(crate) fn mint(&self, file: &CaseFile, sidecar: &Sidecar) -> BTreeMap<String, String> {
        let mint = |(name, login): (&String, &Login)| {
            let (path, key) = match (&login.login, &login.simple) {
                (Some(key), None) => (&self.login, key),
                (None, Some(key)) => (&self.simple, key),
                _ => panic!("token `{name}`: either `login` or `simple`"),
            };
            let mut body = Map::new();
            body.insert("apiKey".to_owned(), file.credential(key).into());
            let members = [
                ("email", &login.email),
                ("customId", &login.custom_id),
                ("uuid", &login.uuid),
                ("salt", &login.salt),
            ];
            for (member, value) in members {
                body.extend(value.clone().map(|value| (member.to_owned(), value.into())));
            }
            let body = Value::from(body).to_string();
            let json = ["Content-Type: application/json"];
            let answer = sidecar.client().post(path, &json, body.as_bytes());
            assert_eq!(answer.status, 200, "token `{name}`: {}", answer.text());
            let token = answer.json()["token"].as_str().map(str::to_owned);
            (name.clone(), token.expect("a token"))
        };
        file.tokens.iter().map(mint).collect()
    }
}

/// A private key for an algorithm, in PKCS #8.
pub(crate) fn signing_key(algorithm: &str) -> String {
    let key = match algorithm {
        "EdDSA" => rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519),
        "ES256" => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        "RS256" | "RS512" => {
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        }
        other => panic!("no key for `{other}`"),
    };
    key.unwrap().serialize_pem()
}
