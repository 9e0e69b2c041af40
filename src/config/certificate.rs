//! A certificate chain of our own and its private key, read from PEM and held against each other.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use super::files::Files;
use super::files::world_readable;
use super::reading::path;
use super::sni::Name;
use super::trust;
use crate::source::At;
use crate::source::Section;

/// A certificate with its key, as it is shown to clients.
pub(super) struct Shown {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_after: Timestamp,
    /// Whom it is for.
    pub(super) names: Vec<Name>,
    /// Where it was read.
    pub(super) path: PathBuf,
}

/// A certificate chain and where it is named.
struct Chain {
    at: At<PathBuf>,
    certificates: Vec<CertificateDer<'static>>,
    not_after: Timestamp,
}

/// A key and the file that it is in.
type Key = (PathBuf, PrivateKeyDer<'static>);

/// Reads `certificate` and `private_key` of a table; both are missed if they are `needed`, and
/// without that no file is read.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    needed: bool,
    now: Timestamp,
) -> Option<Shown> {
    let missing: Vec<_> = ["certificate", "private_key"]
        .into_iter()
        .filter(|&name| needed && section.peek(name).is_none())
        .collect();
    missing.iter().for_each(|name| section.missing(name));
    let certificate = path(section, "certificate");
    let key = path(section, "private_key");
    if !needed {
        return None;
    }
    let chain = certificate.and_then(|at| chain(section, files, at, now));
    let key = key.and_then(|at| private_key(section, files, at));
    let (chain, key) = (chain?, key?);
    let (not_after, path) = (chain.not_after, chain.at.value.clone());
    let names = chain.certificates.first().map(names).unwrap_or_default();
    let certified = Arc::new(certify(section, chain, key)?);
    Some(Shown { certified, not_after, names, path })
}

/// Reads a chain; warns when it is not valid at `now`.
fn chain(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    at: At<PathBuf>,
    now: Timestamp,
) -> Option<Chain> {
    let name = at.value.display().to_string();
    let bytes =
        files.read(&at.value).map_err(|error| trust::unreadable(section, &at, &error)).ok()?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = match certificates {
        Ok(certificates) if !certificates.is_empty() => certificates,
        other => {
            let why = other.err().map_or_else(
                || format!("`{name}` holds no certificate"),
                |error| format!("`{name}` cannot be read as PEM: {}", pem_error(&error)),
            );
            section.wrong(&at.span, why, "name a PEM file with `-----BEGIN CERTIFICATE-----`");
            return None;
        }
    };
    let validity = certificates.first().and_then(|certificate| validity(certificate));
    let Some((not_before, not_after)) = validity else {
        let message = format!("`{name}` holds what is not an X.509 certificate");
        section.wrong(&at.span, message, "name a PEM file with the server's certificate first");
        return None;
    };
    if now >= not_after {
        let message = format!("the certificate in `{name}` expired at {not_after}");
        section.warn(&at.span, message, "renew it: clients will refuse it");
    } else if now < not_before {
        let message = format!("the certificate in `{name}` is not valid before {not_before}");
        section.warn(&at.span, message, "check the clock of this machine");
    }
    Some(Chain { at, certificates, not_after })
}

fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    let instant = |seconds: i64| Timestamp::from_second(seconds).ok();
    Some((instant(validity.not_before.timestamp())?, instant(validity.not_after.timestamp())?))
}

/// The host names that a certificate is for. Clients look at no others (RFC 9110, section 4.3.4).
fn names(certificate: &CertificateDer<'_>) -> Vec<Name> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| {
        let GeneralName::DNSName(name) = name else { return None };
        Name::parse(name).ok()
    });
    names.collect()
}

/// Reads a private key; warns when others may too.
fn private_key(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    at: At<PathBuf>,
) -> Option<At<Key>> {
    let name = at.value.display().to_string();
    let bytes =
        files.read(&at.value).map_err(|error| trust::unreadable(section, &at, &error)).ok()?;
    let bytes = Zeroizing::new(bytes);
    let key = match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => key,
        Err(error) => {
            let (message, help) = no_key(&name, &bytes, &error);
            section.wrong(&at.span, message, help);
            return None;
        }
    };
    if world_readable(&at.value) {
        let message = format!("everyone on this machine may read the private key in `{name}`");
        section.warn(&at.span, message, "take the right away: `chmod o-r`");
    }
    Some(At { value: (at.value, key), span: at.span })
}

pub(super) fn no_key(name: &str, bytes: &[u8], error: &pem::Error) -> (String, &'static str) {
    let help = "name a PEM file with `-----BEGIN PRIVATE KEY-----`";
    if memchr::memmem::find(bytes, b"ENCRYPTED PRIVATE KEY").is_some() {
        let message = format!("the private key in `{name}` is encrypted");
        (message, "decrypt it with `openssl pkey`, and protect the file by its mode")
    } else if matches!(error, pem::Error::NoItemsFound) {
        (format!("`{name}` holds no private key"), help)
    } else {
        (format!("`{name}` cannot be read as PEM: {}", pem_error(error)), help)
    }
}

/// What is wrong with PEM, without any of its text.
const fn pem_error(error: &pem::Error) -> &'static str {
    if matches!(error, pem::Error::MissingSectionEnd { .. }) {
        "a section does not end"
    } else if matches!(error, pem::Error::Base64Decode(_)) {
        "a section is not base64"
    } else {
        "it is not PEM"
    }
}

/// Holds the two against each other.
fn certify(section: &mut Section<'_, '_>, chain: Chain, key: At<Key>) -> Option<CertifiedKey> {
    let (key_path, der) = key.value;
    let Ok(signer) = aws_lc_rs::sign::any_supported_type(&der) else {
        let message =
            format!("the private key in `{}` is of a kind that TLS cannot use", key_path.display());
        section.wrong(&key.span, message, "make an ECDSA P-256, Ed25519 or RSA key");
        return None;
    };
    let certified = CertifiedKey::new(chain.certificates, signer);
    if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
        certified.keys_match()
    {
        let message = format!(
            "the private key in `{}` does not fit the certificate in `{}`",
            key_path.display(),
            chain.at.value.display()
        );
        section.wrong(&key.span, message, "name the key that the certificate was made for");
        return None;
    }
    Some(certified)
}
