//! What a key may do, in one small world, as data: each rule, and what is just beyond it.

use std::time::Duration;

use keygate::gate::{
    Anonymous, BodyRules, Check, Credentials, InFlight, LaneKey, LimitBy, Parts, Pointer, Route,
    Snapshot, Step, Unmatched,
};
use keygate::keys::{Access, Account, EventRules, KeyRecord, Kind, Name};

use crate::decisions::{Asked, BEARER, USUAL, judged, parts, told, usual_key};
use crate::world::{KEY, account, inspecting, key, permissions, route, snapshot, world};

fn routed(key: KeyRecord, routes: Vec<Route>) -> Snapshot {
    snapshot(world(vec![account("acme")], vec![key], routes))
}

fn names(list: &[&str]) -> Vec<Name> {
    list.iter().map(|name| Name::new(name).unwrap()).collect()
}

fn asks(world: &Snapshot, method: &str, path: &str) -> String {
    told(world, Asked { method, path, ..USUAL })
}

/// A route for each thing that can be asked of who comes, and what a key gets that has nothing.
fn conditions() -> Vec<(Route, &'static str)> {
    let typed = BodyRules { content_type: Some("text/csv".into()), ..BodyRules::default() };
    vec![
        (Route { permissions: names(&["x"]), ..route("/a") }, "missing_permission"),
        (Route { any_permission: names(&["x", "y"]), ..route("/a") }, "missing_permission"),
        (Route { kind: Some(Kind::Profile), ..route("/a") }, "kind_not_allowed"),
        (Route { account_from: Some(0), ..route("/{account}") }, "wrong_account"),
        (Route { refuses_browsers: true, ..route("/a") }, "browser_refused"),
        (inspecting("/a", typed), "k"),
        (Route { profile_from: Some(0), ..route("/{id}") }, "k"),
    ]
}

#[test]
fn each_condition_is_asked_of_a_key_and_keeps_the_anonymous_out() {
    for (rule, wanted) in conditions() {
        let mut parts = world(
            vec![Account { permissions: Some(permissions(&["z"])), ..account("acme") }],
            vec![usual_key()],
            vec![rule.clone()],
        );
        let page = &[BEARER, ("origin", "https://example.com")];
        let found = told(&snapshot(parts.clone()), Asked { headers: page, ..USUAL });
        assert_eq!(found, wanted, "{rule:?}");
        parts.credentials.anonymous = Anonymous::Forward;
        let found = told(&snapshot(parts), Asked { headers: &[], ..USUAL });
        assert_eq!(found, "no_credential", "{rule:?}");
    }
    let mut parts = parts(usual_key());
    parts.credentials = Credentials { requires_json: true, ..parts.credentials };
    assert_eq!(told(&snapshot(parts.clone()), USUAL), "credential_ignored");
    parts.credentials.anonymous = Anonymous::Forward;
    assert_eq!(told(&snapshot(parts.clone()), USUAL), "nobody");
    assert_eq!(told(&snapshot(parts), Asked { path: "/b", ..USUAL }), "credential_ignored");
}

#[test]
fn a_key_that_reads_reads_and_does_no_more_anywhere() {
    for (access, default, writes) in [
        (Some(Access::Read), Access::Write, false),
        (None, Access::Read, false),
        (None, Access::Write, true),
        (Some(Access::Write), Access::Read, true),
    ] {
        let of = |unmatched| {
            let key = KeyRecord { access, ..usual_key() };
            snapshot(Parts { default_access: default, unmatched, ..parts(key) })
        };
        let (refuse, allow) = (of(Unmatched::Refuse), of(Unmatched::Allow));
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "QUERY", "get"] {
            let may = writes || ["GET", "HEAD"].contains(&method);
            let wanted = if may { "k" } else { "method_not_allowed_for_key" };
            assert_eq!(asks(&refuse, method, "/a"), wanted, "{method}");
            assert_eq!(asks(&allow, method, "/unknown"), wanted, "{method}");
            assert_eq!(asks(&refuse, method, "/unknown"), "no_route");
        }
        let passed = |path| judged(&allow, Asked { path, ..USUAL }).passed;
        assert!(passed("/a").passed(Check::Route) && !passed("/b").passed(Check::Route));
    }
}

#[test]
fn permissions_are_asked_for_all_or_one_of_them() {
    let listed = |list: &[&str]| KeyRecord { permissions: Some(permissions(list)), ..usual_key() };
    // With the three above as many as fill two words and begin a third.
    let many: Vec<_> = (0..127).map(|number| format!("p{number}")).collect();
    let mut rules = vec![
        Route { permissions: names(&["a", "b"]), ..route("/all") },
        Route { any_permission: names(&["a", "b"]), ..route("/any") },
        Route { permissions: names(&["a"]), any_permission: names(&["b", "c"]), ..route("/mixed") },
    ];
    rules.extend(
        many.iter().map(|name| Route { permissions: names(&[name]), ..route(&format!("/{name}")) }),
    );
    for (list, [all, any, mixed]) in [
        (&["a", "b"][..], [true, true, true]),
        (&["a"], [false, true, false]),
        (&["b"], [false, true, false]),
        (&["a", "c"], [false, true, true]),
        (&[], [false, false, false]),
    ] {
        let world = routed(listed(list), rules.clone());
        for (path, may) in [("/all", all), ("/any", any), ("/mixed", mixed)] {
            let wanted = if may { "k" } else { "missing_permission" };
            assert_eq!(asks(&world, "GET", path), wanted, "{list:?} {path}");
        }
    }
    for held in ["p0", "p60", "p61", "p124", "p125", "p126"] {
        let world = routed(listed(&[held]), rules.clone());
        for name in &many {
            let wanted = if name == held { "k" } else { "missing_permission" };
            assert_eq!(asks(&world, "GET", &format!("/{name}")), wanted, "{held}");
        }
    }
}

#[test]
fn accounts_and_profiles_in_paths_are_bound_to_keys() {
    let rules = || {
        vec![
            Route { account_from: Some(1), ..route("/of/{account}") },
            Route { profile_from: Some(1), ..route("/profile/{id}") },
        ]
    };
    let workspace = routed(usual_key(), rules());
    assert_eq!(asks(&workspace, "GET", "/of/acme"), "k");
    assert_eq!(asks(&workspace, "GET", "/of/%61cme"), "k");
    assert_eq!(asks(&workspace, "GET", "/of/Acme"), "wrong_account");
    assert_eq!(asks(&workspace, "GET", "/of/acme2"), "wrong_account");
    assert_eq!(asks(&workspace, "GET", "/profile/7"), "k");
    let profile = routed(KeyRecord { kind: Kind::Profile, ..usual_key() }, rules());
    assert_eq!(asks(&profile, "GET", "/profile/7"), "wrong_profile", "it names none");
}

#[test]
fn a_path_leads_to_one_place_with_and_without_its_parameters() {
    let odd = Account { id: Name::new("ac;me").unwrap(), ..account("acme") };
    let key = KeyRecord { account: odd.id.clone(), ..usual_key() };
    let rules = vec![
        Route { account_from: Some(1), ..route("/of/{account}") },
        route("/files/{name}"),
        Route { encoded_slash: true, ..route("/trees/{name}") },
        route("/{*all}"),
    ];
    let world = snapshot(world(vec![odd], vec![key], rules));
    for (path, wanted) in [
        ("/of/ac%3bme", "k"),
        ("/of/ac;me", "ambiguous_path"),
        ("/files/a;v=1", "k"),
        ("/files;v=1/a", "ambiguous_path"),
        ("/files/a%2fb", "ambiguous_path"),
        ("/trees/a%2fb", "k"),
        ("/;x/other", "ambiguous_path"),
        ("/other;x", "k"),
    ] {
        assert_eq!(asks(&world, "GET", path), wanted, "{path}");
    }
}

#[test]
fn the_method_is_looked_for_among_the_routes_of_the_path_only() {
    let of = |methods: &[&str], path: &str| {
        let methods = methods.iter().map(|method| method.parse().unwrap()).collect();
        Route { methods, ..route(path) }
    };
    let rules =
        vec![of(&["GET"], "/a"), of(&["POST"], "/a"), of(&[], "/{any}"), of(&["PUT"], "/b")];
    let world = routed(usual_key(), rules);
    for (method, path, wanted) in [
        ("GET", "/a", "k"),
        ("HEAD", "/a", "k"),
        ("POST", "/a", "k"),
        ("PUT", "/a", "no_route"),
        ("GET", "/b", "no_route"),
        ("HEAD", "/b", "no_route"),
        ("PUT", "/c", "k"),
    ] {
        assert_eq!(asks(&world, method, path), wanted, "{method} {path}");
    }
}

#[test]
fn what_is_not_enforced_passes_with_who_it_is_and_says_what_it_would_have_been() {
    let events_from = vec![Pointer::parse("/action").unwrap()];
    let body = BodyRules { events_from, ..BodyRules::default() };
    let rules = vec![
        Route { enforce: false, permissions: names(&["x"]), ..route("/waived") },
        Route { permissions: names(&["x"]), ..route("/asked") },
        Route { enforce: false, ..inspecting("/body", body) },
    ];
    let narrow = Account { permissions: Some(Box::default()), ..account("acme") };
    let world = snapshot(world(vec![narrow], vec![usual_key()], rules));
    assert_eq!(asks(&world, "GET", "/waived"), "k despite missing_permission");
    assert_eq!(asks(&world, "GET", "/asked"), "missing_permission");
    let nobody = told(&world, Asked { path: "/waived", headers: &[], ..USUAL });
    assert_eq!(nobody, "nobody despite no_credential");
    let verdict = judged(&world, Asked { path: "/body", method: "POST", ..USUAL });
    let Ok(Step::Inspect(inspection)) = verdict.outcome else { panic!("{verdict:?}") };
    let judged = inspection.judge(Ok(b"no JSON"), &world);
    assert_eq!(judged.outcome.unwrap().key(), verdict.key);
    assert_eq!(judged.shadow.unwrap().name(), "invalid_body");
}

#[test]
fn fixed_events_are_asked_for_without_a_look_at_the_body() {
    let rules = BodyRules { events: vec!["paid".into()], ..BodyRules::default() };
    let events = |allow: &[&str], deny: &[&str]| {
        let list = |list: &[&str]| list.iter().map(|event| (*event).into()).collect();
        EventRules { allow: list(allow), deny: list(deny) }
    };
    for (events, wanted) in [
        (events(&[], &[]), "k"),
        (events(&["paid"], &[]), "k"),
        (events(&["seen"], &[]), "event_not_allowed"),
        (events(&["paid"], &["paid"]), "event_not_allowed"),
        (events(&[], &["paid"]), "event_not_allowed"),
    ] {
        let key = KeyRecord { events, ..usual_key() };
        let world = routed(key, vec![inspecting("/a", rules.clone())]);
        assert_eq!(asks(&world, "POST", "/a"), wanted);
    }
}

#[test]
fn a_credential_travels_on_where_it_was_judged_or_a_route_says_so() {
    let forwards = |says: bool, route: Route, headers| {
        let mut parts = world(vec![account("acme")], vec![usual_key()], vec![route]);
        parts.credentials.anonymous = Anonymous::Forward;
        parts.identity.forward_credential = says;
        match judged(&snapshot(parts), Asked { headers, ..USUAL }).outcome {
            Ok(Step::Grant(grant)) => grant.forward_credential(),
            other => panic!("{other:?}"),
        }
    };
    let public = || Route { public: true, ..route("/a") };
    assert!(forwards(true, route("/a"), &[BEARER]) && !forwards(false, route("/a"), &[BEARER]));
    assert!(!forwards(true, route("/a"), &[]) && !forwards(true, public(), &[BEARER]));
    for says in [true, false] {
        let route = || Route { forward_credential: Some(!says), ..public() };
        assert_eq!(forwards(says, route(), &[BEARER]), !says);
    }
}

#[test]
fn requests_are_counted_with_those_that_they_belong_to() {
    let limited = |path: &str, per| {
        let in_flight = Some(InFlight { max: 1, per, queue: Duration::ZERO });
        Route { in_flight, public: path == "/public", ..route(path) }
    };
    let rules = vec![
        limited("/account", LimitBy::Account),
        limited("/key", LimitBy::Key),
        limited("/address", LimitBy::Address),
        limited("/public", LimitBy::Account),
    ];
    let keys = vec![usual_key(), key("other", "another-key-of-these-tests")];
    let world = snapshot(world(vec![account("acme")], keys, rules));
    let lane = |path, client, key| -> LaneKey {
        let headers = &[("authorization", &*format!("Bearer {key}"))];
        match judged(&world, Asked { path, client, headers, ..USUAL }).outcome {
            Ok(Step::Grant(grant)) => grant.limit().unwrap().0.clone(),
            other => panic!("{other:?}"),
        }
    };
    let other = "another-key-of-these-tests";
    for (path, other_key, other_address) in [
        ("/account", true, true),
        ("/key", false, true),
        ("/address", true, false),
        ("/public", true, false),
    ] {
        let first = lane(path, "2001:db8::1", KEY);
        assert!(first == lane(path, "2001:db8::2", KEY), "{path}: one network is one");
        assert_eq!(first == lane(path, "2001:db8::1", other), other_key, "{path}");
        assert_eq!(first == lane(path, "2001:db8:1::1", KEY), other_address, "{path}");
    }
}
