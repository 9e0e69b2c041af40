//! The arguments that say what a new key may send and change, and whether end users may
//! authenticate with it.

use crate::cli::values;
use crate::keys::AttributeRules;
use crate::keys::EventRules;
use crate::keys::Kind;
use crate::keys::SimpleAuth;
use crate::keys::new_salt;
use crate::source::Problem;
use crate::source::Problems;

#[derive(Debug, clap::Args)]
pub(super) struct Rights {
    /// Only these events may be sent, with commas between them
    #[arg(long, alias = "event-allow", value_name = "LIST", value_delimiter = ',',
        value_parser = values::event)]
    events_allow: Vec<Box<str>>,
    /// These events may never be sent, with commas between them
    #[arg(long, alias = "event-deny", value_name = "LIST", value_delimiter = ',',
        value_parser = values::event)]
    events_deny: Vec<Box<str>>,
    /// Only these attributes of a profile may be changed, with commas between them; '' is none
    #[arg(long, alias = "attribute", value_name = "LIST", value_delimiter = ',',
        value_parser = values::listed)]
    attributes: Option<Vec<Option<Box<str>>>>,
    /// Only these tags of a profile may be changed, with commas between them; '' is none
    #[arg(long, alias = "tag", value_name = "LIST", value_delimiter = ',',
        value_parser = values::listed)]
    tags: Option<Vec<Option<Box<str>>>>,
    /// End users may authenticate with it, by this key and a salt that is made now
    #[arg(long)]
    simple_auth: bool,
    /// Simple authentication asks for no salt
    #[arg(long, requires = "simple_auth")]
    no_salt: bool,
}

impl Rights {
    pub(super) fn events(&self) -> EventRules {
        EventRules {
            allow: self.events_allow.clone().into(),
            deny: self.events_deny.clone().into(),
        }
    }

    /// Where either list is given, what neither lists is refused.
    pub(super) fn attributes(&self) -> Option<Box<AttributeRules>> {
        let list = |given: &Option<Vec<Option<Box<str>>>>| {
            given.iter().flatten().flatten().cloned().collect::<Box<[_]>>()
        };
        let given = self.attributes.is_some() || self.tags.is_some();
        let rules = AttributeRules { allow: list(&self.attributes), tags: list(&self.tags) };
        given.then(|| Box::new(rules))
    }

    /// What goes without saying and is easily overlooked.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (one, other) in [
            (("attribute", &self.attributes), ("--tags", &self.tags)),
            (("tag", &self.tags), ("--attributes", &self.attributes)),
        ] {
            if one.1.is_none() && other.1.is_some() {
                notes.push(format!(
                    "the key may change no {}: with {}, only what is listed",
                    one.0, other.0
                ));
            }
        }
        let both = self.events_allow.iter().filter(|event| self.events_deny.contains(event));
        notes.extend(both.map(|event| {
            format!("event `{}` is in both lists, so that it is refused", event.escape_debug())
        }));
        notes
    }

    pub(super) fn simple_auth(&self, kind: Kind) -> Result<Option<Box<SimpleAuth>>, Problems> {
        if !self.simple_auth {
            return Ok(None);
        }
        if kind != Kind::Profile {
            return Err(Problem::new("simple authentication is for profile keys")
                .help("add `--kind profile`, or leave `--simple-auth` out")
                .into());
        }
        if self.no_salt {
            return Ok(Some(Box::new(SimpleAuth { salt: None })));
        }
        let salt = new_salt()
            .map_err(|error| Problem::new(format!("the system gives no randomness: {error}")))?;
        Ok(Some(Box::new(SimpleAuth { salt: Some(salt.as_str().into()) })))
    }
}
