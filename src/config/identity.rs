//! `[identity]`: what the upstream is told, and in which headers.

use http::HeaderName;

use super::reading::FRAMING;
use super::reading::fold;
use super::reading::header;
use crate::gate::Identity;
use crate::gate::ReservedName;
use crate::source::At;
use crate::source::Section;
use crate::source::Span;
use crate::source::Value;

pub(super) fn read(root: &mut Section<'_, '_>) -> Identity {
    let mut identity = Identity::default();
    let Some(table) = root.table("identity") else { return identity };
    let mut section = root.enter("[identity]", table);
    let mut names = Names::default();
    names.take(&mut section, "account", &mut identity.account);
    names.take(&mut section, "key", &mut identity.key);
    names.take(&mut section, "permissions", &mut identity.permissions);
    names.take(&mut section, "access", &mut identity.access);
    names.take(&mut section, "kind", &mut identity.kind);
    names.take(&mut section, "profile", &mut identity.profile);
    names.take(&mut section, "profile_custom_id", &mut identity.profile_custom_id);
    names.take(&mut section, "profile_email", &mut identity.profile_email);
    names.report_repeated(&mut section);
    identity.reserved = reserved(&mut section);
    identity.forward_credential =
        section.bool("forward_credential").is_some_and(|forward| forward.value);
    identity
}

/// The names that are in use, to find one that is used twice.
#[derive(Default)]
struct Names {
    used: Vec<(&'static str, HeaderName, Option<Span>)>,
}

impl Names {
    fn take(
        &mut self,
        section: &mut Section<'_, '_>,
        field: &'static str,
        name: &mut Option<HeaderName>,
    ) {
        let place = section.peek(field).map(|(_, span)| span);
        match section.take(field) {
            None => {}
            Some(At { value: Value::Boolean(false), .. }) => *name = None,
            Some(at) => {
                if let Some(at) = section.as_string(field, at)
                    && let Some(header) = header(section, field, &at)
                {
                    *name = Some(header);
                }
            }
        }
        self.used.extend(name.clone().map(|name| (field, name, place)));
    }

    fn report_repeated(&self, section: &mut Section<'_, '_>) {
        for (at, (field, name, span)) in self.used.iter().enumerate() {
            let other = self.used.iter().enumerate().find(|(other, (_, used, place))| {
                // The default names are never in each other's way; one of two has a place.
                *other != at
                    && fold(used.as_str()) == fold(name.as_str())
                    && (*other < at || place.is_none())
            });
            if let (Some((_, (other, ..))), Some(span)) = (other, span) {
                let message = format!("`{field}` and `{other}` would share the header `{name}`");
                section.wrong(span, message, "give each its own header, or set one to `false`");
            }
        }
    }
}

fn reserved(section: &mut Section<'_, '_>) -> Vec<ReservedName> {
    let Some(list) = section.strings("reserved") else { return Vec::new() };
    let mut names = Vec::new();
    for at in list.value {
        let (stem, prefix) = match at.value.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (&*at.value, false),
        };
        let folded = fold(stem);
        let removes =
            |name: &&&str| if prefix { name.starts_with(&folded) } else { **name == folded };
        if HeaderName::from_bytes(stem.as_bytes()).is_err() || stem.contains('*') {
            let message = format!("`{}` is neither a header nor a prefix", at.value.escape_debug());
            section.wrong(&at.span, message, "write `X-Auth-User`, or `X-Auth-*` for all of them");
        } else if let Some(name) = FRAMING.iter().find(removes) {
            let message = format!("`{}` would remove `{name}`", at.value);
            section.wrong(&at.span, message, "reserve a narrower name");
        } else if prefix {
            names.push(ReservedName::Prefix(stem.to_ascii_lowercase().into()));
        } else {
            names.push(ReservedName::Exact(stem.to_ascii_lowercase().into()));
        }
    }
    names
}
