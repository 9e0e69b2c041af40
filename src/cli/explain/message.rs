//! The message itself in words: how it came, what form it has, what it presents.

use super::words::Matter;
use super::words::Note;
use super::words::is;
use super::words::named;
use crate::gate::BasicUser;
use crate::gate::Denial;
use crate::gate::HttpAccepts;
use crate::gate::Transport;

pub(super) fn transport(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    if matter.asked.transport == Transport::Tls {
        return Note::new("it came by TLS", None);
    }
    let place = matter.sites.rule("listen", "http_accepts");
    let detail = match (matter.snapshot().http_accepts(), denial) {
        (HttpAccepts::Nothing, _) => "it came in clear, and nothing is accepted in clear",
        (HttpAccepts::Everything, _) => "it came in clear, and everything is accepted in clear",
        (HttpAccepts::ForwardedHttps, None) => {
            "it came in clear, from a trusted proxy that says that it came there by HTTPS"
        }
        (HttpAccepts::ForwardedHttps, Some(_)) => {
            "it came in clear, and no trusted proxy says that it came there by HTTPS"
        }
    };
    Note::new(detail, place)
}

pub(super) fn request_form(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let detail = match (denial, &matter.asked.intake.host) {
        (None, Ok(host)) => {
            format!("it is for one host, {}", named(host.to_str().unwrap_or_default()))
        }
        (Some(_), Ok(_)) => "`CONNECT` asks for a tunnel, which an API is never".to_owned(),
        (_, Err(_)) => {
            "its host, its length or its line ends can be read in more than one way".to_owned()
        }
    };
    Note::new(detail, None)
}

pub(super) fn path_form(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let path = named(matter.asked.path());
    let detail = match (denial, &matter.asked.intake.host) {
        (None, _) => format!("{path} reads one way"),
        (Some(_), Err(_)) => "its target has a fragment, which some would read as path".to_owned(),
        (Some(_), Ok(_)) => format!("{path} could be read in more than one way"),
    };
    Note::new(detail, None)
}

pub(super) fn credential_form(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let (detail, field) = match denial {
        None => ("one credential is presented".to_owned(), "bearer"),
        Some(Denial::NoCredential) => {
            (format!("no credential is presented; taken: {}", carriers(matter)), "anonymous")
        }
        Some(Denial::AmbiguousCredential) => {
            ("more than one credential is presented, and none is chosen".to_owned(), "bearer")
        }
        Some(Denial::CredentialIgnored) => {
            let detail = "a Bearer credential counts only on requests that accept JSON by name";
            (detail.to_owned(), "requires_json")
        }
        Some(_) => {
            let detail =
                format!("what is presented is not well formed; taken: {}", carriers(matter));
            (detail, "basic")
        }
    };
    Note::new(detail, matter.sites.rule("credentials", field))
}

/// What a credential may come in.
fn carriers(matter: &Matter<'_>) -> String {
    let credentials = matter.snapshot().credentials();
    let bearer = match (credentials.bearer, credentials.tokens) {
        (true, true) => Some("`Authorization: Bearer` with a key or a token".to_owned()),
        (true, false) => Some("`Authorization: Bearer` with a key".to_owned()),
        (false, true) => Some("`Authorization: Bearer` with a token".to_owned()),
        (false, false) => None,
    };
    let basic = credentials.basic.as_ref().map(|user| match user {
        BasicUser::Fixed(name) => format!("Basic with the user name {}", named(name)),
        BasicUser::Account => "Basic with the account as user name".to_owned(),
    });
    let header = credentials.header.as_ref().map(|name| named(name.as_str()));
    let all: Vec<_> = [bearer, basic, header].into_iter().flatten().collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// What a login path of ours makes of a request.
pub(super) fn login(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let detail = match denial {
        None => "the credential that it carries is in force".to_owned(),
        Some(_) if is(denial, Denial::SimpleAuthRefused) => {
            "simple authentication is off for the key, or the salt is not the key's".to_owned()
        }
        Some(denial) => denial.sentence().to_lowercase(),
    };
    let place = matter.key_place(&["simple_auth"]);
    Note::new(detail, place.or_else(|| matter.endpoint_place()))
}
