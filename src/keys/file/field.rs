//! The kinds of value that several fields share.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use ipnet::Ipv4Net;

use crate::keys::record::Name;
use crate::keys::record::Permission;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::nearest;

/// A name that must be there.
pub(super) fn required_name(
    section: &mut Section<'_, '_>,
    field: &'static str,
) -> Option<At<Name>> {
    let at = section.required_string(field)?;
    checked(section, field, at)
}

/// A name, where one is written.
pub(super) fn name(section: &mut Section<'_, '_>, field: &'static str) -> Option<At<Name>> {
    let at = section.string(field)?;
    checked(section, field, at)
}

fn checked(
    section: &mut Section<'_, '_>,
    field: &'static str,
    at: At<Cow<'_, str>>,
) -> Option<At<Name>> {
    match Name::new(&at.value) {
        Ok(value) => Some(At { value, span: at.span }),
        Err(error) => {
            section.wrong(&at.span, format!("`{field}` cannot be this: {error}"), "choose another");
            None
        }
    }
}

/// A text for people.
pub(super) fn note(section: &mut Section<'_, '_>, field: &'static str) -> Option<Box<str>> {
    section.string(field).map(|at| at.value.into())
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    section: &mut Section<'_, '_>,
    field: &'static str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let at = section.string(field)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == at.value) {
        return Some(*value);
    }
    let help = match nearest(&at.value, words.iter().map(|(word, _)| *word)) {
        Some(word) => format!("did you mean `\"{word}\"`?"),
        None => {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
            format!("write {}", words.join(" or "))
        }
    };
    section.wrong(&at.span, format!("`{field}` cannot be `{}`", at.value.escape_debug()), help);
    None
}

/// `permissions`: absent and empty are different things.
pub(super) fn permissions(section: &mut Section<'_, '_>) -> Option<Box<[Permission]>> {
    let list = section.strings("permissions")?;
    let mut permissions = Vec::with_capacity(list.value.len());
    for at in list.value {
        match Permission::new(&at.value) {
            Ok(permission) => permissions.push(permission),
            Err(error) => {
                let help = "write one name for each string; `*` may stand at the end of one";
                section.wrong(&at.span, format!("this is no permission: {error}"), help);
            }
        }
    }
    Some(permissions.into())
}

/// A list of texts of any kind but empty ones; absent is the same as `[]`.
pub(super) fn texts(section: &mut Section<'_, '_>, field: &'static str) -> Box<[Box<str>]> {
    let Some(list) = section.strings(field) else { return Box::default() };
    for at in list.value.iter().filter(|at| at.value.is_empty()) {
        section.wrong(&at.span, format!("a name in `{field}` is empty"), "remove it");
    }
    list.value.into_iter().map(|at| at.value.into()).collect()
}

/// `ips`: addresses and networks; absent is the same as `[]`.
pub(super) fn networks(section: &mut Section<'_, '_>) -> Box<[IpNet]> {
    let Some(list) = section.strings("ips") else { return Box::default() };
    let mut networks = Vec::with_capacity(list.value.len());
    for At { value, span } in list.value {
        let Some(network) = parse_network(&value) else {
            let message = format!("`{}` is no address and no network", value.escape_debug());
            let help = "write addresses like `203.0.113.7` or networks like `2001:db8::/32`";
            section.wrong(&span, message, help);
            continue;
        };
        let meant = network.trunc();
        if meant != network {
            let message = format!("`{value}` is the whole network `{meant}`");
            let problem = Problem::at(section.source(), span, message).help(format!(
                "write `{meant}` for the network, or `{}` for the one address",
                network.addr()
            ));
            section.problems().push(problem.warning());
        }
        networks.push(meant);
    }
    networks.into()
}

/// An address or a network; IPv4 that is written as IPv6 (RFC 4291, 2.5.5.2) becomes IPv4.
#[must_use]
pub fn parse_network(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let IpNet::V6(v6) = network else { return Some(network) };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).ok().map(IpNet::from),
        _ => Some(network),
    }
}
