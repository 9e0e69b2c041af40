//! `[tls]`: how clients are met, and which certificates they are shown.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::CipherSuite;
use rustls::ServerConfig;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS12;
use rustls::version::TLS13;

use super::certificate;
use super::certificate_for;
use super::files::Files;
use super::reading::choice;
use super::reading::path;
use super::sni::ByName;
use super::tickets;
use super::trust;
use crate::source::At;
use crate::source::Section;

/// How clients are met.
#[derive(Clone)]
pub struct Tls {
    /// Certificate, versions, ALPN, client certificates.
    pub server: Arc<ServerConfig>,
    /// When the certificate expires that is shown for all names but the `named`.
    pub not_after: Timestamp,
    /// Names with a certificate of their own, and when it expires.
    pub named: Vec<(Box<str>, Timestamp)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("not_after", &self.not_after)
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}

/// Reads the section, and the files that it names if there is a listener that needs them.
pub(super) fn read(
    root: &mut Section<'_, '_>,
    files: &mut Files,
    needed: bool,
    now: Timestamp,
) -> Option<Tls> {
    let Some(table) = root.table("tls") else {
        if needed {
            root.missing_table("tls", "`certificate` and `private_key`");
        }
        return None;
    };
    let mut section = root.enter("[tls]", table);
    let versions = choice(&mut section, "min_version", &[("1.2", BOTH), ("1.3", NEWEST)]);
    let client_ca = path(&mut section, "client_ca");
    let clients = client_ca.filter(|_| needed).map(|at| clients(&mut section, files, &at));
    let shown = certificate::read(&mut section, files, needed, now);
    let named = certificate_for::read(&mut section, files, needed, now);
    let (verifier, trust) = match clients {
        Some(clients) => clients.map(|(verifier, bytes)| (Some(verifier), Some(bytes)))?,
        None => (None, None),
    };
    let (shown, named) = (shown?, named?);
    let builder = ServerConfig::builder_with_provider(Arc::new(quickest_first()));
    let builder = builder.with_protocol_versions(versions.unwrap_or(BOTH)).ok()?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let resolver = ByName { default: shown.certified, named: named.by_name };
    let mut server = builder.with_cert_resolver(Arc::new(resolver));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.ignore_client_order = true;
    server.ticketer = tickets::shared(trust.as_deref());
    // One for each connection, which brings the next one: two cost every client that never comes
    // back what few need.
    server.send_tls13_tickets = 1;
    Some(Tls { server: Arc::new(server), not_after: shown.not_after, named: named.expiries })
}

/// AES-128 before the others. Nothing is lost by it that anybody could break, and SHA-256, which it
/// comes with, is done by the processor where SHA-384 is not: a client that puts AES-256 first, as
/// those with OpenSSL do, would make its handshake a fifth dearer.
fn quickest_first() -> CryptoProvider {
    let mut provider = CryptoProvider::clone(&trust::provider());
    provider.cipher_suites.sort_by_key(|suite| !QUICKEST.contains(&suite.suite()));
    provider
}

const QUICKEST: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

type Clients = (Arc<dyn ClientCertVerifier>, Vec<u8>);

fn clients(section: &mut Section<'_, '_>, files: &mut Files, at: &At<PathBuf>) -> Option<Clients> {
    let (roots, bytes) = trust::authorities(section, files, at)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), trust::provider()).build();
    match verifier {
        Ok(verifier) => Some((verifier, bytes)),
        Err(error) => {
            let message = format!("`{}` cannot be used: {error}", at.value.display());
            section.wrong(&at.span, message, "write the certificates of the authorities in PEM");
            None
        }
    }
}
