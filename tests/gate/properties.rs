//! What holds whatever the world and whatever the request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use keygate::gate::{
    Anonymous, BasicUser, BodyRules, Denial, Facts, HttpAccepts, Parts, Pointer, Route, Step,
    Transport, Unmatched, decide, decide_as,
};
use keygate::keys::{
    Access, Account, AttributeRules, EventRules, KeyRecord, Kind, Name, Permission,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::documents::document;
use crate::world::{KEY, account, ask, inspecting, key, route, snapshot, world};

/// Names that meet one another in many ways.
const NAMES: [&str; 6] = ["A", "A_B", "A_B_C", "B", "A_B_*", "A_*"];

/// One route for each thing that can be asked for.
fn routes() -> Vec<Route> {
    let names = |list: &[&str]| list.iter().map(|name| Name::new(name).unwrap()).collect();
    let pointers = |list: &[&str]| list.iter().map(|text| Pointer::parse(text).unwrap()).collect();
    let events = BodyRules { events_from: pointers(&["/action", "/*/action"]), ..rules() };
    let attributes = BodyRules {
        attributes_from: pointers(&["", "/attributes"]),
        tags_from: pointers(&["/tags"]),
        ..rules()
    };
    vec![
        Route { permissions: names(&["A"]), ..route("/one") },
        Route { permissions: names(&["A", "A_B"]), ..route("/both") },
        Route { any_permission: names(&["A_B_C", "B"]), ..route("/any") },
        inspecting(
            "/body",
            BodyRules { permission_from: pointers(&["/command", "/query"]), ..rules() },
        ),
        inspecting("/events", events.clone()),
        inspecting("/fixed", BodyRules { events: vec!["a".into()], ..rules() }),
        inspecting("/attributes", attributes),
        Route { account_from: Some(1), ..route("/of/{account}") },
        Route { profile_from: Some(1), ..route("/profile/{id}") },
        Route { kind: Some(Kind::Profile), ..route("/kind") },
        Route { public: true, ..route("/public") },
        Route { enforce: false, ..inspecting("/waived", events) },
        route("/"),
    ]
}

fn rules() -> BodyRules {
    BodyRules { content_type: Some("application/json".into()), ..BodyRules::default() }
}

fn path() -> impl Strategy<Value = String> {
    let known = routes().into_iter().map(|route| route.path.as_str().to_owned());
    let filled = known.map(|path| path.replace("{account}", "acme").replace("{id}", "7"));
    prop_oneof![30 => select(filled.collect::<Vec<_>>()), 1 => Just("/of/other".to_owned())]
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![3 => Just(Method::POST), 1 => Just(Method::GET), 1 => Just(Method::DELETE)]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let name = || select(NAMES.to_vec());
    let of = |text: String| text.into_bytes();
    prop_oneof![
        2 => name().prop_map(move |name| of(format!(r#"{{"command":"{name}"}}"#))),
        1 => select(vec!["a", "b", "c"]).prop_map(move |it| of(format!(r#"{{"action":"{it}"}}"#))),
        1 => Just(br#"{"email":1,"attributes":{"a":1},"tags":["t"]}"#.to_vec()),
        1 => Just(Vec::new()),
        2 => document(),
    ]
}

fn list() -> impl Strategy<Value = Option<Box<[Permission]>>> {
    prop::option::of(prop::collection::vec(permission(), 0..4).prop_map(Into::into))
}

fn permission() -> impl Strategy<Value = Permission> {
    let any = prop_oneof![12 => select(NAMES.to_vec()), 1 => Just("*")];
    any.prop_map(|name| Permission::new(name).unwrap())
}

fn a_key() -> impl Strategy<Value = KeyRecord> {
    let names = || prop::collection::vec(select(vec!["a", "b"]), 0..2);
    let attributes = prop::option::of((names(), names()));
    (list(), any::<bool>(), names(), names(), attributes).prop_map(
        |(permissions, writes, allow, deny, attributes)| {
            let list = |names: Vec<&str>| names.into_iter().map(Into::into).collect();
            KeyRecord {
                permissions,
                access: Some(if writes { Access::Write } else { Access::Read }),
                events: EventRules { allow: list(allow), deny: list(deny) },
                attributes: attributes.map(|(allow, tags)| {
                    Box::new(AttributeRules { allow: list(allow), tags: list(tags) })
                }),
                ..key("key", KEY)
            }
        },
    )
}

fn an_account() -> impl Strategy<Value = Account> {
    list().prop_map(|permissions| Account { permissions, ..account("acme") })
}

fn allows(account: &Account, key: &KeyRecord, request: &(Method, String, Vec<u8>)) -> bool {
    let snapshot = snapshot(world(vec![account.clone()], vec![key.clone()], routes()));
    let (method, path, body) = request;
    ask(&snapshot, method, path, body).is_ok()
}

/// A list with one more on it. What is not limited stays so.
fn more(list: &Option<Box<[Permission]>>, one: &Permission) -> Option<Box<[Permission]>> {
    list.as_ref().map(|list| list.iter().chain([one]).cloned().collect())
}

/// A list of which only some are left, of those that there are or could be.
fn fewer(list: &Option<Box<[Permission]>>, keep: &[bool]) -> Option<Box<[Permission]>> {
    let all: Vec<_> = NAMES.iter().map(|name| Permission::new(name).unwrap()).collect();
    let list = list.as_deref().unwrap_or(&all);
    Some(list.iter().zip(keep).filter(|(_, keep)| **keep).map(|(one, _)| one.clone()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn a_permission_more_never_turns_an_allow_into_a_deny(
        account in an_account(), key in a_key(), one in permission(),
        request in (method(), path(), body()),
    ) {
        prop_assume!(allows(&account, &key, &request));
        let richer = KeyRecord { permissions: more(&key.permissions, &one), ..key.clone() };
        prop_assert!(allows(&account, &richer, &request), "to the key");
        let wider = Account { permissions: more(&account.permissions, &one), ..account };
        prop_assert!(allows(&wider, &key, &request), "to the account");
        prop_assert!(allows(&wider, &richer, &request), "to both");
    }

    #[test]
    fn a_narrower_account_never_allows_more(
        account in an_account(), key in a_key(), keep in prop::collection::vec(any::<bool>(), 6),
        request in (method(), path(), body()),
    ) {
        let narrower = Account { permissions: fewer(&account.permissions, &keep), ..account.clone() };
        prop_assume!(allows(&narrower, &key, &request));
        prop_assert!(allows(&account, &key, &request));
    }

    #[test]
    fn a_narrower_key_never_allows_more(
        account in an_account(), key in a_key(), keep in prop::collection::vec(any::<bool>(), 6),
        request in (method(), path(), body()), event in select(vec!["a", "b", ""]),
        narrow in 0..5_usize,
    ) {
        let mut narrower = key.clone();
        match narrow {
            0 => narrower.permissions = fewer(&key.permissions, &keep),
            1 => narrower.events.deny = key.events.deny.iter().cloned().chain([event.into()]).collect(),
            2 if key.events.allow.is_empty() => narrower.events.allow = [event.into()].into(),
            2 => {}
            3 => narrower.attributes = Some(Box::default()),
            _ => narrower.access = Some(Access::Read),
        }
        prop_assume!(allows(&account, &narrower, &request));
        prop_assert!(allows(&account, &key, &request));
    }
}

/// Any world's ways of taking credentials.
fn a_world() -> impl Strategy<Value = Parts> {
    let basic = select(vec![None, Some(BasicUser::Fixed("api".into())), Some(BasicUser::Account)]);
    let header = select(vec![None, Some(HeaderName::from_static("x-api-key"))]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let http =
        select(vec![HttpAccepts::Nothing, HttpAccepts::ForwardedHttps, HttpAccepts::Everything]);
    (an_account(), a_key(), basic, header, flags, http).prop_map(
        |(account, key, basic, header, flags, http_accepts)| {
            let (bearer, tokens, requires_json, forward, unmatched) = flags;
            let mut parts = world(vec![account], vec![key], routes());
            parts.credentials.bearer = bearer;
            parts.credentials.tokens = tokens;
            parts.credentials.basic = basic;
            parts.credentials.header = header;
            parts.credentials.requires_json = requires_json;
            if forward {
                parts.credentials.anonymous = Anonymous::Forward;
            }
            if unmatched {
                parts.unmatched = Unmatched::Allow;
            }
            Parts { http_accepts, ..parts }
        },
    )
}

fn any_method() -> impl Strategy<Value = Method> {
    let token = "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}";
    let odd = token.prop_map(|text| Method::from_bytes(text.as_bytes()).unwrap());
    prop_oneof![method(), Just(Method::OPTIONS), Just(Method::CONNECT), odd]
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        path(),
        any::<String>(),
        "(/|%2f|%2e|%|\\.|;|\\\\|%25|%c0%af|acme|é){0,12}",
        (path(), any::<String>()).prop_map(|(path, more)| path + &more),
    ]
}

/// Headers that decisions look at, with all sorts of values.
fn any_headers() -> impl Strategy<Value = HeaderMap> {
    let name = select(vec![
        "authorization",
        "authorization",
        "authorization",
        "x-api-key",
        "accept",
        "content-type",
        "content-type",
        "content-encoding",
        "content-length",
        "x-forwarded-proto",
        "host",
    ]);
    let usual = select(vec![
        format!("Bearer {KEY}"),
        format!("bearer   {KEY}"),
        KEY.to_owned(),
        "Basic YXBpOmEta2V5LW9mLXRoZXNlLXRlc3Rz".to_owned(),
        "Basic YWNtZTphLWtleS1vZi10aGVzZS10ZXN0cw==".to_owned(),
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJrZXkifQ.".to_owned(),
        "application/json".to_owned(),
        "application/json; charset=utf-16".to_owned(),
        "identity".to_owned(),
        "https".to_owned(),
        "*/*;q=0".to_owned(),
        "18446744073709551616".to_owned(),
    ]);
    let visible = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
    let odd = prop::collection::vec(any::<u8>().prop_filter("not in a header", visible), 0..40);
    let scheme = select(vec!["", "Bearer ", "Basic ", "bearer", "Digest ", "BASIC\t"]);
    let value = prop_oneof![
        2 => usual.prop_map(String::into_bytes),
        1 => (scheme, odd).prop_map(|(scheme, rest)| [scheme.as_bytes(), &rest].concat()),
    ];
    prop::collection::vec((name, value), 0..5).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        headers
    })
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    prop_oneof![v4, v6]
}

fn any_body() -> impl Strategy<Value = Result<Vec<u8>, Denial>> {
    prop_oneof![
        body().prop_map(Ok),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Ok),
        select(Denial::ALL.to_vec()).prop_map(Err),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_decision_never_panics(
        parts in a_world(), method in any_method(), path in any_path(), headers in any_headers(),
        client in any_address(), flags in any::<[bool; 3]>(), body in any_body(),
        now in -377_705_023_201_i64..253_402_207_200,
    ) {
        let snapshot = snapshot(parts);
        let [tls, trusted, has_body] = flags;
        let transport = if tls { Transport::Tls } else { Transport::Plain };
        let facts =
            Facts::new(&method, &path, transport, (client, trusted), &headers, has_body);
        let now = Timestamp::from_second(now).unwrap();
        let (key, _) = snapshot.table().keys().next().unwrap();
        for verdict in [decide(&facts, &snapshot, now), decide_as(key, &facts, &snapshot, now)] {
            let body = body.as_deref().map_err(|denial| *denial);
            match verdict.outcome {
                Ok(Step::Inspect(inspection)) => drop(inspection.judge(body, &snapshot)),
                Ok(Step::Answer(endpoint)) => {
                    drop(endpoint.answer(&facts, body, &snapshot, now, [7; 16]));
                }
                Ok(Step::Grant(_)) => {}
                Err(denial) => drop(denial.check(verdict.passed)),
            }
        }
    }
}
