//! Certificates of others: which authorities are trusted.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::files::Files;
use super::upstream::Protocol;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;

/// The one cryptography of this product.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// How to speak TLS to the upstream: `ca` alone is trusted, or the system's roots.
pub(super) fn client(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    ca: Option<&At<PathBuf>>,
    protocol: Protocol,
) -> Option<Arc<ClientConfig>> {
    let roots = match ca {
        Some(ca) => authorities(section, files, ca)?.0,
        None => system_roots(section),
    };
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Some(Arc::new(config))
}

/// The authorities in a PEM file, and its bytes.
pub(super) fn authorities(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    at: &At<PathBuf>,
) -> Option<(RootCertStore, Vec<u8>)> {
    let name = at.value.display();
    let bytes = match files.read(&at.value) {
        Ok(bytes) => bytes,
        Err(error) => {
            unreadable(section, at, &error);
            return None;
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let added = certificate.map_err(|error| error.to_string());
        let added = added.and_then(|one| roots.add(one).map_err(|error| error.to_string()));
        if let Err(error) = added {
            let message = format!("`{name}` holds a certificate that cannot be read: {error}");
            section.wrong(&at.span, message, "write the certificates of the authorities in PEM");
            return None;
        }
    }
    if roots.is_empty() {
        let help = "name a PEM file with `-----BEGIN CERTIFICATE-----`";
        section.wrong(&at.span, format!("`{name}` holds no certificate"), help);
        return None;
    }
    Some((roots, bytes))
}

fn system_roots(section: &mut Section<'_, '_>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let span = section.span();
        let message =
            "this system trusts no certificate authority, so that the upstream cannot be verified";
        section.wrong(&span, message, "name the upstream's authority: `ca = \"ca.pem\"`");
    }
    roots
}

/// Notes that a named file cannot be read, where it is named.
pub(super) fn unreadable(section: &mut Section<'_, '_>, at: &At<PathBuf>, error: &std::io::Error) {
    let Problem { message, help, .. } = Problem::unreadable(&at.value, error);
    section.wrong(&at.span, message, help.unwrap_or_else(|| "check the path".into()));
}
