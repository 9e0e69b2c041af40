//! A request of the HTTP library → what a decision may look at, or why it has no single reading.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Version};
use ipnet::IpNet;

use super::connection::Origin;
use super::guard::Flaw;
use super::http2;
use crate::gate::Denial;
use crate::gate::Facts;
use crate::gate::Transport;
use crate::gate::client_address;

/// The longest host that is taken for a usual one: no name is longer (RFC 1035, section 2.3.4).
const LONGEST_USUAL: usize = 255;

/// What was read of a request: enough for the facts and for the headers that we set.
#[derive(Debug)]
pub struct Intake {
    /// The client's address, as it is believed.
    pub client: IpAddr,
    /// The trusted hops after it.
    pub(super) hops: Vec<IpAddr>,
    /// Whether the peer is a trusted proxy.
    trusted_peer: bool,
    /// The one host that the request names, or what is wrong with its form.
    pub host: Result<HeaderValue, Denial>,
    /// Whether its head could not be read, so that its parts are not those that came.
    pub(super) unread: bool,
    /// Whether it says something of its connection.
    pub(super) connection: bool,
}

impl Intake {
    /// Reads a request. What is wrong with its form is kept for later: the transport is judged
    /// first.
    pub(super) fn read(parts: &Parts, origin: &Origin, trusted: &[IpNet]) -> Self {
        let flaw = match &origin.input {
            Some(input) => input.take(origin.number()),
            None => http2::flaw(&parts.headers),
        };
        let this = Self::of(parts, origin.peer.address, origin.peer.trusting(trusted), flaw);
        let replaced = matches!(flaw, Some(Flaw::Malformed | Flaw::Late | Flaw::Path));
        Self { unread: replaced && origin.input.is_some(), ..this }
    }

    /// Reads a request that came from a peer, by whatever way; `flaw` is what is wrong with it that
    /// its parts do not show.
    #[must_use]
    pub fn of(parts: &Parts, peer: IpAddr, trusted: &[IpNet], flaw: Option<Flaw>) -> Self {
        let (client, hops) = client_address(peer, trusted, &parts.headers);
        let trusted_peer = trusted.iter().any(|network| network.contains(&peer));
        let said = Said::by(parts);
        let host = form(parts, &said, flaw);
        Self { client, hops, trusted_peer, host, unread: false, connection: said.connection }
    }

    /// The facts that a decision looks at.
    #[must_use]
    pub fn facts<'r>(&self, parts: &'r Parts, transport: Transport, has_body: bool) -> Facts<'r> {
        let sender = (self.client, self.trusted_peer);
        let path = match parts.uri.path() {
            // It names a host and no path. It is refused whatever comes of it (see `charge`), but
            // whoever may not ask for it is told that first.
            "" if parts.method == Method::CONNECT => "/",
            path => path,
        };
        Facts::new(&parts.method, path, transport, sender, &parts.headers, has_body)
    }

    /// Whether the peer is a trusted proxy.
    pub(super) const fn is_relayed(&self) -> bool {
        self.trusted_peer
    }

    /// The client and the trusted hops after it, in the words of `X-Forwarded-For`.
    pub(super) fn chain(&self) -> HeaderValue {
        let mut chain = self.client.to_string();
        for hop in &self.hops {
            // Writing to a string cannot fail.
            let _ = write!(chain, ", {hop}");
        }
        HeaderValue::try_from(chain).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    }

    /// Whether the client came by HTTPS: to us, or to a trusted proxy that says so.
    pub(super) fn https(&self, parts: &Parts, transport: Transport) -> bool {
        if transport == Transport::Tls || !self.trusted_peer {
            return transport == Transport::Tls;
        }
        let mut said = parts.headers.get_all("x-forwarded-proto").iter();
        // Said twice it is not believed: nobody knows which of them the proxy said.
        let https = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"https");
        said.next().is_some_and(https) && said.next().is_none()
    }
}

/// The host of a request that has exactly one reading.
fn form(parts: &Parts, said: &Said<'_>, flaw: Option<Flaw>) -> Result<HeaderValue, Denial> {
    if flaw == Some(Flaw::Late) {
        return Err(Denial::RequestTimeout);
    }
    if said.framed_twice || flaw == Some(Flaw::Malformed) {
        return Err(Denial::MalformedRequest);
    }
    let host = one_host(parts, said)?;
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    // A path that is empty but for its query would be taken for `/` (RFC 9113, section 8.3.1).
    let rooted = parts.version < Version::HTTP_2 || !path.starts_with('?');
    match flaw {
        Some(Flaw::Fragment | Flaw::Path) => Err(Denial::AmbiguousPath),
        _ if !rooted => Err(Denial::AmbiguousPath),
        _ => Ok(host),
    }
}

/// What a head says of its host, of its body's length and of its connection.
struct Said<'p> {
    host: Option<&'p HeaderValue>,
    hosts: usize,
    /// Two lengths, even equal ones, are one too many.
    framed_twice: bool,
    /// Whether there is a field `Connection`.
    connection: bool,
}

impl<'p> Said<'p> {
    fn by(parts: &'p Parts) -> Self {
        let (mut host, mut hosts) = (None, 0);
        let (mut lengths, mut chunked, mut odd) = (0, false, false);
        let mut connection = false;
        for (name, value) in &parts.headers {
            if *name == HOST {
                host = host.or(Some(value));
                hosts += 1;
            } else if *name == CONTENT_LENGTH {
                lengths += 1;
                odd |= !value.as_bytes().iter().all(u8::is_ascii_digit);
            } else if *name == TRANSFER_ENCODING {
                chunked = true;
            } else if *name == CONNECTION {
                connection = true;
            }
        }
        let framed_twice = lengths > 1 || odd || (lengths == 1 && chunked);
        Self { host, hosts, framed_twice, connection }
    }
}

/// `Host` and the target's authority, where both are there, must be the same (RFC 9112, section
/// 3.2.2; RFC 9113, section 8.3.1).
fn one_host(parts: &Parts, said: &Said<'_>) -> Result<HeaderValue, Denial> {
    let malformed = Denial::MalformedRequest;
    if said.hosts > 1 {
        return Err(malformed);
    }
    let named = said.host;
    let authority = parts.uri.authority();
    let value = match (named, authority) {
        (Some(named), None) => named.clone(),
        (None, Some(authority)) if parts.version == Version::HTTP_2 => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| malformed)?
        }
        (Some(named), Some(authority)) => {
            let same = named.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
            same.then(|| named.clone()).ok_or(malformed)?
        }
        // HTTP/1.0 need not name a host; later versions must.
        (None, _) if parts.version < Version::HTTP_11 => HeaderValue::from_static("localhost"),
        (None, _) => return Err(malformed),
    };
    is_host(&value).then_some(value).ok_or(malformed)
}

/// A host and perhaps a port: no user, no path, nothing invisible.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    if is_usual(text) {
        return true;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:[]%!$&'()*+,;=".contains(&byte);
    text.bytes().all(plain) && text.parse::<Authority>().is_ok_and(|it| is_plain(text, it.host()))
}

/// Whether it is what most hosts are, which need not be parsed: a name or an IPv4 address, and
/// perhaps a port.
fn is_usual(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let length = text.bytes().take_while(|byte| plain(byte)).count();
    let rest = text.as_bytes().get(length..).unwrap_or_default();
    let port = match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    length > 0 && text.len() <= LONGEST_USUAL && port
}

/// Whether a host is followed by nothing, or by a port, which is digits only (RFC 3986, section
/// 3.2.3). No user stands before it: that would have an `@`.
fn is_plain(text: &str, host: &str) -> bool {
    match text.as_bytes().get(host.len()..) {
        Some([]) => !host.is_empty(),
        Some([b':', port @ ..]) => !host.is_empty() && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, target: &str, fields: &[(&str, &str)]) -> Parts {
        let request = http::Request::builder().version(version).uri(target);
        let request = fields.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    /// The host of a request, or why it has none.
    fn judged(parts: &Parts, flaw: Option<Flaw>) -> Result<String, Denial> {
        form(parts, &Said::by(parts), flaw).map(|host| host.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_request_names_one_host_wherever_it_does() {
        let (one, two) = (("host", "a.example"), ("host", "b.example"));
        let (old, first, second) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        let absolute = "https://A.example/x";
        for (version, target, fields, host) in [
            (first, "/x", &[one][..], Some("a.example")),
            (old, "/x", &[one], Some("a.example")),
            (old, "/x", &[], Some("localhost")),
            (first, absolute, &[one], Some("a.example")),
            (second, absolute, &[], Some("A.example")),
            (second, absolute, &[one], Some("a.example")),
            (second, "/x", &[one], Some("a.example")),
            (first, "/x", &[], None),
            (first, absolute, &[], None),
            (second, "/x", &[], None),
            (first, "/x", &[one, one], None),
            (first, "/x", &[one, two], None),
            (old, "/x", &[one, two], None),
            (first, absolute, &[two], None),
            (second, absolute, &[two], None),
            (second, absolute, &[one, one], None),
            (first, "/x", &[("host", "")], None),
            (first, "/x", &[("host", "u@a.example")], None),
            (second, "https://u@a.example/x", &[], None),
        ] {
            let judged = judged(&parts(version, target, fields), None);
            let wanted = host.map(str::to_owned).ok_or(Denial::MalformedRequest);
            assert_eq!(judged, wanted, "{version:?} {target} {fields:?}");
        }
    }

    #[test]
    fn a_body_has_one_length() {
        let (length, chunked) = (("content-length", "3"), ("transfer-encoding", "chunked"));
        for (fields, sound) in [
            (&[length][..], true),
            (&[chunked], true),
            (&[], true),
            (&[length, length], false),
            (&[length, ("content-length", "4")], false),
            (&[length, chunked], false),
            (&[("content-length", "+3")], false),
            (&[("content-length", "3, 3")], false),
        ] {
            let fields = [&[("host", "a")], fields].concat();
            let judged = judged(&parts(Version::HTTP_11, "/", &fields), None);
            let wanted = if sound { Ok("a".to_owned()) } else { Err(Denial::MalformedRequest) };
            assert_eq!(judged, wanted, "{fields:?}");
        }
    }

    #[test]
    fn what_the_parts_do_not_show_is_told_in_the_order_of_what_can_be_trusted() {
        let (sound, torn) = ([("host", "a")], [("host", "a"), ("host", "b")]);
        let (late, bad) = (Denial::RequestTimeout, Denial::MalformedRequest);
        let path = Denial::AmbiguousPath;
        for (flaw, with, without) in [
            (Flaw::Late, late, late),
            (Flaw::Malformed, bad, bad),
            (Flaw::Fragment, path, bad),
            (Flaw::Path, path, bad),
        ] {
            for (fields, wanted) in [(&sound[..], with), (&torn, without)] {
                let parts = parts(Version::HTTP_11, "/", fields);
                assert_eq!(judged(&parts, Some(flaw)), Err(wanted), "{flaw:?} {fields:?}");
            }
        }
        // A query without a path: over HTTP/1.1 the parser has refused it before.
        let query = |version| judged(&parts(version, "https://a?x", &[("host", "a")]), None);
        assert_eq!(query(Version::HTTP_2), Err(path));
        assert_eq!(query(Version::HTTP_11), Ok("a".to_owned()));
    }

    #[test]
    fn what_is_usual_is_what_the_parser_takes() {
        // Every text of up to five of these.
        let bytes = b"aZ09.-_:[]@/%+ ";
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let more = |text: &String| {
                let text = text.clone();
                bytes.iter().map(move |&byte| format!("{text}{}", char::from(byte)))
            };
            texts = texts.iter().flat_map(more).chain([String::new()]).collect();
            for text in texts.iter().filter(|text| is_usual(text)) {
                let host = text.parse::<Authority>().unwrap();
                assert!(is_plain(text, host.host()), "{text}");
            }
        }
        for (text, usual) in [("a.example:8443", true), ("a:", true), (":1", false), ("a:x", false)]
        {
            assert_eq!(is_usual(text), usual, "{text}");
        }
        assert!(!is_usual(&"a".repeat(LONGEST_USUAL + 1)));
    }

    #[test]
    fn a_host_is_a_host_and_perhaps_a_port() {
        for good in
            ["a", "a.example", "a:8443", "127.0.0.1", "[::1]:443", "a_b.example", "a:", "[::1]"]
        {
            assert!(is_host(&HeaderValue::from_str(good).unwrap()), "{good}");
        }
        for bad in [
            "",
            "a/b",
            "u@a",
            "a b",
            "a#b",
            "a?b",
            "a\\b",
            "a:b:c",
            "a:+80",
            "a:-1",
            "a:x",
            "a:8 0",
            "[::1]:+80",
            "[::1]80",
            "a:80:80",
        ] {
            assert!(!is_host(&HeaderValue::from_str(bad).unwrap()), "{bad}");
        }
    }
}
