//! What is counted, and how it is told.

use std::thread;

use super::super::label::{KeyCounts, ListenerKind, MOST_ROUTES, UpstreamError};
use super::*;
use crate::clock;
use crate::gate::Denial;
use crate::observe::Fate;
use crate::observe::RecordGuard;
use crate::observe::record::tests::anonymous;

#[test]
fn workers_are_added_up() {
    let metrics = Metrics::new();
    let route = metrics.route("/a");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let worker = metrics.worker();
                worker.upstream_error(UpstreamError::Garbage);
                for _ in 0..1000 {
                    let mut guard = RecordGuard::new(&worker, clock::mono());
                    guard.settle(Fate::Forwarded, route, &anonymous());
                    guard.answered(200, clock::mono());
                }
            });
        }
    });
    let text = metrics.render(Exposition::Prometheus);
    for line in [
        r#"keygate_requests_total{route="/a",outcome="forwarded",reason=""} 4000"#,
        "keygate_request_duration_seconds_count 4000",
        "keygate_overhead_seconds_bucket{le=\"+Inf\"} 4000",
        "keygate_upstream_errors_total{kind=\"garbage\"} 4",
        "keygate_in_flight_requests 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
}

#[test]
fn the_documented_names_are_there_before_anything_happened() {
    let metrics = Metrics::new();
    metrics.reloaded(true, Duration::from_millis(3), clock::now());
    let keys = KeyCounts {
        active: 2,
        revoked: 1,
        expiring: [1, 2],
        older: [2, 1, 0],
        ..KeyCounts::default()
    };
    let digest = "abc".into();
    metrics.set_table(TableCounts { generation: 7, digest, accounts: 1, keys });
    let named = [("a.example".into(), Timestamp::from_second(5).unwrap())];
    metrics.set_certificate_expiries(Timestamp::UNIX_EPOCH, &named);
    metrics.route("/a");
    let text = metrics.render(Exposition::Prometheus);
    for line in [
        "# TYPE keygate_requests_total counter",
        "# TYPE keygate_request_duration_seconds histogram",
        "# TYPE keygate_overhead_seconds histogram",
        "keygate_in_flight_requests 0",
        "keygate_upstream_errors_total{kind=\"connect\"} 0",
        "keygate_keys{state=\"active\"} 2",
        "keygate_keys{state=\"revoked\"} 1",
        "keygate_keys_due 0",
        "keygate_keys_expiring{within=\"7d\"} 1",
        "keygate_keys_expiring{within=\"30d\"} 2",
        "keygate_keys_older_than{days=\"180\"} 1",
        "keygate_accounts 1",
        "keygate_table_info{digest=\"abc\"} 1",
        "keygate_reload_duration_seconds_count 1",
        "keygate_ready 0",
        "# TYPE process_cpu_seconds_total counter",
        "keygate_reloads_total{result=\"success\"} 1",
        "keygate_reloads_total{result=\"failure\"} 0",
        "keygate_last_reload_successful 1",
        "keygate_table_generation 7",
        "keygate_certificate_expiry_timestamp_seconds 0",
        "keygate_certificate_expiry_timestamp_seconds{name=\"a.example\"} 5",
        "keygate_connections{listener=\"https\"} 0",
        "keygate_connections_refused_total{reason=\"connections_per_address\"} 0",
        "keygate_panics_total 0",
        "keygate_state_write_errors_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    assert!(text.contains("keygate_log_lines_dropped_total "));
    assert!(!text.contains("# EOF"));
    assert!(metrics.render(Exposition::OpenMetrics).ends_with("# EOF\n"));
}

#[test]
fn a_label_keeps_its_id_and_the_number_of_labels_is_bounded() {
    let metrics = Metrics::new();
    let first = metrics.route("/a");
    assert_eq!(metrics.route("/a"), first);
    for number in 0..MOST_ROUTES {
        metrics.route(&format!("/{number}"));
    }
    assert_eq!(metrics.route("/one/more"), metrics.route("/and/another"));
    assert_eq!(metrics.route("/a"), first);
}

#[test]
fn a_label_cannot_break_the_text() {
    let metrics = Metrics::new();
    let route = metrics.route("/\"}\n\\");
    let mut guard = RecordGuard::new(&metrics.worker(), clock::mono());
    guard.settle(Fate::Refused(Denial::NoRoute), route, &anonymous());
    drop(guard);
    let text = metrics.render(Exposition::Prometheus);
    assert!(text.contains(r#"{route="/\"}\n\\",outcome="refused",reason="no_route"} 1"#));
}

#[test]
fn a_connection_counts_while_its_guard_lives() {
    let metrics = Metrics::new();
    let guard = metrics.worker().connection(ListenerKind::Https);
    let line = "keygate_connections{listener=\"https\"} 1\n";
    assert!(metrics.render(Exposition::Prometheus).contains(line));
    drop(guard);
    assert!(!metrics.render(Exposition::Prometheus).contains(line));
}
