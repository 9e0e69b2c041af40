//! What travels on and what does not: hop-by-hop fields, reserved names, identity.
//!
//! The order is the defence: what a connection nominates goes first, then what is reserved, and
//! only then is ours set, so nothing that a client sends can take it away again.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::gate::Profile;
use crate::gate::Snapshot;
use crate::gate::Stripper;
use crate::keys::KeyIndex;

/// Fields that belong to one connection (RFC 9110, section 7.6.1), and what clients use to ask for
/// HTTP/2 in clear, which we never speak.
const HOP_BY_HOP: [HeaderName; 5] =
    [CONNECTION, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];
const HOP_BY_HOP_NAMED: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];

/// Who asks, for the headers that say so.
pub(super) struct Sender<'a> {
    /// The client's address, as it is believed.
    pub(super) client: IpAddr,
    /// The trusted hops after it.
    pub(super) hops: &'a [IpAddr],
    /// Whether the client came by HTTPS.
    pub(super) https: bool,
    /// The host that it asked for.
    pub(super) host: &'a HeaderValue,
    /// The id of the request.
    pub(super) request_id: &'a HeaderValue,
}

/// Makes the headers of the upstream request out of the client's.
pub(super) fn upstream(
    headers: &mut HeaderMap,
    snapshot: &Snapshot,
    (key, profile): (Option<KeyIndex>, Option<&Profile>),
    forward_credential: bool,
    sender: &Sender<'_>,
) {
    let te_trailers = accepts_trailers(headers);
    strip_hop_by_hop(headers);
    headers.remove(EXPECT);
    headers.remove(TE);
    strip_reserved(headers, snapshot.stripper());
    strip_credential(headers, snapshot, key, forward_credential);
    join_cookies(headers);
    if te_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    set_forwarded(headers, sender);
    if let Some(key) = key {
        for (name, value) in snapshot.identity_of(key, profile) {
            headers.insert(name.clone(), value);
        }
    }
}

/// Makes the headers of an answer out of the upstream's. HTTP/2 checks the length of what it
/// carries, so there is at most one, and none where there can be no body (RFC 9110, section 8.6).
pub(super) fn downstream(headers: &mut HeaderMap, status: StatusCode) {
    strip_hop_by_hop(headers);
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next().cloned(), lengths.next()) {
        (Some(_), _) if status == StatusCode::NO_CONTENT => drop(headers.remove(CONTENT_LENGTH)),
        // They say the same, or the answer would not have been taken.
        (Some(length), Some(_)) => drop(headers.insert(CONTENT_LENGTH, length)),
        _ => {}
    }
}

/// Removes what only concerned the connection it came by. Also of responses.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
    HOP_BY_HOP_NAMED.iter().for_each(|name| drop(headers.remove(*name)));
}

/// Removes every spelling of a reserved name.
fn strip_reserved(headers: &mut HeaderMap, stripper: &Stripper) {
    if !headers.keys().any(|name| stripper.drops(name)) {
        return;
    }
    let names: Vec<_> = headers.keys().filter(|name| stripper.drops(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Makes a client's trailers fit to travel on: nothing in them frames, routes or authenticates
/// (RFC 9110, section 6.5.1), and nothing that is reserved stands there instead of in the head.
pub(super) fn strip_trailers(trailers: &mut HeaderMap, stripper: &Stripper) {
    strip_hop_by_hop(trailers);
    strip_reserved(trailers, stripper);
    for name in [HOST, CONTENT_LENGTH, AUTHORIZATION].iter().chain(stripper.carrier()) {
        trailers.remove(name);
    }
}

/// What `Connection` names, except what frames the message: nobody may nominate that away.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let names = lines.flat_map(|line| line.split(',')).map(str::trim);
    let names = names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    names.filter(|name| ![HOST, CONTENT_LENGTH, AUTHORIZATION].contains(name)).collect()
}

/// Without an identity `Authorization` goes whatever carriers are on: nobody has judged it.
fn strip_credential(
    headers: &mut HeaderMap,
    snapshot: &Snapshot,
    key: Option<KeyIndex>,
    forward: bool,
) {
    if forward {
        return;
    }
    let credentials = snapshot.credentials();
    if credentials.uses_authorization() || key.is_none() {
        headers.remove(AUTHORIZATION);
    }
    if let Some(name) = &credentials.header {
        headers.remove(name);
    }
}

/// HTTP/2 may split what HTTP/1.1 has in one line (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    if lines.next().is_none() || lines.next().is_none() {
        return;
    }
    let lines: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        coding.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("trailers")
    })
}

fn set_forwarded(headers: &mut HeaderMap, sender: &Sender<'_>) {
    let mut chain = sender.client.to_string();
    for hop in sender.hops {
        // Writing to a string cannot fail.
        let _ = write!(chain, ", {hop}");
    }
    let proto = if sender.https { "https" } else { "http" };
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert("x-forwarded-for", chain);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static(proto));
    headers.insert("x-forwarded-host", sender.host.clone());
    headers.insert("x-request-id", sender.request_id.clone());
    headers.insert(HOST, sender.host.clone());
}

/// Whether a request asks to become a WebSocket: the one upgrade that passes.
pub(super) fn asks_for_websocket(method: &Method, headers: &HeaderMap) -> bool {
    let has_token = |name: HeaderName, token: &str| {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        let mut tokens = lines.flat_map(|line| line.split(',')).map(str::trim);
        tokens.any(|found| found.eq_ignore_ascii_case(token))
    };
    *method == Method::GET
        && has_token(CONNECTION, "upgrade")
        && headers.get_all(UPGRADE).iter().count() == 1
        && headers.get(UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn what_a_connection_nominates_goes_but_never_what_frames_the_message() {
        let mut headers = map(&[
            ("connection", "x-a, Host, close"),
            ("connection", "content-length"),
            ("x-a", "1"),
            ("host", "h"),
            ("content-length", "3"),
            ("keep-alive", "1"),
            ("x-b", "2"),
        ]);
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-b"]);
    }

    #[test]
    fn only_a_plain_websocket_request_is_one() {
        let good = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert!(asks_for_websocket(&Method::GET, &map(&good)));
        assert!(!asks_for_websocket(&Method::POST, &map(&good)));
        for bad in ["h2c", "websocket, h2c", "TLS/1.0"] {
            let headers = map(&[("connection", "upgrade"), ("upgrade", bad)]);
            assert!(!asks_for_websocket(&Method::GET, &headers), "{bad}");
        }
    }

    #[test]
    fn trailers_neither_frame_nor_authenticate() {
        let carrier = HeaderName::from_static("x-api-key");
        let stripper = Stripper::new(&crate::gate::Identity::default(), Some(&carrier));
        let mut trailers = map(&[
            ("authorization", "Bearer k"),
            ("x-api-key", "k"),
            ("X_Api_Key", "k"),
            ("content-length", "3"),
            ("host", "h"),
            ("x-account-id", "acme"),
            ("grpc-status", "0"),
        ]);
        strip_trailers(&mut trailers, &stripper);
        let left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["grpc-status"]);
    }
}
