//! What strangers are told: one prepared answer for each reason.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderValue, StatusCode};

use super::facts::Transport;
use super::policy::Credentials;
use super::verdict::Denial;

/// `responses.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/problem+json` (RFC 9457).
    #[default]
    Problem,
    /// `text/plain`: the sentence.
    Text,
    /// `application/json`: `error`, `message`, `request_id`.
    Json,
}

/// What `[responses]` says of one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerOverride {
    /// 4xx or 5xx.
    pub status: Option<StatusCode>,
    /// The sentence.
    pub body: Option<Box<str>>,
}

/// All answers, prepared.
#[derive(Clone, Debug)]
pub struct Answers {
    content_type: HeaderValue,
    list: Vec<Answer>,
    challenges: Challenges,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    /// The body up to the request's id, and from there; the second is `None` where it has no id.
    head: Bytes,
    tail: Option<&'static str>,
}

#[derive(Clone, Debug, Default)]
struct Challenges {
    /// On 401 where nothing was presented.
    asked: Vec<HeaderValue>,
    /// On 401 where a credential was presented.
    presented: Vec<HeaderValue>,
    /// In clear a Bearer line stands alone: Basic would invite the password in clear.
    clear_asked: Vec<HeaderValue>,
    clear_presented: Vec<HeaderValue>,
    /// On `insecure_transport`.
    insecure: Vec<HeaderValue>,
    /// On 403 `missing_permission` to a Bearer.
    scope: Vec<HeaderValue>,
}

/// One answer, ready to send.
#[derive(Debug)]
pub struct Rendered<'a> {
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// The body.
    pub body: Bytes,
    /// The lines of `WWW-Authenticate`.
    pub challenges: &'a [HeaderValue],
}

impl Answers {
    /// Prepares the answers. `overrides` are by reason; `disclose` tells strangers the precise
    /// reason of a key that is not valid.
    #[must_use]
    pub fn new(
        format: Format,
        disclose: bool,
        overrides: &[(Denial, AnswerOverride)],
        credentials: &Credentials,
    ) -> Self {
        let content_type = HeaderValue::from_static(match format {
            Format::Problem => "application/problem+json",
            Format::Text => "text/plain; charset=utf-8",
            Format::Json => "application/json",
        });
        let list = Denial::ALL.iter().map(|&denial| {
            let own = overrides.iter().rev().find(|(of, _)| *of == denial).map(|(_, own)| own);
            Answer::new(denial, format, disclose, own)
        });
        let mut answers =
            Self { content_type, list: list.collect(), challenges: Challenges::new(credentials) };
        answers.hide_wrong_account();
        answers
    }

    /// Where the statuses are the same, another account's path is answered like no route at all.
    fn hide_wrong_account(&mut self) {
        let absent = self.list.get(Denial::NoRoute.position()).cloned();
        let other = self.list.get_mut(Denial::WrongAccount.position());
        if let (Some(absent), Some(other)) = (absent, other)
            && absent.status == other.status
        {
            *other = absent;
        }
    }

    /// The status of a reason's answer.
    #[must_use]
    pub fn status(&self, denial: Denial) -> StatusCode {
        self.list.get(denial.position()).map_or(StatusCode::FORBIDDEN, |answer| answer.status)
    }

    /// The answer to one request.
    #[must_use]
    pub fn render(
        &self,
        denial: Denial,
        request_id: &str,
        transport: Transport,
        bearer: bool,
    ) -> Rendered<'_> {
        let answer = self.list.get(denial.position());
        let status = self.status(denial);
        Rendered {
            status,
            content_type: self.content_type.clone(),
            body: answer.map(|answer| answer.body(request_id)).unwrap_or_default(),
            challenges: self.challenges.of(denial, status, transport, bearer),
        }
    }
}

impl Answer {
    fn new(denial: Denial, format: Format, disclose: bool, own: Option<&AnswerOverride>) -> Self {
        let status = own.and_then(|own| own.status).unwrap_or_else(|| denial.status());
        let (name, sentence) = match disclose {
            true => (denial.name(), denial.sentence()),
            false => (denial.stranger_name(), denial.stranger_sentence()),
        };
        let sentence = own.and_then(|own| own.body.as_deref()).unwrap_or(sentence);
        let members = match format {
            Format::Text => {
                return Self {
                    status,
                    head: Bytes::copy_from_slice(sentence.as_bytes()),
                    tail: None,
                };
            }
            Format::Problem => vec![
                ("type", quote("about:blank")),
                ("title", quote(status.canonical_reason().unwrap_or("Error"))),
                ("status", status.as_u16().to_string()),
                ("detail", quote(sentence)),
                ("reason", quote(name)),
            ],
            Format::Json => vec![("error", quote(name)), ("message", quote(sentence))],
        };
        let mut text = String::from("{");
        for (member, value) in members {
            text.push_str(&format!("\"{member}\":{value},"));
        }
        text.push_str("\"request_id\":\"");
        Self { status, head: text.into(), tail: Some("\"}") }
    }

    /// A request's id needs no escapes: it is letters, digits and a few marks.
    fn body(&self, request_id: &str) -> Bytes {
        let Some(tail) = self.tail else { return self.head.clone() };
        let mut body = BytesMut::with_capacity(self.head.len() + request_id.len() + tail.len());
        body.put_slice(&self.head);
        body.put_slice(request_id.as_bytes());
        body.put_slice(tail.as_bytes());
        body.freeze()
    }
}

impl Challenges {
    fn new(credentials: &Credentials) -> Self {
        let realm = &credentials.realm;
        let line = |text: String| HeaderValue::from_str(&text).ok();
        let basic = line(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
        let basic = basic.filter(|_| credentials.basic.is_some());
        let bearer = line(format!("Bearer realm=\"{realm}\""));
        let header = line(format!("ApiKey realm=\"{realm}\""));
        let header = header.filter(|_| credentials.header.is_some());
        let invalid = line(format!("Bearer realm=\"{realm}\", error=\"invalid_token\""));
        let scope = line(format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\""));
        let on = |value: &Option<HeaderValue>| value.clone().filter(|_| credentials.takes_bearer());
        let lines = |parts: [Option<HeaderValue>; 3]| parts.into_iter().flatten().collect();
        Self {
            asked: lines([basic.clone(), on(&bearer), header.clone()]),
            presented: lines([basic, on(&invalid), header]),
            clear_asked: bearer.iter().cloned().collect(),
            // Where Bearer is off, no Bearer was wrong.
            clear_presented: on(&invalid).or_else(|| bearer.clone()).into_iter().collect(),
            insecure: bearer.iter().cloned().collect(),
            scope: scope.into_iter().collect(),
        }
    }

    fn of(
        &self,
        denial: Denial,
        status: StatusCode,
        transport: Transport,
        bearer: bool,
    ) -> &[HeaderValue] {
        let unasked = matches!(denial, Denial::NoCredential | Denial::CredentialIgnored);
        match (status, denial, transport) {
            (StatusCode::UNAUTHORIZED, Denial::InsecureTransport, _) => &self.insecure,
            (StatusCode::UNAUTHORIZED, _, Transport::Tls) if unasked => &self.asked,
            (StatusCode::UNAUTHORIZED, _, Transport::Tls) => &self.presented,
            (StatusCode::UNAUTHORIZED, _, Transport::Plain) if unasked => &self.clear_asked,
            (StatusCode::UNAUTHORIZED, _, Transport::Plain) => &self.clear_presented,
            (StatusCode::FORBIDDEN, Denial::MissingPermission, _) if bearer => &self.scope,
            _ => &[],
        }
    }
}

/// A JSON string (RFC 8259, section 7).
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Anonymous, BasicUser};

    fn credentials() -> Credentials {
        Credentials {
            bearer: true,
            basic: Some(BasicUser::Fixed("api".into())),
            header: None,
            tokens: false,
            requires_json: false,
            realm: "keygate".into(),
            anonymous: Anonymous::Refuse,
        }
    }

    fn answers(format: Format, overrides: &[(Denial, AnswerOverride)]) -> Answers {
        Answers::new(format, false, overrides, &credentials())
    }

    fn body(answers: &Answers, denial: Denial) -> String {
        let rendered = answers.render(denial, "r1", Transport::Tls, true);
        String::from_utf8(rendered.body.to_vec()).unwrap()
    }

    #[test]
    fn each_format_has_its_members() {
        assert_eq!(
            body(&answers(Format::Problem, &[]), Denial::NoCredential),
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"A credential is required","reason":"no_credential","request_id":"r1"}"#
        );
        assert_eq!(
            body(&answers(Format::Json, &[]), Denial::UnknownKey),
            r#"{"error":"invalid_credential","message":"The credential is not valid","request_id":"r1"}"#
        );
        assert_eq!(
            body(&answers(Format::Text, &[]), Denial::InsecureTransport),
            "HTTPS is required"
        );
    }

    #[test]
    fn a_body_of_any_text_stays_json() {
        let own = AnswerOverride { status: None, body: Some("a \"b\" \\ \n é".into()) };
        let text = body(&answers(Format::Json, &[(Denial::NoRoute, own)]), Denial::NoRoute);
        assert!(text.contains(r#""message":"a \"b\" \\ \u000a é""#), "{text}");
    }

    #[test]
    fn with_the_same_status_another_account_is_answered_like_no_route() {
        let at = |status| AnswerOverride { status: Some(status), body: Some("gone".into()) };
        let same = answers(Format::Problem, &[(Denial::NoRoute, at(StatusCode::NOT_FOUND))]);
        assert_eq!(body(&same, Denial::WrongAccount), body(&same, Denial::NoRoute));
        let other = answers(Format::Problem, &[]);
        assert_ne!(body(&other, Denial::WrongAccount), body(&other, Denial::NoRoute));
    }

    #[test]
    fn challenges_name_the_carriers_that_are_on_and_never_basic_in_clear() {
        let answers = answers(Format::Problem, &[]);
        let lines = |denial, transport| {
            let rendered = answers.render(denial, "r1", transport, true);
            rendered.challenges.iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let basic = "Basic realm=\"keygate\", charset=\"UTF-8\"";
        let bearer = "Bearer realm=\"keygate\"";
        let invalid = "Bearer realm=\"keygate\", error=\"invalid_token\"";
        assert_eq!(lines(Denial::NoCredential, Transport::Tls), [basic, bearer]);
        assert_eq!(lines(Denial::UnknownKey, Transport::Tls), [basic, invalid]);
        assert_eq!(lines(Denial::UnknownKey, Transport::Plain), [invalid]);
        assert_eq!(lines(Denial::InsecureTransport, Transport::Plain), [bearer]);
        assert_eq!(
            lines(Denial::MissingPermission, Transport::Tls),
            ["Bearer realm=\"keygate\", error=\"insufficient_scope\""]
        );
        assert!(lines(Denial::IpNotAllowed, Transport::Tls).is_empty());
    }
}
