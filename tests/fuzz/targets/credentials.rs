//! Any head of a request: whoever is let in has presented a key, and nothing panics.

#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keygate::live::World;
use keygate_fuzz::stage::{KEY, PROFILE_KEY, ask, digest, world};
use libfuzzer_sys::fuzz_target;

const CREDENTIALS: [&str; 6] = [
    "bearer = true\n",
    "basic = { username = \"api\" }\n",
    "basic = { username = \"account\" }\n",
    "bearer = true\nbasic = { username = \"api\" }\nheader = \"X-Api-Key\"\n",
    "header = \"X-Api-Key\"\nanonymous = \"forward\"\n",
    "bearer = true\nrequires_json = true\nanonymous = \"forward\"\n",
];

const ROUTES: &str = r#"
[[route]]
path = "/public"
public = true
[[route]]
path = "/of/{account}/{*rest}"
account_from = "{account}"
[[route]]
path = "/profile/{id}"
profile_from = "{id}"
[[route]]
path = "/write"
methods = ["POST", "PUT"]
permissions = ["write"]
content_type = "application/json"
[[route]]
path = "/events"
events_from = "/action"
max_body = "100B"
[[route]]
path = "/waived"
permissions = ["nobody"]
enforce = false
[[route]]
path = "/{*rest}"
"#;

static WORLDS: LazyLock<Vec<World>> = LazyLock::new(|| {
    let keys = format!(
        "[[account]]\nid = \"acme\"\n\
         [[key]]\nid = \"key\"\naccount = \"acme\"\naccess = \"write\"\nbasic = true\n\
         permissions = [\"write\"]\nips = [\"127.0.0.0/8\"]\n{}\
         [[key]]\nid = \"profile\"\naccount = \"acme\"\nkind = \"profile\"\n{}",
        digest(KEY),
        digest(PROFILE_KEY),
    );
    let load = |credentials| world(&format!("[credentials]\n{credentials}{ROUTES}"), &keys);
    CREDENTIALS.into_iter().map(load).collect()
});

fuzz_target!(|request: &[u8]| {
    let Some(request) = read(request) else { return };
    let Request { method, path, headers, body } = request;
    for world in &*WORLDS {
        let outcome = ask(world.snapshot(), &method, &path, &headers, body);
        if outcome.is_ok_and(|grant| grant.is_some_and(|grant| grant.key().is_some())) {
            assert!(presents_a_key(&headers), "let in: {path} {headers:?}");
        }
    }
});

struct Request<'b> {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: &'b [u8],
}

/// A request as HTTP/1 has it; a path of anything that is UTF-8.
fn read(text: &[u8]) -> Option<Request<'_>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, path) = first.split_once(' ')?;
    let mut headers = HeaderMap::new();
    for line in lines.take(20) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    Some(Request {
        method: Method::from_bytes(method.as_bytes()).ok()?,
        path: path.into(),
        headers,
        body,
    })
}

fn presents_a_key(headers: &HeaderMap) -> bool {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let lenient = GeneralPurpose::new(&alphabet::STANDARD, lenient);
    let holds = |value: &[u8]| {
        [KEY, PROFILE_KEY].iter().any(|key| value.trim_ascii().ends_with(key.as_bytes()))
    };
    headers.values().any(|value| {
        let last = value.as_bytes().trim_ascii().rsplit(|byte| byte.is_ascii_whitespace()).next();
        holds(value.as_bytes())
            || last.and_then(|last| lenient.decode(last).ok()).is_some_and(|basic| holds(&basic))
    })
}
