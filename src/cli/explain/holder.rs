//! The key and its account in words: are they in force, and from where?

use super::message;
use super::words::Matter;
use super::words::Note;
use super::words::listed;
use crate::config::Place;
use crate::gate::Denial;
use crate::keys::Key;
use crate::keys::KeyStatus;
use crate::source;

pub(super) fn key(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let Some(record) = matter.record() else { return unknown(matter, denial) };
    let id = record.id();
    let note = |detail: String, fields: &[&str]| Note::new(detail, matter.key_place(fields));
    match (denial, record.status()) {
        (Some(Denial::RevokedKey), KeyStatus::Revoked { at: Some(at) }) => {
            note(format!("key `{id}` was revoked at {at}"), &["revoked"])
        }
        (Some(Denial::RevokedKey), KeyStatus::Revoked { at: None }) => {
            note(format!("key `{id}` is revoked"), &["revoked"])
        }
        (Some(Denial::RevokedKey), KeyStatus::Active { .. }) => {
            Note::new(format!("key `{id}` is among the revocations"), revocation(matter, record))
                .also(matter.key_place(&[]))
        }
        (Some(Denial::ExpiredKey), KeyStatus::Active { until: Some(until) }) => {
            note(format!("the time of key `{id}` was over at {until}"), &["expires"])
        }
        (Some(Denial::CredentialNotAllowed), _) => {
            note(format!("key `{id}` may not be presented by Basic"), &["basic"])
        }
        (Some(_), _) if matter.ruling.endpoint.is_some() => message::login(matter, denial),
        (Some(denial), _) => note(denial.sentence().to_lowercase(), &[]),
        (None, KeyStatus::Active { until: Some(until) }) => {
            note(format!("key `{id}` is in force until {until}"), &["expires"])
        }
        (None, _) => note(format!("key `{id}` is in force"), &[]),
    }
}

fn unknown(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let files = || matter.sites.rule("keys", "files");
    match denial {
        Some(Denial::UnknownKey) => {
            Note::new("no record has the digest of what is presented", files())
        }
        Some(Denial::MalformedKey) => {
            let place = matter.sites.rule("keys", "pattern");
            Note::new("what is presented breaks `keys.pattern`, or its checksum", place)
        }
        Some(Denial::InvalidToken) => {
            // A key that lives in the memory of another process verifies nothing here.
            let detail = match matter.sites.config(&["tokens", "signing_key"]) {
                Some(_) => "what is presented is no token of ours that lives, or its key is gone",
                None => {
                    "without `signing_key` the key that signs is in the memory of what serves: no \
                     token can be judged here"
                }
            };
            Note::new(detail, matter.sites.rule("tokens", "signing_key"))
        }
        _ => message::login(matter, denial),
    }
}

/// The line of the revocations file that names a key.
fn revocation(matter: &Matter<'_>, record: Key<'_>) -> Option<Place> {
    let path = matter.policy.config.keys.revocations.as_ref()?;
    let text = source::contents(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let digester = matter.snapshot().digester();
    let names = |line: &str| {
        let entry = line.split('#').next().unwrap_or_default().trim();
        let digest = || digester.parse(entry).is_ok_and(|digest| digest.matches(&record.digest()));
        entry == record.id_text() || digest()
    };
    let line = text.lines().position(names).map(|at| at + 1);
    Some(Place { file: path.to_string_lossy().into(), line })
}

pub(super) fn account_status(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let Some(account) = matter.account() else { return Note::default() };
    let state = if denial.is_some() { "is disabled" } else { "is enabled" };
    let place = matter.account_place(&["disabled"]);
    Note::new(format!("account `{}` {state}", account.id), place)
}

pub(super) fn address(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let Some(record) = matter.record() else { return Note::default() };
    let client = matter.asked.intake.client;
    let networks = listed(record.ips().iter().map(ToString::to_string));
    let detail = match denial {
        None => format!("`{client}` is in {networks}"),
        Some(_) => format!("the key may be used from {networks}; this comes from `{client}`"),
    };
    Note::new(detail, matter.key_place(&["ips"]))
}
