//! What it does not start with: every mistake of every file is told at once, and the exit is 1.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::actors::client::{Client, bearer};
use crate::actors::origin::Origin;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{READ, Setup, account, key, sha256, usual_keys};
use crate::actors::sidecar::{Sidecar, refuses};

fn setup() -> Setup {
    Setup::before_url("http://127.0.0.1:9")
}

/// Asserts exit 1 and that everything wanted was said.
#[track_caller]
fn refused(setup: &Setup, wanted: &[&str]) -> String {
    let (code, text) = refuses(setup, |_| {});
    assert_eq!(code, Some(1), "{text}");
    for part in wanted {
        assert!(text.contains(part), "`{part}` is not said in:\n{text}");
    }
    text
}

#[test]
fn three_mistakes_in_the_config_are_told_at_once() {
    let config = "[credentials]\nbaerer = true\n[drain]\ntimeout = \"soon\"\n\
                  [[route]]\npath = \"no-slash\"\n";
    let text = refused(
        &setup().config(config),
        &["keygate.toml:", "`baerer`", "`bearer`", "soon", "no-slash", "help"],
    );
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn mistakes_in_config_and_keys_are_told_together() {
    let keys = usual_keys()
        + "[[key]]\nid = \"lost\"\naccount = \"acme\"\ndigest = \"sha256:00\"\n"
        + &key("again", "acme", READ, "");
    refused(
        &setup().config("[drain]\ntimeout = \"soon\"\n").keys(keys),
        &["keygate.toml:", "soon", "keys.toml:", "64", "`again`"],
    );
}

#[test]
fn a_digest_that_occurs_twice_is_refused_naming_both_places() {
    let keys = usual_keys() + &key("twice", "acme", READ, "");
    let at = |id: &str| keys.lines().position(|line| line.contains(id)).unwrap() + 1;
    let (first, second) = (at("id = \"acme-read\""), at("id = \"twice\""));
    let text = refused(&setup().keys(&keys), &["keys.toml:", "acme-read", "twice"]);
    let near = |line: usize| (line - 1..line + 5).any(|n| text.contains(&format!("{n}")));
    assert!(near(first) && near(second), "{text}");
    assert!(!text.contains(READ), "{text}");
}

#[test]
fn a_digest_that_occurs_in_two_files_is_refused_naming_both() {
    let setup = setup()
        .config("[keys]\nfiles = [\"keys.toml\", \"more.toml\"]")
        .file("more.toml", account("more", "") + &key("again", "more", READ, ""));
    refused(&setup, &["keys.toml", "more.toml", "acme-read", "again"]);
}

#[test]
fn a_key_of_an_unknown_account_is_refused_with_the_nearest() {
    refused(&setup().keys(usual_keys() + &key("lost", "acne", "k", "")), &["`acne`", "`acme`"]);
}

#[test]
fn a_bad_date_is_refused() {
    for (date, part) in [
        ("2026-13-01T00:00:00Z", "keys.toml:"),
        ("2026-12-01T00:00:00", "time zone"),
        ("\"soon\"", "expires"),
    ] {
        let lines = format!("expires = {date}");
        refused(&setup().keys(usual_keys() + &key("k", "acme", "k", &lines)), &[part]);
    }
}

#[test]
fn a_digest_of_the_wrong_length_is_refused() {
    let keys = usual_keys() + "[[key]]\nid = \"k\"\naccount = \"acme\"\ndigest = \"sha256:abcd\"\n";
    refused(&setup().keys(keys), &["keys.toml:", "64"]);
}

#[test]
fn a_key_in_plain_text_is_refused_and_not_repeated() {
    let keys = usual_keys() + &format!("[[key]]\nid = \"k\"\naccount = \"acme\"\nkey = {READ:?}\n");
    let text = refused(&setup().keys(keys), &["keys.toml:"]);
    assert!(!text.contains(READ), "{text}");
}

#[test]
fn a_key_file_that_cannot_be_read_as_one_is_refused() {
    refused(&setup().file("keys.toml", ""), &["keys.toml"]);
    refused(&setup().file("keys.toml", b"\xff\xfe\x00"), &["keys.toml", "UTF-8"]);
    let (code, text) = refuses(&setup(), |directory| {
        fs::remove_file(directory.path().join("keys.toml")).unwrap();
    });
    assert_eq!(code, Some(1));
    assert!(text.contains("keys.toml"), "{text}");
    let (code, text) = refuses(&setup(), |directory| {
        let path = directory.path().join("keys.toml");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a.toml"), "[[key").unwrap();
    });
    assert_eq!(code, Some(1));
    assert!(text.contains("a.toml"), "{text}");
}

#[test]
fn a_key_file_without_permission_to_read_is_refused() {
    let path_of = |directory: &tempfile::TempDir| directory.path().join("keys.toml");
    if rustix::process::geteuid().is_root() {
        // Root reads everything; a directory in the place of a file is as unreadable.
        let (code, text) = refuses(
            &setup().config("[keys]\nfiles = [\"keys.toml\"]\npepper_file = \"dir\""),
            |directory| {
                fs::create_dir(directory.path().join("dir")).unwrap();
            },
        );
        assert_eq!(code, Some(1));
        assert!(text.contains("dir"), "{text}");
        return;
    }
    let (code, text) = refuses(&setup(), |directory| {
        fs::set_permissions(path_of(directory), fs::Permissions::from_mode(0o000)).unwrap();
    });
    assert_eq!(code, Some(1));
    assert!(text.contains("keys.toml"), "{text}");
}

#[test]
fn a_certificate_that_is_missing_is_refused() {
    let (code, text) = refuses(&setup(), |directory| {
        fs::remove_file(directory.path().join("server.crt")).unwrap();
    });
    assert_eq!(code, Some(1));
    assert!(text.contains("server.crt"), "{text}");
}

#[test]
fn a_certificate_that_does_not_match_its_key_is_refused() {
    let other = TRUSTED.issue();
    let setup = setup().file("server.key", other.key.as_bytes());
    let text = refused(&setup, &["server.crt", "server.key"]);
    assert!(!text.contains("BEGIN"), "{text}");
}

#[test]
fn what_is_no_certificate_is_refused() {
    refused(&setup().file("server.crt", "not PEM"), &["server.crt"]);
    refused(&setup().file("server.key", "not PEM"), &["server.key"]);
}

#[test]
fn a_certificate_that_has_expired_is_a_warning() {
    let origin = Origin::echo();
    let expired = TRUSTED.issue_with(|params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let setup = Setup::before(&origin)
        .file("server.crt", expired.certificate.as_bytes())
        .file("server.key", expired.key.as_bytes());
    let sidecar = Sidecar::start(&setup);
    let line = sidecar.logged(0, "the expiry", |line| line.text.contains("expired"));
    assert!(line.text.contains("server.crt"), "{}", line.text);
}

#[test]
fn a_port_in_use_is_refused_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for name in ["https", "http", "admin"] {
        let setup = setup().listen(&format!("{name} = {address:?}"));
        refused(&setup, &[&address, "in use"]);
    }
}

#[test]
fn trusting_everyone_as_a_proxy_is_refused() {
    for network in ["0.0.0.0/0", "::/0"] {
        let line = format!("trusted_proxies = [{network:?}]");
        refused(&setup().listen(&line), &[network, "trusted_proxies"]);
    }
}

#[test]
fn two_routes_that_could_not_be_told_apart_are_refused() {
    let routes = "[[route]]\npath = \"/a/{x}\"\n[[route]]\npath = \"/a/{y}\"\n";
    refused(&setup().config(routes), &["/a/{x}", "/a/{y}"]);
}

#[test]
fn a_field_from_the_command_line_overrides_the_file() {
    let origin = Origin::echo();
    let setup = Setup::before_url("http://127.0.0.1:9")
        .set(&format!("upstream.url={}", origin.url))
        .set("credentials.realm=from-the-line");
    let sidecar = Sidecar::start(&setup);
    sidecar.get("/", &[&bearer(READ)]).ok();
    let response = sidecar.get("/", &[]);
    assert_eq!(response.value("www-authenticate"), Some("Bearer realm=\"from-the-line\""));
    refused(&setup.set("credentials.relm=x"), &["--set", "credentials.relm", "realm"]);
}

#[test]
fn plain_http_can_be_taken_on_purpose() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).listen("http_accepts = \"everything\"");
    let sidecar = Sidecar::start(&setup);
    sidecar.plain().get("/", &[&bearer(READ)]).ok();
    assert_eq!(origin.last().value("x-forwarded-proto"), Some("http"));
}

#[test]
fn plain_http_behind_a_trusted_proxy_counts_by_what_it_says() {
    let origin = Origin::echo();
    let lines = "http_accepts = \"forwarded-https\"\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let sidecar = Sidecar::start(&Setup::before(&origin).listen(lines));
    let mut client = sidecar.plain();
    client.get("/", &[&bearer(READ), "X-Forwarded-Proto: https"]).ok();
    assert_eq!(origin.last().value("x-forwarded-proto"), Some("https"));
    client.get("/", &[&bearer(READ), "X-Forwarded-Proto: http"]).refused(401, "insecure_transport");
    client.get("/", &[&bearer(READ)]).refused(401, "insecure_transport");
    let both = ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"];
    client.get("/", &[&both[..], &[&bearer(READ)]].concat()).refused(401, "insecure_transport");
    let elsewhere = "http_accepts = \"forwarded-https\"\ntrusted_proxies = [\"10.0.0.0/8\"]";
    let untrusting = Setup::before(&origin).listen(elsewhere);
    let sidecar = Sidecar::start(&untrusting);
    sidecar
        .plain()
        .get("/", &[&bearer(READ), "X-Forwarded-Proto: https"])
        .refused(401, "insecure_transport");
}

#[test]
fn several_addresses_are_all_listened_on() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).listen("https = [\"127.0.0.1:0\", \"127.0.0.2:0\"]");
    let sidecar = Sidecar::start(&setup);
    let line = sidecar.logged(0, "the addresses", |line| line.message() == "listening");
    let addresses = line.texts("https");
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    for address in addresses {
        Client::tls(address.parse().unwrap()).get("/", &[&bearer(READ)]).ok();
    }
}

#[test]
fn with_a_pepper_digests_are_keyed() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
    mac.update(READ.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02X}")).collect();
    let record = |digest: &str| {
        account("acme", "")
            + &format!("[[key]]\nid = \"k\"\naccount = \"acme\"\ndigest = \"{digest}\"\n")
    };
    let origin = Origin::echo();
    let peppered = || {
        let config = "[keys]\nfiles = [\"keys.toml\"]\npepper_file = \"pepper\"";
        Setup::before(&origin).config(config).file("pepper", "0123456789abcdef\n")
    };
    let sidecar = Sidecar::start(&peppered().keys(record(&format!("hmac-sha256:{hex}"))));
    sidecar.get("/", &[&bearer(READ)]).ok();
    refused(&peppered().keys(record(&sha256(READ))), &["keys.toml:", "hmac-sha256", "pepper"]);
    let unpeppered = setup().keys(record(&format!("hmac-sha256:{hex}")));
    refused(&unpeppered, &["keys.toml:", "pepper_file"]);
}

#[test]
fn a_file_of_revocations_that_is_missing_is_refused() {
    let config = "[keys]\nfiles = [\"keys.toml\"]\nrevocations = \"revoked.txt\"";
    refused(&setup().config(config), &["revoked.txt"]);
}
