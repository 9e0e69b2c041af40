//! Any header name: it is kept from the upstream where it is a reserved one in some spelling, and only
//! there.

#![no_main]

use std::sync::LazyLock;

use http::HeaderName;
use keygate::gate::{Identity, ReservedName, Stripper};
use libfuzzer_sys::fuzz_target;

const EXACT: [&str; 16] = [
    "x-account-id",
    "x-key-id",
    "x-permissions",
    "x-key-access",
    "x-key-kind",
    "x-profile-id",
    "x-profile-custom-id",
    "x-profile-email",
    "forwarded",
    "x-real-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-secret",
];
const PREFIXES: [&str; 2] = ["x-forwarded-", "x-auth-"];
const CARRIER: &str = "x-api-key";

static STRIPPER: LazyLock<Stripper> = LazyLock::new(|| {
    let reserved =
        vec![ReservedName::Exact("x-secret".into()), ReservedName::Prefix("x-auth-".into())];
    let identity = Identity { reserved, ..Identity::default() };
    Stripper::new(&identity, Some(&HeaderName::from_static(CARRIER)))
});

fuzz_target!(|name: &[u8]| {
    let Ok(name) = HeaderName::from_bytes(name) else { return };
    let folded: String = name
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let reserved = EXACT.contains(&folded.as_str())
        || PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
        || (folded == CARRIER && name.as_str() != CARRIER);
    assert_eq!(STRIPPER.drops(&name), reserved, "{name}");
});
