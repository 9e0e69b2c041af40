//! Tokens of profiles: who may have one, whom it names, and what it reaches.

use serde_json::json;

use super::*;

#[test]
fn a_profile_key_is_exchanged_for_a_token_of_that_profile() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let profile = json!({
        "email": "anna+x@example.com", "customId": "anna 1/ż%20", "uuid": "4f0c", "salt": SALT,
        "unknown": {"email": "other"},
    });
    let token = simple(&sidecar, SALTED, profile);
    ask(&sidecar, &token).ok();
    let seen = origin.only();
    assert_eq!(seen.value("x-key-kind"), Some("profile"));
    assert_eq!(seen.value("x-profile-id"), Some("4f0c"));
    assert_eq!(seen.value("x-profile-custom-id"), Some("anna%201/%C5%BC%2520"));
    assert_eq!(seen.value("x-profile-email"), Some("anna+x@example.com"));
    assert_eq!(part(&token, 1)["sub"], "4f0c");
    let fresh = token_of(&refresh(&sidecar, &token));
    for name in ["uuid", "customId", "email", "auth_time", "sub", "key_id"] {
        assert_eq!(part(&fresh, 1)[name], part(&token, 1)[name], "{name}");
    }
    ask(&sidecar, &fresh).ok();
}

#[test]
fn a_profile_is_named_by_its_uuid_else_its_custom_id_else_its_email() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    for (profile, id) in [
        (json!({ "email": "e@x", "customId": "c", "uuid": "u" }), "u"),
        (json!({ "email": "e@x", "customId": "c" }), "c"),
        (json!({ "customId": "c" }), "c"),
        (json!({ "email": "e@x" }), "e@x"),
        (json!({ "email": "e@x", "uuid": "u" }), "u"),
    ] {
        let token = simple(&sidecar, OPEN, profile);
        sidecar.get(&format!("/v4/clients/{id}"), &[&bearer(&token)]).ok();
        assert_eq!(origin.last().value("x-profile-id"), Some(id));
        for other in ["u", "c", "e@x", "E@x", "other"].into_iter().filter(|other| *other != id) {
            let answer = sidecar.get(&format!("/v4/clients/{other}"), &[&bearer(&token)]);
            answer.refused(403, "wrong_profile");
        }
    }
}

#[test]
fn a_profile_reaches_its_own_path_however_that_is_encoded_and_no_other() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let token = simple(&sidecar, OPEN, json!({ "customId": "a ż+b@c" }));
    let ask = |path: &str| sidecar.get(&format!("/v4/clients/{path}"), &[&bearer(&token)]);
    for own in ["a%20%C5%BC+b@c", "%61%20%c5%bc%2b%62%40%63"] {
        ask(own).ok();
    }
    for other in ["a%20%C5%BC%20b@c", "a%20%C5%BC+b", "A%20%C5%BC+b@c", "a%20z%CC%87+b@c"] {
        ask(other).refused(403, "wrong_profile");
    }
    ask("a%2520%25C5%25BC+b@c").refused(400, "ambiguous_path");
    let server = login(&sidecar, SERVER);
    sidecar.get("/v4/clients/anyone", &[&bearer(&server)]).ok();
    assert_eq!(origin.count(), 3);
}

#[test]
fn identifiers_can_never_break_a_header() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let longest = "é".repeat(128);
    for good in [" ", "a,b; c=\"d\"", "\u{202e}\u{200b}", "100%", "<script>", longest.as_str()] {
        let token = simple(&sidecar, OPEN, json!({ "customId": good }));
        ask(&sidecar, &token).ok();
        let seen = origin.last();
        let id = seen.value("x-profile-id").unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        assert_eq!(seen.value("x-profile-custom-id"), Some(id));
    }
    for bad in ["", "a\r\nX-Account-Id: other", "a\0", "\t", "\u{7f}", "a\u{85}", &(longest + "x")]
    {
        for name in ["customId", "email", "uuid"] {
            let mut body = json!({ "apiKey": OPEN, "customId": "c", "email": "e" });
            body[name] = bad.into();
            post(&sidecar, SIMPLE, &body).refused(400, "invalid_body");
        }
    }
}

#[test]
fn a_salt_is_asked_for_where_the_key_has_one() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let with = |key: &str, salt: Value| {
        let mut body = json!({ "apiKey": key, "email": "a@b" });
        if !salt.is_null() {
            body["salt"] = salt;
        }
        post(&sidecar, SIMPLE, &body)
    };
    with(SALTED, SALT.into()).ok();
    for wrong in [Value::Null, "".into(), "x".into(), SALT.to_uppercase().into()] {
        with(SALTED, wrong).refused(401, "simple_auth_refused");
    }
    with(SALTED, format!("{SALT} ").into()).refused(401, "simple_auth_refused");
    with(SALTED, 7.into()).refused(400, "invalid_body");
    with(OPEN, Value::Null).ok();
    with(OPEN, "a salt that nobody asked for".into()).ok();
    with(OPEN, json!(["x"])).refused(400, "invalid_body");
    with(CLOSED, Value::Null).refused(401, "simple_auth_refused");
    with(CLOSED, "x".into()).refused(401, "simple_auth_refused");
}

#[test]
fn each_login_takes_its_own_kind_of_key() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    for key in [OPEN, SALTED, CLOSED] {
        post(&sidecar, LOGIN, &json!({ "apiKey": key })).refused(403, "kind_not_allowed");
    }
    let body = json!({ "apiKey": SERVER, "email": "a@b" });
    post(&sidecar, SIMPLE, &body).refused(403, "kind_not_allowed");
}
