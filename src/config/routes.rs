//! `[routes]` and `[[route]]`: which rule a request falls under.

use http::Method;

use super::body_rules;
use super::limits;
use super::reading::choice;
use super::reading::deadline;
use super::reading::size;
use super::takeover;
use crate::gate::PathPattern;
use crate::gate::Route;
use crate::gate::RouteConflict;
use crate::gate::Routes;
use crate::gate::Unmatched;
use crate::keys::Kind;
use crate::keys::Name;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::Span;
use crate::source::Table;

/// A route and where it stands.
pub(super) struct Placed {
    pub(super) route: Route,
    pub(super) path: Span,
    pub(super) account_from: Option<Span>,
    pub(super) max_body: Option<Span>,
}

/// All routes, and the first that asks whose account a path names.
pub(super) struct Read {
    pub(super) routes: Routes,
    /// Where the path of each stands.
    pub(super) paths: Vec<Span>,
    pub(super) unmatched: Unmatched,
    pub(super) account_from: Option<Span>,
    pub(super) body_memory: usize,
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Read> {
    let General { unmatched, body_memory } = general(root);
    let tables = root.tables("route");
    let none = tables.is_empty();
    let mut placed = Vec::with_capacity(tables.len());
    for table in tables {
        placed.extend(route(root, table));
    }
    takeover::warn(root, &placed);
    let body_memory = limits::body_memory(root, body_memory, &placed);
    let account_from = placed.iter().find_map(|placed| placed.account_from.clone());
    let (mut list, paths): (Vec<_>, Vec<_>) =
        placed.into_iter().map(|placed| (placed.route, placed.path)).unzip();
    if none {
        let mut route = Route::new(PathPattern::parse("/{*rest}").ok()?);
        route.place = "default".into();
        list.push(route);
    }
    match Routes::build(list) {
        Ok(routes) => Some(Read { routes, paths, unmatched, account_from, body_memory }),
        Err(conflicts) => {
            conflicts.iter().for_each(|conflict| report(root, &paths, conflict));
            None
        }
    }
}

/// `[routes]`: what holds for all of them.
#[derive(Default)]
struct General {
    unmatched: Unmatched,
    body_memory: Option<At<usize>>,
}

fn general(root: &mut Section<'_, '_>) -> General {
    let Some(table) = root.table("routes") else { return General::default() };
    let mut section = root.enter("[routes]", table);
    let choices = [("refuse", Unmatched::Refuse), ("allow", Unmatched::Allow)];
    General {
        unmatched: choice(&mut section, "unmatched", &choices).unwrap_or_default(),
        body_memory: size(&mut section, "body_memory"),
    }
}

fn report(root: &mut Section<'_, '_>, paths: &[Span], conflict: &RouteConflict) {
    let (Some(first), Some(second)) = (paths.get(conflict.first), paths.get(conflict.second))
    else {
        return;
    };
    let what = match &conflict.method {
        Some(method) => format!("two routes take `{method}` of the same paths"),
        None => "two routes take every method of the same paths".to_owned(),
    };
    let source = root.source();
    let problem = Problem::at(source, second.clone(), what)
        .also(source, first.clone(), "the first of them")
        .help("remove one of them, or give them different `methods`");
    root.problems().push(problem);
}

fn route<'t>(root: &mut Section<'t, '_>, table: At<Table<'t>>) -> Option<Placed> {
    let source = root.source();
    let header = table.span.start;
    let mut section = root.enter("[[route]]", table);
    let at = section.required_string("path");
    let path = at.as_ref().and_then(|at| match PathPattern::parse(&at.value) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("`{}` is no path of a route: {error}", at.value.escape_debug());
            let help = "write a path like `/rest/users`, `/accounts/{account}` or `/files/{*rest}`";
            section.wrong(&at.span, message, help);
            None
        }
    });
    let methods = methods(&mut section);
    let permissions = names(&mut section, "permissions");
    let any_permission = any_permission(&mut section);
    let encodings = [("refuse", false), ("allow", true)];
    let encoded_slash = choice(&mut section, "path_encoding", &encodings).unwrap_or_default();
    let browsers = [("allow", false), ("refuse", true)];
    let refuses_browsers = choice(&mut section, "browser", &browsers).unwrap_or_default();
    let kinds = [("workspace", Kind::Workspace), ("profile", Kind::Profile)];
    let kind = choice(&mut section, "kind", &kinds);
    let account_place = section.peek("account_from").map(|(_, value)| value);
    let account_from = segment(&mut section, "account_from", path.as_ref());
    let profile_from = segment(&mut section, "profile_from", path.as_ref());
    let max_body = section.peek("max_body").map(|(_, value)| value);
    let body = body_rules::read(&mut section);
    let rate = limits::rate(&mut section);
    let in_flight = limits::in_flight(&mut section);
    let timeout = deadline(&mut section, "timeout").map(|at| at.value);
    let public = section.bool("public").filter(|public| public.value);
    let enforce = section.bool("enforce").is_none_or(|at| at.value);
    let forward_credential = section.bool("forward_credential").map(|at| at.value);
    let place = format!("{}:{}", source.name, source.line_column(header).0).into();
    let route = Route {
        path: path?,
        methods: methods?,
        permissions,
        any_permission,
        kind,
        account_from,
        profile_from,
        encoded_slash,
        refuses_browsers,
        body,
        rate,
        in_flight,
        timeout,
        public: public.is_some(),
        enforce,
        forward_credential,
        place,
    };
    if let Some(public) = &public {
        limits::report_public(&mut section, public, &route);
    }
    let account_from = route.account_from.and(account_place);
    Some(Placed { route, path: at.map(|at| at.span)?, account_from, max_body })
}

/// `None` where something is wrong with one: the route cannot be told from others.
fn methods(section: &mut Section<'_, '_>) -> Option<Vec<Method>> {
    let before = section.problems().len();
    let Some(list) = section.strings("methods") else {
        return (section.problems().len() == before).then(Vec::new);
    };
    if list.value.is_empty() {
        let help = "leave `methods` out to take every method";
        section.wrong(&list.span, "`methods` lists none, so that nothing would match", help);
    }
    let mut methods = Vec::new();
    for at in list.value {
        let upper = at.value.to_ascii_uppercase();
        match Method::from_bytes(at.value.as_bytes()) {
            Ok(_) if upper != at.value => {
                let message = format!("`{}` is no method: they are upper case", at.value);
                section.wrong(&at.span, message, format!("write `{upper}`"));
            }
            Ok(method) if methods.contains(&method) => {
                section.wrong(
                    &at.span,
                    format!("`{method}` is listed twice"),
                    "remove one of them",
                );
            }
            Ok(method) => methods.push(method),
            Err(_) => {
                let message = format!("`{}` is no method", at.value.escape_debug());
                section.wrong(&at.span, message, "write methods like `[\"GET\", \"POST\"]`");
            }
        }
    }
    (section.problems().len() == before).then_some(methods)
}

fn names(section: &mut Section<'_, '_>, field: &'static str) -> Vec<Name> {
    let Some(list) = section.strings(field) else { return Vec::new() };
    let mut names = Vec::new();
    for at in list.value {
        match Name::new(&at.value) {
            // A key can hold `EVENTS_*`; a route asks for one thing.
            Ok(_) if at.value.contains('*') => {
                let message =
                    format!("`{}` is a pattern: a route asks for permissions by name", at.value);
                section.wrong(&at.span, message, "write the whole name; keys may hold patterns");
            }
            Ok(name) => names.push(name),
            Err(error) => {
                let message = format!(
                    "`{}` cannot be the name of a permission: {error}",
                    at.value.escape_debug()
                );
                section.wrong(&at.span, message, "write a name like `users:write`");
            }
        }
    }
    names
}

fn any_permission(section: &mut Section<'_, '_>) -> Vec<Name> {
    let place = section.peek("any_permission").map(|(_, value)| value);
    let before = section.problems().len();
    let names = names(section, "any_permission");
    if let Some(span) = place
        && names.is_empty()
        && section.problems().len() == before
    {
        let help = "leave `any_permission` out, or list the permissions of which one is enough";
        section.wrong(&span, "`any_permission` lists none, so that no key could pass", help);
    }
    names
}

/// `{name}` of a segment of the route's own path.
fn segment(
    section: &mut Section<'_, '_>,
    field: &'static str,
    path: Option<&PathPattern>,
) -> Option<usize> {
    let At { value, span } = section.string(field)?;
    let path = path?;
    let name = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let position = name.and_then(|name| path.position(name));
    if position.is_none() {
        let names: Vec<_> = path.names().map(|name| format!("`{{{name}}}`")).collect();
        let help = match names.is_empty() {
            true => format!(
                "name a segment in the path, like `/accounts/{{account}}`, and write `{field} = \"{{account}}\"`"
            ),
            false => format!("the path has {}", names.join(", ")),
        };
        let message = format!("`{}` is no segment of `{path}`", value.escape_debug());
        section.wrong(&span, message, help);
    }
    position
}
