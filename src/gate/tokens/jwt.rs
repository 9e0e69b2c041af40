//! The compact form of a signed token (RFC 7515, section 7.1): three parts of base64url without
//! padding, with dots between them.
//!
//! A header is never interpreted: a token is one of ours only if its first part is, to the letter,
//! the one that we write for the key that verifies it. So no header chooses an algorithm, asks for
//! another key, or demands what we do not know.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::signing::SigningKey;

/// Signs a payload.
pub(super) fn write(payload: &str, key: &SigningKey) -> Option<Box<str>> {
    let mut token = String::with_capacity(1024);
    token.push_str(key.header());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token.into())
}

/// The payload of a token, and the key that signed it, if it is one of ours. Nothing is decoded
/// that is not signed.
pub(super) fn read<'k>(
    token: &str,
    mut keys: impl Iterator<Item = &'k SigningKey>,
) -> Option<(Vec<u8>, &'k SigningKey)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let key = keys.find(|key| key.header() == header)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !key.signed(signed.as_bytes(), &signature) {
        return None;
    }
    Some((URL_SAFE_NO_PAD.decode(payload).ok()?, key))
}

/// Whether a value has the shape of a token: three parts with dots between them.
pub(in crate::gate) fn is_token(value: &[u8]) -> bool {
    value.iter().filter(|&&byte| byte == b'.').count() == 2
}
