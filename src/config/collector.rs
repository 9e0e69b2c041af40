//! `[tracing] endpoint`: where spans of requests are sent.
//!
//! Sending them is a feature of the build, since few need it and it brings a dozen crates. What is
//! written here is understood by every build, and refused by those that cannot do it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::files::Files;
use super::reading::path;
use super::trust;
use super::units::Wrong;
use super::upstream::Protocol;
use super::upstream::host_and_port;
use crate::source::At;
use crate::source::Section;

/// Who takes spans, by OTLP over HTTP.
#[derive(Clone)]
pub struct Collector {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where it takes them: with `/v1/traces`.
    pub path: String,
    /// What the spans say that we are.
    pub service: Box<str>,
    /// How to speak TLS to it; `None`: in clear.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Collector {
    /// Whether it is another one, or is told that we are somebody else.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        let said = |it: &Self| {
            (it.host.clone(), it.port, it.path.clone(), it.service.clone(), it.tls.is_some())
        };
        said(self) != said(other)
    }
}

/// What of `[tracing]` is about sending.
pub(super) fn read(section: &mut Section<'_, '_>, files: &mut Files) -> Option<Collector> {
    let endpoint = section.string("endpoint").map(|at| at.map(|text| text.into_owned()));
    let ca = path(section, "ca");
    let service = match section.string("service") {
        Some(At { value, span }) if value.is_empty() => {
            section.wrong(&span, "`service` is empty", "write a name, like `keygate`");
            return None;
        }
        Some(At { value, .. }) => value.into(),
        None => "keygate".into(),
    };
    let endpoint = endpoint?;
    if !cfg!(feature = "otlp") {
        let message = "this keygate was built without what sends spans";
        let help = "build it with `cargo build --release --features otlp`, or remove `endpoint`";
        section.wrong(&endpoint.span, message, help);
        return None;
    }
    match parse(&endpoint.value) {
        Ok(url) => collector(section, files, url, service, ca.as_ref()),
        Err(Wrong { message, help }) => {
            section.wrong(&endpoint.span, message, help);
            None
        }
    }
}

struct Url {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// What OTLP calls a base URL: `/v1/traces` is added to the path that it has.
fn parse(text: &str) -> Result<Url, Wrong> {
    let help = "write the collector's address, like `http://127.0.0.1:4318`";
    let wrong = |message: String| Err(Wrong { message, help: help.into() });
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => return wrong(format!("`{}` is not a url of a collector", text.escape_debug())),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        // Without the text: it can hold a password.
        return wrong("a collector's url holds no user name and password".into());
    }
    let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    let Some((host, port)) = host_and_port(authority, 4318).filter(|_| visible) else {
        return wrong(format!("`{}` is not a url of a collector", text.escape_debug()));
    };
    let path = path.trim_end_matches('/').trim_end_matches("v1/traces").trim_end_matches('/');
    let path = if path.is_empty() { "/v1/traces".into() } else { format!("/{path}/v1/traces") };
    Ok(Url { tls, host, port, path })
}

fn collector(
    section: &mut Section<'_, '_>,
    files: &mut Files,
    url: Url,
    service: Box<str>,
    ca: Option<&At<PathBuf>>,
) -> Option<Collector> {
    let Url { tls, host, port, path } = url;
    let tls = match tls {
        true => {
            let name = ServerName::try_from(host.clone()).ok()?;
            Some((trust::client(section, files, ca, Protocol::Http1)?, name))
        }
        false => None,
    };
    Some(Collector { host, port, path, service, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_an_address_and_maybe_a_path() {
        for (text, host, port, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1", 4318, "/v1/traces"),
            ("http://collector", "collector", 4318, "/v1/traces"),
            ("http://collector/", "collector", 4318, "/v1/traces"),
            ("https://[::1]:443/otlp", "::1", 443, "/otlp/v1/traces"),
            ("http://collector:1/v1/traces", "collector", 1, "/v1/traces"),
            ("http://collector:1/a/v1/traces/", "collector", 1, "/a/v1/traces"),
        ] {
            let url = parse(text).unwrap_or_else(|wrong| panic!("{text}: {}", wrong.message));
            assert_eq!((&*url.host, url.port, &*url.path), (host, port, path), "{text}");
            assert_eq!(url.tls, text.starts_with("https"));
        }
        for text in ["", "127.0.0.1:4318", "grpc://a", "http://", "http://a?b", "http://a/b?c"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let told = parse("http://user:secret@a").err().unwrap().message;
        assert!(!told.contains("secret"), "{told}");
    }
}
