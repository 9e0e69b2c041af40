//! Who is let in, in one small world, as data: each rule, and what is just beyond it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use keygate::gate::{
    Algorithm, BasicUser, Check, Credentials, Endpoint, Facts, HttpAccepts, Parts, Revocations,
    SigningKey, Snapshot, Step, TokenSettings, Tokens, Transport, Verdict, decide,
};
use keygate::keys::{Account, KeyRecord, KeyStatus, Name};

use crate::world::{KEY, account, key, route, snapshot, world};

/// A request; what is not said of it is as usual.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) transport: Transport,
    pub(crate) client: &'a str,
    pub(crate) trusted: bool,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) now: i64,
}

pub(crate) const BEARER: (&str, &str) = ("authorization", "Bearer a-key-of-these-tests");
pub(crate) const USUAL: Asked<'_> = Asked {
    method: "GET",
    path: "/a",
    transport: Transport::Tls,
    client: "192.0.2.1",
    trusted: false,
    headers: &[BEARER],
    now: 0,
};

pub(crate) fn judged(world: &Snapshot, asked: Asked<'_>) -> Verdict {
    let mut headers = HeaderMap::new();
    for (name, value) in asked.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let client = (asked.client.parse().unwrap(), asked.trusted);
    let method = Method::from_bytes(asked.method.as_bytes()).unwrap();
    let facts = Facts::new(&method, asked.path, asked.transport, client, &headers, false);
    decide(&facts, world, Timestamp::from_second(asked.now).unwrap())
}

/// The id of the key that passes, `nobody`, or the reason; with what was waived.
pub(crate) fn told(world: &Snapshot, asked: Asked<'_>) -> String {
    let verdict = judged(world, asked);
    let id = |key| world.table().record(key).unwrap().id().to_string();
    let said = match verdict.outcome {
        Ok(Step::Grant(grant)) => grant.key().map_or("nobody".into(), id),
        Ok(Step::Inspect(_)) => "its body".into(),
        Ok(Step::Answer(_)) => "ours".into(),
        Err(denial) => denial.name().into(),
    };
    verdict.shadow.map_or(said.clone(), |denial| format!("{said} despite {}", denial.name()))
}

/// With some headers instead of the usual one.
pub(crate) fn carried(world: &Snapshot, headers: &[(&str, &str)]) -> String {
    told(world, Asked { headers, ..USUAL })
}

pub(crate) fn usual_key() -> KeyRecord {
    key("k", KEY)
}

/// One account with one key, and a route that asks for nothing.
pub(crate) fn parts(key: KeyRecord) -> Parts {
    world(vec![account("acme")], vec![key], vec![route("/a")])
}

pub(crate) fn with(credentials: impl FnOnce(Credentials) -> Credentials, key: KeyRecord) -> Parts {
    let parts = parts(key);
    Parts { credentials: credentials(parts.credentials.clone()), ..parts }
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[test]
fn a_key_is_over_at_its_instant_and_not_before() {
    let until = Some(Timestamp::from_second(100).unwrap());
    let world = snapshot(parts(KeyRecord { status: KeyStatus::Active { until }, ..usual_key() }));
    let at = |now| told(&world, Asked { now, ..USUAL });
    assert_eq!([at(99), at(100), at(101)], ["k", "expired_key", "expired_key"]);
}

#[test]
fn a_key_that_is_revoked_anywhere_is_revoked() {
    let at = Timestamp::from_second(1_000).unwrap();
    let dated = KeyRecord { status: KeyStatus::Revoked { at: Some(at) }, ..usual_key() };
    assert_eq!(told(&snapshot(parts(dated)), USUAL), "revoked_key", "the date is a note");
    let record = usual_key();
    let (ids, digests) = (HashSet::from([record.id.clone()]), [record.digest]);
    for (ids, digests) in [(&ids, &[][..]), (&HashSet::new(), &digests)] {
        let parts = parts(usual_key());
        let revoked = Revocations::resolve(&parts.table, ids, digests);
        assert_eq!(told(&Snapshot::new(parts, revoked, || ()), USUAL), "revoked_key");
    }
}

#[test]
fn a_disabled_account_refuses_keys_that_are_in_force() {
    let disabled = Account { disabled: true, ..account("acme") };
    let world = snapshot(world(vec![disabled], vec![usual_key()], vec![route("/a")]));
    assert_eq!(told(&world, USUAL), "account_disabled");
    let verdict = judged(&world, USUAL);
    assert!(verdict.key.is_some() && verdict.bearer);
    let passed = |check| verdict.passed.passed(check);
    assert!(passed(Check::Key) && !passed(Check::AccountStatus));
}

#[test]
fn an_address_is_asked_for_where_the_key_lists_some() {
    let ips = ["192.0.2.0/31", "2001:db8::/32"].map(|net| net.parse().unwrap());
    let world = snapshot(parts(KeyRecord { ips: ips.into(), ..usual_key() }));
    for (client, wanted) in [
        ("192.0.2.1", "k"),
        ("192.0.2.2", "ip_not_allowed"),
        ("2001:db8::9", "k"),
        ("2001:db9::", "ip_not_allowed"),
    ] {
        assert_eq!(told(&world, Asked { client, ..USUAL }), wanted, "{client}");
    }
}

#[test]
fn what_matches_nothing_is_told_apart() {
    let world = snapshot(parts(usual_key()));
    for (value, wanted) in [
        ("Bearer a-key-of-these-tests", "k"),
        ("bearer   a-key-of-these-tests", "k"),
        ("Bearer another-key-of-these-tests", "unknown_key"),
        ("Bearer a-key-of-these-tests-", "unknown_key"),
        ("Bearer short", "malformed_key"),
        ("Bearer kg_0123456789012345678901234567890123456789012345678", "malformed_key"),
        ("Bearer one.two.three-is-no-token-here", "unknown_key"),
        ("Bearer", "malformed_credential"),
        ("Bearer ", "malformed_credential"),
        ("Bearera-key-of-these-tests", "malformed_credential"),
        ("Basic YTpi", "malformed_credential"),
        ("Bearer a-key-of-these-tests, x", "ambiguous_credential"),
    ] {
        assert_eq!(carried(&world, &[("authorization", value)]), wanted, "{value}");
    }
    assert_eq!(carried(&world, &[]), "no_credential");
    assert_eq!(carried(&world, &[BEARER, BEARER]), "ambiguous_credential");
}

#[test]
fn basic_takes_the_one_user_name_and_keys_that_are_not_kept_from_it() {
    let fixed = |credentials| Credentials {
        basic: Some(BasicUser::Fixed("api".into())),
        bearer: false,
        ..credentials
    };
    let colons = KeyRecord { id: Name::new("c").unwrap(), ..key("c", "a:key:with:colons") };
    for (pair, allows, wanted) in [
        ("api:a-key-of-these-tests", None, "k"),
        ("api:a-key-of-these-tests", Some(true), "k"),
        ("api:a-key-of-these-tests", Some(false), "credential_not_allowed"),
        ("acme:a-key-of-these-tests", None, "malformed_credential"),
        (":a-key-of-these-tests", None, "malformed_credential"),
        ("api:", None, "malformed_credential"),
        ("api", None, "malformed_credential"),
    ] {
        let world = snapshot(with(fixed, KeyRecord { basic: allows, ..usual_key() }));
        assert_eq!(carried(&world, &[("authorization", &basic(pair))]), wanted, "{pair}");
        assert_eq!(carried(&world, &[BEARER]), "malformed_credential", "it is off");
    }
    let world = snapshot(with(fixed, colons));
    assert_eq!(carried(&world, &[("authorization", &basic("api:a:key:with:colons"))]), "c");
}

#[test]
fn basic_with_accounts_for_users_takes_keys_that_say_so_and_their_own_account() {
    let by_account = |credentials| Credentials { basic: Some(BasicUser::Account), ..credentials };
    for (pair, allows, wanted) in [
        ("acme:a-key-of-these-tests", Some(true), "k"),
        ("acme:a-key-of-these-tests", Some(false), "credential_not_allowed"),
        ("acme:a-key-of-these-tests", None, "credential_not_allowed"),
        ("other:a-key-of-these-tests", Some(true), "malformed_credential"),
        (":an-unknown-key-of-tests", Some(true), "malformed_credential"),
        ("acme:an-unknown-key-of-tests", Some(true), "unknown_key"),
    ] {
        let world = snapshot(with(by_account, KeyRecord { basic: allows, ..usual_key() }));
        assert_eq!(carried(&world, &[("authorization", &basic(pair))]), wanted, "{pair}");
        assert_eq!(carried(&world, &[BEARER]), "k");
    }
}

#[test]
fn a_header_of_its_own_is_one_more_carrier() {
    let header = |credentials| Credentials {
        header: Some(HeaderName::from_static("x-api-key")),
        ..credentials
    };
    let world = snapshot(with(header, usual_key()));
    let own = ("x-api-key", KEY);
    assert_eq!(carried(&world, &[own]), "k");
    assert!(!judged(&world, Asked { headers: &[own], ..USUAL }).bearer);
    assert_eq!(carried(&world, &[("x-api-key", "")]), "malformed_credential");
    assert_eq!(carried(&world, &[own, own]), "ambiguous_credential");
    assert_eq!(carried(&world, &[own, BEARER]), "ambiguous_credential");
    assert_eq!(carried(&world, &[("x-api-key", "a,b")]), "ambiguous_credential");
}

#[test]
fn bearer_counts_only_where_json_is_asked_for_by_name() {
    let json = |credentials| Credentials { requires_json: true, ..credentials };
    let world = snapshot(with(json, usual_key()));
    for (accept, counts) in [
        ("application/json", true),
        ("text/html, application/problem+JSON;q=0.01", true),
        ("application/json;q=0", false),
        ("application/json; q=0.000", false),
        ("application/json; q=x", false),
        ("x+json", false),
        ("*/*, application/*", false),
        ("application/jsonx", false),
    ] {
        let wanted = if counts { "k" } else { "credential_ignored" };
        assert_eq!(carried(&world, &[BEARER, ("accept", accept)]), wanted, "{accept}");
    }
    assert_eq!(carried(&world, &[("accept", "application/json")]), "no_credential");
}

/// Tokens that are minted at `/login`.
fn tokens() -> Arc<Tokens> {
    Arc::new(Tokens::new(TokenSettings {
        signer: Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()),
        verifiers: Vec::new(),
        lifetime: Duration::from_secs(60),
        max_age: Duration::from_secs(60),
        issuer: "us".into(),
        audience: "us".into(),
        endpoints: vec![(Endpoint::Login, "/login".into())],
    }))
}

#[test]
fn a_token_comes_by_bearer_only_and_a_key_only_by_what_takes_keys() {
    let carriers = |credentials| Credentials {
        bearer: false,
        tokens: true,
        header: Some(HeaderName::from_static("x-api-key")),
        basic: Some(BasicUser::Fixed("api".into())),
        ..credentials
    };
    let parts = with(carriers, usual_key());
    let world = snapshot(Parts { tokens: Some(tokens()), ..parts });
    let (headers, client) = (HeaderMap::new(), ("192.0.2.1".parse().unwrap(), false));
    let facts = Facts::new(&Method::POST, "/login", Transport::Tls, client, &headers, true);
    let body = format!("{{\"apiKey\":\"{KEY}\"}}");
    let now = Timestamp::from_second(0).unwrap();
    let minted =
        Endpoint::Login.answer(&facts, Ok(body.as_bytes()), &world, now, [1; 16]).outcome.unwrap();
    let token = minted.split('"').nth(3).unwrap();
    let bearer = |value: &str| carried(&world, &[("authorization", &format!("Bearer {value}"))]);
    assert_eq!(bearer(token), "k");
    assert_eq!(bearer(&token.replace('.', "..")), "malformed_key", "not of three parts");
    assert_eq!(bearer("one.two.three-is-no-token"), "invalid_token");
    assert_eq!(bearer(KEY), "unknown_key");
    assert_eq!(carried(&world, &[("x-api-key", KEY)]), "k");
    // They are longer than keys are.
    let by_header = carried(&world, &[("x-api-key", token)]);
    let by_basic = carried(&world, &[("authorization", &basic(&format!("api:{token}")))]);
    assert_eq!([&*by_header, &*by_basic], ["malformed_key"; 2]);
}

#[test]
fn a_path_of_ours_stays_ours_with_parameters() {
    let parts = world(vec![account("acme")], vec![usual_key()], vec![route("/{*all}")]);
    let world = snapshot(Parts { tokens: Some(tokens()), ..parts });
    for (method, path, wanted) in [
        ("POST", "/login", "ours"),
        ("POST", "/l%6fgin", "ours"),
        ("GET", "/login", "no_route"),
        ("POST", "/login;v=1", "ambiguous_path"),
        ("POST", "/logins;v=1", "k"),
    ] {
        assert_eq!(told(&world, Asked { method, path, ..USUAL }), wanted, "{method} {path}");
    }
}

#[test]
fn only_a_trusted_proxy_says_that_a_request_in_clear_is_not() {
    let said = |accepts, trusted, proto| {
        let world = snapshot(Parts { http_accepts: accepts, ..parts(usual_key()) });
        let headers = &[BEARER, ("x-forwarded-proto", proto)];
        told(&world, Asked { transport: Transport::Plain, trusted, headers, ..USUAL })
    };
    assert_eq!(said(HttpAccepts::Nothing, true, "https"), "insecure_transport");
    assert_eq!(said(HttpAccepts::Everything, false, "http"), "k");
    assert_eq!(said(HttpAccepts::ForwardedHttps, true, "HTTPS"), "k");
    assert_eq!(said(HttpAccepts::ForwardedHttps, true, "http"), "insecure_transport");
    assert_eq!(said(HttpAccepts::ForwardedHttps, true, "https,http"), "insecure_transport");
    assert_eq!(said(HttpAccepts::ForwardedHttps, false, "https"), "insecure_transport");
}
