//! Which rule a request falls under: the most specific path, then the method.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use thiserror::Error;

use super::limit::InFlight;
use super::path::CanonicalPath;
use super::rate::Rate;
use super::rules::BodyRules;
use crate::keys::{Kind, Name};

/// A path as a route has it: literal segments, `{name}` for one, `{*rest}` for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Arc<str>,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Param(Box<str>),
    Rest,
}

/// Why a text is no path of a route.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    /// It does not begin with `/`.
    #[error("a path begins with `/`")]
    Relative,
    /// A literal part could be read in two ways.
    #[error("`{0}` could be read in more than one way, so no request would ever match it")]
    Ambiguous(String),
    /// Braces that are neither `{{name}}` nor `{{*rest}}`.
    #[error("`{0}` is neither a literal segment nor `{{name}}` nor `{{*rest}}`")]
    Braces(String),
    /// `{*rest}` before the end.
    #[error("`{0}` must be the last segment")]
    RestNotLast(String),
    /// One name for two segments.
    #[error("`{{{0}}}` occurs twice")]
    Repeated(String),
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it could match nothing, or not clearly.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::Relative)?;
        let mut segments: Vec<Segment> = Vec::new();
        for (position, part) in path.split('/').enumerate() {
            if segments.last() == Some(&Segment::Rest) {
                let rest = path.split('/').nth(position.saturating_sub(1)).unwrap_or_default();
                return Err(PatternError::RestNotLast(rest.to_owned()));
            }
            let last = position == path.matches('/').count();
            let segment = Segment::parse(part, last)?;
            if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
                return Err(PatternError::Repeated(part.trim_matches(['{', '}']).to_owned()));
            }
            segments.push(segment);
        }
        Ok(Self { text: text.into(), segments })
    }

    /// As it stands in the file; also the route's label in metrics.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The position of the segment that `{name}` takes.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.segments.iter().position(|s| matches!(s, Segment::Param(param) if **param == *name))
    }

    /// The names of its parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(&**name),
            Segment::Literal(_) | Segment::Rest => None,
        })
    }

    /// Whether every path that `other` matches is matched by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let mut theirs = other.segments.iter();
        for mine in &self.segments {
            match (mine, theirs.next()) {
                (Segment::Rest, Some(_)) => return true,
                (Segment::Literal(a), Some(Segment::Literal(b))) if a == b => {}
                (Segment::Param(_), Some(Segment::Param(_))) => {}
                (Segment::Param(_), Some(Segment::Literal(b))) if !b.is_empty() => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(part: &str, last: bool) -> Result<Self, PatternError> {
        let inner = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        match inner {
            Some(name) if name.strip_prefix('*').is_some_and(is_name) => Ok(Self::Rest),
            Some(name) if is_name(name) => Ok(Self::Param(name.into())),
            Some(_) => Err(PatternError::Braces(part.to_owned())),
            None if part.contains(['{', '}']) => Err(PatternError::Braces(part.to_owned())),
            None if part.contains('?') => Err(PatternError::Ambiguous(part.to_owned())),
            None if part.is_empty() && last => Ok(Self::Literal("".into())),
            None if part.is_empty() => Err(PatternError::Ambiguous("//".to_owned())),
            None => {
                let path = format!("/{part}");
                let path = CanonicalPath::new(&path);
                let path = path.ok().filter(|path| !path.has_encoded_slash());
                let path = path.ok_or_else(|| PatternError::Ambiguous(part.to_owned()))?;
                Ok(Self::Literal(path.segment(0).unwrap_or_default().into()))
            }
        }
    }
}

/// One `[[route]]`, validated.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which paths.
    pub path: PathPattern,
    /// Which methods; empty: every one. GET takes HEAD too.
    pub methods: Vec<Method>,
    /// All of these.
    pub permissions: Vec<Name>,
    /// One of these, unless empty.
    pub any_permission: Vec<Name>,
    /// Only this kind of key.
    pub kind: Option<Kind>,
    /// The segment (see [`PathPattern::position`]) that must be the key's account.
    pub account_from: Option<usize>,
    /// The segment that must be the credential's profile.
    pub profile_from: Option<usize>,
    /// Whether an encoded `/` may stand in a segment.
    pub encoded_slash: bool,
    /// Whether requests of web pages are refused: keys do not belong there.
    pub refuses_browsers: bool,
    /// What is asked of the body.
    pub body: BodyRules,
    /// How many in a time.
    pub rate: Option<Rate>,
    /// How many at once.
    pub in_flight: Option<InFlight>,
    /// From the permit to the last byte.
    pub timeout: Option<Duration>,
    /// No credential needed.
    pub public: bool,
    /// `false`: decide, count and forward all the same.
    pub enforce: bool,
    /// Whether the credential travels upstream; `None`: as `identity.forward_credential` says.
    pub forward_credential: Option<bool>,
    /// File and line, for people.
    pub place: Arc<str>,
}

impl Route {
    /// A route that asks for nothing but a valid key.
    #[must_use]
    pub fn new(path: PathPattern) -> Self {
        Self {
            path,
            methods: Vec::new(),
            permissions: Vec::new(),
            any_permission: Vec::new(),
            kind: None,
            account_from: None,
            profile_from: None,
            encoded_slash: false,
            refuses_browsers: false,
            body: BodyRules::default(),
            rate: None,
            in_flight: None,
            timeout: None,
            public: false,
            enforce: true,
            forward_credential: None,
            place: "".into(),
        }
    }

    /// Whether a credential must be more than valid. Such routes are closed to anonymous requests.
    #[must_use]
    pub fn has_conditions(&self) -> bool {
        !self.permissions.is_empty()
            || !self.any_permission.is_empty()
            || self.kind.is_some()
            || self.account_from.is_some()
            || self.profile_from.is_some()
            || self.refuses_browsers
            || !self.body.is_empty()
    }

    fn lists(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }
}

/// The place of a route in its [`Routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(u32);

impl RouteIndex {
    /// The position in the file.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// Two routes that could not be told apart, by their positions.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteConflict {
    /// The one that came first.
    pub first: usize,
    /// The one that repeats it.
    pub second: usize,
    /// The method that both take; `None`: both take every one.
    pub method: Option<Method>,
}

/// All routes, indexed by path.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    list: Vec<Route>,
    /// What tells a route's lanes from another's, also after a reload.
    lanes: Vec<Arc<str>>,
    root: Node,
}

#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Self>,
    param: Option<Box<Self>>,
    rest: Vec<RouteIndex>,
    here: Vec<RouteIndex>,
}

impl Routes {
    /// Indexes routes.
    ///
    /// # Errors
    /// Every pair that could not be told apart.
    pub fn build(list: Vec<Route>) -> Result<Self, Vec<RouteConflict>> {
        let mut root = Node::default();
        let mut conflicts = Vec::new();
        for (position, route) in list.iter().enumerate() {
            let place = root.place(&route.path.segments);
            for earlier in place.iter().filter_map(|index| list.get(index.position())) {
                if let Some(method) = overlap(earlier, route) {
                    let first = list.iter().position(|r| std::ptr::eq(r, earlier));
                    let first = first.unwrap_or_default();
                    conflicts.push(RouteConflict { first, second: position, method });
                }
            }
            place.push(RouteIndex(u32::try_from(position).unwrap_or(u32::MAX)));
        }
        let lanes = list.iter().map(lane).collect();
        if conflicts.is_empty() { Ok(Self { list, lanes, root }) } else { Err(conflicts) }
    }

    /// The name of a route's lanes: methods and path.
    pub(super) fn lane(&self, index: RouteIndex) -> Option<&Arc<str>> {
        self.lanes.get(index.position())
    }

    /// The route of a path and a method. The path decides first: if none of its routes takes the
    /// method there is no falling back to a less specific path.
    #[must_use]
    pub fn find(&self, path: &CanonicalPath<'_>, method: &Method) -> Option<(RouteIndex, &Route)> {
        let found = self.root.find(path.segments())?;
        let routes = || found.iter().filter_map(|index| Some((*index, self.get(*index)?)));
        routes()
            .find(|(_, route)| route.lists(method))
            .or_else(|| {
                let read = method == Method::HEAD;
                routes().find(|(_, route)| read && route.lists(&Method::GET))
            })
            .or_else(|| routes().find(|(_, route)| route.methods.is_empty()))
    }

    /// The route at a place.
    #[must_use]
    pub fn get(&self, index: RouteIndex) -> Option<&Route> {
        self.list.get(index.position())
    }

    /// Every route, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Route] {
        &self.list
    }
}

fn lane(route: &Route) -> Arc<str> {
    let methods: Vec<_> = route.methods.iter().map(Method::as_str).collect();
    format!("{} {}", methods.join(","), route.path).into()
}

/// What both take: `Some(None)` where both take every method.
fn overlap(a: &Route, b: &Route) -> Option<Option<Method>> {
    if a.methods.is_empty() && b.methods.is_empty() {
        return Some(None);
    }
    a.methods.iter().find(|method| b.lists(method)).cloned().map(Some)
}

impl Node {
    fn place(&mut self, segments: &[Segment]) -> &mut Vec<RouteIndex> {
        match segments {
            [] => &mut self.here,
            [Segment::Rest, ..] => &mut self.rest,
            [Segment::Literal(text), rest @ ..] => {
                self.literals.entry(text.clone()).or_default().place(rest)
            }
            [Segment::Param(_), rest @ ..] => self.param.get_or_insert_default().place(rest),
        }
    }

    /// Literals before `{name}` before `{*rest}`, segment by segment.
    fn find<'p>(&self, segments: impl Iterator<Item = &'p str> + Clone) -> Option<&[RouteIndex]> {
        let mut after = segments;
        let Some(segment) = after.next() else {
            return (!self.here.is_empty()).then_some(&self.here);
        };
        let literal = self.literals.get(segment).and_then(|node| node.find(after.clone()));
        let param = || match &self.param {
            Some(node) if !segment.is_empty() => node.find(after.clone()),
            _ => None,
        };
        let rest = || (!self.rest.is_empty()).then_some(self.rest.as_slice());
        literal.or_else(param).or_else(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(specs: &[&str]) -> Result<Routes, Vec<RouteConflict>> {
        let list = specs.iter().map(|spec| {
            let (methods, path) = spec.rsplit_once(' ').unwrap_or(("", spec));
            let mut route = Route::new(PathPattern::parse(path).unwrap());
            route.methods = methods.split_whitespace().map(|m| m.parse().unwrap()).collect();
            route
        });
        Routes::build(list.collect())
    }

    fn found<'r>(routes: &'r Routes, method: &str, path: &str) -> Option<&'r str> {
        let path = CanonicalPath::new(path).unwrap();
        let (_, route) = routes.find(&path, &method.parse().unwrap())?;
        Some(route.path.as_str())
    }

    #[test]
    fn the_most_specific_path_wins_whatever_the_order() {
        let routes = routes(&["/{*rest}", "/a/{x}", "/a/b", "/a/{x}/c", "/a/b/{*rest}"]).unwrap();
        for (path, expected) in [
            ("/", "/{*rest}"),
            ("/a", "/{*rest}"),
            ("/a/", "/{*rest}"),
            ("/a/b", "/a/b"),
            ("/a/%62", "/a/b"),
            ("/a/x", "/a/{x}"),
            ("/a/b/c", "/a/b/{*rest}"),
            ("/a/b/", "/a/b/{*rest}"),
            ("/a/x/c", "/a/{x}/c"),
            ("/a/x/d", "/{*rest}"),
            ("/A/b", "/{*rest}"),
        ] {
            assert_eq!(found(&routes, "GET", path), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_rest_takes_an_empty_segment_but_not_none() {
        let routes = routes(&["/a/{*rest}"]).unwrap();
        assert_eq!(found(&routes, "GET", "/a/"), Some("/a/{*rest}"));
        assert_eq!(found(&routes, "GET", "/a"), None);
    }

    #[test]
    fn a_method_that_no_route_of_the_path_lists_falls_back_to_nothing() {
        let routes = routes(&["/{*rest}", "POST /a", "GET /b"]).unwrap();
        assert_eq!(found(&routes, "POST", "/a"), Some("/a"));
        assert_eq!(found(&routes, "GET", "/a"), None);
        assert_eq!(found(&routes, "HEAD", "/b"), Some("/b"));
        assert_eq!(found(&routes, "OPTIONS", "/b"), None);
    }

    #[test]
    fn routes_that_could_not_be_told_apart_are_conflicts() {
        assert!(routes(&["GET /a", "POST /a", "/a"]).is_ok());
        assert!(routes(&["/a", "/a/"]).is_ok());
        for pair in [["/a", "/a"], ["GET /a", "POST GET /a"], ["/{x}", "/{y}"], ["/a%62", "/ab"]] {
            assert_eq!(routes(&pair).unwrap_err().len(), 1, "{pair:?}");
        }
    }

    #[test]
    fn patterns_that_match_nothing_are_refused() {
        for bad in [
            "a", "", "/a//b", "/..", "/{", "/{}", "/a{x}", "/{*}", "/{*r}/a", "/{x}/{x}", "/a?b",
            "/a%2fb", "/é", "/a b",
        ] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn covering_is_matching_everything_of_another() {
        let covers = |a, b| PathPattern::parse(a).unwrap().covers(&PathPattern::parse(b).unwrap());
        assert!(covers("/{*rest}", "/a/b"));
        assert!(covers("/a/{x}", "/a/b"));
        assert!(!covers("/a/{x}", "/a/"));
        assert!(!covers("/a/b", "/a/{x}"));
        assert!(!covers("/a/{*r}", "/a"));
    }
}
