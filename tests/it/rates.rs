//! How many in a time: counted where it is said, told to the client, and refused before anything
//! reaches the upstream.
//!
//! The times are hours, so that nothing is paid back while a scene plays.

use crate::actors::client::{Response, bearer, head};
use crate::actors::eventually;
use crate::actors::origin::{After, Origin};
use crate::actors::scripts;
use crate::actors::setup::{OTHER, READ, Setup, WRITE, WRITE_TWO, account, key, usual_keys};
use crate::actors::sidecar::Sidecar;

/// A route of which two requests an hour are let in.
fn limited(by: &str, lines: &str) -> String {
    format!(
        "[[route]]\npath = \"/limited\"\nrate = {{ requests = 2, per = \"1h\", by = \"{by}\" }}\n\
         {lines}\n[[route]]\npath = \"/free\"\n"
    )
}

fn start(origin: &Origin, by: &str, lines: &str) -> Sidecar {
    Sidecar::start(&Setup::before(origin).config(&limited(by, lines)))
}

const POLICY: &str = "\"keygate\";q=2;w=3600";

/// The two fields, each as a whole.
fn told(response: &Response) -> (String, String) {
    let all = |name| response.values(name).join(", ");
    (all("ratelimit-policy"), all("ratelimit"))
}

/// Asserts that it was counted, with so many left and so many seconds until all are.
#[track_caller]
fn left(response: &Response, remaining: u32, reset: u32) {
    response.ok();
    let expected = (POLICY.to_owned(), format!("\"keygate\";r={remaining};t={reset}"));
    assert_eq!(told(response), expected);
    assert_eq!(response.value("retry-after"), None);
}

/// Asserts that there was no room for it. Seconds may have passed since the others.
#[track_caller]
fn spent(response: &Response) {
    assert_eq!(response.status, 429, "{response:?}");
    let (policy, limit) = told(response);
    assert_eq!(policy, POLICY);
    let reset: u32 = limit.strip_prefix("\"keygate\";r=0;t=").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&reset), "{limit}");
    let retry: u32 = response.value("retry-after").unwrap().parse().unwrap();
    assert!((1_700..=1_800).contains(&retry), "{retry}");
}

/// Asserts that nothing is said of any rate.
#[track_caller]
fn untold(response: &Response) {
    assert_eq!(told(response), (String::new(), String::new()));
    assert_eq!(response.value("retry-after"), None);
}

#[test]
fn what_is_too_many_is_told_when_to_come_back_and_never_reaches_the_upstream() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "account", "");
    let mut client = sidecar.client();
    left(&client.get("/limited", &[&bearer(READ)]), 1, 1_800);
    let second = client.get("/limited", &[&bearer(READ)]);
    second.ok();
    assert!(told(&second).1.starts_with("\"keygate\";r=0;t="));
    let third = client.get("/limited", &[&bearer(READ)]);
    third.refused(429, "rate_limited");
    spent(&third);
    // The connection goes on, and other routes do not count.
    let free = client.get("/free", &[&bearer(READ)]);
    free.ok();
    untold(&free);
    assert_eq!(origin.count(), 3);
    assert_eq!(sidecar.refusals("rate_limited"), 1);
}

#[test]
fn accounts_never_share_and_the_keys_of_one_do() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "account", "");
    sidecar.get("/limited", &[&bearer(WRITE)]).ok();
    sidecar.get("/limited", &[&bearer(WRITE_TWO)]).ok();
    spent(&sidecar.get("/limited", &[&bearer(READ)]));
    left(&sidecar.get("/limited", &[&bearer(OTHER)]), 1, 1_800);
}

#[test]
fn keys_never_share_where_keys_are_counted() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "key", "");
    for key in [WRITE, WRITE_TWO] {
        left(&sidecar.get("/limited", &[&bearer(key)]), 1, 1_800);
        sidecar.get("/limited", &[&bearer(key)]).ok();
        spent(&sidecar.get("/limited", &[&bearer(key)]));
    }
}

#[test]
fn addresses_are_those_that_are_believed() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).config(&limited("address", ""));
    let sidecar = Sidecar::start(&setup.listen("trusted_proxies = [\"127.0.0.1/32\"]"));
    let from = |key: &str, address: &str| {
        let forwarded = format!("X-Forwarded-For: 198.51.100.1, {address}");
        sidecar.get("/limited", &[&bearer(key), &forwarded])
    };
    from(WRITE, "203.0.113.1").ok();
    // What stands before the last address is what the client says of itself.
    from(OTHER, "203.0.113.1").ok();
    spent(&from(READ, "203.0.113.1"));
    left(&from(READ, "203.0.113.2"), 1, 1_800);
    // Of IPv6 a subscriber has a whole network, and would always have another address.
    from(WRITE, "2001:db8::1").ok();
    from(WRITE, "2001:db8::ffff:1").ok();
    spent(&from(WRITE, "2001:db8::2:2:2:2"));
    left(&from(WRITE, "2001:db8:0:1::1"), 1, 1_800);
}

#[test]
fn who_has_no_account_is_counted_by_address() {
    let origin = Origin::echo();
    let anonymous = "[credentials]\nanonymous = \"forward\"\n";
    let config = limited("account", "") + anonymous;
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&config));
    left(&sidecar.get("/limited", &[]), 1, 1_800);
    sidecar.get("/limited", &[]).ok();
    spent(&sidecar.get("/limited", &[]));
    // Whoever has one is another.
    left(&sidecar.get("/limited", &[&bearer(READ)]), 1, 1_800);
}

#[test]
fn a_public_route_is_limited_by_address() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "address", "public = true");
    left(&sidecar.get("/limited", &[]), 1, 1_800);
    sidecar.get("/limited", &[&bearer(READ)]).ok();
    spent(&sidecar.get("/limited", &[]));
    assert_eq!(origin.count(), 2);
}

#[test]
fn what_is_refused_for_another_reason_is_not_counted() {
    let origin = Origin::echo();
    let rules = "permissions = [\"a\"]\ncontent_type = \"application/json\"\n\
                 permission_from = \"/command\"\n";
    let keys = account("acme", "")
        + &key("may", "acme", WRITE, "access = \"write\"\npermissions = [\"a\", \"b\"]")
        + &key("may-not", "acme", WRITE_TWO, "access = \"write\"\npermissions = [\"b\"]");
    let setup = Setup::before(&origin).config(&limited("account", rules)).keys(keys);
    let sidecar = Sidecar::start(&setup);
    let json = "Content-Type: application/json";
    let post = |key: &str, kind: &str, body: &str| {
        sidecar.client().post("/limited", &[&bearer(key), kind], body.as_bytes())
    };
    let refusals = [
        post(WRITE_TWO, json, r#"{"command":"b"}"#),
        post("acme-unknown-key-0123456789abcdef", json, r#"{"command":"b"}"#),
        post(WRITE, "Content-Type: text/plain", r#"{"command":"b"}"#),
        post(WRITE, json, r#"{"command":"#),
        post(WRITE, json, r#"{"command":"c"}"#),
        sidecar.get("/limited/more", &[&bearer(WRITE)]),
    ];
    for (refused, status) in refusals.iter().zip([403, 401, 415, 400, 403, 403]) {
        assert_eq!(refused.status, status, "{refused:?}");
        untold(refused);
    }
    left(&post(WRITE, json, r#"{"command":"b"}"#), 1, 1_800);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_body_is_read_before_it_is_counted_and_not_sent_when_there_is_no_room() {
    let origin = Origin::echo();
    let keys = account("acme", "") + &key("k", "acme", WRITE, "access = \"write\"");
    let setup =
        Setup::before(&origin).config(&limited("account", "events_from = \"/action\"")).keys(keys);
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    let body = br#"{"action":"page.visit"}"#;
    for status in [200, 200, 429, 429] {
        let response = client.post("/limited", &[&bearer(WRITE)], body);
        assert_eq!(response.status, status, "{response:?}");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_route_that_does_not_enforce_counts_what_it_would_have_refused() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "account", "enforce = false");
    for _ in 0..5 {
        sidecar.get("/limited", &[&bearer(READ)]).ok();
    }
    assert_eq!(origin.count(), 5);
    assert_eq!(sidecar.counted("shadow", Some("rate_limited")), 3);
    assert_eq!(sidecar.counted("forwarded", None), 2);
    assert_eq!(sidecar.get("/limited", &[&bearer(READ)]).value("retry-after"), None);
}

#[test]
fn a_reload_keeps_what_was_counted() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "account", "");
    sidecar.get("/limited", &[&bearer(READ)]).ok();
    sidecar.get("/limited", &[&bearer(READ)]).ok();
    let before = sidecar.generation();
    sidecar.replace("keys.toml", usual_keys() + "# changed\n" + &account("third", ""));
    let before = sidecar.reloaded(before);
    spent(&sidecar.get("/limited", &[&bearer(READ)]));
    // A rate that is raised lets more in, and no more than the difference.
    let text = sidecar.read("keygate.toml");
    sidecar.replace("keygate.toml", text.replace("requests = 2", "requests = 3"));
    sidecar.reloaded(before);
    let third = sidecar.get("/limited", &[&bearer(READ)]);
    third.ok();
    assert_eq!(told(&third).0, "\"keygate\";q=3;w=3600");
    sidecar.get("/limited", &[&bearer(READ)]).refused(429, "rate_limited");
}

#[test]
fn room_returns_with_time() {
    let origin = Origin::echo();
    let config = limited("account", "").replace("\"1h\"", "\"400ms\"");
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&config));
    let mut client = sidecar.client();
    let mut get = || client.get("/limited", &[&bearer(READ)]);
    let refused = eventually("more than two in 400 ms", || Some(get()).filter(|r| r.status == 429));
    // No time is shorter than a second, in either field.
    assert_eq!(refused.value("ratelimit-policy"), Some("\"keygate\";q=2;w=1"));
    assert_eq!(refused.value("retry-after"), Some("1"));
    let again = eventually("room", || Some(get()).filter(|response| response.status == 200));
    assert!(again.value("ratelimit").is_some());
}

#[test]
fn http2_and_head_are_told_the_same() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "account", "");
    let http2 = sidecar.http2();
    left(&http2.get("/limited", &[&bearer(READ)]), 1, 1_800);
    let head = http2.request("HEAD", "/limited", &[&bearer(READ)], b"");
    assert_eq!((head.status, head.value("ratelimit-policy")), (200, Some(POLICY)));
    spent(&http2.get("/limited", &[&bearer(READ)]));
    let refused = http2.request("HEAD", "/limited", &[&bearer(READ)], b"");
    spent(&refused);
    assert!(refused.body.is_empty());
    let refused = sidecar.client().request("HEAD", "/limited", &[&bearer(READ)]);
    spent(&refused);
    assert_eq!(origin.count(), 2);
}

#[test]
fn what_the_upstream_says_of_its_own_limits_stays() {
    let answer = "HTTP/1.1 200 OK\r\nRateLimit: \"api\";r=7\r\nRateLimit-Policy: \"api\";q=9\r\n\
                  Connection: keep-alive, RateLimit-Policy\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::tcp(scripts::fixed(answer, || After::Keep));
    let sidecar = start(&origin, "account", "");
    let response = sidecar.get("/limited", &[&bearer(READ)]);
    assert_eq!(response.values("ratelimit"), ["\"api\";r=7", "\"keygate\";r=1;t=1800"]);
    // What the upstream kept for its own hop is gone, and ours is not.
    assert_eq!(response.values("ratelimit-policy"), [POLICY]);
}

#[test]
fn an_upstream_that_fails_was_charged_all_the_same() {
    let origin = Origin::tcp(scripts::fixed("", || After::Close));
    let sidecar = start(&origin, "account", "");
    let post = || sidecar.client().post("/limited", &[&bearer(WRITE)], b"x");
    let failed = post();
    failed.refused(502, "upstream_unreachable");
    assert_eq!(told(&failed), (POLICY.to_owned(), "\"keygate\";r=1;t=1800".to_owned()));
    assert_eq!(failed.value("retry-after"), None);
    assert_eq!(post().status, 502);
    spent(&post());
}

#[test]
fn a_websocket_is_told_too() {
    let origin = Origin::tcp(scripts::websocket);
    let sidecar = start(&origin, "account", "");
    let mut client = sidecar.client();
    client.send(head(
        "GET",
        "/limited",
        &[
            &bearer(READ),
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ],
    ));
    let (switched, _) = client.response_head("GET");
    assert_eq!((switched.status, switched.value("ratelimit-policy")), (101, Some(POLICY)));
}

#[test]
fn a_rate_is_asked_before_a_slot() {
    let origin = Origin::echo();
    let sidecar = start(&origin, "account", "in_flight = { max = 1, queue = \"1s\" }");
    sidecar.get("/limited", &[&bearer(READ)]).ok();
    sidecar.get("/limited", &[&bearer(READ)]).ok();
    spent(&sidecar.get("/limited", &[&bearer(READ)]));
}
