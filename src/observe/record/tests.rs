//! What is told of requests.

use std::collections::HashSet;

use super::super::log::tests::lines;
use super::*;
use crate::keys::Name;
use crate::keys::Origin;
use crate::observe::Exposition;
use crate::observe::Metrics;

pub(crate) fn anonymous() -> About<'static> {
    About {
        method: Some("GET"),
        path: Some("/"),
        request_id: "r",
        client: IpAddr::from([192, 0, 2, 7]),
        peer: IpAddr::from([192, 0, 2, 8]),
        host: None,
        agent: None,
        transport: Transport::Plain,
        version: Some("2"),
        generation: 1,
        key: None,
        account: None,
        place: None,
    }
}

fn account(id: &str) -> Arc<Account> {
    let (id, origin) = (Name::new(id).unwrap(), Origin::default());
    Arc::new(Account { id, name: None, permissions: None, disabled: false, origin })
}

fn request<'a>(key: &'a str, account: &'a Arc<Account>) -> About<'a> {
    About {
        method: Some("POST"),
        path: Some("/v1/things?api_key=SECRET"),
        request_id: "r-1",
        transport: Transport::Tls,
        generation: 3,
        key: Some(key),
        account: Some(account),
        ..anonymous()
    }
}

#[test]
fn every_fate_has_a_cell_of_its_own() {
    let slots: HashSet<usize> = fates().map(slot).collect();
    assert_eq!(slots.len(), SLOTS);
    assert!(slots.iter().all(|&slot| slot < SLOTS));
}

#[test]
fn a_refusal_is_logged_with_its_reason_and_without_the_query() {
    let (key, account) = ("key_1", account("acme"));
    let metrics = Metrics::new();
    let lines = lines("info", || {
        let mut guard = RecordGuard::new(&metrics.worker(), clock::mono());
        let fate = Fate::Refused(Denial::RevokedKey);
        guard.settle(fate, metrics.route("/v1/things"), &request(key, &account));
        guard.answered(401, clock::mono());
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line["target"], "keygate::access");
    assert_eq!(line["level"], "INFO");
    for (member, value) in [
        ("outcome", "refused"),
        ("reason", "revoked_key"),
        ("method", "POST"),
        ("path", "/v1/things"),
        ("route", "/v1/things"),
        ("key", "key_1"),
        ("account", "acme"),
        ("client", "192.0.2.7"),
        ("transport", "https"),
        ("request_id", "r-1"),
    ] {
        assert_eq!(line[member], value, "{member}");
    }
    assert_eq!(line["status"], 401);
    assert_eq!(line["generation"], 3);
    assert!(!line.to_string().contains("SECRET"));
}

#[test]
fn a_permit_is_logged_only_at_debug() {
    let (key, account) = ("key_1", account("acme"));
    let metrics = Metrics::new();
    let forward = || {
        let mut guard = RecordGuard::new(&metrics.worker(), clock::mono());
        guard.settle(Fate::Forwarded, RouteId::NONE, &request(key, &account));
        guard.answered(200, clock::mono());
    };
    assert!(lines("info", forward).is_empty());
    let lines = lines("debug", forward);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line["outcome"], "forwarded");
    assert!(line.get("reason").is_none());
}

#[test]
fn a_request_that_is_dropped_undecided_is_counted_once() {
    let metrics = Metrics::new();
    let guard = RecordGuard::new(&metrics.worker(), clock::mono());
    let in_flight = "keygate_in_flight_requests 1\n";
    assert!(metrics.render(Exposition::Prometheus).contains(in_flight));
    drop(guard);
    let text = metrics.render(Exposition::Prometheus);
    assert!(text.contains("keygate_in_flight_requests 0\n"), "{text}");
    let line = r#"{route="none",outcome="failed",reason="abandoned"} 1"#;
    assert!(text.contains(line), "{text}");
}

#[test]
fn waiting_for_others_is_no_overhead() {
    let start = clock::mono();
    let metrics = Metrics::new();
    let mut guard = RecordGuard::new(&metrics.worker(), start);
    guard.waited(Duration::from_millis(7));
    guard.answered(200, start + Duration::from_millis(8));
    assert_eq!(guard.record.overhead(), Some(Duration::from_millis(1)));
}
