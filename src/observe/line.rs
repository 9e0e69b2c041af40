//! The line of a request in an access log of its own: one JSON object, its members named as the
//! semantic conventions of OpenTelemetry have them where they have a name.
//!
//! | member | says |
//! |---|---|
//! | `timestamp` | when the request had ended: RFC 3339, UTC, microseconds |
//! | `http.request.method` | its method; `_OTHER` for one that is not of HTTP's own |
//! | `http.request.method_original` | the method as it was written, where that is `_OTHER` |
//! | `url.scheme` | `https` or `http`: how it came to keygate |
//! | `url.path` | its path without the query, at most 1,024 bytes of it |
//! | `http.route` | the route's `path`; absent where none was found |
//! | `http.response.status_code` | the status that was sent; absent where none was |
//! | `http.request.body.size` | bytes of the request's body that were forwarded |
//! | `http.response.body.size` | bytes of the response's body that were handed on |
//! | `http.server.request.duration` | seconds from the end of the head to the end of the answer |
//! | `error.type` | the reason of a request that failed; else a status from 500, as text |
//! | `client.address` | who is believed to have asked |
//! | `network.peer.address` | whose connection it was |
//! | `network.protocol.version` | `1.0`, `1.1` or `2` |
//! | `server.address`, `server.port` | what the request says is its host, and the port beside it |
//! | `user_agent.original` | what the client calls itself, at most 256 bytes; only when asked for |
//! | `keygate.outcome` | `forwarded`, `minted`, `refused`, `shadow` or `failed` |
//! | `keygate.reason` | why; absent where nothing was in the way |
//! | `keygate.account`, `keygate.key_id` | whose key was presented, where it is known |
//! | `keygate.request_id` | what `X-Request-Id` says |
//! | `trace_id`, `span_id` | its trace, and in it keygate's own span; absent without `[tracing]` |
//! | `keygate.generation` | the generation of the table that decided |
//! | `keygate.place` | the file and line of the route |
//! | `keygate.overhead` | seconds to the answer's head that were keygate's own |
//! | `keygate.upstream.duration` | seconds that were waited for the upstream's head |
//!
//! Of a request whose head could not be read (`malformed_request`, `request_timeout`, and an
//! `ambiguous_path` that is no text) what the head would have said is absent: method, path, version,
//! host.
//!
//! What is known when a request's fate is settled is written then, straight into the memory of its
//! line: the head. The rest follows at its end.

use std::time::Duration;

use jiff::Timestamp;

use super::access;
use super::label::UNROUTED;
use super::record::{About, Fate, Record, labels};
use super::trace::Trace;
use super::words::{self, TIMESTAMP};

const BEGINNING: &[u8] = b"{\"timestamp\":\"";
/// How much is written of a method that is not of HTTP's own, and of what a client calls itself.
const METHOD: usize = 64;
const AGENT: usize = 256;

/// The members of a line.
struct Members<'l>(&'l mut Vec<u8>);

impl Members<'_> {
    /// `name` is written with all that stands around it: `,"name":`.
    fn text(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        words::string(self.0, value);
    }

    /// A text that needs no escapes.
    fn plain(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'"');
        self.0.extend_from_slice(value);
        self.0.push(b'"');
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.0.extend_from_slice(name.as_bytes());
        words::number(self.0, value);
    }

    fn seconds(&mut self, name: &str, value: Duration) {
        self.0.extend_from_slice(name.as_bytes());
        words::seconds(self.0, value);
    }

    fn address(&mut self, name: &str, value: std::net::IpAddr) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'"');
        words::address(self.0, value);
        self.0.push(b'"');
    }

    fn method(&mut self, method: &str) {
        const NAME: &str = ",\"http.request.method\":";
        const KNOWN: [&str; 9] =
            ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
        if KNOWN.contains(&method) {
            return self.plain(NAME, method);
        }
        self.plain(NAME, "_OTHER");
        self.text(",\"http.request.method_original\":", cut(method, METHOD));
    }

    /// A host, and a port where there is one (RFC 9110, section 7.2).
    fn host(&mut self, host: &str) {
        let (name, port) = match host.rsplit_once(':') {
            // What ends an IPv6 address is none.
            Some((name, port)) if !port.ends_with(']') => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                (name, digits.then(|| port.parse::<u16>().ok()).flatten())
            }
            _ => (host, None),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        self.text(",\"server.address\":", cut(name, access::PATH));
        if let Some(port) = port {
            self.number(",\"server.port\":", port.into());
        }
    }
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// Writes what is known of a request whose fate is settled, in the place of what was written of it
/// before.
pub(super) fn head(
    line: &mut Vec<u8>,
    fate: Option<Fate>,
    about: &About<'_>,
    trace: Option<&Trace>,
) {
    begin(line);
    let mut members = Members(line);
    if let Some(method) = about.method {
        members.method(method);
    }
    members.plain(",\"url.scheme\":", access::transport(about.transport));
    members.maybe(",\"url.path\":", about.path.map(access::path));
    if let Some(version) = about.version {
        members.plain(",\"network.protocol.version\":", version);
    }
    members.address(",\"client.address\":", about.client);
    members.address(",\"network.peer.address\":", about.peer);
    if let Some(host) = about.host {
        members.host(host);
    }
    members.maybe(",\"user_agent.original\":", about.agent.map(|agent| cut(agent, AGENT)));
    outcome(&mut members, fate);
    members.maybe(",\"keygate.account\":", about.account.map(|account| account.id.as_str()));
    members.maybe(",\"keygate.key_id\":", about.key);
    members.text(",\"keygate.request_id\":", about.request_id);
    if let Some(trace) = trace {
        members.bytes(",\"trace_id\":", &trace.trace_id());
        members.bytes(",\"span_id\":", &trace.span_id());
    }
    members.number(",\"keygate.generation\":", about.generation);
    members.maybe(",\"keygate.place\":", about.place.map(|place| &**place));
}

/// The same of a request of which nothing was told.
pub(super) fn bare_head(line: &mut Vec<u8>, fate: Option<Fate>) {
    begin(line);
    outcome(&mut Members(line), fate);
}

fn begin(line: &mut Vec<u8>) {
    line.clear();
    line.extend_from_slice(BEGINNING);
    // It is known at the end.
    line.extend_from_slice(&[b'0'; TIMESTAMP]);
    line.push(b'"');
}

fn outcome(members: &mut Members<'_>, fate: Option<Fate>) {
    let (outcome, reason) = labels(fate);
    members.plain(",\"keygate.outcome\":", outcome.as_str());
    if !reason.is_empty() {
        members.plain(",\"keygate.reason\":", reason);
    }
}

/// Ends the line of a request that has ended.
pub(super) fn tail(
    line: &mut Vec<u8>,
    record: &Record,
    elapsed: Duration,
    route: &str,
    now: Timestamp,
) {
    let place = line.get_mut(BEGINNING.len()..).and_then(<[u8]>::first_chunk_mut);
    if let Some(place) = place {
        *place = words::timestamp(now);
    }
    let mut members = Members(line);
    if route != UNROUTED {
        members.text(",\"http.route\":", route);
    }
    if let Some(status) = record.status {
        members.number(",\"http.response.status_code\":", status.into());
    }
    match (record.fate, record.status) {
        (Some(Fate::Failed(reason)), _) => members.plain(",\"error.type\":", reason.name()),
        (None, _) => members.plain(",\"error.type\":", labels(None).1),
        (Some(_), Some(status @ 500..)) => {
            members.plain(",\"error.type\":", "");
            members.0.pop();
            words::number(members.0, status.into());
            members.0.push(b'"');
        }
        (Some(_), _) => {}
    }
    members.number(",\"http.request.body.size\":", record.received);
    members.number(",\"http.response.body.size\":", record.sent);
    members.seconds(",\"http.server.request.duration\":", elapsed);
    if let Some(overhead) = record.overhead() {
        members.seconds(",\"keygate.overhead\":", overhead);
    }
    if let Some(upstream) = record.upstream {
        members.seconds(",\"keygate.upstream.duration\":", upstream);
    }
    line.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::observe::record::tests::anonymous;

    fn of(about: &About<'_>) -> Value {
        let mut line = Vec::new();
        head(&mut line, Some(Fate::Forwarded), about, None);
        line.extend_from_slice(b"}\n");
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_host_is_told_apart_from_its_port() {
        for (host, address, port) in [
            ("api.example", "api.example", None),
            ("api.example:8443", "api.example", Some(8443)),
            ("192.0.2.7:1", "192.0.2.7", Some(1)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
        ] {
            let line = of(&About { host: Some(host), ..anonymous() });
            assert_eq!(line["server.address"], address, "{host}");
            assert_eq!(line["server.port"].as_u64(), port, "{host}");
        }
    }

    #[test]
    fn a_method_that_nobody_knows_is_another_one() {
        let line = of(&About { method: Some("BREW"), ..anonymous() });
        assert_eq!(line["http.request.method"], "_OTHER");
        assert_eq!(line["http.request.method_original"], "BREW");
        assert!(of(&anonymous()).get("http.request.method_original").is_none());
    }

    #[test]
    fn what_strangers_write_neither_breaks_a_line_nor_makes_it_endless() {
        let agent = format!("\"}}\n{{\u{1}{}", "é".repeat(5000));
        let path = format!("/\"{}?secret", "x".repeat(5000));
        let about = About { agent: Some(&agent), path: Some(&path), ..anonymous() };
        let line = of(&about);
        assert_eq!(line["user_agent.original"], cut(&agent, AGENT));
        assert_eq!(line["url.path"].as_str().map(str::len), Some(access::PATH));
        assert!(line.to_string().len() < 2000);
    }
}
