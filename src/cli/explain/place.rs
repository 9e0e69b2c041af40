//! Where the rules stand: the configuration's and the key files' places, by what they are about.

use std::cell::OnceCell;
use std::sync::Arc;

use super::load::Policy;
use crate::config::Place;
use crate::config::Places;
use crate::gate::Endpoint;
use crate::gate::RouteIndex;
use crate::keys::Key;
use crate::keys::Origin;

/// All places; a key file is read again only when something of it is wanted.
pub(super) struct Sites<'p> {
    name: Arc<str>,
    config: Places<'p>,
    policy: &'p Policy,
    key_files: Vec<OnceCell<Places<'p>>>,
}

impl<'p> Sites<'p> {
    pub(super) fn of(policy: &'p Policy) -> Self {
        let key_files = (0..policy.key_files()).map(|_| OnceCell::new()).collect();
        let (name, config) = (Arc::clone(&policy.source.name), Places::of(&policy.source));
        Self { name, config, policy, key_files }
    }

    /// What the configuration says of something, or where it would: the field, else its section,
    /// else the file as a whole.
    pub(super) fn rule(&self, section: &str, field: &str) -> Option<Place> {
        let whole = || Place { file: Arc::clone(&self.name), line: None };
        let field = self.config.field(&[section, field]);
        Some(field.or_else(|| self.config.field(&[section])).unwrap_or_else(whole))
    }

    /// Where the path of an endpoint of ours is said.
    pub(super) fn endpoint(&self, endpoint: Endpoint) -> Option<Place> {
        let field = match endpoint {
            Endpoint::Login => "login",
            Endpoint::LoginSimple => "login_simple",
            Endpoint::Refresh => "refresh",
            Endpoint::Jwks => "jwks",
        };
        self.rule("tokens", field)
    }

    /// A field of the configuration.
    pub(super) fn config(&self, path: &[&str]) -> Option<Place> {
        self.config.field(path)
    }

    /// The first of a route's fields that is there, or its header.
    pub(super) fn route(&self, route: RouteIndex, fields: &[&str]) -> Option<Place> {
        let number = route.position().to_string();
        let field = |name: &&str| self.config.field(&["route", &number, name]);
        fields.iter().find_map(field).or_else(|| self.config.field(&["route", &number]))
    }

    /// The first of a key's fields that is there, or its header.
    pub(super) fn key(&self, record: Key<'_>, fields: &[&str]) -> Option<Place> {
        self.record("key", &record.origin(), fields)
    }

    /// The first of an account's fields that is there, or its header.
    pub(super) fn account(&self, origin: &Origin, fields: &[&str]) -> Option<Place> {
        self.record("account", origin, fields)
    }

    fn record(&self, list: &str, origin: &Origin, fields: &[&str]) -> Option<Place> {
        let places = self.key_files.get(origin.file)?;
        let source = self.policy.key_file(origin.file)?;
        let places = places.get_or_init(|| Places::of(source));
        let number = places.number(list, &origin.span)?.to_string();
        let field = |name: &&str| places.field(&[list, &number, name]);
        fields.iter().find_map(field).or_else(|| places.field(&[list, &number]))
    }
}
