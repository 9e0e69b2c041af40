//! Who the upstream is told is calling: never the client's own word for it. Each known bypass of
//! this kind of product has its test here.

use crate::actors::client::{basic, bearer, head};
use crate::actors::origin::{Origin, Seen};
use crate::actors::setup::{READ, Setup, WRITE, account, sha256};
use crate::actors::sidecar::Sidecar;
use crate::actors::wire::{Fields, values};

/// Every character of a header name that is neither letter nor digit (RFC 9110, section 5.6.2).
const MARKS: &str = "!#$%&'*+-.^_`|~";

const NAMES: [&str; 8] = [
    "X-Account-Id",
    "X-Key-Id",
    "X-Permissions",
    "X-Key-Access",
    "X-Key-Kind",
    "X-Profile-Id",
    "X-Profile-Custom-Id",
    "X-Profile-Email",
];

/// What a framework may read a header name as.
fn folded(name: &str) -> String {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(fold).collect()
}

/// The fields that someone could take for one of the names, as `name: value`, sorted.
fn alike(fields: &Fields, names: &[&str]) -> Vec<String> {
    let wanted: Vec<String> = names.iter().map(|name| folded(name)).collect();
    let mut found: Vec<String> = fields
        .iter()
        .filter(|(name, _)| wanted.contains(&folded(name)))
        .map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
        .collect();
    found.sort();
    found
}

const IDENTITY: [&str; 5] = [
    "x-account-id: acme",
    "x-key-access: write",
    "x-key-id: acme-write",
    "x-key-kind: workspace",
    "x-permissions: *",
];

#[track_caller]
fn is_acme(seen: &Seen) {
    assert_eq!(alike(&seen.fields, &NAMES), IDENTITY, "{:?}", seen.fields);
}

/// All names spelled with one mark in the place of `-`, in changing case.
fn spellings(mark: char) -> Vec<String> {
    let spell = |name: &&str| format!("{}: forged", name.replace('-', &mark.to_string()));
    let mut list: Vec<String> = NAMES.iter().map(spell).collect();
    list.extend(NAMES.iter().map(|name| spell(name).to_uppercase()));
    list
}

fn borrowed(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

const OPEN: &str = "[[route]]\npath = \"/{*rest}\"\n[[route]]\npath = \"/public\"\npublic = true\n\
                    [[route]]\npath = \"/shadow\"\nenforce = false\n";

#[test]
fn no_spelling_of_an_identity_header_gets_through_in_any_token_character() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(OPEN));
    let mut client = sidecar.client();
    for mark in MARKS.chars() {
        let mut fields = spellings(mark);
        fields.push(bearer(WRITE));
        client.get("/", &borrowed(&fields)).ok();
        is_acme(&origin.last());
    }
}

#[test]
fn no_spelling_of_an_identity_header_gets_through_over_http2() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(OPEN));
    let client = sidecar.http2();
    for mark in MARKS.chars() {
        let mut fields: Vec<String> = spellings(mark).iter().map(|f| f.to_lowercase()).collect();
        fields.push(bearer(WRITE));
        client.get("/", &borrowed(&fields)).ok();
        is_acme(&origin.last());
    }
}

#[test]
fn identity_headers_are_stripped_where_there_is_no_identity_to_set() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(OPEN));
    let mut client = sidecar.client();
    for path in ["/public", "/shadow"] {
        for mark in MARKS.chars() {
            client.get(path, &borrowed(&spellings(mark))).ok();
            assert_eq!(alike(&origin.last().fields, &NAMES), [""; 0], "{path} {mark}");
        }
    }
}

#[test]
fn identity_headers_do_not_pass_as_trailers() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    for mark in MARKS.chars() {
        let named = spellings(mark).join(",").replace(": forged", "");
        let named = format!("Trailer: X-Sum, {named}");
        let fields = [&bearer(WRITE), "Transfer-Encoding: chunked", "TE: trailers", &named];
        client.send(head("POST", "/", &fields));
        let trailers = spellings(mark).join("\r\n");
        client.send(format!("3\r\nabc\r\n0\r\nX-Sum: 1\r\n{trailers}\r\n\r\n"));
        client.response("POST").ok();
        let seen = origin.last();
        assert_eq!(seen.body, b"abc");
        assert_eq!(values(&seen.trailers, "x-sum"), ["1"]);
        assert_eq!(alike(&seen.trailers, &NAMES), [""; 0], "{mark}");
        is_acme(&seen);
    }
}

#[test]
fn identity_headers_do_not_pass_as_http2_trailers() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let client = sidecar.http2();
    for mark in MARKS.chars() {
        let named = spellings(mark).join(",").replace(": forged", "");
        let named = format!("trailer: x-sum, {named}");
        let mut stream = client.open("POST", "/", &[&bearer(WRITE), &named], false);
        stream.send(b"abc", false);
        let trailers: Vec<String> = spellings(mark).iter().map(|f| f.to_lowercase()).collect();
        stream.send_trailers(&[&borrowed(&trailers)[..], &["x-sum: 1"]].concat());
        stream.response().ok();
        let seen = origin.last();
        assert_eq!(seen.body, b"abc");
        assert_eq!(values(&seen.trailers, "x-sum"), ["1"]);
        assert_eq!(alike(&seen.trailers, &NAMES), [""; 0], "{mark}");
        is_acme(&seen);
    }
}

#[test]
fn a_header_named_in_connection_does_not_remove_ours() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    for nominated in [NAMES.join(", "), NAMES.join(",").to_lowercase(), spellings('_').join(" ")] {
        let nominated = nominated.replace(": forged", ",");
        let connection = format!("Connection: keep-alive, X-Hop, {nominated}");
        client.get("/", &[&bearer(WRITE), &connection, "X-Hop: 1", "X-Stays: 1"]).ok();
        let seen = origin.last();
        is_acme(&seen);
        assert!(seen.has("x-stays") && !seen.has("x-hop"), "{:?}", seen.fields);
    }
}

#[test]
fn what_is_between_two_neighbours_stays_between_them() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let fields = [
        &bearer(WRITE),
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "TE: gzip",
        "HTTP2-Settings: AAMAAABk",
        "Upgrade: h2c",
        "Connection: Upgrade, HTTP2-Settings, TE",
    ];
    sidecar.client().get("/", &fields).ok();
    let seen = origin.only();
    for name in ["keep-alive", "proxy-connection", "proxy-authorization", "http2-settings"] {
        assert!(!seen.has(name), "{name}: {:?}", seen.fields);
    }
    assert!(!seen.has("upgrade"), "{:?}", seen.fields);
    assert_ne!(seen.value("te"), Some("gzip"));
}

#[test]
fn what_a_client_says_about_its_way_here_is_replaced() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let forged = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-User",
        "X-Forwarded-Prefix",
        "X-Real-IP",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
    ];
    for mark in ['-', '_', '.', '~'] {
        let spell = |name: &&str| format!("{}: 6.6.6.6", name.replace('-', &mark.to_string()));
        let mut fields: Vec<String> = forged.iter().map(spell).collect();
        fields.push(bearer(WRITE));
        sidecar.client().get("/", &borrowed(&fields)).ok();
        let ours = [
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: keygate.test",
            "x-forwarded-proto: https",
        ];
        assert_eq!(alike(&origin.last().fields, &forged), ours, "{mark}");
    }
}

#[test]
fn a_method_cannot_be_overridden_by_a_header() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let names = ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"];
    let mut client = sidecar.client();
    for mark in MARKS.chars() {
        let spell = |name: &&str| format!("{}: DELETE", name.replace('-', &mark.to_string()));
        let mut fields: Vec<String> = names.iter().map(spell).collect();
        fields.push(bearer(READ));
        client.get("/", &borrowed(&fields)).ok();
        assert_eq!(alike(&origin.last().fields, &names), [""; 0], "{mark}");
    }
}

#[test]
fn names_can_be_changed_and_the_default_ones_stay_closed() {
    let identity = "[identity]\naccount = \"X-TENANT\"\nkey = false\n\
                    reserved = [\"X-Auth-*\", \"x-role\"]\n";
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).config(identity));
    let fields = [
        &bearer(WRITE),
        "X-Tenant: forged",
        "X_TENANT: forged",
        "X-Account-Id: forged",
        "X-Key-Id: forged",
        "X.Key.Id: forged",
        "X-Auth-User: forged",
        "x_auth_anything: forged",
        "X~Role: forged",
        "X-Authentic: mine",
    ];
    sidecar.client().get("/", &fields).ok();
    let seen = origin.only();
    assert!(!seen.fields.iter().any(|(_, value)| value == "forged"), "{:?}", seen.fields);
    assert_eq!(alike(&seen.fields, &["x-tenant"]), ["x-tenant: acme"]);
    assert_eq!(seen.value("x-authentic"), Some("mine"));
    assert!(!seen.has("x-account-id") && !seen.has("x-key-id"), "{:?}", seen.fields);
}

#[test]
fn of_two_credentials_none_is_chosen() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    for pair in [[READ, WRITE], [WRITE, READ], [WRITE, WRITE], ["x", WRITE], [WRITE, ""]] {
        let pair = pair.map(bearer);
        sidecar.get("/", &borrowed(&pair)).refused(400, "ambiguous_credential");
        let joined = pair.join(", ").replace(", Authorization:", ",");
        sidecar.get("/", &[&joined]).refused(400, "ambiguous_credential");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_stored_digest_is_not_a_credential() {
    let origin = Origin::echo();
    let config = "[credentials]\nbasic = { username = \"api\" }\nheader = \"X-Api-Key\"\n";
    let sidecar = Sidecar::start(&Setup::before(&origin).config(config));
    let digest = sha256(WRITE);
    let hex = digest.strip_prefix("sha256:").unwrap();
    for stored in [&digest, hex, &hex.to_uppercase()] {
        let header = format!("X-Api-Key: {stored}");
        for field in [bearer(stored), basic("api", stored), header] {
            let response = sidecar.get("/", &[&field]);
            assert_eq!(response.status, 401, "{field}");
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_key_with_a_nul_after_it_is_not_the_key() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    for tail in ["\0", "\0anything", "\u{1}", "\u{7f}", "\u{ff}"] {
        let mut client = sidecar.client();
        client.send(head("GET", "/", &[&bearer(&format!("{WRITE}{tail}"))]));
        let response = client.response("GET");
        assert!(matches!(response.status, 400 | 401), "{tail:?}: {response:?}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn nothing_is_let_in_by_default() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin).keys(account("acme", "")));
    let mut client = sidecar.client();
    for method in ["GET", "HEAD", "POST", "OPTIONS", "PURGE"] {
        let response = client.request(method, "/", &["Content-Length: 0"]);
        assert_eq!(response.status, 401, "{method}");
    }
    // Keys that other products came with, or that people try first.
    for key in ["admin", "edd1c9f034335f136f87ad84b625c8f1", "changeme", "kg_", "test", "null"] {
        assert_eq!(sidecar.get("/", &[&bearer(key)]).status, 401, "{key}");
    }
    let preflight = ["Origin: https://evil.test", "Access-Control-Request-Method: GET"];
    assert_eq!(client.request("OPTIONS", "/", &preflight).status, 401);
    assert_eq!(origin.count(), 0);
}

#[test]
fn presets_come_without_keys() {
    let presets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/presets");
    let paths = std::fs::read_dir(presets).unwrap().map(|preset| preset.unwrap().path());
    let presets: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    assert_eq!(presets.len(), 5, "{presets:?}");
    for preset in presets {
        let keys = preset.join("keys.toml");
        let table: toml::Table = std::fs::read_to_string(&keys).unwrap().parse().unwrap();
        assert!(table.is_empty(), "{}: {table:?}", keys.display());
    }
}

#[test]
fn a_request_id_is_passed_on_only_when_it_is_well_formed() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    let long = "x".repeat(4096);
    for bad in ["a b", "a\"b", "<script>", "\u{e9}", "", &long] {
        let field = format!("X-Request-Id: {bad}");
        let response = client.get("/", &[&bearer(WRITE), &field]);
        response.ok();
        let seen = origin.last();
        let id = seen.value("x-request-id").expect("an id of ours");
        assert_ne!(id, bad);
        let refused = client.get("/", &[&field]);
        assert_ne!(refused.value("x-request-id").expect("an id of ours"), bad);
    }
    let response = client.get("/", &["X-Request-Id: one", "X-Request-Id: two"]);
    let id = response.values("x-request-id");
    assert!(id.len() == 1 && id != ["one"] && id != ["two"], "{id:?}");
}

#[test]
fn a_tunnel_is_never_opened() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(format!(
        "CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n{}\r\n\r\n",
        bearer(WRITE)
    ));
    let response = client.response("GET");
    assert!((400..600).contains(&response.status), "{response:?}");

    let status = sidecar.http2().connect_to("example.test:443", &[&bearer(WRITE)]);
    assert!(status.is_none_or(|status| (400..600).contains(&status)), "{status:?}");
    // A read key learns that it may only read, as of any other method.
    let status = sidecar.http2().connect_to("example.test:443", &[&bearer(READ)]);
    assert_eq!(status, Some(403));
    let mut client = sidecar.client();
    client.send(format!(
        "CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n{}\r\n\r\n",
        bearer(READ)
    ));
    client.response("GET").refused(403, "method_not_allowed_for_key");
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_target_with_bytes_that_no_path_has_is_refused() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    for target in
        ["/a#b", "/\u{e9}", "/a\u{1}", "/a\u{7f}", "/a b", "a", "\\", "/a\\b", "*", "/a\tb"]
    {
        let mut client = sidecar.client();
        client.send(head("GET", target, &[&bearer(WRITE)]));
        let response = client.response("GET");
        assert_eq!(response.status, 400, "{target:?}: {response:?}");
        if target.starts_with('/') {
            let malformed = target.contains(' ');
            let reason = if malformed { "malformed_request" } else { "ambiguous_path" };
            response.refused(400, reason);
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_key_is_never_logged() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let unknown = "a-key-that-nobody-has-0123456789";
    sidecar.get(&format!("/x?key={unknown}"), &[&bearer(WRITE)]).ok();
    sidecar.get("/", &[&bearer(unknown)]).refused(401, "invalid_credential");
    sidecar.get("/", &[&basic("api", WRITE)]).refused(401, "malformed_credential");
    sidecar.client().post("/", &[&bearer(READ)], b"").refused(403, "method_not_allowed_for_key");
    sidecar.logged(0, "the key's id", |line| line.text.contains("acme-read"));
    let log = sidecar.log.text();
    for secret in [READ, WRITE, unknown, &sha256(WRITE), basic("api", WRITE).split_at(21).1] {
        assert!(!log.contains(secret), "`{secret}` in the log:\n{log}");
    }
}
