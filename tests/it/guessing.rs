//! Who fails too often is told to come back later, and nobody else is.

use crate::actors::client::{Client, Response, basic, bearer};
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup, key, usual_keys};
use crate::actors::sidecar::Sidecar;

const THREE: &str = "[limits]\nfailures = { requests = 3, per = \"1h\" }\n";

/// A key that nobody has.
fn guess(number: usize) -> String {
    bearer(&format!("a-guess-that-is-wrong-{number:08}"))
}

/// Fails so many times, each with another key.
fn fail(client: &mut Client, times: usize) {
    for number in 0..times {
        client.get("/", &[&guess(number)]).refused(401, "invalid_credential");
    }
}

#[track_caller]
fn told_to_wait(answer: &Response) {
    answer.refused(429, "rate_limited");
    let wait: u64 = answer.value("retry-after").unwrap().parse().unwrap();
    // A third of the hour.
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert_eq!(answer.value("www-authenticate"), None);
}

#[test]
fn who_fails_too_often_is_told_when_to_come_back_and_a_valid_key_passes_from_there() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(THREE));
    let mut client = sidecar.client();
    fail(&mut client, 3);
    for number in 0..10 {
        told_to_wait(&client.get("/", &[&guess(number)]));
        client.get("/", &[&bearer(READ)]).ok();
    }
    // On a new connection too, and over HTTP/2.
    told_to_wait(&sidecar.get("/", &[&guess(0)]));
    told_to_wait(&sidecar.http2().get("/", &[&guess(0)]));
    assert_eq!(origin.count(), 10);
    assert_eq!((sidecar.refusals("unknown_key"), sidecar.refusals("rate_limited")), (3, 12));
}

#[test]
fn only_what_a_guess_gets_counts() {
    let origin = Origin::echo();
    let keys = usual_keys()
        + &key("old", "acme", "a-key-that-is-over-0123456789", "expires = 2020-01-01")
        + &key("gone", "acme", "a-key-that-was-revoked-0123456", "revoked = 2020-01-01");
    let config = format!("{THREE}[[route]]\npath = \"/{{*rest}}\"\nmethods = [\"GET\"]\n");
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&config).keys(keys));
    let mut client = sidecar.client();
    for _ in 0..5 {
        client.get("/", &[]).refused(401, "no_credential");
        client.get("/", &[&bearer("a-key-that-is-over-0123456789")]).refused(401, INVALID);
        client.get("/", &[&bearer("a-key-that-was-revoked-0123456")]).refused(401, INVALID);
        client.request("DELETE", "/", &[&bearer(READ)]).refused(403, "no_route");
        client.get("/", &[&bearer(READ)]).ok();
    }
    client.get("/", &[&bearer("short")]).refused(401, INVALID);
    fail(&mut client, 2);
    told_to_wait(&client.get("/", &[&bearer("short")]));
}

const INVALID: &str = "invalid_credential";

#[test]
fn one_guesser_behind_a_shared_proxy_does_not_answer_for_the_others() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).listen("trusted_proxies = [\"127.0.0.1\"]").config(THREE);
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    let from = |address: &str| format!("X-Forwarded-For: {address}");
    for number in 0..3 {
        let fields = [&guess(number), &from("192.0.2.66")];
        client.get("/", &fields.map(String::as_str)).refused(401, INVALID);
    }
    told_to_wait(&client.get("/", &[&guess(0), &from("192.0.2.66")]));
    client.get("/", &[&guess(0), &from("192.0.2.7")]).refused(401, INVALID);
    client.get("/", &[&bearer(READ), &from("192.0.2.66")]).ok();
    // What the guesser claims beyond the proxy is not believed.
    told_to_wait(&client.get("/", &[&guess(0), &from("198.51.100.1, 192.0.2.66")]));
    // Of IPv6 a subscriber has a whole network.
    for host in 1..=3 {
        let from = from(&format!("2001:db8::{host}"));
        client.get("/", &[&guess(host), &from]).refused(401, INVALID);
    }
    told_to_wait(&client.get("/", &[&guess(0), &from("2001:db8::4:4")]));
    client.get("/", &[&guess(0), &from("2001:db8:0:1::1")]).refused(401, INVALID);
}

#[test]
fn logins_that_fail_count_like_requests_that_do() {
    let origin = Origin::echo();
    let profile = key(
        "app",
        "acme",
        "a-profile-key-0123456789abcdef",
        "kind = \"profile\"\nsimple_auth = { salt = \"pepper-and-salt\" }",
    );
    let config = format!("[credentials]\ntokens = true\n[tokens]\n{THREE}");
    let setup = Setup::before(&origin).config(&config).keys(usual_keys() + &profile);
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    let mut login = |path: &str, body: &str| {
        client.post(path, &["Content-Type: application/json"], body.as_bytes())
    };
    let (plain, simple) = ("/uauth/v2/auth/login/profile", "/sauth/v3/auth/login/client/simple");
    login(plain, r#"{"apiKey": "a-guess-that-is-wrong-0123"}"#).refused(401, INVALID);
    let wrong = r#"{"apiKey": "a-profile-key-0123456789abcdef", "customId": "1", "salt": "x"}"#;
    login(simple, wrong).refused(401, "simple_auth_refused");
    login(plain, r#"{"apiKey": "another-guess-that-is-wrong"}"#).refused(401, INVALID);
    told_to_wait(&login(simple, wrong));
    assert_eq!(login(plain, r#"{"apiKey": "a"}"#).status, 429);
    login(plain, &format!("{{\"apiKey\": {READ:?}}}")).ok();
    // A request with a token that does not verify is one more.
    let token = bearer("eyJhbGciOiJub25lIn0.e30.AAAA");
    told_to_wait(&client.get("/", &[&token]));
}

#[test]
fn a_wrong_user_name_counts_too() {
    let origin = Origin::echo();
    let config = format!("{THREE}[credentials]\nbasic = {{ username = \"api\" }}\n");
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&config));
    let mut client = sidecar.client();
    for _ in 0..3 {
        client.get("/", &[&basic("admin", READ)]).refused(401, "malformed_credential");
    }
    told_to_wait(&client.get("/", &[&basic("admin", READ)]));
    client.get("/", &[&basic("api", READ)]).ok();
}

#[test]
fn what_was_counted_outlives_a_reload_and_the_limit_can_be_changed_and_switched_off() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(THREE));
    let mut client = sidecar.client();
    fail(&mut client, 3);
    let text = sidecar.read("keygate.toml");
    let change = |to: &str| {
        let generation = sidecar.generation();
        let limits = format!("[limits]\nfailures = {to}\n");
        let changed = text.replace(THREE, &limits);
        sidecar.replace("keygate.toml", changed + &format!("# {to}\n"));
        sidecar.reloaded(generation);
    };
    change("{ requests = 3, per = \"1h\" }");
    told_to_wait(&client.get("/", &[&guess(0)]));
    change("{ requests = 5, per = \"1h\" }");
    fail(&mut client, 2);
    assert_eq!(client.get("/", &[&guess(0)]).status, 429);
    change("false");
    fail(&mut client, 100);
}

#[test]
fn unless_something_else_is_said_there_is_room_for_honest_mistakes() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    fail(&mut client, 900);
    let mut later = (900..10_000).map(|number| client.get("/", &[&guess(number)]).status);
    assert!(later.any(|status| status == 429), "there is no end of guessing");
    drop(later);
    client.get("/", &[&bearer(READ)]).ok();
}
