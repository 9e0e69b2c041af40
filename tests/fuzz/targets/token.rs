//! Tokens: who is let in has one that we signed and that says what it must, and nothing panics.
//!
//! The first byte says what the rest is: a token, the payload of a token that is signed rightly,
//! changes to a good token, or the body of a login.

#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method};
use keygate::gate::{Endpoint, Facts, Step, Transport, decide};
use keygate::live::World;
use keygate_fuzz::model::{Tree, read};
use keygate_fuzz::stage::{KEY, PROFILE_KEY, ask, digest, now, signing_key, world};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const LOGIN: &str = "/uauth/v2/auth/login/profile";
const SIMPLE: &str = "/sauth/v3/auth/login/client/simple";
/// Of one login, in seconds.
const MAX_AGE: i64 = 24 * 60 * 60;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let config = "[credentials]\ntokens = true\n[tokens]\nsigning_key = \"tokens.pem\"\n\
                  [[route]]\npath = \"/\"\n";
    let keys = format!(
        "[[account]]\nid = \"acme\"\n[[key]]\nid = \"key\"\naccount = \"acme\"\n{}\
         [[key]]\nid = \"profile\"\naccount = \"acme\"\nkind = \"profile\"\nsimple_auth = {{}}\n{}",
        digest(KEY),
        digest(PROFILE_KEY),
    );
    world(config, &keys)
});

/// A token of each key, and what signs them.
struct Minted {
    workspace: String,
    profile: String,
    pair: Ed25519KeyPair,
}

static MINTED: LazyLock<Minted> = LazyLock::new(|| Minted {
    workspace: log_in(LOGIN, format!(r#"{{"apiKey":"{KEY}"}}"#).as_bytes()).unwrap(),
    profile: log_in(
        SIMPLE,
        format!(r#"{{"apiKey":"{PROFILE_KEY}","uuid":"u","email":"e@x"}}"#).as_bytes(),
    )
    .unwrap(),
    pair: signing_key(),
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let minted = &*MINTED;
    match kind {
        b't' => whole(rest, &[&minted.workspace, &minted.profile]),
        b's' => signed(rest, minted),
        b'w' => whole(&changed(&minted.workspace, rest), &[&minted.workspace]),
        b'p' => whole(&changed(&minted.profile, rest), &[&minted.profile]),
        b'l' => login(LOGIN, rest),
        b'm' => login(SIMPLE, rest),
        _ => {}
    }
});

/// Only a token that was minted is let in, to the letter.
fn whole(token: &[u8], good: &[&str]) {
    let accepted = accepts(token);
    let known = good.iter().any(|good| good.as_bytes() == token);
    assert_eq!(accepted, known, "{}", token.escape_ascii());
}

/// Of what we signed, only what says all that it must is let in.
fn signed(payload: &[u8], minted: &Minted) {
    let header = minted.workspace.split('.').next().unwrap();
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = minted.pair.sign(message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    if let Some(good) = is_good(payload, minted) {
        assert_eq!(accepts(token.as_bytes()), good, "{}", payload.escape_ascii());
    }
}

/// Only who has the key logs in.
fn login(path: &str, body: &[u8]) {
    if log_in(path, body).is_some() {
        let Some(Ok(Tree::Object(members))) = read(body) else {
            panic!("logged in: {}", body.escape_ascii())
        };
        let key = if path == LOGIN { KEY } else { PROFILE_KEY };
        let is_key = |value: &Tree| matches!(value, Tree::String(text) if text == key);
        assert!(members.iter().any(|(name, value)| name == "apiKey" && is_key(value)));
    }
}

fn accepts(token: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    match HeaderValue::from_bytes(&[b"Bearer ", token].concat()) {
        Ok(value) => headers.insert(http::header::AUTHORIZATION, value),
        Err(_) => return false,
    };
    ask(WORLD.snapshot(), &Method::GET, "/", &headers, b"").is_ok()
}

/// Bytes that replace others: position, position, value.
fn changed(token: &str, changes: &[u8]) -> Vec<u8> {
    let mut token = token.as_bytes().to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let length = token.len();
        token[at % length] = change[2];
    }
    token
}

/// The token that a login gives.
fn log_in(path: &str, body: &[u8]) -> Option<String> {
    let (headers, snapshot) = (HeaderMap::new(), WORLD.snapshot());
    let client = ([127, 0, 0, 1].into(), false);
    let facts = Facts::new(&Method::POST, path, Transport::Tls, client, &headers, true);
    let step = decide(&facts, snapshot, now()).outcome.unwrap();
    let Step::Answer(endpoint) = step else { panic!("{path} is not ours") };
    assert!(matches!(endpoint, Endpoint::Login | Endpoint::LoginSimple));
    let answer = endpoint.answer(&facts, Ok(body), snapshot, now(), [7; 16]).outcome.ok()?;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    Some(answer["token"].as_str().unwrap().to_owned())
}

/// What a payload must say, told in another way; `None` where serde_json cannot tell.
fn is_good(payload: &[u8], minted: &Minted) -> Option<bool> {
    let Ok(Tree::Object(members)) = read(payload)? else { return Some(false) };
    let claims: Value = serde_json::from_slice(payload).ok()?;
    let text = |name: &str| claims[name].as_str().unwrap_or_default();
    let profiled = text("key_id") == "profile";
    let own = if profiled { &minted.profile } else { &minted.workspace };
    let own: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(own.split('.').nth(1).unwrap()).unwrap())
            .unwrap();
    let same = ["iss", "aud", "key_id", "key_binding"].iter().all(|name| claims[name] == own[name]);
    let filled = ["sub", "jti"].iter().all(|name| !text(name).is_empty());
    let number = |name: &str| claims[name].as_i64();
    let (Some(minted_at), Some(until), Some(login)) =
        (number("iat"), number("exp"), number("auth_time"))
    else {
        return Some(false);
    };
    let now = now().as_second();
    let times = login <= minted_at
        && minted_at < until
        && minted_at <= now + 60
        && now < until
        && jiff::Timestamp::from_second(until).is_ok()
        && now < login.saturating_add(MAX_AGE);
    let ids: Vec<&Tree> = members
        .iter()
        .filter(|(name, _)| ["uuid", "customId", "email"].contains(&name.as_str()))
        .map(|(_, value)| value)
        .collect();
    let is_id = |value: &&Tree| match value {
        Tree::String(id) => (1..=256).contains(&id.len()) && !id.chars().any(char::is_control),
        Tree::Object(_) | Tree::Array(_) | Tree::Other => false,
    };
    let profile = ids.iter().all(is_id) && ids.is_empty() != profiled;
    let begun = !members.iter().any(|(name, _)| name == "nbf");
    Some(same && filled && times && profile && begun)
}
