//! What is stored instead of a key: SHA-256, or HMAC-SHA-256 where the operator keeps a pepper.
//!
//! Keys are 256 random bits, so a fast hash is the right one: there is nothing to guess.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::token::ApiKey;

/// The digest of a key. Not comparable with `==`: see [`KeyDigest::matches`].
#[derive(Clone)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The algorithm's 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to write them to a file. A digest is not a credential: what arrives is always
    /// hashed before it is looked up.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether two digests are the same, in time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The first eight bytes and the last eight as numbers: uniform, so they serve in the hash of an
    /// index.
    #[must_use]
    #[inline]
    pub(super) fn ends(&self) -> [u64; 2] {
        let number = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        [number(self.0.first_chunk()), number(self.0.last_chunk())]
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// Why a digest in a file cannot be one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DigestError {
    /// Neither `sha256:` nor `hmac-sha256:`.
    #[error("a digest begins with `{expected}:`")]
    Algorithm {
        /// What this configuration uses.
        expected: &'static str,
    },
    /// The other algorithm than the configuration's.
    #[error("this digest is `{found}`, but {why}")]
    Mismatch {
        /// What the file says.
        found: &'static str,
        /// What the configuration says.
        why: &'static str,
    },
    /// Not 64 hexadecimal digits.
    #[error("a digest has 64 hexadecimal digits, this one has {found}")]
    Length {
        /// How many characters follow the algorithm.
        found: usize,
    },
    /// A character that is no hexadecimal digit.
    #[error("`{found}` is not a hexadecimal digit")]
    Hex {
        /// The first such character.
        found: char,
    },
}

/// Turns keys into digests: the one hashing that this configuration uses.
#[derive(Clone)]
pub enum Digester {
    /// Plain SHA-256; what `printf %s KEY | sha256sum` prints.
    Sha256,
    /// HMAC-SHA-256 with the pepper; the state after the key block is kept.
    HmacSha256(Box<Hmac<Sha256>>),
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

impl Digester {
    /// HMAC-SHA-256 under a pepper of any length (RFC 2104).
    #[must_use]
    pub fn with_pepper(pepper: &[u8]) -> Self {
        // HMAC takes a key of any length, so this cannot fail.
        Hmac::new_from_slice(pepper).map_or(Self::Sha256, |mac| Self::HmacSha256(Box::new(mac)))
    }

    /// The name before the colon of a stored digest.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::HmacSha256(_) => "hmac-sha256",
        }
    }

    /// The digest of exactly the bytes that were presented.
    #[must_use]
    pub fn digest(&self, key: &ApiKey<'_>) -> KeyDigest {
        match self {
            Self::Sha256 => KeyDigest(Sha256::digest(key.bytes()).into()),
            Self::HmacSha256(mac) => {
                let mut mac = Hmac::clone(mac);
                mac.update(key.bytes());
                KeyDigest(mac.finalize().into_bytes().into())
            }
        }
    }

    /// Reads `sha256:…` or `hmac-sha256:…`, hexadecimal in either case.
    ///
    /// # Errors
    /// When it is not a digest of this digester's algorithm.
    pub fn parse(&self, text: &str) -> Result<KeyDigest, DigestError> {
        let expected = self.algorithm();
        let hex = match (self, text.split_once(':')) {
            (Self::Sha256, Some(("sha256", hex)))
            | (Self::HmacSha256(_), Some(("hmac-sha256", hex))) => hex,
            (Self::Sha256, Some(("hmac-sha256", _))) => {
                return Err(DigestError::Mismatch {
                    found: "hmac-sha256",
                    why: "no `keys.pepper_file` is configured",
                });
            }
            (Self::HmacSha256(_), Some(("sha256", _))) => {
                return Err(DigestError::Mismatch {
                    found: "sha256",
                    why: "`keys.pepper_file` is configured, which asks for `hmac-sha256`",
                });
            }
            _ => return Err(DigestError::Algorithm { expected }),
        };
        decode_hex(hex).map(KeyDigest)
    }

    /// How a digest is written in a file.
    #[must_use]
    pub fn format(&self, digest: &KeyDigest) -> String {
        use fmt::Write as _;
        let mut text = format!("{}:", self.algorithm());
        for byte in digest.0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// The value of a hexadecimal digit, more than that for all other bytes.
const fn digit(byte: u8) -> u8 {
    let number = byte.wrapping_sub(b'0');
    let letter = (byte | 0x20).wrapping_sub(b'a');
    if number < 10 {
        number
    } else if letter < 6 {
        letter + 10
    } else {
        u8::MAX
    }
}

fn decode_hex(hex: &str) -> Result<[u8; 32], DigestError> {
    let mut bytes = [0; 32];
    let mut wrong = hex.len() != 64;
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        if let [high, low] = pair {
            let (high, low) = (digit(*high), digit(*low));
            wrong |= (high | low) > 15;
            *byte = high << 4 | (low & 15);
        }
    }
    if !wrong {
        return Ok(bytes);
    }
    if let Some(found) = hex.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(DigestError::Hex { found });
    }
    Err(DigestError::Length { found: hex.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_sha256sum() {
        let digest = Digester::Sha256.digest(&ApiKey::new(b"test"));
        assert_eq!(
            Digester::Sha256.format(&digest),
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        );
    }

    #[test]
    fn agrees_with_rfc_4231_case_2() {
        let digester = Digester::with_pepper(b"Jefe");
        let digest = digester.digest(&ApiKey::new(b"what do ya want for nothing?"));
        assert_eq!(
            digester.format(&digest),
            "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn reads_hex_in_either_case() {
        let text = Digester::Sha256.format(&Digester::Sha256.digest(&ApiKey::new(b"test")));
        let (algorithm, hex) = text.split_once(':').unwrap();
        let upper = format!("{algorithm}:{}", hex.to_uppercase());
        let (a, b) =
            (Digester::Sha256.parse(&text).unwrap(), Digester::Sha256.parse(&upper).unwrap());
        assert!(a.matches(&b));
    }

    #[test]
    fn refuses_what_is_not_a_digest() {
        let parse = |text: &str| Digester::Sha256.parse(text).map(|_| ());
        assert_eq!(parse("md5:00"), Err(DigestError::Algorithm { expected: "sha256" }));
        assert_eq!(parse("sha256:00"), Err(DigestError::Length { found: 2 }));
        assert_eq!(
            parse(&format!("sha256:{}", "g".repeat(64))),
            Err(DigestError::Hex { found: 'g' })
        );
        assert!(matches!(parse("hmac-sha256:00"), Err(DigestError::Mismatch { .. })));
    }
}
