//! Logging in: who may, with what, and what is answered.

use serde_json::json;

use super::*;

#[test]
fn a_key_is_exchanged_for_a_token_that_stands_for_it() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let answer = post(&sidecar, LOGIN, &json!({ "apiKey": SERVER, "unknown": [1] }));
    let token = token_of(&answer);
    assert_eq!(answer.value("content-type"), Some("application/json"));
    assert_eq!(answer.value("cache-control"), Some("no-store"));
    assert!(answer.value("x-request-id").is_some());
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("JWT")));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("keygate"), &json!("keygate")));
    assert_eq!((&claims["sub"], &claims["key_id"]), (&json!("acme"), &json!("server")));
    let number = |name: &str| claims[name].as_i64().expect("an integer");
    assert_eq!(number("exp") - number("iat"), 3600);
    assert_eq!(number("auth_time"), number("iat"));
    assert_eq!(origin.count(), 0);
    ask(&sidecar, &token).ok();
    let seen = origin.only();
    assert_eq!(seen.value("x-account-id"), Some("acme"));
    assert_eq!(seen.value("x-key-id"), Some("server"));
    assert_eq!(seen.value("x-key-kind"), Some("workspace"));
    assert!(!seen.has("authorization") && !seen.has("x-profile-id"));
    sidecar.get("/a", &[&bearer(SERVER)]).refused(401, "invalid_credential");
    assert_ne!(token, login(&sidecar, SERVER));
    let minted = sidecar.metric("keygate_requests_total", &[LOGIN, "outcome=\"minted\""]);
    assert!((minted - 2.0).abs() < 0.1, "{minted}");
}

#[test]
fn a_profile_key_is_exchanged_for_a_token_of_that_profile_alone() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let profile = json!({ "email": "anna@example.com", "customId": "anna 1/ż", "salt": SALT });
    let token = simple(&sidecar, SALTED, profile);
    let own = sidecar.get("/v4/clients/anna%201%20", &[&bearer(&token)]);
    own.refused(403, "wrong_profile");
    ask(&sidecar, &token).ok();
    let seen = origin.only();
    assert_eq!(seen.value("x-key-kind"), Some("profile"));
    assert_eq!(seen.value("x-profile-id"), Some("anna%201/%C5%BC"));
    assert_eq!(seen.value("x-profile-custom-id"), Some("anna%201/%C5%BC"));
    assert_eq!(seen.value("x-profile-email"), Some("anna@example.com"));
    let fresh = token_of(&refresh(&sidecar, &token));
    for name in ["customId", "email", "auth_time", "sub"] {
        assert_eq!(part(&fresh, 1)[name], part(&token, 1)[name], "{name}");
    }
    let jwks = sidecar.get(JWKS, &[]);
    jwks.ok();
    assert_eq!(jwks.value("cache-control"), Some("public, max-age=300"));
    assert_eq!(jwks.json()["keys"][0]["kid"], part(&token, 0)["kid"]);
}
