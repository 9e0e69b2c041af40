//! The keys that sign tokens: read from PEM files, or made once and kept in memory.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::certificate;
use super::files::Files;
use super::files::world_readable;
use super::reading::as_path;
use super::trust;
use crate::gate::Algorithm;
use crate::gate::SigningKey;
use crate::gate::SigningKeyError;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::Span;

/// What signs, and what verifies besides.
pub(super) type Keys = (Arc<SigningKey>, Vec<Arc<SigningKey>>);

/// Reads the files of `signing_key`: the first signs, all verify.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    named: &At<Vec<At<Cow<'_, str>>>>,
    algorithm: Algorithm,
) -> Option<Keys> {
    if named.value.is_empty() {
        let help = "name a file, or leave it out for a key that lives as long as the process";
        section.wrong(&named.span, "`signing_key` names no file", help);
    }
    let mut keys: Vec<Arc<SigningKey>> = Vec::new();
    let mut sound = true;
    for at in &named.value {
        let Some(at) = as_path(section, "signing_key", at) else {
            sound = false;
            continue;
        };
        let key = file(section, files, &at, algorithm);
        sound &= key.is_some();
        let Some(key) = key else { continue };
        if keys.iter().any(|other| other.kid() == key.kid()) {
            let message = format!("`{}` holds a key that was named before", at.value.display());
            section.warn(&at.span, message, "remove one of them");
            continue;
        }
        keys.push(Arc::new(key));
    }
    let mut keys = keys.into_iter();
    let signer = keys.next()?;
    sound.then(|| (signer, keys.collect()))
}

fn file(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    at: &At<PathBuf>,
    algorithm: Algorithm,
) -> Option<SigningKey> {
    let name = at.value.display().to_string();
    let bytes = match files.read(&at.value) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let help = format!("make it with {}", keygen(algorithm, &name));
            section.wrong(&at.span, format!("`{name}` does not exist"), help);
            return None;
        }
        Err(error) => {
            trust::unreadable(section, at, &error);
            return None;
        }
    };
    let der = match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(PrivateKeyDer::Pkcs8(der)) => der,
        Ok(_) => {
            let message = format!("the private key in `{name}` is not in PKCS#8");
            let help = format!("convert it with `openssl pkcs8 -topk8 -nocrypt -in {name}`");
            section.wrong(&at.span, message, help);
            return None;
        }
        Err(error) => {
            let (message, help) = certificate::no_key(&name, &bytes, &error);
            section.wrong(&at.span, message, help);
            return None;
        }
    };
    if world_readable(&at.value) {
        let message = format!("everyone on this machine may read the private key in `{name}`");
        section.warn(&at.span, message, "take the right away: `chmod o-r`");
    }
    let key = SigningKey::from_pkcs8(der.secret_pkcs8_der(), algorithm);
    key.map_err(|error| unfit(section, at, &error, algorithm)).ok()
}

fn unfit(
    section: &mut Section<'_, '_>,
    at: &At<PathBuf>,
    error: &SigningKeyError,
    algorithm: Algorithm,
) {
    let name = at.value.display().to_string();
    let help = match error {
        SigningKeyError::Kind { found, .. } => match fitting(found) {
            Some(fitting) => format!("write `algorithm = \"{fitting}\"`, or name another key"),
            None => format!("make another key with {}", keygen(algorithm, "FILE")),
        },
        SigningKeyError::Short | SigningKeyError::Unreadable | SigningKeyError::System => {
            format!("make another key with {}", keygen(algorithm, "FILE"))
        }
    };
    let message = format!("the private key in `{name}` cannot sign tokens: {error}");
    section.wrong(&at.span, message, help);
}

/// The algorithm that takes a kind of key.
fn fitting(kind: &str) -> Option<Algorithm> {
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.key() == kind)
}

fn keygen(algorithm: Algorithm, file: &str) -> String {
    let option = match algorithm == Algorithm::default() {
        true => String::new(),
        false => format!("--algorithm {algorithm} "),
    };
    format!("`keygate tokens keygen {option}--out {file}`")
}

static EPHEMERAL: Mutex<Option<Arc<SigningKey>>> = Mutex::new(None);

/// A key that lives as long as the process, so that a reload ends no token.
pub(super) fn ephemeral(
    section: &mut Section<'_, '_>,
    written: Option<Span>,
    algorithm: Option<&At<Algorithm>>,
) -> Option<Keys> {
    let algorithm = algorithm?;
    if algorithm.value != Algorithm::EdDsa {
        let message = format!("`{}` wants a `signing_key`", algorithm.value);
        let help = format!("make one with {}", keygen(algorithm.value, "tokens.pem"));
        section.wrong(&algorithm.span, message, help);
        return None;
    }
    let source = section.source();
    let message = "without a `signing_key` tokens die with this process, and no replica accepts \
                   those of another";
    let help = format!(
        "make one with {}, and name it in `[tokens]`: `signing_key = \"tokens.pem\"`",
        keygen(Algorithm::EdDsa, "tokens.pem")
    );
    let problem = match written {
        Some(span) => Problem::at(source, span, message),
        None => Problem::new(message),
    };
    section.problems().push(problem.help(help).warning());
    let mut kept = EPHEMERAL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = &*kept {
        return Some((Arc::clone(key), Vec::new()));
    }
    match SigningKey::generate(Algorithm::EdDsa) {
        Ok(key) => Some((Arc::clone(kept.insert(Arc::new(key))), Vec::new())),
        Err(error) => {
            let problem = Problem::new(format!("no key can be made: {error}"));
            section.problems().push(problem.help("name a `signing_key`"));
            None
        }
    }
}
