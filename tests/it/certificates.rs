//! Which certificate is shown for which name, and that a name decides nothing else.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rcgen::SanType;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::actors::client::{Client, bearer, dial};
use crate::actors::eventually;
use crate::actors::frames::{Frames, block};
use crate::actors::origin::Origin;
use crate::actors::pki::{Identity, TRUSTED};
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::{Sidecar, refuses};
use crate::actors::wire::Wire;

const EXPIRY: &str = "keygate_certificate_expiry_timestamp_seconds";

fn identity(names: &[&str], year: i32) -> Identity {
    TRUSTED.issue_with(|params| {
        let names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        params.subject_alt_names = names.collect();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
    })
}

fn table(names: &str, file: &str) -> String {
    format!(
        "[[tls.certificate_for]]\nnames = {names}\ncertificate = \"{file}.crt\"\n\
         private_key = \"{file}.key\"\n"
    )
}

/// One certificate for a name, one for another and all names below it, beside the usual one.
fn setup(origin: &Origin) -> Setup {
    let (api, org) = (
        identity(&["api.example.com"], 2061),
        identity(&["www.example.org", "*.example.org"], 2062),
    );
    Setup::before(origin)
        .tls(&table("[\"api.example.com\"]", "api"))
        .tls(&table("[\"*.Example.ORG\"]", "org"))
        .file("api.crt", api.certificate)
        .file("api.key", api.key)
        .file("org.crt", org.certificate)
        .file("org.key", org.key)
}

/// What OpenSSL's client is shown for a name, or for none: the file in which it stands.
fn shown(sidecar: &Sidecar, name: Option<&str>) -> &'static str {
    let name = name.map_or(vec!["-noservername"], |name| vec!["-servername", name]);
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &sidecar.https.to_string()])
        .args(name)
        .stdin(Stdio::null())
        .output()
        .expect("openssl");
    let said = String::from_utf8(output.stdout).unwrap();
    let (_, body) = said.split_once("-----BEGIN CERTIFICATE-----").expect("a certificate");
    let (body, _) = body.split_once("-----END CERTIFICATE-----").unwrap();
    let body = body.trim();
    let files = ["server.crt", "api.crt", "org.crt"];
    let is_in = |file: &&str| sidecar.read(file).contains(body);
    files.into_iter().find(is_in).expect("a certificate of ours")
}

/// A connection that asks for a name, whose certificate must be for it.
fn ask(address: SocketAddr, name: &str, protocol: &str) -> Client {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(TRUSTED.client(&[protocol]), name).unwrap();
    let mut stream = StreamOwned::new(session, dial(address).unwrap());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).expect("a certificate for the name");
    }
    Client { wire: Wire::new(Box::new(stream)) }
}

#[test]
fn each_name_is_shown_its_certificate_and_the_rest_the_usual_one() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    for (name, file) in [
        ("api.example.com", "api.crt"),
        ("API.EXAMPLE.com", "api.crt"),
        ("api.example.com.", "api.crt"),
        ("www.example.org", "org.crt"),
        ("xn--mnchen-3ya.example.org", "org.crt"),
        ("a.b.example.org", "server.crt"),
        ("example.org", "server.crt"),
        ("www.api.example.com", "server.crt"),
        ("localhost", "server.crt"),
        ("example", "server.crt"),
    ] {
        assert_eq!(shown(&sidecar, Some(name)), file, "{name}");
    }
    assert_eq!(shown(&sidecar, None), "server.crt");
    for name in ["api.example.com", "www.example.org", "localhost"] {
        ask(sidecar.https, name, "http/1.1").get("/", &[&bearer(READ)]).ok();
    }
}

/// Clients share a connection between names that one certificate is for, and health checks ask for
/// a name that is nobody's.
#[test]
fn a_name_decides_the_certificate_and_nothing_else() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    let hosts = ["api.example.com", "www.example.org", "other.test", "[::1]:8443"];
    for name in ["api.example.com", "localhost"] {
        for host in hosts {
            let mut client = ask(sidecar.https, name, "http/1.1");
            let request = |key: &str| {
                format!("GET /a HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n")
            };
            client.send(request(READ));
            client.response("GET").ok();
            assert_eq!(origin.last().value("host"), Some(host));
            client.send(request("no-key-of-anybody-0123456789"));
            client.response("GET").refused(401, "invalid_credential");
        }
        let mut frames = Frames::over(ask(sidecar.https, name, "h2"));
        for (stream, host) in (1..).step_by(2).zip(hosts) {
            let fields = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", host),
                (":path", "/b"),
                ("authorization", &format!("Bearer {READ}")),
            ];
            assert_eq!(frames.ask(stream, &block(&fields)).summary(), "ok");
            assert_eq!(origin.last().value("host"), Some(host));
        }
    }
}

#[test]
fn each_certificate_tells_when_it_ends() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    let year = |label: &str| sidecar.metric(EXPIRY, &[label]) / (365.2425 * 86_400.0) + 1970.0;
    assert!((year("name=\"api.example.com\"") - 2061.0).abs() < 0.1);
    assert!((year("name=\"*.example.org\"") - 2062.0).abs() < 0.1);
    let text = sidecar.admin("/metrics").text();
    // What stood there before there were names stands there still, without a label.
    let usual = text.lines().filter_map(|line| line.strip_prefix(EXPIRY)?.strip_prefix(' '));
    assert!(usual.map(|value| value.parse::<f64>().unwrap()).eq([67_090_118_400.0]), "{text}");
}

#[test]
fn certificates_and_their_names_are_changed_without_closing_a_connection() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    let mut kept = ask(sidecar.https, "api.example.com", "http/1.1");
    kept.get("/", &[&bearer(READ)]).ok();
    // Another certificate in the same file, with another key: one of the two comes first.
    let next = identity(&["api.example.com"], 2063);
    sidecar.replace("api.key", &next.key);
    sidecar.replace("api.crt", &next.certificate);
    eventually("the new certificate", || {
        let end = sidecar.metric(EXPIRY, &["name=\"api.example.com\""]);
        (end > 2_930_000_000.0).then_some(())
    });
    assert_eq!(shown(&sidecar, Some("api.example.com")), "api.crt");
    // Another name for it. Two files may have been loaded twice, so a newer state may not be this.
    let text = sidecar.read("keygate.toml");
    sidecar.replace("keygate.toml", text.replace("\"api.example.com\"", "\"example.net\""));
    eventually("the other name", || {
        (shown(&sidecar, Some("example.net")) == "api.crt").then_some(())
    });
    assert_eq!(shown(&sidecar, Some("api.example.com")), "server.crt");
    assert!(!sidecar.admin("/metrics").text().contains("api.example.com"));
    kept.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_certificate_that_does_not_load_leaves_all_as_they_are() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    let before = sidecar.log.mark();
    let good = sidecar.read("org.crt");
    sidecar.replace("org.crt", identity(&["*.example.org"], 2064).certificate);
    let line =
        sidecar.logged(before, "the mistake", |line| line.message().contains("does not fit"));
    assert!(line.message().contains("keygate.toml:"), "{}", line.message());
    eventually("the failure to show", || {
        (sidecar.metric("keygate_last_reload_successful", &[]) == 0.0).then_some(())
    });
    sidecar.replace("org.crt", good);
    assert_eq!(shown(&sidecar, Some("www.example.org")), "org.crt");
    eventually("the mistake to be over", || {
        (sidecar.metric("keygate_last_reload_successful", &[]) == 1.0).then_some(())
    });
}

#[test]
fn a_certificate_of_a_name_that_cannot_be_used_is_told_at_the_start() {
    let origin = Origin::echo();
    let setup = setup(&origin).tls(&table("[\"api.example.com\", \"other.test\"]", "org"));
    let (code, said) = refuses(&setup, |_| {});
    assert!(code == Some(1) && said.contains("`api.example.com` has a certificate already"));
}

/// A client that was shown one certificate must not take the session to the other's name.
#[test]
fn a_session_is_good_for_its_own_name_only() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    let session = sidecar.path("session.pem");
    let path = session.to_str().unwrap();
    let speak = |name: &str, option: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-connect", &sidecar.https.to_string()])
            .args(["-servername", name, option, path])
            .stdin(Stdio::null())
            .output()
            .expect("openssl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(speak("api.example.com", "-sess_out").contains("New, TLSv1.2"));
    assert!(speak("api.example.com", "-sess_in").contains("Reused, TLSv1.2"));
    assert!(speak("www.example.org", "-sess_in").contains("New, TLSv1.2"));
}
