//! The four kinds of key pair behind one face: read or make one, sign, and what of it is public.

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::EcPrivateKeyBin;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::signature::ParsedPublicKey;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;

/// Why a private key cannot sign tokens.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SigningKeyError {
    /// Of another kind than the algorithm takes.
    #[error("it is a key of the kind {found}, and `{wanted}` takes one of the kind {}", .wanted.key())]
    Kind {
        /// What it is.
        found: &'static str,
        /// The algorithm that was asked for.
        wanted: Algorithm,
    },
    /// An RSA key that is too short to be safe (RFC 7518, section 3.3).
    #[error("it is an RSA key of fewer than 2048 bits")]
    Short,
    /// Nothing that can be read as a PKCS#8 private key.
    #[error("it is not a private key that can be read as PKCS#8")]
    Unreadable,
    /// The system failed to make or to use a key.
    #[error("the system's cryptography failed")]
    System,
}

impl From<Unspecified> for SigningKeyError {
    fn from(_: Unspecified) -> Self {
        Self::System
    }
}

/// A key pair. Never printed.
pub(super) enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Pair {
    /// Reads a private key (PKCS#8, in DER) for an algorithm.
    pub(super) fn read(der: &[u8], algorithm: Algorithm) -> Result<Self, SigningKeyError> {
        let read = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(der).map(Self::Ed25519),
            Algorithm::Es256 => p256(der).map(Self::P256),
            Algorithm::Rs256 | Algorithm::Rs512 => RsaKeyPair::from_pkcs8(der).map(Self::Rsa),
        };
        read.map_err(|_| why(der, algorithm))
    }

    /// Makes a new one; RSA of 3072 bits.
    pub(super) fn generate(algorithm: Algorithm) -> Result<Self, Unspecified> {
        Ok(match algorithm {
            Algorithm::EdDsa => Self::Ed25519(Ed25519KeyPair::generate()?),
            Algorithm::Es256 => {
                Self::P256(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?)
            }
            Algorithm::Rs256 | Algorithm::Rs512 => {
                Self::Rsa(RsaKeyPair::generate(KeySize::Rsa3072)?)
            }
        })
    }

    /// The private key, to write it to a file: PKCS#8, in DER.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        Ok(Zeroizing::new(match self {
            // Version 1, which every tool reads.
            Self::Ed25519(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Self::P256(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Self::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)?.as_ref().to_vec(),
        }))
    }

    /// What nobody else has, the same however the key is written: what secrets are derived from.
    pub(super) fn private(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        Ok(Zeroizing::new(match self {
            Self::Ed25519(pair) => pair.seed()?.as_be_bytes()?.as_ref().to_vec(),
            Self::P256(pair) => {
                let scalar: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
                scalar.as_ref().to_vec()
            }
            Self::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)?.as_ref().to_vec(),
        }))
    }

    pub(super) fn sign(
        &self,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        // Its own source of randomness is what the library signs with.
        let random = SystemRandom::new();
        Ok(match self {
            Self::Ed25519(pair) => pair.try_sign(message)?.as_ref().to_vec(),
            Self::P256(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Self::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Rs256 | Algorithm::EdDsa | Algorithm::Es256 => {
                        &signature::RSA_PKCS1_SHA256
                    }
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signed)?;
                signed
            }
        })
    }

    /// What verifies its signatures, by one algorithm and no other.
    pub(super) fn verifier(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, KeyRejected> {
        let verify: &'static dyn signature::VerificationAlgorithm = match algorithm {
            Algorithm::EdDsa => &signature::ED25519,
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        };
        match self {
            Self::Ed25519(pair) => ParsedPublicKey::new(verify, pair.public_key()),
            Self::P256(pair) => ParsedPublicKey::new(verify, pair.public_key()),
            Self::Rsa(pair) => ParsedPublicKey::new(verify, pair.public_key()),
        }
    }

    /// The members of its public key as JSON, in the order that a thumbprint asks for (RFC 7638,
    /// section 3.2; RFC 8037, section 2; RFC 7518, section 6).
    pub(super) fn members(&self) -> String {
        match self {
            Self::Ed25519(pair) => {
                let x = encode(pair.public_key());
                format!(r#""crv":"Ed25519","kty":"OKP","x":"{x}""#)
            }
            Self::P256(pair) => {
                // An uncompressed point: a mark, then both coordinates (SEC 1, section 2.3.3).
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let (x, y) = (encode(x), encode(y));
                format!(r#""crv":"P-256","kty":"EC","x":"{x}","y":"{y}""#)
            }
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let e = encode(public.exponent().big_endian_without_leading_zero());
                let n = encode(public.modulus().big_endian_without_leading_zero());
                format!(r#""e":"{e}","kty":"RSA","n":"{n}""#)
            }
        }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn p256(der: &[u8]) -> Result<EcdsaKeyPair, KeyRejected> {
    EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der)
}

/// Why a key cannot be used for an algorithm: it is of another kind, or none at all.
fn why(der: &[u8], wanted: Algorithm) -> SigningKeyError {
    let curve = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).is_ok();
    let found = if Ed25519KeyPair::from_pkcs8(der).is_ok() {
        "Ed25519"
    } else if p256(der).is_ok() {
        "P-256"
    } else if curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING) {
        "P-384"
    } else if curve(&signature::ECDSA_P521_SHA512_FIXED_SIGNING) {
        "P-521"
    } else {
        return match RsaKeyPair::from_pkcs8(der) {
            Ok(_) => SigningKeyError::Kind { found: "RSA", wanted },
            Err(error) if error.to_string() == "TooSmall" => SigningKeyError::Short,
            Err(_) => SigningKeyError::Unreadable,
        };
    };
    SigningKeyError::Kind { found, wanted }
}
