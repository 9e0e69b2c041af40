//! What clients ask: all that a request says, and what its answer has to be.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::ledger::Kind;
use crate::noise::{Dice, Noise};
use crate::origin::SEQ;
use crate::world::{Holder, Key};

pub(crate) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A request to be made.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) kind: Kind,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: Option<Key>,
    /// Whose token is asked for.
    pub(crate) login: Option<Key>,
    pub(crate) load: Load,
    pub(crate) pace: Duration,
    pub(crate) more: Vec<(&'static str, String)>,
}

/// What its body is, and what comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Small,
    /// So many bytes of noise come.
    Down(u64),
    /// So many bytes of noise go.
    Up(u64),
}

impl Ask {
    fn new(kind: Kind, path: impl Into<String>, key: Option<&Key>) -> Self {
        Self {
            kind,
            method: Method::GET,
            path: path.into(),
            key: key.cloned(),
            login: None,
            load: Load::Small,
            pace: Duration::ZERO,
            more: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.more.push((name, value.into()));
        self
    }

    pub(crate) fn echo(kind: Kind, key: &Key, dice: &mut Dice) -> Self {
        Self::new(kind, format!("/echo/{}", dice.below(1000)), Some(key))
    }

    pub(crate) fn post(kind: Kind, key: &Key, dice: &mut Dice) -> Self {
        Self { method: Method::POST, ..Self::echo(kind, key, dice) }
    }

    pub(crate) fn down(key: &Key, size: u64) -> Self {
        let ask = Self::new(Kind::Download, format!("/down/{size}"), Some(key));
        Self { load: Load::Down(size), ..ask }
    }

    pub(crate) fn up(key: &Key, size: u64) -> Self {
        let ask = Self::new(Kind::Upload, format!("/up/{size}"), Some(key));
        Self { method: Method::PUT, load: Load::Up(size), ..ask }
    }

    pub(crate) fn slow(key: &Key, milliseconds: u64) -> Self {
        Self::new(Kind::Slow, format!("/slow/{milliseconds}"), Some(key))
    }

    pub(crate) fn narrow(key: &Key, milliseconds: u64) -> Self {
        Self::new(Kind::Narrow, format!("/narrow/{milliseconds}"), Some(key))
    }

    pub(crate) fn rated(key: &Key) -> Self {
        Self::new(Kind::Rated, "/rated/this", Some(key))
    }

    pub(crate) fn login(key: &Key) -> Self {
        let ask = Self::new(Kind::Login, "/uauth/v2/auth/login/profile", None)
            .with("content-type", "application/json");
        Self { method: Method::POST, login: Some(key.clone()), ..ask }
    }

    /// Slowly, in pieces of 16 KiB.
    pub(crate) fn paced(self, pace: Duration) -> Self {
        Self { pace, ..self }
    }

    pub(crate) fn socket(kind: Kind, key: &Key) -> Self {
        Self::new(kind, "/ws", Some(key))
            .with("connection", "upgrade")
            .with("upgrade", "websocket")
            .with("sec-websocket-version", "13")
            .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub(crate) fn in_clear(key: &Key) -> Self {
        Self::new(Kind::InClear, "/echo/clear", Some(key))
    }

    /// One of those that are refused, whatever happens.
    fn refused(holder: &Holder, other: &Holder, dice: &mut Dice) -> Self {
        let read = Some(&holder.read);
        let unknown = Key { id: String::new(), ..holder.read.clone() };
        let presented = |text: String| Some(Key { text, ..unknown.clone() });
        match dice.below(9) {
            0 => Self::new(Kind::NoKey, "/echo/none", None),
            1 => {
                let key = presented(format!("nobody-issued-{}", dice.roll()));
                Self::new(Kind::UnknownKey, "/echo/unknown", key.as_ref())
            }
            2 => {
                let key = presented(format!("kg_{}", "a".repeat(49)));
                Self::new(Kind::MalformedKey, "/echo/malformed", key.as_ref())
            }
            3 => Self::new(Kind::TwoKeys, "/echo/two", Some(&unknown))
                .with("authorization", format!("Bearer {}", other.write.text)),
            4 => Self { method: Method::POST, ..Self::new(Kind::ReadKeyWrites, "/echo/w", read) },
            5 if holder.account != "account-0" => {
                Self::new(Kind::MissingPermission, "/special", read)
            }
            6 => Self::new(Kind::WrongAccount, format!("/of/{}/things", other.account), read),
            7 => Self::new(Kind::NoRoute, "/nowhere/at/all", read),
            _ => Self::new(Kind::AmbiguousPath, "/echo/%2e%2e/secret", Some(&unknown)),
        }
    }

    /// The usual mixture; some of it claims to be somebody else.
    pub(crate) fn mixed(holders: &[Holder], dice: &mut Dice) -> Self {
        let holder = dice.pick(holders);
        let size = |dice: &mut Dice| 1 + dice.below(100_000);
        let ask = match dice.below(100) {
            0..40 => Self::echo(Kind::Echo, &holder.read, dice),
            40..60 => Self::post(Kind::Post, &holder.write, dice),
            60..68 => Self::down(&holder.read, size(dice)),
            68..76 => Self::up(&holder.write, size(dice)),
            76..80 => Self::slow(&holder.read, 20 + dice.below(300)),
            80..85 => Self::echo(Kind::Expiring, &holder.expiring, dice),
            _ => {
                let other = loop {
                    let other = dice.pick(holders);
                    if other.account != holder.account {
                        break other;
                    }
                };
                Self::refused(holder, other, dice)
            }
        };
        match dice.below(10) {
            0 => ask.with("x_account_id", "account-3"),
            1 => ask.with("x-account-id", "account-3"),
            2 => ask.with("X-Key.Id", "write-3"),
            _ => ask,
        }
    }

    /// The text of a small request's body.
    pub(crate) fn text(&self, seq: u64) -> String {
        if let Some(key) = &self.login {
            return format!("{{\"apiKey\":\"{}\"}}", key.text);
        }
        match self.method {
            Method::POST => format!("said {seq} by {}", self.path),
            _ => String::new(),
        }
    }

    pub(crate) fn request(&self, seq: u64, id: Option<&str>, absolute: bool) -> Request<Body> {
        let body: Body = match self.load {
            Load::Up(size) => Noise::new(seq, size).paced(self.pace).boxed_unsync(),
            _ => Full::from(self.text(seq)).boxed_unsync(),
        };
        let target = match absolute {
            true => format!("https://keygate.test{}", self.path),
            false => self.path.clone(),
        };
        let mut request = Request::builder().method(&self.method).uri(target).header(SEQ, seq);
        if !absolute {
            request = request.header("host", "keygate.test");
        }
        if let (Load::Down(_), false) = (self.load, self.pace.is_zero()) {
            let pace = u64::try_from(self.pace.as_millis()).unwrap_or_default();
            request = request.header("soak-pace", pace);
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {}", key.text));
        }
        for (name, value) in &self.more {
            request = request.header(*name, value);
        }
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        request.body(body).expect("a request of well-formed parts")
    }
}
