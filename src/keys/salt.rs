//! Salts for simple authentication: what an end user's application must know besides the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// A new salt: 128 random bits, 22 letters, digits, `-` and `_`.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_salt() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut random = Zeroizing::new([0; 16]);
    getrandom::fill(random.as_mut())?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_are_unique_and_need_no_escapes() {
        let (one, two) = (new_salt().unwrap(), new_salt().unwrap());
        assert_ne!(*one, *two);
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }
}
