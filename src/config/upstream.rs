//! `[upstream]`: the API behind.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::files::Files;
use super::reading::choice;
use super::reading::deadline;
use super::reading::path;
use super::trust;
use super::units::Wrong;
use crate::source::At;
use crate::source::Section;

/// The API behind.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it is.
    pub target: Target,
    /// How to speak to it.
    pub protocol: Protocol,
    /// How long connecting may take, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How long to wait for the response's head and, each time, for more of its body.
    pub timeout: Duration,
    /// How to speak TLS to it; `None`: in clear.
    pub tls: Option<UpstreamTls>,
}

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host and a port.
    Tcp {
        /// A name or an address, IPv6 without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Which HTTP the upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What TLS negotiates; HTTP/1.1 in clear.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, in clear with prior knowledge.
    Http2,
}

/// How to speak TLS to the upstream.
#[derive(Clone)]
pub struct UpstreamTls {
    /// Trust and ALPN.
    pub config: Arc<ClientConfig>,
    /// Whom the certificate must name.
    pub name: ServerName<'static>,
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls").field("name", &self.name).finish_non_exhaustive()
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn read(root: &mut Section<'_, '_>, files: &mut Files) -> Option<Upstream> {
    let Some(table) = root.table("upstream") else {
        root.missing_table("upstream", "`url`");
        return None;
    };
    let mut section = root.enter("[upstream]", table);
    let url = section.required_string("url");
    let url = url.and_then(|at| match parse_url(&at) {
        Ok(url) => Some((url, at.span)),
        Err(Wrong { message, help }) => {
            section.wrong(&at.span, message, help);
            None
        }
    });
    let choices =
        [("auto", Protocol::Auto), ("http1", Protocol::Http1), ("http2", Protocol::Http2)];
    let protocol = choice(&mut section, "protocol", &choices).unwrap_or_default();
    let connect_timeout = deadline(&mut section, "connect_timeout");
    let timeout = deadline(&mut section, "timeout");
    let ca_place = section.peek("ca").map(|(key, _)| key);
    let ca = path(&mut section, "ca");
    let (url, span) = url?;
    if !url.tls
        && let Some(place) = ca_place
    {
        let help = "remove it, or write an `https://` url";
        section.warn(&place, "`ca` has no effect: the upstream is not `https://`", help);
    }
    let (target, tls) = match url.target {
        Target::Unix(path) => {
            let path = section.source().place(&span).0.directory.join(path);
            (Target::Unix(path), None)
        }
        Target::Tcp { host, port } if url.tls => {
            let name = ServerName::try_from(host.clone()).ok()?;
            let config = trust::client(&mut section, files, ca.as_ref(), protocol)?;
            (Target::Tcp { host, port }, Some(UpstreamTls { config, name }))
        }
        tcp @ Target::Tcp { .. } => (tcp, None),
    };
    Some(Upstream {
        target,
        protocol,
        connect_timeout: connect_timeout.map_or(CONNECT_TIMEOUT, |at| at.value),
        timeout: timeout.map_or(TIMEOUT, |at| at.value),
        tls,
    })
}

#[derive(Debug)]
struct Url {
    target: Target,
    tls: bool,
}

fn parse_url(at: &At<impl AsRef<str>>) -> Result<Url, Wrong> {
    let text = at.value.as_ref();
    let wrong = |message: String, help: &str| Err(Wrong { message, help: help.into() });
    if let Some(path) = text.strip_prefix("unix:") {
        // Both `unix:/run/x` and `unix:///run/x` are in use.
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return wrong("`unix:` names no socket".into(), "write `unix:/path/to/socket`");
        }
        return Ok(Url { target: Target::Unix(path.into()), tls: false });
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let tls = match scheme {
        "http" => false,
        "https" => true,
        _ => {
            let help = "write `http://host:port`, `https://host:port` or `unix:/path`";
            return wrong(format!("`{text}` is not a url of an upstream"), help);
        }
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        // Without the text: it can hold a password.
        return wrong("an upstream's url holds no user name and password".into(), "remove them");
    }
    if !path.is_empty() || authority.contains(['?', '#']) {
        let message =
            format!("`{text}` has a path: requests are forwarded with the path that they have");
        return Err(Wrong { message, help: "write only the scheme, the host and the port".into() });
    }
    let default = if tls { 443 } else { 80 };
    match host_and_port(authority, default) {
        Some((host, port)) => Ok(Url { target: Target::Tcp { host, port }, tls }),
        None => wrong(
            format!("`{authority}` is not a host and a port"),
            "write a name or an address, like `http://127.0.0.1:3000`",
        ),
    }
}

pub(super) fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => bare.parse::<Ipv6Addr>().ok()?.to_string(),
        None => ServerName::try_from(host).ok().map(|_| host.to_ascii_lowercase())?,
    };
    // Nobody can connect to port 0.
    (port != 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<(String, bool), String> {
        let url = parse_url(&At { value: text, span: 0..0 }).map_err(|wrong| wrong.message)?;
        let target = match url.target {
            Target::Tcp { host, port } => format!("{host} {port}"),
            Target::Unix(path) => path.display().to_string(),
        };
        Ok((target, url.tls))
    }

    #[test]
    fn urls_name_a_host_or_a_socket() {
        for (text, target, tls) in [
            ("http://127.0.0.1:3000", "127.0.0.1 3000", false),
            ("http://API.example.com/", "api.example.com 80", false),
            ("https://api.example.com", "api.example.com 443", true),
            ("https://[::1]:8443", "::1 8443", true),
            ("http://[::1]", "::1 80", false),
            ("unix:/run/api.sock", "/run/api.sock", false),
            ("unix:///run/api.sock", "/run/api.sock", false),
            ("unix:api.sock", "api.sock", false),
        ] {
            assert_eq!(url(text), Ok((target.to_owned(), tls)), "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_that_is_refused() {
        for text in [
            "",
            "127.0.0.1:3000",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:99999",
            "http://a b",
            "http://a/base",
            "http://a?x",
            "http://a/?x",
            "unix:",
            "http://u:p@a",
            "http://[a]",
            "http://a:",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
        assert!(!url("http://user:secret@a").unwrap_err().contains("secret"));
    }
}
