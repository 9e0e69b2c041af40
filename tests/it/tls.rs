//! What a connection may be before it is a request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::actors::client::{Client, bearer};
use crate::actors::origin::Origin;
use crate::actors::pki::{Authority, Identity, TRUSTED};
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::Sidecar;

pub(crate) fn only(version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(TRUSTED.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn both_versions_of_tls_are_spoken() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = Client::tls_with(sidecar.https, only(version)).unwrap();
        client.get("/", &[&bearer(READ)]).ok();
    }
}

#[test]
fn the_older_version_can_be_refused() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin).tls("min_version = \"1.3\"");
    let sidecar = Sidecar::start(&setup);
    assert!(Client::tls_with(sidecar.https, only(&rustls::version::TLS12)).is_err());
    let mut client = Client::tls_with(sidecar.https, only(&rustls::version::TLS13)).unwrap();
    client.get("/", &[&bearer(READ)]).ok();
}

pub(crate) fn with_identity(identity: &Identity) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&TRUSTED.client(&[]));
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(chain, signer);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    Arc::new(config)
}

/// Whether a request gets an answer at all; TLS 1.3 tells a client only then.
fn served(sidecar: &Sidecar, config: Arc<ClientConfig>) -> bool {
    let Ok(mut client) = Client::tls_with(sidecar.https, config) else { return false };
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", bearer(READ));
    client.wire.write(request.as_bytes()).is_ok() && matches!(client.wire.head(), Ok(Some(_)))
}

#[test]
fn a_client_certificate_can_be_required() {
    let clients = Authority::new();
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .tls("client_ca = \"clients.pem\"")
        .file("clients.pem", clients.pem());
    let sidecar = Sidecar::start(&setup);
    assert!(served(&sidecar, with_identity(&clients.issue())));
    assert!(!served(&sidecar, TRUSTED.client(&[])));
    assert!(!served(&sidecar, with_identity(&TRUSTED.issue())));
    assert_eq!(origin.count(), 1);
}

#[test]
fn http_on_the_tls_port_is_not_answered_in_clear() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut stream = TcpStream::connect(sidecar.https).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", bearer(READ));
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_client_that_offers_no_protocol_speaks_http1() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = Client::tls_with(sidecar.https, TRUSTED.client(&[])).unwrap();
    client.get("/", &[&bearer(READ)]).ok();
    let refused = Client::tls_with(sidecar.https, TRUSTED.client(&["spdy/3"]));
    assert!(refused.is_err(), "a protocol that nobody here speaks");
}
