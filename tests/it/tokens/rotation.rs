//! Signing keys: published, shared, kept, changed; and how long what they sign lasts.

use std::process::Command;

use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::actors::eventually;
use crate::actors::log::Line;
use crate::actors::pki::TRUSTED;
use crate::cases::logins::signing_key;

/// What somebody else's library reads in a token that it verifies with the published keys.
fn verified_by_node(sidecar: &Sidecar, token: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/verify-token.mjs");
    let output = Command::new("node")
        .arg(script)
        .env("BASE", format!("localhost:{}", sidecar.https.port()))
        .env("TOKEN", token)
        .env("NODE_EXTRA_CA_CERTS", sidecar.path("ca.pem"))
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .output()
        .unwrap_or_else(|error| panic!("node: {error}; run tests/clients/install.sh"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn other_libraries_verify_what_is_signed_with_what_is_published() {
    for algorithm in ["EdDSA", "ES256", "RS256", "RS512"] {
        let origin = Origin::echo();
        let setup = signed(&origin)
            .file("one.pem", signing_key(algorithm))
            .file("ca.pem", TRUSTED.pem())
            .set("tokens.signing_key={dir}/one.pem")
            .set(&format!("tokens.algorithm={algorithm}"))
            .set("tokens.issuer=https://auth.example.com/\"x\"");
        let sidecar = Sidecar::start(&setup);
        let profile = json!({ "customId": "żółć \"\\ 1", "email": "a@b" });
        let token = simple(&sidecar, OPEN, profile);
        let read = verified_by_node(&sidecar, &token);
        assert_eq!(read["alg"], algorithm);
        assert_eq!(read["keys"], 1);
        assert_eq!(read["sub"], "żółć \"\\ 1");
        assert_eq!(read["iss"], "https://auth.example.com/\"x\"");
        ask(&sidecar, &token).ok();
        let jwks = sidecar.get(JWKS, &[]);
        assert_eq!(jwks.value("content-type"), Some("application/json"));
        let members = jwks.json()["keys"][0].as_object().unwrap().clone();
        for secret in ["d", "p", "q", "dp", "dq", "qi"] {
            assert!(!members.contains_key(secret), "{secret}");
        }
    }
}

#[test]
fn a_token_ends_at_its_second_and_a_login_at_its_own() {
    let origin = Origin::echo();
    let setup = signed(&origin).set("tokens.lifetime=5s").set("tokens.max_age=7s");
    let sidecar = Sidecar::start(&setup);
    let token = login(&sidecar, SERVER);
    let number = |token: &str, name: &str| part(token, 1)[name].as_i64().unwrap();
    let (login, end) = (number(&token, "iat"), number(&token, "exp"));
    assert_eq!(end - login, 5);
    ask(&sidecar, &token).ok();
    // Refreshed again and again, it lasts as long as the login may.
    let mut fresh = token.clone();
    let dead = eventually("the login to end", || {
        let answer = refresh(&sidecar, &fresh);
        if answer.status == 401 {
            return Some(answer);
        }
        fresh = token_of(&answer);
        assert_eq!(number(&fresh, "auth_time"), login);
        assert!(number(&fresh, "exp") <= login + 7);
        None
    });
    dead.refused(401, "invalid_credential");
    assert!(sidecar.refusals("invalid_token") > 0);
    assert!(keygate::clock::now().as_second() >= login + 7);
    for token in [&token, &fresh] {
        ask(&sidecar, token).refused(401, "invalid_credential");
    }
}

#[test]
fn a_file_outlives_the_process_and_is_shared_by_replicas() {
    let origin = Origin::echo();
    let setup = signed(&origin);
    let (one, two) = (Sidecar::start(&setup), Sidecar::start(&setup));
    let token = login(&one, SERVER);
    ask(&two, &token).ok();
    let fresh = token_of(&refresh(&two, &token));
    drop(one);
    let again = Sidecar::start(&setup);
    ask(&again, &token).ok();
    ask(&again, &fresh).ok();
}

/// The same key, written by another program in another form, is the same key.
#[test]
fn the_form_of_a_key_in_its_file_does_not_matter() {
    let origin = Origin::echo();
    for algorithm in ["EdDSA", "ES256", "RS512"] {
        let sidecar = |pem: &[u8]| {
            let setup = signed(&origin).file("form.pem", pem);
            let setup = setup.set("tokens.signing_key={dir}/form.pem");
            Sidecar::start(&setup.set(&format!("tokens.algorithm={algorithm}")))
        };
        let pem = signing_key(algorithm);
        let one = sidecar(pem.as_bytes());
        let other = match algorithm {
            "EdDSA" => without_public_key(&pem),
            _ => rewritten_by_openssl(&one),
        };
        assert_ne!(other, pem);
        let two = sidecar(other.as_bytes());
        let token = login(&one, SERVER);
        ask(&two, &token).ok();
    }
}

/// The first form of PKCS#8 (RFC 5208), which is all that some programs read.
fn without_public_key(pem: &str) -> String {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text).unwrap();
    let seed = der.get(16..48).unwrap();
    let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let text = STANDARD.encode([head.as_slice(), seed].concat());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

fn rewritten_by_openssl(sidecar: &Sidecar) -> String {
    let form = sidecar.path("form.pem");
    let output = Command::new("openssl").args(["pkey", "-in"]).arg(form).output();
    let output = output.expect("openssl");
    assert!(output.status.success(), "{output:?}");
    format!("made by hand\n{}", String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_key_in_memory_lives_as_long_as_the_process() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).keys(keys("")).config("[credentials]\ntokens = true\n");
    let sidecar = Sidecar::start(&setup);
    sidecar.logged(0, "the warning", |line| {
        line.text.contains("WARN") && line.text.contains("tokens die with this process")
    });
    let token = login(&sidecar, SERVER);
    let generation = sidecar.generation();
    let text = sidecar.read("keygate.toml");
    sidecar.replace("keygate.toml", text + "\n[drain]\ntimeout = \"7s\"\n");
    sidecar.reloaded(generation);
    ask(&sidecar, &token).ok();
    assert_eq!(part(&login(&sidecar, SERVER), 0)["kid"], part(&token, 0)["kid"]);
    drop(sidecar);
    let again = Sidecar::start(&setup);
    ask(&again, &token).refused(401, "invalid_credential");
}

#[test]
fn signing_keys_are_changed_while_running_and_no_token_is_lost() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin).file("new.pem", pem()));
    let before = login(&sidecar, SERVER);
    let config = |list: &str| {
        let generation = sidecar.generation();
        let text = sidecar.read("keygate.toml");
        let line = text.lines().find(|line| line.starts_with("signing_key")).unwrap();
        sidecar.replace("keygate.toml", text.replace(line, &format!("signing_key = {list}")));
        sidecar.reloaded(generation);
    };
    let mark = sidecar.log.mark();
    config("[\"new.pem\", \"tokens.pem\"]");
    let after = login(&sidecar, SERVER);
    let changed = |line: &Line| line.message() == "signing keys changed";
    let line = sidecar.logged(mark, "the new signing key", changed);
    assert_eq!(line.texts("signing"), [part(&after, 0)["kid"].as_str().unwrap()]);
    assert_eq!(line.texts("kids").len(), 2);
    assert_ne!(part(&before, 0)["kid"], part(&after, 0)["kid"]);
    let jwks = sidecar.get(JWKS, &[]).json();
    let kids: Vec<_> = jwks["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert_eq!(kids, [&part(&after, 0)["kid"], &part(&before, 0)["kid"]]);
    ask(&sidecar, &before).ok();
    ask(&sidecar, &after).ok();
    let fresh = token_of(&refresh(&sidecar, &before));
    assert_eq!(part(&fresh, 0)["kid"], part(&after, 0)["kid"]);
    config("\"new.pem\"");
    ask(&sidecar, &before).refused(401, "invalid_credential");
    ask(&sidecar, &after).ok();
    ask(&sidecar, &fresh).ok();
}

#[test]
fn a_signing_key_file_is_watched_and_a_broken_one_changes_nothing() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let before = login(&sidecar, SERVER);
    let mark = sidecar.log.mark();
    sidecar.replace("tokens.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    sidecar.logged(mark, "what is wrong", |line| line.text.contains("cannot sign tokens"));
    ask(&sidecar, &before).ok();
    let generation = sidecar.generation();
    sidecar.replace("tokens.pem", pem());
    sidecar.reloaded(generation);
    ask(&sidecar, &before).refused(401, "invalid_credential");
    ask(&sidecar, &login(&sidecar, SERVER)).ok();
}

#[test]
fn tokens_can_be_switched_off_and_on_again() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let token = login(&sidecar, SERVER);
    let switch = |from: &str, to: &str| {
        let generation = sidecar.generation();
        let text = sidecar.read("keygate.toml");
        assert!(text.contains(from));
        sidecar.replace("keygate.toml", text.replace(from, to));
        sidecar.reloaded(generation);
    };
    switch("bearer = false\ntokens = true", "bearer = true\ntokens = false");
    ask(&sidecar, &token).refused(401, "invalid_credential");
    sidecar.get(JWKS, &[&bearer(SERVER)]).ok();
    assert_eq!(origin.last().target, JWKS);
    switch("bearer = true\ntokens = false", "tokens = true");
    ask(&sidecar, &token).ok();
    sidecar.get("/a", &[&bearer(SERVER)]).ok();
}
