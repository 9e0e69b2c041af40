//! What TLS is spoken and what is not; what a client may do to a session, and how long a session
//! stays good.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::actors::PATIENCE;
use crate::actors::client::{Client, bearer, head};
use crate::actors::origin::Origin;
use crate::actors::pki::{Authority, Identity, TRUSTED};
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::Sidecar;
use crate::tls::{only, with_identity};

/// A ClientHello that offers one version and one suite, and of everything else what servers like.
fn hello(version: u16, suite: u16) -> Vec<u8> {
    fn sized(bits: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - bits / 8..], content].concat()
    }
    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &sized(16, content)].concat()
    }
    let schemes =
        [0x04, 0x03, 0x05, 0x03, 0x08, 0x04, 0x08, 0x05, 0x04, 0x01, 0x02, 0x01, 0x02, 0x03];
    let mut extensions = [
        extension(10, &sized(16, &[0, 29, 0, 23, 0, 24, 1, 0])),
        extension(11, &sized(8, &[0])),
        extension(13, &sized(16, &schemes)),
        extension(23, &[]),
        extension(0xff01, &[0]),
    ]
    .concat();
    if version == 0x0304 {
        extensions.extend(extension(43, &[2, 3, 4]));
        let share = [&[0, 29][..], &sized(16, &[9; 32])].concat();
        extensions.extend(extension(51, &sized(16, &share)));
    }
    let body = [
        &version.min(0x0303).to_be_bytes()[..],
        &[7; 32],
        &[0],
        &sized(16, &suite.to_be_bytes()),
        &[1, 0],
        &sized(16, &extensions),
    ]
    .concat();
    let message = [&[1][..], &sized(24, &body)].concat();
    [&[22, 3, 1][..], &sized(16, &message)].concat()
}

/// Whether a server goes on with what a client offers.
fn accepts(address: SocketAddr, version: u16, suite: u16) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&hello(version, suite)).unwrap();
    let mut record = [0; 11];
    match stream.read_exact(&mut record[..7]) {
        Ok(()) if record[0] == 22 => {
            // A server may answer with another version than was offered last.
            stream.read_exact(&mut record[7..]).unwrap();
            assert_eq!(record[5], 2, "a ServerHello");
            true
        }
        Ok(()) => {
            assert_eq!(record[0], 21, "an alert");
            false
        }
        Err(error) => panic!("{version:x} {suite:x}: {error}"),
    }
}

/// OpenSSL's server, which does what it is told: what keygate refuses, it takes.
struct Lenient {
    child: Child,
    address: SocketAddr,
    _files: tempfile::TempDir,
}

impl Lenient {
    fn start(identity: &Identity, options: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("server.crt"), &identity.certificate).unwrap();
        std::fs::write(files.path().join("server.key"), &identity.key).unwrap();
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args(["-cert", "server.crt", "-key", "server.key"])
            .args(options)
            .current_dir(files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.parse().ok());
        Self { child, address: address.expect("an address"), _files: files }
    }
}

impl Drop for Lenient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rsa() -> Identity {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// Every suite that was ever registered is offered alone: what is left are those of Mozilla's
/// intermediate profile without its finite-field ones.
#[test]
fn only_suites_with_forward_secrecy_and_authenticated_encryption_are_spoken() {
    let origin = Origin::echo();
    let rsa = rsa();
    // Who asks for what is weak can also be told yes.
    let weak = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";
    let lenient = Lenient::start(&rsa, &["-cipher", weak, "-min_protocol", "TLSv1"]);
    for (version, suite) in [(0x0301, 0x002f), (0x0302, 0xc013), (0x0303, 0x009c)] {
        assert!(accepts(lenient.address, version, suite), "{version:x} {suite:x}");
    }
    let setups = [
        (Setup::before(&origin), [0xc02b, 0xc02c, 0xcca9]),
        (
            Setup::before(&origin)
                .set("tls.certificate={dir}/rsa.crt")
                .set("tls.private_key={dir}/rsa.key")
                .file("rsa.crt", rsa.certificate)
                .file("rsa.key", rsa.key),
            [0xc02f, 0xc030, 0xcca8],
        ),
    ];
    let registered =
        || (0..=0xc7).chain(0x1300..=0x1307).chain(0xc001..=0xc0b7).chain(0xcca0..=0xccaf);
    for (setup, wanted) in setups {
        let sidecar = Sidecar::start(&setup);
        let of = |version| -> Vec<u16> {
            registered().filter(|&suite| accepts(sidecar.https, version, suite)).collect()
        };
        assert_eq!(of(0x0303), wanted);
        assert_eq!(of(0x0304), [0x1301, 0x1302, 0x1303]);
        for version in [0x0300, 0x0301, 0x0302] {
            let offered = wanted.iter().chain(&[0xc009, 0xc013, 0x002f, 0x1301]);
            assert!(!offered.into_iter().any(|&suite| accepts(sidecar.https, version, suite)));
        }
    }
}

fn dial(address: SocketAddr, config: &Arc<ClientConfig>) -> (ClientConnection, TcpStream) {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    (session, stream)
}

#[test]
fn a_protocol_that_nobody_speaks_is_refused_by_name() {
    let sidecar = Sidecar::start(&Setup::before(&Origin::echo()));
    for offer in [&["spdy/3"][..], &["h2c"], &["http/1.0", "h3"]] {
        let (mut session, mut stream) = dial(sidecar.https, &TRUSTED.client(offer));
        let error = loop {
            match session.complete_io(&mut stream) {
                Ok(_) if session.is_handshaking() => {}
                Ok(_) => panic!("it was accepted: {offer:?}"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("NoApplicationProtocol"), "{offer:?}: {error}");
    }
    let (mut session, mut stream) = dial(sidecar.https, &TRUSTED.client(&["spdy/3", "http/1.1"]));
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
}

/// Asks for a renegotiation with OpenSSL's client: whether the server shook hands again.
fn renegotiates(address: SocketAddr, authority: &Path) -> bool {
    let mut child = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &address.to_string(), "-CAfile"])
        .arg(authority)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    // Its input stays open, so that it is the server that ends it, or this when it has heard enough.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"R\n").unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let again = lines.by_ref().map_while(Result::ok).any(|line| {
        said.push_str(&line);
        said.push('\n');
        let after = said.split_once("RENEGOTIATING").map(|(_, after)| after);
        after.is_some_and(|after| after.contains("verify return"))
    });
    let before = said.split_once("RENEGOTIATING").expect("the attempt").0;
    assert!(before.contains("verify return:1"), "{said}");
    if again {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    assert!(again || (said.contains("error") && status.code() == Some(1)), "{said}");
    again
}

#[test]
fn nothing_is_renegotiated() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .config("[limits]\nfirst_bytes = \"1s\"")
        .file("ca.pem", TRUSTED.pem());
    let sidecar = Sidecar::start(&setup);
    assert!(!renegotiates(sidecar.https, &sidecar.path("ca.pem")));
    // A server that does it is noticed.
    let lenient = Lenient::start(&TRUSTED.issue(), &["-tls1_2", "-client_renegotiation"]);
    assert!(renegotiates(lenient.address, &sidecar.path("ca.pem")));
}

#[test]
fn a_flood_of_key_updates_ends_the_connection() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    // It is the flood: a client may change its keys now and then.
    let (session, stream) = dial(sidecar.https, &TRUSTED.client(&["http/1.1"]));
    let mut stream = StreamOwned::new(session, stream);
    for _ in 0..5 {
        if !stream.conn.is_handshaking() {
            stream.conn.refresh_traffic_keys().unwrap();
        }
        stream.write_all(&head("GET", "/", &[&bearer(READ)])).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        while !stream.conn.wants_read() {
            stream.read_exact(&mut [0; 1]).unwrap();
        }
    }
    let (session, stream) = dial(sidecar.https, &TRUSTED.client(&["http/1.1"]));
    let mut stream = StreamOwned::new(session, stream);
    stream.flush().unwrap();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let (before, mut sent) = (sidecar.processor_time(), 0);
    let ended = loop {
        stream.conn.refresh_traffic_keys().unwrap();
        sent += 1;
        if let Err(error) = stream.conn.write_tls(&mut stream.sock) {
            break error;
        }
        if sent % 50 == 0 {
            // What it has to say comes at once, or does not come.
            stream.sock.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            match stream.read(&mut [0; 1]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break error,
                Ok(count) => panic!("it said {count} bytes"),
            }
        }
        assert!(sent < 2000, "it takes key updates for ever");
    };
    println!("key updates: {sent}, {ended}");
    let spent = sidecar.processor_time() - before;
    assert!(spent < Duration::from_millis(500), "{spent:?}");
    sidecar.get("/", &[&bearer(READ)]).ok();
}

/// How a handshake went, and whether a request was answered after it.
fn session(sidecar: &Sidecar, config: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    let (session, stream) = dial(sidecar.https, config);
    let mut stream = StreamOwned::new(session, stream);
    let request =
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\nConnection: close\r\n\r\n", bearer(READ));
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer.starts_with(b"HTTP/1.1 200").then(|| stream.conn.handshake_kind().unwrap())
}

/// Who resumes a session does not show a certificate again; so a session must not outlive the trust
/// in whoever vouched for it.
#[test]
fn a_session_dies_with_the_trust_in_the_clients_authority() {
    let (old, new) = (Authority::new(), Authority::new());
    let origin = Origin::echo();
    let both = format!("{}{}", old.pem(), new.pem());
    let setup =
        Setup::before(&origin).tls("client_ca = \"clients.pem\"").file("clients.pem", both.clone());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let sidecar = Sidecar::start(&setup);
        let client = |authority: &Authority| {
            let mut config = ClientConfig::clone(&only(version));
            let resolver = with_identity(&authority.issue()).client_auth_cert_resolver.clone();
            config.client_auth_cert_resolver = resolver;
            Arc::new(config)
        };
        let (first, second) = (client(&old), client(&new));
        for config in [&first, &second] {
            assert_eq!(session(&sidecar, config), Some(HandshakeKind::Full));
            assert_eq!(session(&sidecar, config), Some(HandshakeKind::Resumed));
        }
        let before = sidecar.generation();
        sidecar.replace("clients.pem", new.pem());
        sidecar.reloaded(before);
        assert_eq!(session(&sidecar, &first), None, "{version:?}");
        assert_eq!(session(&sidecar, &second), Some(HandshakeKind::Full));
        assert_eq!(session(&sidecar, &second), Some(HandshakeKind::Resumed));
        // Without any certificate a session of someone else is of no use.
        assert!(session(&sidecar, &only(version)).is_none());
        let before = sidecar.generation();
        sidecar.replace("clients.pem", both.clone());
        sidecar.reloaded(before);
        assert_eq!(session(&sidecar, &first), Some(HandshakeKind::Full));
    }
}

/// Half a handshake, garbage, records that say nothing: each ends by itself, and harms nobody.
#[test]
fn what_is_no_handshake_ends_its_connection_alone() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut bystander = sidecar.client();
    let empty = [22, 3, 3, 0, 0].repeat(10_000);
    let warnings = [21, 3, 3, 0, 2, 1, 90].repeat(10_000);
    let changes = [20, 3, 3, 0, 1, 1].repeat(10_000);
    let large = [&[22, 3, 1, 0x40, 0][..], &[1, 0xff, 0xff, 0xff], &[0; 16_380]].concat();
    let long = [&[22, 3, 1, 0xff, 0xff][..], &[0; 65_535]].concat();
    for (what, bytes) in [
        ("empty records", empty),
        ("warnings", warnings),
        ("changes of ciphers", changes),
        ("a message of 16 MiB", large),
        ("a record of 64 KiB", long),
        ("garbage", vec![0xaa; 100_000]),
        ("a suite that nobody knows", hello(0x0303, 0x0a0a)),
    ] {
        let mut stream = TcpStream::connect(sidecar.https).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be closed before all of it is taken.
        let _ = stream.write_all(&bytes);
        let ended = stream.read_to_end(&mut Vec::new());
        let late = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(late), "{what}");
        bystander.get("/", &[&bearer(READ)]).ok();
    }
    assert!(Client::tls_with(sidecar.https, TRUSTED.client(&["h2"])).is_ok());
}
