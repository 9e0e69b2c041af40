//! Everything that there is to tell of a decision, for people and for programs.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::asked::Asked;
use super::load::Policy;
use super::place::Sites;
use super::ruling::Ruling;
use super::words::Matter;
use super::words::Note;
use super::words::State;
use crate::config::Place;
use crate::gate::Check;
use crate::gate::Denial;
use crate::gate::Transport;
use crate::observe::Outcome;

/// What stands in an answer for the id that each request has of its own.
const REQUEST_ID: &str = "…";

/// The whole report.
pub(super) struct Report {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) transport: &'static str,
    pub(super) client: String,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<&'static str>,
    pub(super) route: Option<Named>,
    pub(super) key: Option<Named>,
    pub(super) account: Option<Named>,
    pub(super) checks: Vec<(Check, State, Note)>,
    pub(super) answer: Option<Answer>,
    pub(super) upstream: Option<Vec<(String, String)>>,
    pub(super) forward_credential: bool,
}

/// Something with a name and a place.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) place: Option<Place>,
}

/// What a stranger gets.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) challenges: Vec<String>,
    pub(super) body: String,
    /// The entry of `[responses]`.
    pub(super) place: Option<Place>,
}

impl Report {
    pub(super) fn new(asked: &Asked, policy: &Policy, ruling: &Ruling<'_>) -> Self {
        let sites = Sites::of(policy);
        let matter = Matter { asked, policy, ruling, sites: &sites };
        let checks = Check::ALL.iter().map(|&check| {
            let state = matter.state(check);
            (check, state, matter.note(check, state))
        });
        let record = matter.record();
        let account = matter.account();
        let refused = ruling.denial.filter(|_| ruling.outcome == Outcome::Refused);
        let forwarded = matches!(ruling.outcome, Outcome::Forwarded | Outcome::Shadow);
        let upstream = ruling.identity.iter().map(|(name, value)| {
            (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
        });
        Self {
            method: asked.parts.method.to_string(),
            path: asked.path().to_owned(),
            transport: match asked.transport {
                Transport::Tls => "https",
                Transport::Plain => "http",
            },
            client: asked.intake.client.to_string(),
            outcome: ruling.outcome,
            reason: ruling.denial.map(Denial::name),
            route: matter.route().map(|(_, route)| Named {
                name: route.path.to_string(),
                place: matter.route_place(&[]),
            }),
            key: record.map(|record| Named {
                name: record.id().to_string(),
                place: sites.key(record, &[]),
            }),
            account: account.map(|account| Named {
                name: account.id.to_string(),
                place: matter.account_place(&[]),
            }),
            checks: checks.collect(),
            answer: refused.map(|denial| Answer::of(denial, &matter)),
            upstream: forwarded.then(|| upstream.collect()),
            forward_credential: ruling.forward_credential,
        }
    }

    /// The status that keygate itself answers with; none where the upstream does.
    pub(super) fn status(&self) -> Option<u16> {
        match (&self.answer, self.outcome) {
            (Some(answer), _) => Some(answer.status),
            (None, Outcome::Minted) => Some(200),
            (None, _) => None,
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let checks = self.checks.iter().map(|(check, state, note)| {
            let mut members = placed(note.place.as_ref());
            members.insert("name".to_owned(), check.name().into());
            members.insert("state".to_owned(), state.name().into());
            members.insert("detail".to_owned(), note.detail.clone().into());
            let also = note.also.as_ref().map(|also| Value::from(placed(Some(also))));
            members.insert("compared_with".to_owned(), also.unwrap_or_default());
            Value::from(members)
        });
        let headers = |headers: &Vec<(String, String)>| -> Value {
            let pairs = headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            pairs.collect::<Map<_, _>>().into()
        };
        json!({
            "outcome": self.outcome.as_str(),
            "reason": self.reason,
            "status": self.status(),
            "request": {
                "method": self.method,
                "path": self.path,
                "transport": self.transport,
                "client": self.client,
            },
            "route": self.route.as_ref().map(|route| route.json("path")),
            "key": self.key.as_ref().map(|key| key.json("id")),
            "account": self.account.as_ref().map(|account| account.json("id")),
            "checks": checks.collect::<Vec<_>>(),
            "answer": self.answer.as_ref().map(Answer::json),
            "upstream": self.upstream.as_ref().map(headers),
            "forward_credential": self.forward_credential,
        })
    }
}

fn placed(place: Option<&Place>) -> Map<String, Value> {
    let file = place.map(|place| place.file.to_string());
    let line = place.and_then(|place| place.line);
    [("file".to_owned(), file.into()), ("line".to_owned(), line.into())].into_iter().collect()
}

impl Named {
    fn json(&self, name: &str) -> Value {
        let mut members = placed(self.place.as_ref());
        members.insert(name.to_owned(), self.name.clone().into());
        members.into()
    }
}

impl Answer {
    fn of(denial: Denial, matter: &Matter<'_>) -> Self {
        let answers = matter.snapshot().answers();
        let bearer = matter.ruling.bearer;
        let rendered = answers.render(denial, REQUEST_ID, matter.asked.transport, bearer);
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        // An answer to HEAD has no body.
        let body = match matter.asked.parts.method {
            http::Method::HEAD => String::new(),
            _ => String::from_utf8_lossy(&rendered.body).into_owned(),
        };
        // With one status the answer is that to no route, so that nobody can tell them apart.
        let hidden = denial == Denial::WrongAccount
            && answers.status(denial) == answers.status(Denial::NoRoute);
        let told = if hidden { Denial::NoRoute } else { denial };
        Self {
            status: rendered.status.as_u16(),
            content_type: text(&rendered.content_type),
            challenges: rendered.challenges.iter().map(text).collect(),
            body,
            place: matter.sites.config(&["responses", told.name()]),
        }
    }

    fn json(&self) -> Value {
        let mut members = placed(self.place.as_ref());
        let own = [
            ("status", Value::from(self.status)),
            ("content_type", self.content_type.clone().into()),
            ("challenges", self.challenges.clone().into()),
            ("body", self.body.clone().into()),
        ];
        members.extend(own.map(|(name, value)| (name.to_owned(), value)));
        members.into()
    }
}
