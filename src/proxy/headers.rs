//! What travels on and what does not: hop-by-hop fields, reserved names, identity.
//!
//! The order is the defence: what a connection nominates goes first, then what is reserved, and
//! only then is ours set, so nothing that a client sends can take it away again.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::fields::{Fields, written};
use super::trace::{TRACEPARENT, Traces};
use crate::gate::Profile;
use crate::gate::Snapshot;
use crate::gate::Stripper;
use crate::keys::KeyIndex;
use crate::observe::Trace;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who asks, for the headers that say so.
pub(super) struct Sender<'a> {
    /// The client's address as it is believed, and the trusted hops after it.
    pub(super) chain: HeaderValue,
    /// Whether the client came by HTTPS.
    pub(super) https: bool,
    /// The host that it asked for.
    pub(super) host: &'a HeaderValue,
    /// The id of the request.
    pub(super) request_id: &'a HeaderValue,
    /// Whether it says something of its connection.
    pub(super) connection: bool,
    /// Where it stands in a trace, if the upstream is told, and who writes that down.
    pub(super) trace: Option<(&'a Traces, &'a Trace)>,
}

/// Makes the headers of the upstream request out of the client's, in one pass over them.
pub(super) fn upstream(
    headers: HeaderMap,
    snapshot: &Snapshot,
    (key, profile): (Option<KeyIndex>, Option<&Profile>),
    forward_credential: bool,
    sender: Sender<'_>,
) -> Fields {
    let nominated = if sender.connection { nominated(&headers) } else { Vec::new() };
    let stripper = snapshot.stripper();
    let credentials = (!forward_credential).then(|| {
        // Without an identity `Authorization` goes whatever carriers are on: nobody has judged it.
        let bearer = snapshot.credentials().uses_authorization() || key.is_none();
        (bearer, snapshot.credentials().header.as_ref())
    });
    let is_credential = |name: &HeaderName| {
        credentials.is_some_and(|(bearer, own)| {
            (bearer && *name == AUTHORIZATION) || own.is_some_and(|own| own == name)
        })
    };
    let traced = sender.trace.map(|(_, trace)| trace.is_continued());
    let mut fields = Fields::with_room(headers.len());
    let (mut trailers, mut cookies) = (false, 0);
    fields.take(headers, |name, value| {
        if *name == TE {
            trailers |= names_trailers(value);
        }
        let gone = is_hop_by_hop(name)
            || is_ours(name)
            || is_credential(name)
            || traced.is_some_and(|goes_on| is_of_trace(name, goes_on))
            || stripper.drops(name)
            || nominated.contains(name);
        cookies += usize::from(!gone && *name == COOKIE);
        !gone
    });
    if cookies > 1 {
        join_cookies(&mut fields);
    }
    if trailers {
        fields.push(TE, HeaderValue::from_static("trailers"));
        fields.push(CONNECTION, HeaderValue::from_static("te"));
    }
    set_forwarded(&mut fields, sender);
    if let Some(key) = key {
        snapshot.identity_of(key, profile, written, |name, value| {
            // A name of ours, or the one that carries keys, may be given another meaning.
            if is_ours(name)
                || [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST].contains(name)
                || stripper.carrier() == Some(name)
            {
                fields.remove(name);
            }
            fields.push(name.clone(), value);
        });
    }
    fields
}

/// Fields that belong to one connection (RFC 9110, section 7.6.1), and what clients use to ask for
/// HTTP/2 in clear, which we never speak.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "close"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
    )
}

/// Fields that we say ourselves, or not at all.
fn is_ours(name: &HeaderName) -> bool {
    matches!(name.as_str(), "host" | "x-request-id" | "expect" | "te")
}

/// What a client said of its trace, which is said anew, or is of no trace that goes on.
fn is_of_trace(name: &HeaderName, goes_on: bool) -> bool {
    match name.as_str() {
        "traceparent" => true,
        "tracestate" => !goes_on,
        _ => false,
    }
}

/// Makes the headers of an answer out of the upstream's. HTTP/2 checks the length of what it
/// carries, so there is at most one, and none where there can be no body (RFC 9110, section 8.6).
pub(super) fn downstream(headers: &mut HeaderMap, status: StatusCode) {
    let (mut hops, mut lengths) = (false, 0);
    for name in headers.iter().map(|(name, _)| name) {
        hops |= is_hop_by_hop(name);
        lengths += usize::from(*name == CONTENT_LENGTH);
    }
    // `Connection` is one of them: without it none is nominated.
    if hops {
        strip_hop_by_hop(headers);
    }
    if lengths > 0 && status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    } else if lengths > 1
        // They say the same, or the answer would not have been taken.
        && let Some(length) = headers.get(CONTENT_LENGTH).cloned()
    {
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// Removes what only concerned the connection it came by. Also of responses.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    strip(headers, is_hop_by_hop);
}

/// Removes the fields of some names. Most messages have none or one of them.
fn strip(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| goes(name)).cloned() {
        headers.remove(name);
    }
}

/// Makes a client's trailers fit to travel on: nothing in them frames, routes or authenticates
/// (RFC 9110, section 6.5.1), and nothing that is reserved stands there instead of in the head.
pub(super) fn strip_trailers(trailers: &mut HeaderMap, stripper: &Stripper) {
    strip_hop_by_hop(trailers);
    strip(trailers, |name| stripper.drops(name));
    for name in [HOST, CONTENT_LENGTH, AUTHORIZATION].iter().chain(stripper.carrier()) {
        trailers.remove(name);
    }
}

/// What `Connection` names, except what frames the message: nobody may nominate that away. What
/// goes anyway is left out.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let usual = |name: &&str| {
        let usual = ["keep-alive", "close", "upgrade", "te"];
        usual.iter().any(|usual| name.eq_ignore_ascii_case(usual))
    };
    // Most lines are one of these.
    let lines = lines.filter(|line| !usual(line));
    let names = lines.flat_map(|line| line.split(',')).map(str::trim);
    let names = names.filter(|name| !usual(name));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    names.filter(|name| ![HOST, CONTENT_LENGTH, AUTHORIZATION].contains(name)).collect()
}

/// HTTP/2 may split what HTTP/1.1 has in one line (RFC 9113, section 8.2.3).
fn join_cookies(fields: &mut Fields) {
    let lines: Vec<_> = fields.all(&COOKIE).map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        fields.remove(&COOKIE);
        fields.push(COOKIE, joined);
    }
}

fn names_trailers(line: &HeaderValue) -> bool {
    line.to_str().is_ok_and(|line| {
        line.split(',').any(|coding| {
            coding.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("trailers")
        })
    })
}

fn set_forwarded(fields: &mut Fields, sender: Sender<'_>) {
    let proto = if sender.https { "https" } else { "http" };
    fields.push(FORWARDED_FOR, sender.chain);
    fields.push(FORWARDED_PROTO, HeaderValue::from_static(proto));
    fields.push(FORWARDED_HOST, sender.host.clone());
    fields.push(REQUEST_ID, sender.request_id.clone());
    if let Some((traces, trace)) = sender.trace {
        fields.push(TRACEPARENT, traces.header(trace));
    }
    fields.push(HOST, sender.host.clone());
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
