//! A route that lists methods takes its path over: what no route of the path lists is `no_route`,
//! although a wildcard matched it before. Right, but easily overlooked.

use http::Method;

use super::routes::Placed;
use crate::gate::PathPattern;
use crate::gate::Route;
use crate::source::Section;

/// Warns once for each path of which some methods lead nowhere that a wildcard would have taken.
pub(super) fn warn(root: &mut Section<'_, '_>, placed: &[Placed]) {
    for (position, one) in placed.iter().enumerate() {
        let path = &one.route.path;
        let same = |other: &&Placed| alike(&other.route.path, path);
        let first = placed.iter().take(position).find(same).is_none();
        let group: Vec<_> = placed.iter().filter(same).map(|placed| &placed.route).collect();
        if !first || group.iter().any(|route| route.methods.is_empty()) {
            continue;
        }
        let before = placed.iter().map(|placed| &placed.route).find(|wildcard| {
            wildcard.path.covers(path)
                && !alike(&wildcard.path, path)
                && takes_more(wildcard, &group)
        });
        if let Some(wildcard) = before {
            let message = format!(
                "other methods of `{path}` than {} are `no_route`: `{}` no longer takes them",
                listed(&group),
                wildcard.path
            );
            let help = format!("give the other methods of `{path}` a route of their own");
            root.warn(&one.path, message, help);
        }
    }
}

fn alike(a: &PathPattern, b: &PathPattern) -> bool {
    a.covers(b) && b.covers(a)
}

fn takes_more(wildcard: &Route, group: &[&Route]) -> bool {
    let taken = |method: &Method| {
        group.iter().any(|route| {
            let head = *method == Method::HEAD && route.methods.contains(&Method::GET);
            head || route.methods.contains(method)
        })
    };
    wildcard.methods.is_empty() || !wildcard.methods.iter().all(taken)
}

fn listed(group: &[&Route]) -> String {
    let methods = group.iter().flat_map(|route| &route.methods);
    let methods: Vec<_> = methods.map(|method| format!("`{method}`")).collect();
    methods.join(", ")
}
