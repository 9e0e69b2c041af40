//! Tokens: minted from keys at the login paths, and judged against those keys ever after.

mod current;
mod forged;
mod logins;
mod profiles;
mod rotation;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::json;

use crate::actors::client::Response;
use crate::actors::client::bearer;
use crate::actors::origin::Origin;
use crate::actors::setup::Setup;
use crate::actors::setup::account;
use crate::actors::setup::key;
use crate::actors::sidecar::Sidecar;

const LOGIN: &str = "/uauth/v2/auth/login/profile";
const SIMPLE: &str = "/sauth/v3/auth/login/client/simple";
const REFRESH: &str = "/uauth/v2/auth/refresh";
const JWKS: &str = "/.well-known/jwks.json";

const SERVER: &str = "server-key-0123456789abcdef";
const SALTED: &str = "salted-profile-key-0123456789abcdef";
const OPEN: &str = "open-profile-key-0123456789abcdef";
const CLOSED: &str = "closed-profile-key-0123456789abcdef";
const SALT: &str = "salt of the earth";

/// Tokens on, raw keys off, one signing key in `tokens.pem`.
fn signed(origin: &Origin) -> Setup {
    Setup::before(origin)
        .file("tokens.pem", pem())
        .config("[credentials]\nbearer = false\ntokens = true\n")
        .config("[tokens]\nsigning_key = \"tokens.pem\"\n")
        .config("[[route]]\npath = \"/{*rest}\"\n")
        .config("[[route]]\npath = \"/v4/clients/{id}\"\nprofile_from = \"{id}\"\n")
        .keys(keys(""))
}

/// The keys of these tests; `more` stands in the record of [`SERVER`].
fn keys(more: &str) -> String {
    let salted = format!("kind = \"profile\"\nsimple_auth = {{ salt = {SALT:?} }}");
    [
        account("acme", ""),
        key("server", "acme", SERVER, &format!("access = \"write\"\n{more}")),
        key("salted", "acme", SALTED, &salted),
        key("open", "acme", OPEN, "kind = \"profile\"\naccess = \"write\"\nsimple_auth = {}"),
        key("closed", "acme", CLOSED, "kind = \"profile\""),
    ]
    .concat()
}

/// A private key, as `openssl genpkey -algorithm ED25519` would make it.
fn pem() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem()
}

fn post(sidecar: &Sidecar, path: &str, body: &Value) -> Response {
    sidecar.client().post(path, &["Connection: close"], body.to_string().as_bytes())
}

#[track_caller]
fn token_of(answer: &Response) -> String {
    answer.ok();
    let body = answer.json();
    assert_eq!(body.as_object().map(|members| members.len()), Some(1), "{body}");
    body["token"].as_str().expect("a token").to_owned()
}

/// A token of a workspace key.
#[track_caller]
fn login(sidecar: &Sidecar, key: &str) -> String {
    token_of(&post(sidecar, LOGIN, &json!({ "apiKey": key })))
}

/// A token of a profile key, for a profile.
#[track_caller]
fn simple(sidecar: &Sidecar, key: &str, mut profile: Value) -> String {
    profile["apiKey"] = key.into();
    token_of(&post(sidecar, SIMPLE, &profile))
}

fn refresh(sidecar: &Sidecar, token: &str) -> Response {
    sidecar.get(REFRESH, &[&bearer(token)])
}

fn ask(sidecar: &Sidecar, token: &str) -> Response {
    sidecar.get("/a", &[&bearer(token)])
}

/// What a part of a token says.
fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}
