//! Logging in: who may, with what, and what is answered.

use serde_json::json;

use super::*;
use crate::actors::client::head;

#[test]
fn a_key_is_exchanged_for_a_token_that_stands_for_it() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let answer = post(&sidecar, LOGIN, &json!({ "apiKey": SERVER, "unknown": [1], "uuid": 7 }));
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
    assert_eq!(seen.value("x-key-access"), Some("write"));
    assert!(!seen.has("authorization") && !seen.has("x-profile-id"));
    let another = login(&sidecar, SERVER);
    assert_ne!(part(&another, 1)["jti"], claims["jti"]);
    let minted = sidecar.metric("keygate_requests_total", &[LOGIN, "outcome=\"minted\""]);
    assert!((minted - 2.0).abs() < 0.1, "{minted}");
}

#[test]
fn what_a_token_holds_of_its_key_tells_nothing_about_its_digest() {
    let origin = Origin::echo();
    let (one, two) = (Sidecar::start(&signed(&origin)), Sidecar::start(&signed(&origin)));
    let (one, two) = (login(&one, SERVER), login(&two, SERVER));
    assert_ne!(part(&one, 1)["key_binding"], part(&two, 1)["key_binding"]);
}

#[test]
fn a_raw_key_is_no_token_and_a_token_is_no_raw_key() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let answer = sidecar.get("/a", &[&bearer(SERVER)]);
    answer.refused(401, "invalid_credential");
    assert_eq!(sidecar.refusals("unknown_key"), 1);
    let challenge = "Bearer realm=\"keygate\", error=\"invalid_token\"";
    assert_eq!(answer.value("www-authenticate"), Some(challenge));
    let token = login(&sidecar, SERVER);
    post(&sidecar, LOGIN, &json!({ "apiKey": token })).refused(401, "invalid_credential");
    sidecar.get("/a", &[&format!("X-Api-Key: {token}")]).refused(401, "no_credential");
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_body_that_is_no_login_is_refused_before_its_key_is_looked_at() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let nested = "[".repeat(65) + &"]".repeat(65);
    for body in [
        "",
        " ",
        "null",
        "[]",
        "\"KEY\"",
        "{}",
        "{\"apiKey\":7}",
        "{\"apiKey\":null}",
        "{\"apiKey\":[\"KEY\"]}",
        "{\"apikey\":\"KEY\"}",
        "{\"apiKey\":\"KEY\",\"apiKey\":\"KEY\"}",
        "{\"apiKey\":\"KEY\",\"\\u0061piKey\":\"KEY\"}",
        "{\"apiKey\":\"KEY\",\"x\":{\"a\":1,\"a\":1}}",
        "{\"apiKey\":\"KEY\",}",
        "{\"apiKey\":\"KEY\"}x",
        "{\"apiKey\":\"KEY\"}{}",
        "\u{feff}{\"apiKey\":\"KEY\"}",
        "{'apiKey':'KEY'}",
        "apiKey=KEY",
        "{\"apiKey\":\"KEY\",\"x\":\"\\ud800\"}",
        &format!("{{\"apiKey\":\"KEY\",\"x\":{nested}}}"),
    ] {
        let body = body.replace("KEY", SERVER);
        let answer = sidecar.client().post(LOGIN, &["Connection: close"], body.as_bytes());
        answer.refused(400, "invalid_body");
        assert_eq!(answer.value("cache-control"), Some("no-store"), "{body}");
        assert!(answer.values("www-authenticate").is_empty());
    }
    let mut invalid = json!({ "apiKey": SERVER }).to_string().into_bytes();
    invalid.splice(2..2, [0xff]);
    sidecar.client().post(LOGIN, &[], &invalid).refused(400, "invalid_body");
    for body in [json!({ "apiKey": OPEN }), json!({ "apiKey": OPEN, "uuid": "u" })] {
        post(&sidecar, SIMPLE, &body).refused(400, "invalid_body");
    }
    let twice = format!(r#"{{"apiKey":"{OPEN}","email":"a","email":"b"}}"#);
    sidecar.client().post(SIMPLE, &[], twice.as_bytes()).refused(400, "invalid_body");
}

#[test]
fn a_key_in_a_body_is_judged_like_one_in_a_header() {
    let origin = Origin::echo();
    let past = "expires = 2020-01-01T00:00:00Z";
    let more = [
        account("off", "disabled = true"),
        key("revoked", "acme", "revoked-key-0123456789abcdef", "revoked = 2020-01-01T00:00:00Z"),
        key("expired", "acme", "expired-key-0123456789abcdef", past),
        key("disabled", "off", "disabled-key-0123456789abcdef", ""),
        key("away", "acme", "away-key-0123456789abcdef", "ips = [\"192.0.2.0/24\"]"),
        key(
            "both",
            "off",
            "both-key-0123456789abcdef",
            "ips = [\"192.0.2.0/24\"]\nkind = \"profile\"",
        ),
    ];
    let setup = signed(&origin).keys(keys("") + &more.concat());
    let setup = setup.config("[responses]\ndisclose = true\nunknown_key = { status = 400 }\n");
    let sidecar = Sidecar::start(&setup);
    for (key, status, reason) in [
        ("nobody-knows-this-key-0123456789", 400, "unknown_key"),
        ("short", 401, "malformed_key"),
        ("", 401, "malformed_key"),
        ("kg_0123456789abcdef", 401, "malformed_key"),
        ("revoked-key-0123456789abcdef", 401, "revoked_key"),
        ("expired-key-0123456789abcdef", 401, "expired_key"),
        ("disabled-key-0123456789abcdef", 403, "account_disabled"),
        ("away-key-0123456789abcdef", 403, "ip_not_allowed"),
        ("both-key-0123456789abcdef", 403, "account_disabled"),
        (&crate::actors::setup::sha256(SERVER), 401, "malformed_key"),
    ] {
        let mark = sidecar.log.mark();
        let answer = post(&sidecar, LOGIN, &json!({ "apiKey": key }));
        answer.refused(status, reason);
        if status == 401 {
            let challenge = "Bearer realm=\"keygate\", error=\"invalid_token\"";
            assert_eq!(answer.value("www-authenticate"), Some(challenge));
        }
        let id = answer.value("x-request-id").unwrap().to_owned();
        let line = sidecar.logged(mark, "the refusal", |line| line.text.contains(&id));
        assert_eq!(line.texts("reason"), [reason]);
        assert_eq!(line.texts("route"), [LOGIN]);
        let known = !["unknown_key", "malformed_key"].contains(&reason);
        assert_eq!(line.member("key").is_some_and(|key| !key.is_null()), known, "{reason}");
    }
}

#[test]
fn our_paths_take_their_own_methods_only_and_no_route_has_them() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let token = login(&sidecar, SERVER);
    for (path, methods) in [
        (LOGIN, ["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE"]),
        (SIMPLE, ["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "BREW"]),
        (REFRESH, ["POST", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE", "BREW"]),
        (JWKS, ["POST", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE", "BREW"]),
    ] {
        for method in methods {
            let answer = sidecar.client().request(method, path, &[&bearer(&token)]);
            assert_eq!(answer.status, 403, "{method} {path}");
            assert_eq!(answer.body.is_empty(), method == "HEAD");
            // Whoever asks: what is ours is nobody else's, credential or none.
            let answer = sidecar.client().request(method, path, &[]);
            assert_eq!(answer.status, 403, "{method} {path}");
        }
    }
    assert_eq!(sidecar.refusals("no_route"), 56);
    for path in [LOGIN, REFRESH, JWKS] {
        for other in [format!("{path}/"), path.replacen("/u", "/U", 1) + "x"] {
            sidecar.get(&other, &[]).refused(401, "no_credential");
        }
        // Some servers would take these for ours.
        let (first, rest) = path.rsplit_once('/').unwrap();
        for other in [format!("{path};a"), format!("{first}%2F{rest}"), format!("{first};x/{rest}")]
        {
            sidecar.get(&other, &[&bearer(&token)]).refused(400, "ambiguous_path");
        }
    }
    let encoded = LOGIN.replace("login", "%6Cogin");
    token_of(&post(&sidecar, &encoded, &json!({ "apiKey": SERVER })));
    assert_eq!(origin.count(), 0);
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let token = login(&sidecar, SERVER);
    for path in [JWKS, REFRESH] {
        let mut client = sidecar.client();
        let get = client.get(path, &[&bearer(&token)]);
        let head = client.request("HEAD", path, &[&bearer(&token)]);
        assert_eq!((get.status, head.status), (200, 200));
        assert!(head.body.is_empty());
        for name in ["content-length", "content-type", "cache-control"] {
            assert_eq!(get.value(name), head.value(name), "{path}: {name}");
        }
        client.get("/next", &[&bearer(&token)]).ok();
    }
    let answer = sidecar.http2().request("HEAD", JWKS, &[], b"");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[test]
fn no_login_is_taken_in_clear() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let body = json!({ "apiKey": SERVER }).to_string();
    let answer = sidecar.plain().post(LOGIN, &[], body.as_bytes());
    answer.refused(401, "insecure_transport");
    for path in [REFRESH, JWKS] {
        sidecar.plain().get(path, &[]).refused(401, "insecure_transport");
    }
    assert_eq!(sidecar.counted("minted", None), 0);
}

#[test]
fn a_body_comes_in_any_framing_and_never_becomes_the_next_request() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let body = json!({ "apiKey": SERVER }).to_string();
    let mut client = sidecar.client();
    client.send(head("POST", LOGIN, &["Transfer-Encoding: chunked"]));
    for piece in body.as_bytes().chunks(7) {
        client.send(format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)));
    }
    client.send("0\r\n\r\n");
    let token = token_of(&client.response("POST"));
    // Wanted: it is asked for.
    let length = format!("Content-Length: {}", body.len());
    client.send(head("POST", LOGIN, &["Expect: 100-continue", &length]));
    let interim = client.response_head_interim();
    assert_eq!(interim, 100);
    client.send(&body);
    token_of(&client.response("POST"));
    // Refused, with a body that was not wanted at all.
    let refusal = client.post(JWKS, &[], body.as_bytes());
    assert_eq!(refusal.reason(), "no_route");
    client.send(head("GET", JWKS, &[&length]));
    client.send(&body);
    client.response("GET").ok();
    client.get("/next", &[&bearer(&token)]).ok();
    assert_eq!(origin.only().target, "/next");
    let answer = sidecar.http2().request("POST", LOGIN, &[], body.as_bytes());
    token_of(&answer);
}

#[test]
fn a_body_that_is_too_large_is_not_read() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin));
    let sized = |size: usize| {
        let bare = json!({ "apiKey": SERVER, "x": "" }).to_string().len();
        json!({ "apiKey": SERVER, "x": "x".repeat(size - bare) }).to_string()
    };
    let mut client = sidecar.client();
    let token = token_of(&client.post(LOGIN, &[], sized(16 << 10).as_bytes()));
    client.post(LOGIN, &[], sized((16 << 10) + 1).as_bytes()).refused(413, "body_too_large");
    // In pieces nobody says how large it is.
    let large = sized(20_000);
    client.send(head("POST", LOGIN, &["Transfer-Encoding: chunked"]));
    client.send(format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len()));
    client.response("POST").refused(413, "body_too_large");
    client.get("/next", &[&bearer(&token)]).ok();
    // Nobody is asked to go on.
    client.send(head("POST", LOGIN, &["Expect: 100-continue", "Content-Length: 16385"]));
    let answer = client.response("POST");
    answer.refused(413, "body_too_large");
    assert!(answer.interim.is_empty() && answer.value("connection") == Some("close"));
    assert!(client.closed());
    // A very long one ends the connection instead of being read away.
    let mut client = sidecar.client();
    client.send(head("POST", LOGIN, &["Content-Length: 10000000"]));
    let answer = client.response("POST");
    answer.refused(413, "body_too_large");
    assert!(client.closed());
    // Over HTTP/2 it costs its own stream, and nobody else's.
    let http2 = sidecar.http2();
    for _ in 0..5 {
        let answer = http2.request("POST", LOGIN, &[], &[b'x'; 20_000]);
        answer.refused(413, "body_too_large");
    }
    token_of(&http2.request("POST", LOGIN, &[], sized(16 << 10).as_bytes()));
    assert_eq!(origin.only().target, "/next");
}

/// Nobody must show a key to send a login: what strangers send slowly takes no room from those who
/// have shown theirs.
#[test]
fn logins_that_do_not_go_on_take_no_room_from_inspected_bodies() {
    let origin = Origin::echo();
    let route = "[[route]]\npath = \"/events\"\nevents_from = \"/action\"\nmax_body = \"64KiB\"\n";
    let setup = signed(&origin).set("credentials.bearer=true").set("routes.body_memory=128KiB");
    let sidecar = Sidecar::start(&setup.config(route));
    let strangers = (0..8).map(|_| {
        let mut stranger = sidecar.client();
        stranger.send(head("POST", LOGIN, &["Content-Length: 16000"]));
        stranger.send([b' '; 12_000]);
        stranger
    });
    let strangers: Vec<_> = strangers.collect();
    let body = format!("{{\"action\":\"{}\"}}", "a".repeat(60_000));
    for _ in 0..20 {
        sidecar.client().post("/events", &[&bearer(SERVER)], body.as_bytes()).ok();
    }
    drop(strangers);
}

#[test]
fn a_path_can_be_another_or_none() {
    let origin = Origin::echo();
    let setup = signed(&origin).set("tokens.login=/in").set("tokens.refresh=false");
    let sidecar = Sidecar::start(&setup.set("tokens.jwks=false"));
    let token = token_of(&post(&sidecar, "/in", &json!({ "apiKey": SERVER })));
    for path in [LOGIN, REFRESH, JWKS] {
        sidecar.get(path, &[&bearer(&token)]).ok();
        assert_eq!(origin.last().target, path);
    }
}

#[test]
fn a_refresh_wants_a_live_token_by_bearer() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin).set("credentials.header=X-Api-Key"));
    let token = login(&sidecar, SERVER);
    let fresh = token_of(&refresh(&sidecar, &token));
    assert_ne!(fresh, token);
    ask(&sidecar, &fresh).ok();
    ask(&sidecar, &token).ok();
    let asked = |fields: &[&str]| sidecar.get(REFRESH, fields);
    asked(&[]).refused(401, "no_credential");
    asked(&[&bearer(SERVER)]).refused(401, "invalid_credential");
    asked(&[&bearer(&format!("{token}x"))]).refused(401, "invalid_credential");
    asked(&[&bearer("a.b.c")]).refused(401, "invalid_credential");
    asked(&[&format!("X-Api-Key: {token}")]).refused(401, "invalid_credential");
    asked(&[&format!("X-Api-Key: {SERVER}")]).refused(401, "invalid_credential");
    asked(&[&bearer(&token), &bearer(&token)]).refused(400, "ambiguous_credential");
    asked(&["Authorization: Basic eDp5"]).refused(401, "malformed_credential");
    assert_eq!(sidecar.refusals("invalid_token"), 5);
}

/// With a carrier that counts on some requests only, so does a token.
#[test]
fn a_token_that_does_not_count_refreshes_nothing() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin).set("credentials.requires_json=true"));
    let token = login(&sidecar, SERVER);
    refresh(&sidecar, &token).refused(401, "credential_ignored");
    let json = "Accept: application/json";
    token_of(&sidecar.get(REFRESH, &[&bearer(&token), json]));
}

#[test]
fn nothing_secret_is_ever_logged() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&signed(&origin).env("RUST_LOG", "trace"));
    let token = login(&sidecar, SERVER);
    let own = simple(&sidecar, SALTED, json!({ "email": "anna@example.com", "salt": SALT }));
    let fresh = token_of(&refresh(&sidecar, &token));
    for token in [&token, &own, &fresh] {
        ask(&sidecar, token).ok();
        ask(&sidecar, &format!("{token}x")).refused(401, "invalid_credential");
    }
    post(&sidecar, SIMPLE, &json!({ "apiKey": SALTED, "email": "a@b", "salt": "a wrong salt" }));
    post(&sidecar, LOGIN, &json!({ "apiKey": "nobody-knows-this-key-0123456789" }));
    let path = format!("/last?token={token}");
    sidecar.get(&path, &[&bearer(&token), "X-Request-Id: the-last"]).ok();
    sidecar.logged(0, "the last request", |line| line.text.contains("the-last"));
    let log = sidecar.log.text() + &sidecar.admin("/metrics").text();
    assert!(log.contains("minted") && log.contains(LOGIN));
    let pem = sidecar.read("tokens.pem");
    let private: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let signature = |token: &'_ str| token.rsplit('.').next().unwrap().to_owned();
    for secret in [
        SERVER,
        SALTED,
        SALT,
        "a wrong salt",
        "nobody-knows",
        "PRIVATE KEY",
        "anna@example.com",
        &signature(&token),
        &signature(&own),
        &signature(&fresh),
        private.get(24..48).unwrap(),
    ] {
        assert!(!log.contains(secret), "{secret} in:\n{log}");
    }
}

/// An announced body, and the status that comes before it is sent.
trait Interim {
    fn response_head_interim(&mut self) -> u16;
}

impl Interim for crate::actors::client::Client {
    fn response_head_interim(&mut self) -> u16 {
        let head = self.wire.head().expect("an answer").expect("an answer");
        let (first, _) = crate::actors::wire::parse_head(&head);
        first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}
