//! `[listen]` and `workers`: where requests come in.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::admin_address;
use super::admin_address::AdminAddress;
use super::reading::choice;
use super::reading::judge;
use super::units;
use crate::gate::HttpAccepts;
use crate::source::At;
use crate::source::Section;

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// TLS listeners.
    pub https: Vec<SocketAddr>,
    /// Plain listeners.
    pub http: Vec<SocketAddr>,
    /// What the plain listeners take.
    pub http_accepts: HttpAccepts,
    /// Health and metrics.
    pub admin: Option<AdminAddress>,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether their connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

/// Threads, each with its own listeners; 0 becomes the number of cores that the process may use.
pub(super) fn read_workers(root: &mut Section<'_, '_>) -> usize {
    let automatic = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(At { value, span }) = root.integer("workers") else { return automatic };
    match usize::try_from(value) {
        Ok(0) => automatic,
        Ok(workers @ 1..=1024) => workers,
        _ => {
            let help = "write 0 for one for each core, or a number up to 1024";
            root.wrong(&span, format!("`workers` cannot be {value}"), help);
            automatic
        }
    }
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Listen {
    let mut listen = Listen {
        https: Vec::new(),
        http: Vec::new(),
        http_accepts: HttpAccepts::default(),
        admin: None,
        trusted_proxies: Vec::new(),
        proxy_protocol: false,
    };
    let Some(table) = root.table("listen") else {
        root.missing_table("listen", "`https = \"0.0.0.0:8443\"`");
        return listen;
    };
    let mut section = root.enter("[listen]", table);
    let before = section.problems().len();
    listen.https = addresses(&mut section, "https");
    listen.http = addresses(&mut section, "http");
    if listen.https.is_empty() && listen.http.is_empty() && section.problems().len() == before {
        let help = "add `https = \"0.0.0.0:8443\"`";
        let span = section.span();
        section.wrong(&span, "there is no listener: neither `https` nor `http` is set", help);
    }
    let forwarded = section.peek("http_accepts").map(|(_, value)| value);
    listen.http_accepts = http_accepts(&mut section, listen.http.is_empty());
    listen.admin = admin_address::read(&mut section);
    let before = section.problems().len();
    listen.trusted_proxies = trusted_proxies(&mut section);
    let misread = section.problems().len() > before;
    listen.proxy_protocol =
        proxy_protocol(&mut section, listen.trusted_proxies.is_empty() && !misread);
    if listen.http_accepts == HttpAccepts::ForwardedHttps && listen.trusted_proxies.is_empty() {
        let span = section.span();
        let message = "`http_accepts` is `forwarded-https`, but `trusted_proxies` is empty, so that \
                       no request will be accepted";
        section.warn(&span, message, "list the addresses of your proxies in `trusted_proxies`");
    } else if let Some(span) = forwarded.filter(|_| listen.doubts_forwarded_https()) {
        let message = "`X-Forwarded-Proto` will not be believed of clients: with `proxy_protocol` \
                       it counts only where the PROXY header names a trusted proxy";
        let help = "where one proxy sends both, turn `proxy_protocol` off, or let it speak TLS to \
                    `https`; behind two of them this is right";
        section.warn(&span, message, help);
    }
    listen
}

impl Listen {
    /// Whether what says that a request came by HTTPS is hardly ever believed: a PROXY header that
    /// names a client takes the proxy's own place, and with it the belief in what it says.
    fn doubts_forwarded_https(&self) -> bool {
        let forwarded = self.http_accepts == HttpAccepts::ForwardedHttps;
        forwarded && self.proxy_protocol && !self.http.is_empty()
    }
}

fn proxy_protocol(section: &mut Section<'_, '_>, from_nobody: bool) -> bool {
    let Some(At { value, span }) = section.bool("proxy_protocol") else { return false };
    if value && from_nobody {
        let message = "`proxy_protocol` is on, but `trusted_proxies` is empty, so that nobody's word \
                       would be taken";
        section.wrong(&span, message, "list the addresses of your proxies in `trusted_proxies`");
    }
    value
}

fn http_accepts(section: &mut Section<'_, '_>, unused: bool) -> HttpAccepts {
    let place = section.peek("http_accepts");
    let choices = [
        ("nothing", HttpAccepts::Nothing),
        ("forwarded-https", HttpAccepts::ForwardedHttps),
        ("everything", HttpAccepts::Everything),
    ];
    let accepts = choice(section, "http_accepts", &choices).unwrap_or_default();
    if let Some((_, span)) = place
        && accepts == HttpAccepts::Everything
        && !unused
    {
        let message = "the plain listener accepts everything: keys travel in clear";
        let help = "use `forwarded-https` behind a proxy that terminates TLS";
        section.warn(&span, message, help);
    }
    accepts
}

fn addresses(section: &mut Section<'_, '_>, name: &'static str) -> Vec<SocketAddr> {
    let Some(list) = section.string_or_strings(name) else { return Vec::new() };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for at in list.value {
        let result = units::socket(&at.value);
        let Some(address) = judge(section, &at.span, result) else { continue };
        if address.port() != 0 && addresses.contains(&address) {
            section.wrong(&at.span, format!("`{address}` is listed twice"), "remove one of them");
        }
        addresses.push(address);
    }
    addresses
}

fn trusted_proxies(section: &mut Section<'_, '_>) -> Vec<IpNet> {
    let Some(list) = section.strings("trusted_proxies") else { return Vec::new() };
    let mut networks = Vec::new();
    for at in list.value {
        let result = units::network(&at.value);
        let Some(network) = judge(section, &at.span, result) else { continue };
        if network.prefix_len() == 0 {
            let message = format!("`{}` would let anyone claim any address", at.value);
            section.wrong(&at.span, message, "list only the networks of your own proxies");
        }
        networks.push(network);
    }
    networks
}
