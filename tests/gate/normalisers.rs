//! How common servers read a target before they look for a route, after their documentation; and
//! that whatever we let through leads each of them to the route that we judged by.

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use keygate::gate::{CanonicalPath, Facts, Route, Snapshot, Transport, decide};
use proptest::prelude::*;

use crate::world::{self, KEY};

/// A target as a server reads it: decoded, without the query; `None` where it refuses it.
type Reader = fn(&[u8]) -> Option<Vec<u8>>;

const READERS: [(&str, Reader); 6] = [
    ("nginx", nginx),
    ("Apache", apache),
    ("Java", java),
    ("Go", go),
    ("Node", node),
    ("Python", python),
];

fn path_of(target: &[u8]) -> &[u8] {
    target.split(|&b| b == b'?' || b == b'#').next().unwrap()
}

/// Decodes every escape once; `None` where one is broken.
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), path);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| plain)?);
        rest = &rest[2..];
    }
    Some(bytes)
}

fn merged(path: &[u8]) -> Vec<u8> {
    let mut merged: Vec<u8> = Vec::new();
    for &byte in path {
        if byte != b'/' || merged.last() != Some(&b'/') {
            merged.push(byte);
        }
    }
    merged
}

/// Resolves `.` and `..` (RFC 3986, section 5.2.4), `dot` telling which segments those are; `None`
/// above the root where that is refused.
fn resolved(path: &[u8], dots: fn(&[u8]) -> usize, above: bool) -> Option<Vec<u8>> {
    let mut open: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.strip_prefix(b"/")?.split(|&b| b == b'/').collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match dots(segment) {
            0 => open.push(segment),
            dots => {
                if dots == 2 && open.pop().is_none() && !above {
                    return None;
                }
                if last {
                    open.push(b"");
                }
            }
        }
    }
    Some([b"/", open.join(&b'/').as_slice()].concat())
}

fn plain_dots(segment: &[u8]) -> usize {
    match segment {
        b"." => 1,
        b".." => 2,
        _ => 0,
    }
}

/// `merge_slashes` on: escapes are decoded first, then the path is made plain.
fn nginx(target: &[u8]) -> Option<Vec<u8>> {
    let path = decoded(path_of(target))?;
    if path.contains(&0) {
        return None;
    }
    resolved(&merged(&path), plain_dots, false)
}

/// `AllowEncodedSlashes Off`, `MergeSlashes On`.
fn apache(target: &[u8]) -> Option<Vec<u8>> {
    let lower = path_of(target).to_ascii_lowercase();
    if lower.windows(3).any(|escape| escape == b"%2f" || escape == b"%00") {
        return None;
    }
    resolved(&merged(&decoded(path_of(target))?), plain_dots, false)
}

/// Servlet containers: parameters are cut off before anything is decoded, and a backslash can be a
/// separator.
fn java(target: &[u8]) -> Option<Vec<u8>> {
    let cut = |segment: &[u8]| segment.split(|&b| b == b';').next().unwrap().to_vec();
    let path: Vec<Vec<u8>> = path_of(target).split(|&b| b == b'/').map(cut).collect();
    let mut path = decoded(&path.join(&b'/'))?;
    if path.contains(&0) {
        return None;
    }
    path.iter_mut().filter(|b| **b == b'\\').for_each(|b| *b = b'/');
    resolved(&merged(&path), plain_dots, false)
}

/// `net/http`: the decoded path, made clean.
fn go(target: &[u8]) -> Option<Vec<u8>> {
    if target.iter().any(u8::is_ascii_control) {
        return None;
    }
    resolved(&merged(&decoded(path_of(target))?), plain_dots, true)
}

/// The URL standard: line breaks and tabs vanish, a backslash is a separator, an encoded dot is a
/// dot. Routers decode what is left.
fn node(target: &[u8]) -> Option<Vec<u8>> {
    let kept = |b: &&u8| !matches!(**b, b'\t' | b'\n' | b'\r');
    let separated = |b: &u8| if *b == b'\\' { b'/' } else { *b };
    let path: Vec<u8> = path_of(target).iter().filter(kept).map(separated).collect();
    let dots = |segment: &[u8]| {
        let text = String::from_utf8_lossy(segment).to_ascii_lowercase().replace("%2e", ".");
        plain_dots(text.as_bytes())
    };
    decoded(&resolved(&path, dots, true)?)
}

/// WSGI: everything is decoded, what is no escape stays, and repeated separators are one.
fn python(target: &[u8]) -> Option<Vec<u8>> {
    let path = path_of(target);
    let mut parts = path.split(|&b| b == b'%');
    let mut bytes = parts.next().unwrap().to_vec();
    for part in parts {
        let escape = [b"%", part].concat();
        bytes.extend(match (decoded(&escape), escape.get(..3).and_then(decoded)) {
            (Some(whole), _) => whole,
            (None, Some(first)) => [&first, &escape[3..]].concat(),
            (None, None) => escape,
        });
    }
    Some(merged(&bytes))
}

const ROUTES: [&str; 9] = [
    "/{*rest}",
    "/admin",
    "/admin/",
    "/admin/{name}",
    "/admin/users",
    "/{name}/users",
    "/a/{name}/b",
    "/.hidden",
    "/a%20b",
];

fn snapshot() -> Snapshot {
    let routes: Vec<Route> = ROUTES.iter().map(|path| world::route(path)).collect();
    let parts = world::world(vec![world::account("acme")], vec![world::key("k", KEY)], routes);
    world::snapshot(parts)
}

/// The route by which a target is let through.
fn judged(snapshot: &Snapshot, path: &str) -> Option<String> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap());
    let client = (std::net::IpAddr::from([127, 0, 0, 1]), false);
    let facts = Facts::new(&Method::GET, path, Transport::Tls, client, &headers, false);
    let verdict = decide(&facts, snapshot, Timestamp::UNIX_EPOCH);
    verdict.outcome.is_ok().then(|| named(snapshot, verdict.route))
}

fn named(snapshot: &Snapshot, route: Option<keygate::gate::RouteIndex>) -> String {
    let route = route.and_then(|route| snapshot.routes().get(route));
    route.map_or_else(|| "none".to_owned(), |route| route.path.as_str().to_owned())
}

/// The route that a server finds for what it has read.
fn found(snapshot: &Snapshot, read: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'/' || *b == b'.';
    let encode = |b: &u8| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02x}") };
    let encoded: String = read.iter().map(encode).collect();
    match CanonicalPath::new(&encoded) {
        Ok(path) => named(snapshot, snapshot.routes().find(&path, &Method::GET).map(|(at, _)| at)),
        Err(_) => format!("`{encoded}`, which has no one reading"),
    }
}

/// Whether it was let through; then every server finds the same route.
fn agreed(snapshot: &Snapshot, target: &str) -> Result<bool, String> {
    let Some(ours) = judged(snapshot, path(target)) else { return Ok(false) };
    for (server, read) in READERS {
        let Some(read) = read(target.as_bytes()) else { continue };
        let its = found(snapshot, &read);
        if its != ours {
            return Err(format!("{target:?}: {ours} to us, {its} to {server}"));
        }
    }
    Ok(true)
}

/// The path of a target as the HTTP library hands it on.
fn path(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

const PIECES: [&str; 30] = [
    "/", "//", "admin", "ADMIN", "%61dmin", "users", "a", "b", ".", "..", "%2e", "%2E", "%2e%2e",
    "%2f", "%2F", "%5c", "\\", ";", ";v=1", "%3b", "%25", "%252e", "%00", "%20", "%", "%zz", "#",
    "?", ".hidden", "%c0%ae",
];

#[test]
fn every_server_finds_the_route_that_we_judged_by() {
    let snapshot = snapshot();
    let (mut through, mut refused) = (0, 0);
    let mut try_it = |target: String| match agreed(&snapshot, &target) {
        Ok(true) => through += 1,
        Ok(false) => refused += 1,
        Err(why) => panic!("{why}"),
    };
    for first in PIECES {
        for second in PIECES {
            try_it(format!("/{first}{second}"));
            for third in PIECES {
                try_it(format!("/{first}{second}{third}"));
                try_it(format!("/admin/{first}{second}{third}"));
            }
        }
    }
    assert!(through > 5_000 && refused > 20_000, "{through} {refused}");
}

#[test]
fn each_server_is_led_astray_by_something_that_we_refuse() {
    let snapshot = snapshot();
    let decoded_once = |target: &str| {
        let path = decoded(target.as_bytes()).unwrap_or_default();
        found(&snapshot, &path)
    };
    for (server, target) in [
        ("nginx", "/x/%2e%2e/admin"),
        ("Apache", "/x//../admin"),
        ("Java", "/admin;x/users"),
        ("Go", "/x/../admin"),
        ("Node", "/x\\..\\admin"),
        ("Python", "//admin"),
    ] {
        let (_, read) = READERS.iter().find(|(name, _)| *name == server).unwrap();
        let its = found(&snapshot, &read(target.as_bytes()).unwrap());
        assert!(its.starts_with("/admin") && its != decoded_once(target), "{server}: {its}");
        assert_eq!(judged(&snapshot, target), None, "{server}");
    }
}

proptest! {
    #[test]
    fn longer_targets_lead_to_one_route_too(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 4..12),
    ) {
        let target = format!("/{}", pieces.concat());
        if let Err(why) = agreed(&snapshot(), &target) {
            prop_assert!(false, "{}", why);
        }
    }

    #[test]
    fn any_target_leads_to_one_route(target in "/[!-~]{0,30}") {
        if let Err(why) = agreed(&snapshot(), &target) {
            prop_assert!(false, "{}", why);
        }
    }
}
