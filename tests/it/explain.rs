//! `explain`, as somebody types it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::actors::setup::{Setup, sha256};

const CONFIG: &str = r#"[listen]
https = "127.0.0.1:0"
trusted_proxies = ["10.0.0.0/8"]
[tls]
certificate = "server.crt"
private_key = "server.key"
[upstream]
url = "http://127.0.0.1:9"
[keys]
revocations = "revoked.txt"
[credentials]
header = "X-Api-Key"
tokens = true
[tokens]
lifetime = "5m"
[responses]
missing_permission = { status = 404, body = "Nothing here" }

[[route]]
path = "/users/{id}"
methods = ["GET", "POST"]
permissions = ["users:read"]

[[route]]
path = "/events"
methods = ["POST"]
content_type = "application/json"
events_from = ["/action"]
rate = { requests = 5, per = "1s", by = "key" }
in_flight = { max = 2, per = "account", queue = "1s" }

[[route]]
path = "/of/{account}"
account_from = "{account}"
enforce = false

[[route]]
path = "/open"
public = true

[[route]]
path = "/profile"
permission_from = "/may"
attributes_from = ""
tags_from = "/tags"
kind = "workspace"
"#;

const KEYS: &str = r#"[[account]]
id = "acme"

[[key]]
id = "reader"
account = "acme"
digest = "{reader}"
permissions = ["events:read"]

[[key]]
id = "writer"
account = "acme"
digest = "{writer}"
access = "write"
permissions = ["users:*"]
ips = ["127.0.0.0/8"]
events = { allow = ["page.visit"] }

[[key]]
id = "withdrawn"
account = "acme"
digest = "{withdrawn}"

[[key]]
id = "editor"
account = "acme"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
access = "write"
attributes = { allow = ["name"], tags = ["vip"] }
events = { deny = ["product.buy"] }
"#;

const READER: &str = "explain-reader-key-00000001";
const WRITER: &str = "explain-writer-key-00000001";
const WITHDRAWN: &str = "explain-withdrawn-key-0001";

struct Home(TempDir);

/// What came of a command.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = KEYS.replace("{reader}", &sha256(READER)).replace("{writer}", &sha256(WRITER));
        let keys = keys.replace("{withdrawn}", &sha256(WITHDRAWN));
        let setup = Setup::before_url("http://127.0.0.1:9").keys(keys);
        setup.file("revoked.txt", "# since Monday\nwithdrawn\n").write(directory.path());
        fs::write(directory.path().join("keygate.toml"), CONFIG).unwrap();
        Self(directory)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    /// Runs `keygate explain`, and asserts that no key was shown.
    fn explain(&self, arguments: &[&str]) -> Said {
        self.explain_with(arguments, b"")
    }

    fn explain_with(&self, arguments: &[&str], stdin: &[u8]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.current_dir(self.0.path()).arg("explain").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who does not read stdin does not keep us waiting.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        for key in [READER, WRITER, WITHDRAWN, "hush"] {
            assert!(!out.contains(key) && !err.contains(key), "{out}{err}");
        }
        Said { code: status.code().unwrap(), out, err }
    }

    fn names(&self) -> BTreeSet<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        entries.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
    }
}

impl Said {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.err, "");
        serde_json::from_str(&self.out).unwrap()
    }

    /// A check of a JSON report: its state, its place, and what it says.
    #[track_caller]
    fn check(&self, name: &str) -> (String, String, String) {
        let report = self.json();
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).expect("a check");
        let text = |member: &str| check[member].as_str().unwrap_or("-").to_owned();
        (text("state"), format!("{}:{}", text("file"), check["line"]), text("detail"))
    }

    #[track_caller]
    fn came_to(&self, code: i32, outcome: &str, reason: Option<&str>) {
        let report = self.json();
        assert_eq!(report["outcome"], outcome, "{}", self.out);
        assert_eq!(report["reason"].as_str(), reason, "{}", self.out);
        assert_eq!(self.code, code);
    }

    #[track_caller]
    fn misused(&self, message: &str, help: &str) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.err);
        assert!(self.err.contains(message) && self.err.contains(help), "{}", self.err);
    }
}

fn request(head: &str, body: &str) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    format!("{head}\r\nHost: api.test\r\n{length}\r\n\r\n{body}").into_bytes()
}

#[test]
fn a_refusal_is_told_rule_by_rule() {
    let said = Home::new().explain(&["GET", "/users/7?hush", "--key-id", "reader"]);
    let wanted = r#"GET /users/7 by TLS from 127.0.0.1
route    /users/{id}  (keygate.toml:19)
key      reader  (keys.toml:4)
account  acme  (keys.toml:1)

CHECK            STATE        WHERE                         WHAT WAS COMPARED
transport        passed                                     it came by TLS
request form     passed                                     it is for one host, `localhost`
path form        passed                                     `/users/7` reads one way
credential form  not asked                                  the key is named with `--key-id`, whatever the request carries
key              passed       keys.toml:4                   key `reader` is in force
account status   passed       keys.toml:1                   account `acme` is enabled
address          not asked                                  the key may be used from anywhere
route            passed       keygate.toml:21               `/users/{id}` takes `GET` of `/users/7`
browser          not asked
account from     not asked
profile from     not asked
kind             not asked
access           passed       keys.toml:4                   the key may read, and `GET` reads
permissions      refused      keygate.toml:22, keys.toml:8  the route asks for `users:read`; the key has `events:read`
body form        not reached
body permission  not reached
events           not reached
attributes       not reached
limits           not reached

refused: 404 missing_permission  (keygate.toml:17)
  {"type":"about:blank","title":"Not Found","status":404,"detail":"Nothing here","reason":"missing_permission","request_id":"…"}
"#;
    assert_eq!(said.out, wanted);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
}

#[test]
fn what_passes_is_told_with_the_identity_and_with_the_limits_that_are_not_judged() {
    let home = Home::new();
    home.write("body", r#"{"action":"page.visit"}"#);
    let said = home.explain(&[
        "POST",
        "/events",
        "--key-id",
        "writer",
        "--body",
        "body",
        "--header",
        "Content-Type: application/json",
    ]);
    let wanted = r#"
address          passed      keys.toml:16                    `127.0.0.1` is in `127.0.0.0/8`
route            passed      keygate.toml:26                 `/events` takes `POST` of `/events`
browser          not asked
account from     not asked
profile from     not asked
kind             not asked
access           passed      keys.toml:14                    the key may use every method
permissions      passed      keygate.toml:24                 the route asks for none
body form        passed      keygate.toml:28                 23 bytes of strict JSON with what the rules point at
body permission  not asked
events           passed      keygate.toml:28, keys.toml:17   the request is `page.visit`; the key may send `page.visit`
attributes       not asked
limits           not judged  keygate.toml:29                 5 requests in 1s for each key; 2 at once for each account, the others wait for up to 1s

forwarded
  x-account-id: acme
  x-key-id: writer
  x-permissions: users:*
  x-key-access: write
  x-key-kind: workspace
"#;
    let (_, end) = said.out.split_once("account status").unwrap();
    let (_, end) = end.split_once('\n').unwrap();
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(end), squeeze(wanted), "{}", said.out);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(!said.out.contains('\u{1b}'), "colour is for terminals");
}

#[test]
fn a_program_reads_the_same_as_json() {
    let home = Home::new();
    home.write("body", r#"{"action":"product.buy"}"#);
    let said = home.explain(&[
        "POST",
        "/events",
        "--key-id",
        "writer",
        "--body",
        "body",
        "--json",
        "--header",
        "Content-Type: application/json",
    ]);
    said.came_to(1, "refused", Some("event_not_allowed"));
    let report = said.json();
    assert_eq!(report["status"], 403);
    let place = |file: &str, line: u64| serde_json::json!({ "file": file, "line": line });
    for (name, what, (file, line)) in [
        ("route", ("path", "/events"), ("keygate.toml", 24)),
        ("key", ("id", "writer"), ("keys.toml", 10)),
        ("account", ("id", "acme"), ("keys.toml", 1)),
    ] {
        let mut wanted = place(file, line);
        wanted[what.0] = what.1.into();
        assert_eq!(report[name], wanted);
    }
    assert_eq!(report["request"]["method"], "POST");
    assert_eq!(report["request"]["transport"], "https");
    assert_eq!(report["upstream"], Value::Null);
    assert!(report["answer"]["body"].as_str().unwrap().contains("event_not_allowed"));
    let (state, place_of, detail) = said.check("events");
    assert_eq!((state.as_str(), place_of.as_str()), ("refused", "keygate.toml:28"));
    assert_eq!(detail, "the request is `product.buy`; the key may send `page.visit`");
    let events = report["checks"].as_array().unwrap().iter().find(|c| c["name"] == "events");
    assert_eq!(events.unwrap()["compared_with"], place("keys.toml", 17));
    assert_eq!(said.check("limits").0, "not_reached");
    let names: Vec<_> =
        report["checks"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    let all: Vec<_> = keygate::gate::Check::ALL.iter().map(|c| Value::from(c.name())).collect();
    assert_eq!(names, all, "every check, in the order of judgement");
}

#[test]
fn a_whole_request_may_carry_what_arguments_may_not() {
    let home = Home::new();
    let bytes = request(&format!("GET /users/7 HTTP/1.1\r\nX-Api-Key: {WRITER}"), "");
    let said = home.explain_with(&["--request", "-", "--json"], &bytes);
    said.came_to(0, "forwarded", None);
    assert_eq!(said.json()["key"]["id"], "writer");
    assert_eq!(said.check("credential_form").0, "passed");
    let connect = format!("CONNECT a.test:443 HTTP/1.1\r\nX-Api-Key: {WRITER}");
    let bytes = format!("{connect}\r\nHost: a.test:443\r\n\r\n");
    let said = home.explain_with(&["--request", "-", "--json"], bytes.as_bytes());
    said.came_to(1, "refused", Some("no_route"));
    assert_eq!(said.json()["request"]["path"], "/");
    // As an editor writes it.
    home.write("wire", format!("GET /users/7 HTTP/1.1\nHost: a\nX-Api-Key: {READER}\n\n"));
    let said = home.explain(&["--request", "wire", "--json"]);
    said.came_to(1, "refused", Some("missing_permission"));
    let two = format!("GET /open HTTP/1.1\r\nContent_Length: 0\r\nX-Api-Key: {READER}");
    let said = home.explain_with(&["--request", "-", "--json"], &request(&two, ""));
    said.came_to(1, "refused", Some("malformed_request"));
    let said = home.explain_with(&["--request", "-"], b"GET /open HTTP/1.1\r\nHost: a\r\n");
    said.misused("the request ends within its head", "end the head with an empty line");
}

#[test]
fn a_revocation_is_found_where_it_stands() {
    let home = Home::new();
    let said = home.explain(&["GET", "/users/7", "--key-id", "withdrawn", "--json"]);
    said.came_to(1, "refused", Some("revoked_key"));
    let (state, place, detail) = said.check("key");
    assert!(place.ends_with("revoked.txt:2"), "{place}");
    assert_eq!(
        (state.as_str(), detail.as_str()),
        ("refused", "key `withdrawn` is among the revocations")
    );
}

#[test]
fn the_address_is_believed_as_it_would_be() {
    let home = Home::new();
    let ask = |more: &[&str]| {
        let asked = ["GET", "/users/7", "--key-id", "writer", "--json"];
        home.explain(&[&asked[..], more].concat())
    };
    ask(&[]).came_to(0, "forwarded", None);
    ask(&["--from", "::ffff:127.0.0.1"]).came_to(0, "forwarded", None);
    let said = ask(&["--from", "192.0.2.7"]);
    said.came_to(1, "refused", Some("ip_not_allowed"));
    let detail = "the key may be used from `127.0.0.0/8`; this comes from `192.0.2.7`";
    assert_eq!(said.check("address").2, detail);
    let forwarded = ["--header", "X-Forwarded-For: 127.0.0.1"];
    ask(&[&["--from", "192.0.2.7"], &forwarded[..]].concat()).came_to(
        1,
        "refused",
        Some("ip_not_allowed"),
    );
    ask(&[&["--from", "10.1.2.3"], &forwarded[..]].concat()).came_to(0, "forwarded", None);
    ask(&["--from", "nowhere"]).misused("invalid value 'nowhere' for '--from <IP>'", "");
}

#[test]
fn in_clear_nothing_passes_unless_the_configuration_says_so() {
    let home = Home::new();
    let ask = ["GET", "/users/7", "--key-id", "writer", "--plain", "--json"];
    let said = home.explain(&ask);
    said.came_to(1, "refused", Some("insecure_transport"));
    assert_eq!(said.check("path_form").0, "not_reached");
    let said = home.explain(&[&ask[..], &["--set", "listen.http_accepts=everything"]].concat());
    said.came_to(0, "forwarded", None);
    assert_eq!(said.check("transport").1, "--set:null");
}

#[test]
fn what_no_route_takes_is_told_with_what_would_have_been_taken() {
    let home = Home::new();
    let said = home.explain(&["PUT", "/users/7", "--key-id", "writer", "--json"]);
    said.came_to(1, "refused", Some("no_route"));
    let (_, place, detail) = said.check("route");
    assert_eq!(detail, "`/users/{id}` takes `GET`, `HEAD`, `POST`, and not `PUT`");
    assert_eq!(place, "keygate.toml:21");
    let said = home.explain(&["GET", "/a", "--key-id", "writer", "--json"]);
    assert_eq!(said.check("route").2, "no route has a path that `/a` fits");
    let said = home.explain(&[
        "GET",
        "/a",
        "--key-id",
        "writer",
        "--json",
        "--set",
        "routes.unmatched=allow",
    ]);
    said.came_to(0, "forwarded", None);
    let said = home.explain(&["GET", "/a/%2e%2e/b", "--json"]);
    said.came_to(1, "refused", Some("ambiguous_path"));
    home.explain(&["GET", "/open#a", "--json"]).came_to(1, "refused", Some("ambiguous_path"));
}

#[test]
fn what_is_waived_is_told_as_that() {
    let home = Home::new();
    let said = home.explain(&["GET", "/of/other", "--key-id", "reader", "--json"]);
    said.came_to(0, "shadow", Some("wrong_account"));
    assert_eq!(
        said.check("account_from").2,
        "the path names the account `other`; the key's is `acme`"
    );
    assert_eq!(said.json()["upstream"]["x-account-id"], "acme");
    let said = home.explain(&["GET", "/of/other", "--key-id", "reader"]);
    assert!(
        said.out.contains("forwarded: the route does not enforce, or it would be wrong_account")
    );
    let said = home.explain(&["GET", "/open", "--json"]);
    said.came_to(0, "forwarded", None);
    assert_eq!(
        said.check("credential_form"),
        ("not_asked".into(), "keygate.toml:39".into(), "the route is public".into())
    );
}

#[test]
fn what_a_body_asks_for_is_held_against_what_the_key_has() {
    let home = Home::new();
    let ask = |path: &str, body: &str| {
        let json = "Content-Type: application/json";
        let ask = ["POST", path, "--key-id", "editor", "--json", "--body", "-", "--header", json];
        home.explain_with(&ask, body.as_bytes())
    };
    let said = ask("/profile", r#"{"may":"edit","name":1,"age":2,"tags":["vip","old"]}"#);
    said.came_to(1, "refused", Some("attribute_not_allowed"));
    let detail = "the body changes `age`, tags `old`; the key may change `name`, tags `vip`";
    assert_eq!(said.check("attributes").2, detail);
    assert_eq!(said.check("body_permission").2, "the body asks for `edit`, and the key has all");
    assert_eq!(said.check("kind").0, "passed");
    let said = ask("/profile", r#"{"may":"edit","name":1,"tags":["vip"]}"#);
    said.came_to(0, "forwarded", None);
    let detail = "the body changes `name`, tags `vip`; the key may change `name`, tags `vip`";
    assert_eq!(said.check("attributes").2, detail);
    let said = ask("/profile", r#"{"may":"edit","may":"edit","tags":[]}"#);
    said.came_to(1, "refused", Some("invalid_body"));
    assert!(said.check("body_form").2.contains("a name occurs twice"), "{}", said.out);
    let said = ask("/profile", "{");
    assert!(said.check("body_form").2.starts_with("the body is not JSON: EOF"), "{}", said.out);
    let said = ask("/events", r#"{"action":"product.buy"}"#);
    let detail =
        "the request is `product.buy`; the key may send every event but never `product.buy`";
    assert_eq!(said.check("events").2, detail);
    let json = ["POST", "/events", "--key-id", "editor", "--json", "--body", "-"];
    let said = home.explain_with(&json, b"{}");
    said.came_to(1, "refused", Some("wrong_content_type"));
    let detail = "the route takes `application/json` in UTF-8; this is none";
    assert_eq!(said.check("body_form").2, detail);
    let set = ["--set", "route.1.max_body=20"];
    let said = home.explain_with(
        &[&json[..], &["--header", "Content-Type: application/json"], &set].concat(),
        &[b' '; 21],
    );
    said.came_to(1, "refused", Some("body_too_large"));
    let told = said.check("body_form");
    assert_eq!(
        (told.1.as_str(), told.2.as_str()),
        ("--set:null", "the route takes 20 bytes; this has 21")
    );
}

#[test]
fn a_login_is_judged_and_its_token_is_nobodys() {
    let home = Home::new();
    let login = "/uauth/v2/auth/login/profile";
    let head = format!("POST {login} HTTP/1.1");
    let body = format!(r#"{{"apiKey":"{WRITER}"}}"#);
    let said = home.explain_with(&["--request", "-", "--json"], &request(&head, &body));
    said.came_to(0, "minted", None);
    assert_eq!(said.json()["status"], 200);
    assert_eq!(said.json()["key"]["id"], "writer");
    assert!(!said.out.contains("eyJ"), "{}", said.out);
    let said = home.explain_with(&["--request", "-"], &request(&head, &body));
    assert!(!said.out.contains("eyJ") && said.out.contains("minted"), "{}", said.out);
    let said = home.explain_with(&["--request", "-", "--json"], &request(&head, "{}"));
    said.came_to(1, "refused", Some("invalid_body"));
    assert!(said.check("body_form").2.contains("`apiKey`"));
    let said = home.explain(&["GET", login, "--json"]);
    said.came_to(1, "refused", Some("no_route"));
    assert!(said.check("route").2.contains("is keygate's own, and not for `GET`"));
}

/// A token cannot be told from a forged one by who has not the key that signed it.
#[test]
fn a_token_that_was_signed_in_memory_is_not_called_forged() {
    let home = Home::new();
    let token = request("GET /users/7 HTTP/1.1\r\nAuthorization: Bearer a.b.c", "");
    let said = home.explain_with(&["--request", "-", "--json"], &token);
    said.came_to(1, "refused", Some("invalid_token"));
    let why = said.check("key").2;
    assert!(why.contains("without `signing_key`") && !why.contains("of ours"), "{why}");
}

#[test]
fn secrets_are_never_taken_as_arguments() {
    let home = Home::new();
    for name in ["Authorization", "cookie", "Proxy-Authorization", "x-api-key"] {
        let header = format!("{name}: Bearer hush");
        let said = home.explain(&["GET", "/users/7", "--header", &header]);
        said.misused("secrets are never taken as arguments", "`--request FILE`");
        assert!(said.err.contains("`--key-id ID`"), "{}", said.err);
    }
    let said = home.explain(&["GET", "/users/7", "--key-id", READER]);
    said.misused("what `--key-id` names is no id of a key", "`--request`");
    let long = format!("kg_hush{}", "x".repeat(40));
    home.explain(&["GET", "/", "--key-id", &long]).misused("is no id of a key", "`--request`");
    home.explain(&["GET", "/", "--header", "hush"]).misused("wants a name and a value", "write");
    let said = home.explain(&["GET", "/", "--header", "A: hush\u{1}"]);
    said.misused("the value of `A` cannot stand in a header", "");
    home.explain(&["GET", "/", "--header", "Content-Length: 5"])
        .misused("follows from `--body`", "");
    home.explain(&["GET", "/", "hush"]).misused("unexpected argument", "on stdin");
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let home = Home::new();
    let said = home.explain(&["GET", "/", "--key-id", "raeder"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("there is no key `raeder`"), "{}", said.err);
    assert!(said.err.contains("did you mean `reader`?"), "{}", said.err);
    let said = home.explain(&["POST", "/events", "--body", "nobody"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("`nobody` does not exist"), "{}", said.err);
    let said = home.explain(&["--request", "."]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("`.` is a directory"), "{}", said.err);
    home.explain(&["get", "/"]).misused("`get` is no method", "write `GET`");
    home.explain(&["G T", "/"]).misused("`G T` is no method", "");
    home.explain(&["GET", "users"]).misused("does not begin with `/`", "write a path");
    home.explain(&["GET", "/a b"]).misused("`/a b` is no target", "`%20`");
    home.explain(&["GET"]).misused("required arguments", "<PATH>");
    home.explain(&["GET", "/", "--request", "-"]).misused("cannot be used with", "");
    home.write("keygate.toml", CONFIG.replace("[keys]", "[keyz]").replace("= 5", "= 0"));
    let said = home.explain(&["GET", "/", "--json"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("unknown field `keyz`"), "{}", said.err);
    assert!(said.err.contains("requests"), "{}", said.err);
    let said = home.explain(&["GET", "/", "--config", "other.toml"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("`other.toml` does not exist"), "{}", said.err);
}

#[test]
fn nothing_is_written() {
    let home = Home::new();
    let before = home.names();
    home.explain(&["GET", "/users/7", "--key-id", "reader"]);
    home.explain(&["POST", "/uauth/v2/auth/login/profile", "--body", "-"]);
    assert_eq!(home.names(), before);
}
