//! A key that signs tokens, and what belongs to it: its id, its public face, its secret.

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::pair::Pair;
use super::pair::SigningKeyError;
use crate::keys::KeyDigest;

/// How much of the binding stands in a token, in bytes: enough that nobody finds a second digest
/// for it.
pub(super) const BINDING: usize = 12;

/// A key pair with all that is prepared of it. Never printed, compared or cloned.
pub struct SigningKey {
    algorithm: Algorithm,
    pair: Pair,
    verifier: ParsedPublicKey,
    kid: Box<str>,
    jwk: Box<str>,
    header: Box<str>,
    binding: Hmac<Sha256>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key (PKCS#8, in DER: RFC 5958) for an algorithm.
    ///
    /// # Errors
    /// When it is of another kind, too short, or no private key.
    pub fn from_pkcs8(der: &[u8], algorithm: Algorithm) -> Result<Self, SigningKeyError> {
        Self::new(Pair::read(der, algorithm)?, algorithm)
    }

    /// Makes a new one; RSA keys have 3072 bits.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, SigningKeyError> {
        Self::new(Pair::generate(algorithm)?, algorithm)
    }

    fn new(pair: Pair, algorithm: Algorithm) -> Result<Self, SigningKeyError> {
        let verifier = pair.verifier(algorithm).map_err(|_| SigningKeyError::System)?;
        let members = pair.members();
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{members}}}")));
        let jwk = format!(r#"{{{members},"use":"sig","alg":"{algorithm}","kid":"{kid}"}}"#);
        let header = format!(r#"{{"alg":"{algorithm}","kid":"{kid}","typ":"JWT"}}"#);
        Ok(Self {
            algorithm,
            verifier,
            kid: kid.into(),
            jwk: jwk.into(),
            header: URL_SAFE_NO_PAD.encode(header).into(),
            binding: secret(&pair)?,
            pair,
        })
    }

    /// Its id: the thumbprint of its public key (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The private key, to write it to a file: PKCS#8, in DER.
    ///
    /// # Errors
    /// When the system fails.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
        Ok(self.pair.to_pkcs8()?)
    }

    /// The public key (RFC 7517, section 4).
    pub(super) fn jwk(&self) -> &str {
        &self.jwk
    }

    /// The header of every token that it signs, encoded. A token is its own only if it begins with
    /// exactly this: nothing of a header is ever interpreted.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// Signs.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.pair.sign(self.algorithm, message).ok()
    }

    /// Whether it signed.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify_sig(message, signature).is_ok()
    }

    /// What ties a token to the digest of the key that it was minted from, without telling it.
    pub(super) fn bind(&self, digest: &KeyDigest) -> [u8; BINDING] {
        let mut mac = self.binding.clone();
        mac.update(digest.as_bytes());
        let whole = mac.finalize().into_bytes();
        let mut first = [0; BINDING];
        first.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        first
    }

    /// Whether a token is tied to a digest, in time that does not depend on where it differs.
    pub(super) fn binds(&self, digest: &KeyDigest, binding: &[u8; BINDING]) -> bool {
        self.bind(digest).ct_eq(binding).into()
    }
}

/// A secret that nobody has without the private key; of each use of that key another.
fn secret(pair: &Pair) -> Result<Hmac<Sha256>, SigningKeyError> {
    let system = |_| SigningKeyError::System;
    let mut mac = Hmac::<Sha256>::new_from_slice(&pair.private()?).map_err(system)?;
    mac.update(b"keygate: binding of tokens to keys");
    let secret = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
    Hmac::new_from_slice(&*secret).map_err(system)
}
