//! What a configuration says is what it becomes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::StatusCode;

use super::LEAST;
use super::config;
use super::now;
use super::stage;
use super::write;
use crate::config::AdminAddress;
use crate::config::Protocol;
use crate::config::Target;
use crate::config::load;
use crate::gate::Anonymous;
use crate::gate::BasicUser;
use crate::gate::Denial;
use crate::gate::HttpAccepts;
use crate::gate::LimitBy;
use crate::gate::Pointer;
use crate::gate::Rate;

#[test]
fn arguments_stand_in_place_of_what_the_file_says() {
    let stage = stage();
    let config = config(
        stage.path(),
        &format!("{LEAST}[credentials]\nbasic = false\n[[route]]\npath = \"/a\"\n"),
        &[
            "listen.https=127.0.0.1:0",
            "listen.trusted_proxies=10.0.0.0/8",
            "listen.admin=unix:admin.sock",
            "tls.min_version=1.3",
            "keys.prefix=acme",
            "keys.default_access=\"write\"",
            "credentials.anonymous=forward",
            "credentials.basic.username=1234",
            "credentials.bearer=false",
            "responses.no_route.status=404",
            "route.0.timeout=5s",
            "workers=3",
        ],
    );
    assert_eq!(config.listen.https, ["127.0.0.1:0".parse().unwrap()]);
    assert_eq!(config.listen.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);
    // A path means what it would mean in the file.
    let socket = stage.path().join("admin.sock");
    assert_eq!(config.listen.admin, Some(AdminAddress::Unix(socket)));
    assert_eq!(config.keys.prefix.as_str(), "acme");
    assert_eq!(config.keys.default_access.as_str(), "write");
    assert_eq!(config.credentials.anonymous, Anonymous::Forward);
    assert_eq!(config.credentials.basic, Some(BasicUser::Fixed("1234".into())));
    assert!(!config.credentials.bearer);
    assert_eq!(config.answers.status(Denial::NoRoute), StatusCode::NOT_FOUND);
    assert_eq!(config.routes.list()[0].timeout, Some(Duration::from_secs(5)));
    assert_eq!(config.workers, 3);
}

#[test]
fn a_path_of_an_argument_is_relative_to_the_file_that_it_changes() {
    let stage = stage();
    let arguments = ["tls.certificate=tls/other.crt", "tls.private_key=tls/other.key"];
    let config = config(stage.path(), LEAST, &[&arguments[..], &["keys.files=more.toml"]].concat());
    assert_eq!(config.keys.files, [stage.path().join("more.toml")]);
}

#[test]
fn addresses_can_be_lists_and_paths_are_relative_to_the_file() {
    let stage = stage();
    let text = r#"
        [listen]
        https = ["127.0.0.1:8443", "[::1]:8443"]
        http = "localhost:8080"
        http_accepts = "everything"
        admin = "unix:run/admin.sock"
        [tls]
        certificate = "tls/server.crt"
        private_key = "tls/server.key"
        [upstream]
        url = "unix:run/api.sock"
        protocol = "http2"
        [keys]
        files = "keys"
        [drain]
        delay = "5s"
    "#;
    let config = config(stage.path(), text, &[]);
    assert_eq!(config.listen.https.len(), 2);
    assert_eq!(config.listen.http, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.listen.http_accepts, HttpAccepts::Everything);
    let at = |name: &str| stage.path().join(name);
    assert_eq!(config.listen.admin, Some(AdminAddress::Unix(at("run/admin.sock"))));
    assert_eq!(config.upstream.target, Target::Unix(at("run/api.sock")));
    assert_eq!(config.upstream.protocol, Protocol::Http2);
    assert_eq!(config.keys.files, [at("keys")]);
    assert_eq!(config.drain.delay, Duration::from_secs(5));
    assert_eq!(config.drain.timeout, Duration::from_secs(30));
}

#[test]
fn routes_become_what_they_say() {
    let stage = stage();
    let text = format!(
        r#"{LEAST}
        [[route]]
        path = "/accounts/{{account}}/users/{{id}}"
        methods = ["GET", "REPORT"]
        permissions = ["users:read"]
        account_from = "{{account}}"
        profile_from = "{{id}}"
        in_flight = {{ max = 2, per = "key", queue = "250ms" }}
        enforce = false
        forward_credential = true
        "#
    );
    let config = config(stage.path(), &text, &[]);
    let route = &config.routes.list()[0];
    assert_eq!(route.methods.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["GET", "REPORT"]);
    assert_eq!((route.account_from, route.profile_from), (Some(1), Some(3)));
    let limit = route.in_flight.unwrap();
    assert_eq!((limit.max, limit.per), (2, LimitBy::Key));
    assert_eq!(limit.queue, Duration::from_millis(250));
    assert!(!route.enforce && !route.public);
    assert_eq!(route.forward_credential, Some(true));
    assert!(route.place.ends_with("keygate.toml:10"), "{}", route.place);
}

#[test]
fn what_a_route_asks_of_bodies_becomes_rules() {
    let stage = stage();
    let text = format!(
        r#"{LEAST}
        [[route]]
        path = "/api"
        content_type = "Application/JSON"
        permission_from = ["/command", "/query"]
        events = "page.visit"
        events_from = ["/action", "/*/action"]
        attributes_from = ["", "/attributes"]
        tags_from = "/tags"
        max_body = "2KiB"
        rate = {{ requests = 7, per = "1m", by = "address" }}
        [[route]]
        path = "/least"
        rate = {{ requests = 1, per = "1s" }}
        "#
    );
    let config = config(stage.path(), &text, &[]);
    let [route, least] = config.routes.list() else { panic!("two routes") };
    let texts = |list: &[Pointer]| list.iter().map(|p| p.as_str().to_owned()).collect::<Vec<_>>();
    let body = &route.body;
    assert_eq!(body.content_type.as_deref(), Some("application/json"));
    assert_eq!(texts(&body.permission_from), ["/command", "/query"]);
    assert_eq!(*body.events, ["page.visit".into()]);
    assert_eq!(texts(&body.events_from), ["/action", "/*/action"]);
    assert_eq!(texts(&body.attributes_from), ["", "/attributes"]);
    assert_eq!(texts(&body.tags_from), ["/tags"]);
    assert_eq!(body.max_body(), 2048);
    let minute = Duration::from_secs(60);
    assert_eq!(route.rate, Some(Rate { requests: 7, per: minute, by: LimitBy::Address }));
    assert_eq!(least.rate.unwrap().by, LimitBy::Account);
    assert!(least.body.is_empty());
}

#[test]
fn there_is_memory_for_the_largest_body() {
    let stage = stage();
    let large =
        format!("{LEAST}[[route]]\npath = \"/\"\nevents_from = \"/e\"\nmax_body = \"100MiB\"\n");
    assert_eq!(config(stage.path(), LEAST, &[]).body_memory, 64 << 20);
    assert_eq!(config(stage.path(), LEAST, &["routes.body_memory=1MiB"]).body_memory, 1 << 20);
    assert_eq!(config(stage.path(), &large, &[]).body_memory, 200 << 20);
    assert_eq!(config(stage.path(), &large, &["routes.body_memory=1GiB"]).body_memory, 1 << 30);
}

#[test]
fn the_servers_tls_speaks_both_protocols_and_resumes_across_reloads() {
    let stage = stage();
    let first = config(stage.path(), LEAST, &[]).tls.unwrap();
    assert_eq!(first.server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(first.server.ticketer.enabled());
    assert_eq!(first.not_after, "2027-01-01T00:00:00Z".parse().unwrap());
    let ticket = first.server.ticketer.encrypt(b"session").unwrap();
    let again = config(stage.path(), LEAST, &[]).tls.unwrap();
    assert_eq!(again.server.ticketer.decrypt(&ticket).unwrap(), b"session");
}

#[test]
fn an_https_upstream_offers_what_the_protocol_says() {
    let stage = stage();
    fs::copy(stage.path().join("tls/server.crt"), stage.path().join("ca.pem")).unwrap();
    for (protocol, offers) in [
        ("auto", vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
        ("http1", vec![b"http/1.1".to_vec()]),
        ("http2", vec![b"h2".to_vec()]),
    ] {
        let text = format!("{LEAST}ca = \"ca.pem\"\nprotocol = \"{protocol}\"\n");
        let config = config(stage.path(), &text, &["upstream.url=https://localhost:3000"]);
        assert_eq!(config.upstream.tls.unwrap().config.alpn_protocols, offers);
    }
}

#[test]
fn what_needs_a_restart_is_named() {
    let stage = stage();
    let running = config(stage.path(), LEAST, &[]);
    let live = config(stage.path(), LEAST, &["keys.prefix=x", "upstream.timeout=1s"]);
    assert!(live.needs_restart(&running).is_empty());
    let moved = config(stage.path(), LEAST, &["listen.https=127.0.0.1:1", "workers=7"]);
    assert_eq!(moved.needs_restart(&running), ["workers", "listen.https"]);
}

#[test]
fn files_are_named_for_watching_also_where_they_are_missing() {
    let stage = stage();
    let text = LEAST.replace("server.crt", "none.crt");
    write(&stage.path().join("keygate.toml"), text);
    let loaded = load(&stage.path().join("keygate.toml"), &[], now());
    assert!(loaded.config.is_none() && loaded.keys.is_some());
    let names =
        ["keygate.toml", "tls/none.crt", "tls/server.key"].map(|name| stage.path().join(name));
    assert_eq!(loaded.files, names);
}

#[test]
fn without_a_file_there_is_one_clear_problem() {
    let loaded = load(Path::new("/nowhere/keygate.toml"), &[], now());
    assert_eq!(
        loaded.problems.lines(),
        ["`/nowhere/keygate.toml` does not exist (name a configuration with `--config`, or make \
          one with `keygate init`)"]
    );
}

#[test]
fn everyone_being_able_to_read_the_private_key_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = stage();
    let key = stage.path().join("tls/server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    write(&stage.path().join("keygate.toml"), LEAST);
    let loaded = load(&stage.path().join("keygate.toml"), &[], now());
    assert!(loaded.config.is_some());
    let told = loaded.problems.lines().join("\n");
    assert!(told.contains("everyone on this machine may read the private key"), "{told}");
}
