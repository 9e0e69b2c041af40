//! The text of a key: one that was presented, and one that was just made.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// How many base62 digits 256 bits take.
const SECRET_DIGITS: usize = 43;
/// How many base62 digits a CRC-32 takes.
const CHECKSUM_DIGITS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A presented key, borrowed from the request. It cannot be printed, cloned or compared: it can
/// only be hashed, or asked whether it was mistyped.
///
/// ```compile_fail,E0277
/// fn print(key: keygate::keys::ApiKey<'_>) {
///     println!("{key:?}");
/// }
/// ```
pub struct ApiKey<'r>(&'r [u8]);

impl<'r> ApiKey<'r> {
    /// Wraps exactly the bytes that arrived.
    #[must_use]
    pub const fn new(bytes: &'r [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        self.0
    }

    /// The bytes as text, for the configured pattern; `None` when they are not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.0).ok()
    }
}

/// What our own keys begin with, `kg` unless configured: ASCII letters, digits and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(Box<str>);

impl KeyPrefix {
    /// `None` unless it is 1 to 32 ASCII letters, digits, `_` or `-`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then(|| Self(text.into()))
    }

    /// The text, without the `_` that follows it in a key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key claims to be one of ours (prefix and `_`) and its checksum says it was
    /// mistyped.
    #[must_use]
    pub fn mistyped(&self, key: &ApiKey<'_>) -> bool {
        let ours = key.0.strip_prefix(self.0.as_bytes()).and_then(|rest| rest.strip_prefix(b"_"));
        let Some(rest) = ours else { return false };
        if rest.len() != SECRET_DIGITS + CHECKSUM_DIGITS {
            return true;
        }
        let (body, sum) = key.0.split_at(key.0.len() - CHECKSUM_DIGITS);
        sum != checksum(body)
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key that was just made. It is shown once, never stored, and wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MintedKey(String);

impl MintedKey {
    /// Makes a key of 256 bits of the system's randomness.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn mint(prefix: &KeyPrefix) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let key = Self::assemble(prefix, &secret);
        secret.zeroize();
        Ok(key)
    }

    fn assemble(prefix: &KeyPrefix, secret: &[u8; 32]) -> Self {
        let mut digits = base62(secret);
        let mut text = String::with_capacity(prefix.0.len() + 1 + SECRET_DIGITS + CHECKSUM_DIGITS);
        text.push_str(&prefix.0);
        text.push('_');
        text.extend(digits.iter().map(|&digit| char::from(digit)));
        let sum = checksum(text.as_bytes());
        text.extend(sum.iter().map(|&digit| char::from(digit)));
        digits.zeroize();
        Self(text)
    }

    /// The key itself: to show it once, to hash it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key as if it had been presented.
    #[must_use]
    pub fn as_api_key(&self) -> ApiKey<'_> {
        ApiKey(self.0.as_bytes())
    }

    /// The last four characters after an ellipsis: enough to recognise a key, not to use it.
    #[must_use]
    pub fn hint(&self) -> String {
        hint(&self.0)
    }
}

/// See [`MintedKey::hint`]; for keys that were made elsewhere. Empty for very short ones.
#[must_use]
pub fn hint(key: &str) -> String {
    match key.char_indices().rev().nth(3) {
        Some((at, _)) if key.len() >= 16 => format!("…{}", key.get(at..).unwrap_or_default()),
        _ => String::new(),
    }
}

/// The six base62 digits that close a key: CRC-32 of everything before them.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let mut rest = u64::from(crc32fast::hash(body));
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest % 62);
        rest /= 62;
    }
    digits
}

/// A 256-bit big-endian number in base 62, most significant digit first.
fn base62(number: &[u8; 32]) -> [u8; SECRET_DIGITS] {
    let mut number = *number;
    let mut digits = [b'0'; SECRET_DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(0);
            remainder = value % 62;
        }
        *digit = base62_digit(u64::from(remainder));
    }
    number.zeroize();
    digits
}

fn base62_digit(value: u64) -> u8 {
    usize::try_from(value).ok().and_then(|at| BASE62.get(at)).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kg() -> KeyPrefix {
        KeyPrefix::new("kg").unwrap()
    }

    #[test]
    fn a_minted_key_has_the_documented_form() {
        let key = MintedKey::mint(&kg()).unwrap();
        assert_eq!(key.reveal().len(), 2 + 1 + 43 + 6);
        assert!(key.reveal().starts_with("kg_"));
        assert!(!kg().mistyped(&key.as_api_key()));
        assert_eq!(key.hint().chars().count(), 5);
    }

    #[test]
    fn all_256_bits_are_in_it() {
        let (zero, ones) = ([0; 32], [0xff; 32]);
        let lowest = MintedKey::assemble(&kg(), &zero);
        let highest = MintedKey::assemble(&kg(), &ones);
        assert!(lowest.reveal().starts_with(&format!("kg_{}", "0".repeat(43))));
        // 2^256 - 1 in base 62, as Python computes it.
        assert!(highest.reveal().starts_with("kg_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"));
    }

    #[test]
    fn foreign_keys_are_never_mistyped() {
        assert!(!kg().mistyped(&ApiKey::new(b"sk_live_0123456789abcdef")));
        assert!(kg().mistyped(&ApiKey::new(b"kg_short")));
    }

    proptest! {
        #[test]
        fn any_edit_of_a_key_is_noticed(secret: [u8; 32], at in 3usize..52, replacement in "[0-9A-Za-z]") {
            let key = MintedKey::assemble(&kg(), &secret);
            let mut edited = key.reveal().to_owned();
            edited.replace_range(at..=at, &replacement);
            prop_assert_eq!(kg().mistyped(&ApiKey::new(edited.as_bytes())), edited != key.reveal());
        }

        #[test]
        fn trailing_characters_are_noticed(secret: [u8; 32], tail in "[ -~]{1,8}") {
            let longer = format!("{}{tail}", MintedKey::assemble(&kg(), &secret).reveal());
            prop_assert!(kg().mistyped(&ApiKey::new(longer.as_bytes())));
        }
    }
}
