//! What the operator can ask while it runs.

use crate::actors::client::bearer;
use crate::actors::eventually;
use crate::actors::origin::Origin;
use crate::actors::setup::{READ, Setup, WRITE, account, key};
use crate::actors::sidecar::Sidecar;

#[test]
fn it_is_alive_and_ready_and_says_what_it_has_loaded() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    assert_eq!(sidecar.admin("/livez").status, 200);
    let response = sidecar.admin("/readyz");
    assert_eq!(response.status, 200);
    let ready = response.json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["draining"], false);
    assert_eq!(ready["keys"], 4);
    assert_eq!(ready["accounts"], 2);
    assert!(ready["generation"].is_u64(), "{ready}");
    assert!(ready["digest"].as_str().is_some_and(|digest| !digest.is_empty()), "{ready}");
    assert!(ready["loaded_at"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()));
    assert!(ready["error"].is_null(), "{ready}");
    let version = sidecar.admin("/version").text();
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert_eq!(sidecar.admin("/").status, 404);
    assert_eq!(sidecar.admin("/keys").status, 404);
}

#[test]
fn two_processes_with_the_same_files_show_the_same_digest() {
    let origin = Origin::echo();
    let digest = |setup: &Setup| Sidecar::start(setup).ready()["digest"].clone();
    let setup = Setup::before(&origin).file("server.crt", "").file("server.key", "");
    let identity = crate::actors::pki::TRUSTED.issue();
    let setup = setup
        .file("server.crt", identity.certificate.as_bytes())
        .file("server.key", identity.key.as_bytes());
    assert_eq!(digest(&setup), digest(&setup));
}

#[test]
fn keys_that_are_due_are_counted() {
    let made = |id: &str, more: &str| key(id, "acme", &format!("{id}-0123456789abcdef"), more);
    let keys = [
        account("acme", ""),
        made("old", "created = 2020-01-01T00:00:00Z"),
        made("undated", ""),
        made("new", "created = 2999-01-01T00:00:00Z"),
        made("old-and-gone", "created = 2020-01-01T00:00:00Z\nrevoked = 2021-01-01T00:00:00Z"),
    ];
    let origin = Origin::echo();
    let setup = Setup::before(&origin).keys(keys.concat());
    let due = |setup: &Setup| Sidecar::start(setup).metric("keygate_keys_due", &[]);
    assert_eq!(due(&setup), 0.0);
    assert_eq!(due(&setup.config("[keys]\nrotate_after = \"180d\"")), 2.0);
}

#[test]
fn every_documented_metric_is_there() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    sidecar.get("/", &[&bearer(READ)]).ok();
    sidecar.get("/", &[]);
    eventually("both to be counted", || {
        (sidecar.metric("keygate_requests_total", &[]) == 2.0).then_some(())
    });
    let text = sidecar.admin("/metrics").text();
    for name in [
        "keygate_requests_total{",
        "keygate_request_duration_seconds_count",
        "keygate_request_duration_seconds_bucket{",
        "keygate_overhead_seconds_count",
        "keygate_in_flight_requests",
        "keygate_keys{",
        "keygate_reloads_total{",
        "keygate_last_reload_successful 1",
        "keygate_table_generation ",
        "keygate_certificate_expiry_timestamp_seconds",
        "keygate_connections{",
        "# TYPE keygate_upstream_errors_total counter",
        "# TYPE keygate_requests_total counter",
        "# HELP keygate_requests_total ",
    ] {
        assert!(text.contains(name), "no `{name}` in:\n{text}");
    }
    assert_eq!(sidecar.counted("forwarded", None), 1);
    assert_eq!(sidecar.counted("refused", Some("no_credential")), 1);
    for secret in [READ, WRITE, &crate::actors::setup::sha256(READ)] {
        assert!(!text.contains(secret), "a key in the metrics");
    }
}

#[test]
fn connections_and_requests_in_flight_are_counted_while_they_last() {
    let origin = Origin::tcp(crate::actors::scripts::events);
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let client = sidecar.http2();
    let mut stream = client.open("GET", "/", &[&bearer(READ)], true);
    stream.head();
    assert_eq!(sidecar.metric("keygate_in_flight_requests", &[]), 1.0);
    assert_eq!(sidecar.metric("keygate_connections", &["https"]), 1.0);
    stream.reset();
    drop(client);
    eventually("none", || {
        let requests = sidecar.metric("keygate_in_flight_requests", &[]);
        let connections = sidecar.metric("keygate_connections", &["https"]);
        (requests == 0.0 && connections == 0.0).then_some(())
    });
}

#[test]
fn the_admin_port_may_be_a_unix_socket() {
    let origin = Origin::echo();
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("admin.sock");
    let setup = Setup::before(&origin).listen(&format!("admin = \"unix:{}\"", path.display()));
    let sidecar = Sidecar::start(&setup);
    assert_eq!(sidecar.admin("/readyz").status, 200);
}

#[test]
fn the_admin_port_is_not_reachable_through_the_front() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        sidecar.get(path, &[]).refused(401, "no_credential");
        sidecar.get(path, &[&bearer(READ)]).ok();
        assert_eq!(origin.last().target, path);
    }
}
