//! How common servers read a target before they look for a route, after their documentation, and
//! which route each of them finds then.

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use keygate::gate::{CanonicalPath, Facts, Route, Snapshot, Transport, decide};

use crate::world::{self, KEY};

/// A target as a server reads it: decoded, without the query; `None` where it refuses it.
pub(crate) type Reader = fn(&[u8]) -> Option<Vec<u8>>;

pub(crate) const READERS: [(&str, Reader); 6] = [
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
pub(crate) fn decoded(path: &[u8]) -> Option<Vec<u8>> {
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

pub(crate) fn snapshot() -> Snapshot {
    let routes: Vec<Route> = ROUTES.iter().map(|path| world::route(path)).collect();
    let parts = world::world(vec![world::account("acme")], vec![world::key("k", KEY)], routes);
    world::snapshot(parts)
}

/// The route by which a target is let through.
pub(crate) fn judged(snapshot: &Snapshot, path: &str) -> Option<String> {
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
pub(crate) fn found(snapshot: &Snapshot, read: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'/' || *b == b'.';
    let encode = |b: &u8| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02x}") };
    let encoded: String = read.iter().map(encode).collect();
    match CanonicalPath::new(&encoded) {
        Ok(path) => named(snapshot, snapshot.routes().find(&path, &Method::GET).map(|(at, _)| at)),
        Err(_) => format!("`{encoded}`, which has no one reading"),
    }
}

/// Whether it was let through; then every server finds the same route.
pub(crate) fn agreed(snapshot: &Snapshot, target: &str) -> Result<bool, String> {
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
