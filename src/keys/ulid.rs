//! Ids for keys: sorted by the time at which they were made, and unique without asking anybody.

use jiff::Timestamp;

use super::record::KeyId;

/// Crockford's base 32: no letters that are taken for digits.
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new id: `key_` and a ULID, 48 bits of milliseconds and 80 random ones.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_key_id(now: Timestamp) -> Result<KeyId, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let random = u128::from_be_bytes(random) & ((1 << 80) - 1);
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0) & ((1 << 48) - 1);
    let text = format!("key_{}", base32(u128::from(milliseconds) << 80 | random));
    KeyId::new(&text).map_err(|_| getrandom::Error::UNEXPECTED)
}

/// 128 bits as 26 digits, most significant first.
fn base32(mut number: u128) -> String {
    let mut digits = ['0'; 26];
    for digit in digits.iter_mut().rev() {
        let at = usize::try_from(number & 31).unwrap_or(0);
        *digit = BASE32.get(at).map_or('0', |digit| char::from(*digit));
        number >>= 5;
    }
    digits.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sorted_by_time() {
        let at = |second| new_key_id(Timestamp::from_second(second).unwrap()).unwrap();
        let (a, b, c) = (at(1_790_000_000), at(1_790_000_001), at(1_790_000_001));
        assert!(a < b && a < c && b != c);
        assert_eq!(a.as_str().len(), 4 + 26);
    }

    #[test]
    fn digits_are_those_of_the_ulid_specification() {
        // 01ARZ3NDEKTSV4RRFFQ69G5FAV, as Python reads it in Crockford's alphabet.
        let text = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        let number = text.bytes().fold(0u128, |number, digit| {
            number << 5 | BASE32.iter().position(|&known| known == digit).unwrap() as u128
        });
        assert_eq!(base32(number), text);
        assert_eq!(base32(31), format!("{}Z", "0".repeat(25)));
    }
}
