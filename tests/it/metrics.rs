//! What is counted, by the names that dashboards and alerts stand on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use crate::actors::client::{bearer, dial, head};
use crate::actors::origin::Origin;
use crate::actors::setup::{OTHER, READ, Setup, WRITE, account, key, usual_keys};
use crate::actors::sidecar::Sidecar;
use crate::actors::{eventually, scripts};

/// Every metric: its name, its type, and its labels. Names can be added, never changed.
const METRICS: &[(&str, &str, &str)] = &[
    ("keygate_accept_errors_total", "counter", "listener"),
    ("keygate_access_log_lines_dropped_total", "counter", ""),
    ("keygate_audit_log_lines_dropped_total", "counter", ""),
    ("keygate_accounts", "gauge", ""),
    ("keygate_attempts_limited_total", "counter", ""),
    ("keygate_body_memory_bytes", "gauge", ""),
    ("keygate_body_memory_limit_bytes", "gauge", ""),
    ("keygate_build_info", "gauge", "version"),
    ("keygate_certificate_expiry_timestamp_seconds", "gauge", ""),
    ("keygate_connections", "gauge", "listener"),
    ("keygate_connections_accepted_total", "counter", "listener"),
    ("keygate_connections_limit", "gauge", ""),
    ("keygate_connections_refused_total", "counter", "reason"),
    ("keygate_draining", "gauge", ""),
    ("keygate_files_checked_timestamp_seconds", "gauge", ""),
    ("keygate_in_flight_requests", "gauge", ""),
    ("keygate_key_requests_total", "counter", "account key outcome"),
    ("keygate_keys", "gauge", "state"),
    ("keygate_keys_due", "gauge", ""),
    ("keygate_keys_expiring", "gauge", "within"),
    ("keygate_keys_older_than", "gauge", "days"),
    ("keygate_last_reload_success_timestamp_seconds", "gauge", ""),
    ("keygate_last_reload_successful", "gauge", ""),
    ("keygate_limiter_addresses", "gauge", "limiter"),
    ("keygate_limiter_addresses_limit", "gauge", "limiter"),
    ("keygate_limiter_entries", "gauge", "limiter"),
    ("keygate_log_lines_dropped_total", "counter", ""),
    ("keygate_overhead_seconds", "histogram", "le"),
    ("keygate_panics_total", "counter", ""),
    ("keygate_queue_wait_seconds", "histogram", "le route"),
    ("keygate_queued_requests", "gauge", "route"),
    ("keygate_ready", "gauge", ""),
    ("keygate_reload_duration_seconds", "histogram", "le"),
    ("keygate_reloads_total", "counter", "result"),
    ("keygate_request_duration_seconds", "histogram", "le"),
    ("keygate_requests_total", "counter", "outcome reason route"),
    ("keygate_state_write_errors_total", "counter", ""),
    ("keygate_table_generation", "gauge", ""),
    ("keygate_table_info", "gauge", "digest"),
    ("keygate_tls_handshakes_total", "counter", "result"),
    ("keygate_upstream_connections", "gauge", ""),
    ("keygate_upstream_connections_idle", "gauge", ""),
    ("keygate_upstream_connections_opened_total", "counter", ""),
    ("keygate_upstream_errors_total", "counter", "kind"),
    ("keygate_upstream_requests_total", "counter", "connection"),
    ("process_cpu_seconds_total", "counter", ""),
    ("process_max_fds", "gauge", ""),
    ("process_open_fds", "gauge", ""),
    ("process_resident_memory_bytes", "gauge", ""),
    ("process_start_time_seconds", "gauge", ""),
    ("process_threads", "gauge", ""),
    ("process_virtual_memory_bytes", "gauge", ""),
];

/// Name, type and labels of everything in a text of metrics; each must say what it is.
fn families(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let (mut families, mut helped) = (BTreeMap::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{line}");
            let family = (kind.to_owned(), BTreeSet::new());
            assert!(families.insert(name.to_owned(), family).is_none(), "{line}");
        } else {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let base = base.filter(|base| families.contains_key(*base)).unwrap_or(name);
            let (_, names) = families.get_mut(base).unwrap_or_else(|| panic!("no type: {line}"));
            let labels = labels.trim_end_matches('}');
            let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
            names.extend(labels.map(|(name, _)| name.to_owned()));
        }
    }
    families
}

const QUEUE: &str = "[metrics]\nkeys = 10\n[[route]]\npath = \"/{*rest}\"\n\
                     in_flight = { max = 1, per = \"account\", queue = \"5s\" }\n";

#[test]
fn every_metric_has_its_name_its_type_and_its_labels_and_there_is_no_other() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(QUEUE));
    sidecar.get("/", &[&bearer(READ)]).ok();
    let text = sidecar.admin("/metrics").text();
    let found = families(&text);
    let wanted: BTreeMap<_, _> = METRICS
        .iter()
        .map(|(name, kind, labels)| {
            let labels = labels.split_whitespace().map(str::to_owned).collect();
            ((*name).to_owned(), ((*kind).to_owned(), labels))
        })
        .collect();
    for (name, family) in &wanted {
        assert_eq!(found.get(name), Some(family), "{name}");
    }
    let unknown: Vec<_> = found.keys().filter(|name| !wanted.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "not in the list of metrics: {unknown:?}");
    for secret in [READ, WRITE, &crate::actors::setup::sha256(READ)] {
        assert!(!text.contains(secret), "a key in the metrics");
    }
}

#[test]
fn unless_it_is_asked_for_nothing_is_counted_by_key() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    sidecar.get("/", &[&bearer(READ)]).ok();
    counted(&sidecar, "keygate_requests_total", &[], 1.0);
    let text = sidecar.admin("/metrics").text();
    assert!(!text.contains("acme-read") && !text.contains("keygate_key_requests"), "{text}");
}

#[test]
fn as_many_keys_as_asked_for_are_counted_one_by_one() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config("[metrics]\nkeys = 2\n"));
    let ask = |method: &str, key: &str| {
        sidecar.client().request(method, "/", &[&bearer(key), "Connection: close"])
    };
    for _ in 0..3 {
        ask("GET", READ).ok();
        ask("GET", WRITE).ok();
        ask("GET", OTHER).ok();
    }
    ask("DELETE", READ).refused(403, "method_not_allowed_for_key");
    sidecar.get("/", &[]).refused(401, "no_credential");
    counted(&sidecar, "keygate_requests_total", &[], 11.0);
    let key = |labels: &[&str]| sidecar.metric("keygate_key_requests_total", labels);
    assert_eq!(key(&["key=\"acme-read\"", "account=\"acme\"", "forwarded"]), 3.0);
    assert_eq!(key(&["key=\"acme-read\"", "refused"]), 1.0);
    assert_eq!(key(&["key=\"acme-write\"", "forwarded"]), 3.0);
    assert_eq!(key(&["key=\"other\"", "account=\"\"", "forwarded"]), 3.0);
    // Who had no key is nobody's request.
    assert_eq!(key(&[]), 10.0);
    // A key that is deleted gives its place up, and the sum stays.
    let generation = sidecar.generation();
    let keys = usual_keys();
    let without = keys.split("[[key]]").filter(|text| !text.contains("id = \"acme-read\""));
    sidecar.replace("keys.toml", without.collect::<Vec<_>>().join("[[key]]"));
    sidecar.reloaded(generation);
    ask("GET", OTHER).ok();
    counted(&sidecar, "keygate_key_requests_total", &["key=\"other-write\""], 1.0);
    assert_eq!(key(&["key=\"acme-read\""]), 0.0);
    assert_eq!(key(&["key=\"other\""]), 7.0);
    assert_eq!(key(&[]), 11.0);
    // And so can the number of places change while it runs.
    let generation = sidecar.generation();
    let config = sidecar.read("keygate.toml").replace("keys = 2", "keys = 0");
    sidecar.replace("keygate.toml", config);
    sidecar.reloaded(generation);
    assert_eq!(key(&[]), 0.0);
}

#[test]
fn keys_are_counted_by_what_is_left_of_them_and_by_their_age() {
    let date = |days: i64| {
        let at = keygate::clock::now() + jiff::SignedDuration::from_hours(24 * days);
        at.to_string()
    };
    let made = |id: &str, more: &str| key(id, "acme", &format!("{id}-0123456789abcdef"), more);
    let aged = |id: &str, days: i64| made(id, &format!("created = {}", date(-days)));
    let ending = |id: &str, days: i64| {
        made(id, &format!("created = {}\nexpires = {}", date(-1), date(days)))
    };
    let keys = [
        account("acme", ""),
        ending("in-six-days", 6),
        ending("in-eight-days", 8),
        ending("in-forty-days", 40),
        ending("over", -1),
        aged("young", 1),
        aged("hundred-days", 100),
        aged("two-hundred-days", 200),
        made("nobody-knows", ""),
        made("gone", "created = 2020-01-01T00:00:00Z\nrevoked = 2021-01-01T00:00:00Z"),
    ];
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).keys(keys.concat()));
    let metric = |name: &str, labels: &[&str]| sidecar.metric(name, labels);
    assert_eq!(metric("keygate_keys_expiring", &["within=\"7d\""]), 1.0);
    assert_eq!(metric("keygate_keys_expiring", &["within=\"30d\""]), 2.0);
    assert_eq!(metric("keygate_keys_older_than", &["days=\"90\""]), 3.0);
    assert_eq!(metric("keygate_keys_older_than", &["days=\"180\""]), 2.0);
    assert_eq!(metric("keygate_keys_older_than", &["days=\"365\""]), 1.0);
    assert_eq!(metric("keygate_keys", &["state=\"active\""]), 7.0);
    assert_eq!(metric("keygate_keys", &["state=\"expired\""]), 1.0);
    assert_eq!(metric("keygate_keys", &["state=\"revoked\""]), 1.0);
    assert_eq!(metric("keygate_accounts", &[]), 1.0);
}

#[test]
fn who_waits_for_a_place_is_counted_while_it_waits_and_after() {
    let origin = Origin::tcp(scripts::hang);
    let sidecar = Sidecar::start(&Setup::before(&origin).config(QUEUE));
    let route = "route=\"/{*rest}\"";
    assert_eq!(sidecar.metric("keygate_queue_wait_seconds_count", &[route]), 0.0);
    assert_eq!(sidecar.metric("keygate_queued_requests", &[route]), 0.0);
    let mut first = sidecar.client();
    first.send(head("GET", "/first", &[&bearer(WRITE)]));
    origin.wait("the first", |state| state.requests.len() == 1);
    let mut second = sidecar.client();
    second.send(head("GET", "/second", &[&bearer(WRITE)]));
    counted(&sidecar, "keygate_queued_requests", &[route], 1.0);
    assert_eq!(sidecar.metric("keygate_queue_wait_seconds_count", &[route]), 0.0);
    drop(first);
    origin.wait("the second", |state| state.requests.len() == 2);
    counted(&sidecar, "keygate_queued_requests", &[route], 0.0);
    assert_eq!(sidecar.metric("keygate_queue_wait_seconds_count", &[route]), 1.0);
    assert!(sidecar.metric("keygate_queue_wait_seconds_sum", &[route]) > 0.0);
}

#[test]
fn handshakes_are_counted_by_what_became_of_them() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config("[limits]\nhandshake = \"3s\""));
    let results = |result: &str| format!("result=\"{result}\"");
    sidecar.get("/", &[&bearer(READ)]).ok();
    counted(&sidecar, "keygate_tls_handshakes_total", &[&results("completed")], 1.0);
    dial(sidecar.https).unwrap().write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    counted(&sidecar, "keygate_tls_handshakes_total", &[&results("failed")], 1.0);
    drop(dial(sidecar.https).unwrap());
    counted(&sidecar, "keygate_tls_handshakes_total", &[&results("left")], 1.0);
    let silent = dial(sidecar.https).unwrap();
    counted(&sidecar, "keygate_tls_handshakes_total", &[&results("late")], 1.0);
    drop(silent);
    counted(&sidecar, "keygate_connections_accepted_total", &["https"], 4.0);
    counted(&sidecar, "keygate_connections", &["https"], 0.0);
}

#[test]
fn connections_to_the_upstream_are_counted_by_how_they_are_used() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config("").set("workers=1"));
    let mut client = sidecar.client();
    for _ in 0..3 {
        client.get("/", &[&bearer(READ)]).ok();
    }
    let used = |how: &str| sidecar.metric("keygate_upstream_requests_total", &[how]);
    assert_eq!((used("\"new\""), used("\"reused\"")), (1.0, 2.0));
    assert_eq!(sidecar.metric("keygate_upstream_connections_opened_total", &[]), 1.0);
    assert_eq!(sidecar.metric("keygate_upstream_connections", &[]), 1.0);
    counted(&sidecar, "keygate_upstream_connections_idle", &[], 1.0);
    // A WebSocket is a connection of its own, for as long as it lasts.
    let socket = Origin::tcp(scripts::websocket);
    let sidecar = Sidecar::start(&Setup::before(&socket));
    let mut client = sidecar.client();
    let fields = ["Connection: upgrade", "Upgrade: websocket", &bearer(READ)];
    client.send(head("GET", "/", &fields));
    client.response_head("GET");
    counted(&sidecar, "keygate_upstream_connections", &[], 1.0);
    drop(client);
    counted(&sidecar, "keygate_upstream_connections", &[], 0.0);
}

#[test]
fn a_reload_that_fails_is_counted_and_the_last_good_one_has_its_time() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let metric = |name: &str, labels: &[&str]| sidecar.metric(name, labels);
    assert_eq!(metric("keygate_ready", &[]), 1.0);
    assert_eq!(metric("keygate_draining", &[]), 0.0);
    assert!(now() - metric("keygate_last_reload_success_timestamp_seconds", &[]) < 60.0);
    sidecar.replace("keys.toml", "[[key");
    counted(&sidecar, "keygate_reloads_total", &["failure"], 1.0);
    let good = metric("keygate_last_reload_success_timestamp_seconds", &[]);
    assert_eq!(metric("keygate_last_reload_successful", &[]), 0.0);
    assert_eq!(metric("keygate_reload_duration_seconds_count", &[]), 1.0);
    let looked = eventually("a second that passes", || {
        let looked = metric("keygate_files_checked_timestamp_seconds", &[]);
        (looked > good).then_some(looked)
    });
    assert!(looked <= now());
    sidecar.replace("keys.toml", usual_keys());
    counted(&sidecar, "keygate_reloads_total", &["success"], 1.0);
    assert_eq!(metric("keygate_last_reload_successful", &[]), 1.0);
    assert!(metric("keygate_last_reload_success_timestamp_seconds", &[]) > good);
    assert_eq!(metric("keygate_reload_duration_seconds_count", &[]), 2.0);
}

#[test]
fn what_limits_hold_is_shown_with_what_they_can_hold() {
    let origin = Origin::echo();
    let config = "[limits]\nconnections = 77\nfailures = { requests = 1, per = \"1h\" }\n\
                  [[route]]\npath = \"/{*rest}\"\n\
                  rate = { requests = 100, per = \"1h\", by = \"address\" }\n";
    let sidecar = Sidecar::start(&Setup::before(&origin).config(config));
    let metric = |name: &str, labels: &[&str]| sidecar.metric(name, labels);
    assert_eq!(metric("keygate_connections_limit", &[]), 77.0);
    assert_eq!(metric("keygate_limiter_entries", &[]), 0.0);
    sidecar.get("/", &[&bearer(READ)]).ok();
    let guess = bearer("a-guess-that-is-wrong-01234567");
    sidecar.get("/", &[&guess]).refused(401, "invalid_credential");
    sidecar.get("/", &[&guess]).refused(429, "rate_limited");
    for limiter in ["\"rate\"", "\"failures\""] {
        assert_eq!(metric("keygate_limiter_entries", &[limiter]), 1.0);
        assert_eq!(metric("keygate_limiter_addresses", &[limiter]), 1.0);
        assert!(metric("keygate_limiter_addresses_limit", &[limiter]) >= 100_000.0);
    }
    assert_eq!(metric("keygate_limiter_entries", &["in_flight"]), 0.0);
    assert_eq!(metric("keygate_attempts_limited_total", &[]), 1.0);
}

#[test]
fn the_process_says_what_it_takes() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let metric = |name: &str| sidecar.metric(name, &[]);
    let memory = metric("process_resident_memory_bytes");
    assert!((1e6..1e9).contains(&memory), "{memory}");
    assert!(memory <= metric("process_virtual_memory_bytes"));
    let cpu = metric("process_cpu_seconds_total");
    let really = sidecar.processor_time().as_secs_f64();
    assert!(cpu <= really && really - cpu < 1.0, "{cpu} {really}");
    let open = metric("process_open_fds");
    let counted = std::fs::read_dir(format!("/proc/{}/fd", sidecar.pid().as_raw_nonzero()));
    let counted = f64::from(u32::try_from(counted.unwrap().count()).unwrap());
    assert!((open - counted).abs() <= 3.0, "{open} {counted}");
    assert!(metric("process_max_fds") > open);
    let age = now() - metric("process_start_time_seconds");
    assert!((0.0..60.0).contains(&age), "{age}");
}

/// Waits until a sum is what it should be: a request is counted when it has ended.
fn counted(sidecar: &Sidecar, name: &str, labels: &[&str], wanted: f64) {
    eventually(&format!("{name}{labels:?} to be {wanted}"), || {
        (sidecar.metric(name, labels) == wanted).then_some(())
    });
}

/// In Unix time.
fn now() -> f64 {
    keygate::clock::now().as_duration().as_secs_f64()
}
