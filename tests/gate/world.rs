//! Small worlds to decide in, made in memory.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use keygate::gate::{Anonymous, HttpAccepts, Unmatched};
use keygate::gate::{
    Answers, BodyRules, Credentials, Denial, Facts, Format, Grant, Identity, KeyPattern, Parts,
    PathPattern, Revocations, Route, Routes, Snapshot, Step, Transport, decide,
};
use keygate::keys::{
    Access, Account, ApiKey, Digester, EventRules, KeyPrefix, KeyRecord, KeyStatus,
    KeyTableBuilder, Kind, Name, Origin, Permission,
};

/// The key that is presented where nothing else is said.
pub(crate) const KEY: &str = "a-key-of-these-tests";

pub(crate) fn account(id: &str) -> Account {
    Account {
        id: Name::new(id).unwrap(),
        name: None,
        permissions: None,
        disabled: false,
        origin: Origin::default(),
    }
}

/// A key of account `acme` that may do everything.
pub(crate) fn key(id: &str, text: &str) -> KeyRecord {
    KeyRecord {
        id: Name::new(id).unwrap(),
        account: Name::new("acme").unwrap(),
        name: None,
        digest: Digester::Sha256.digest(&ApiKey::new(text.as_bytes())),
        hint: None,
        access: Some(Access::Write),
        kind: Kind::Workspace,
        permissions: None,
        ips: Box::default(),
        events: EventRules::default(),
        attributes: None,
        basic: None,
        simple_auth: None,
        created: None,
        replaces: None,
        status: KeyStatus::Active { until: None },
        origin: Origin::default(),
    }
}

pub(crate) fn permissions(names: &[&str]) -> Box<[Permission]> {
    names.iter().map(|name| Permission::new(name).unwrap()).collect()
}

pub(crate) fn route(path: &str) -> Route {
    Route::new(PathPattern::parse(path).unwrap())
}

pub(crate) fn inspecting(path: &str, body: BodyRules) -> Route {
    Route { body, ..route(path) }
}

/// A world of some accounts, keys and routes in which keys come by Bearer.
pub(crate) fn world(accounts: Vec<Account>, keys: Vec<KeyRecord>, routes: Vec<Route>) -> Parts {
    let mut table = KeyTableBuilder::default();
    table.add(accounts, keys);
    let credentials = Credentials {
        bearer: true,
        basic: None,
        header: None,
        tokens: false,
        requires_json: false,
        realm: "keygate".into(),
        anonymous: Anonymous::Refuse,
    };
    Parts {
        table: Arc::new(table.build().unwrap()),
        digester: Digester::Sha256,
        prefix: KeyPrefix::new("kg").unwrap(),
        pattern: KeyPattern::new(KeyPattern::DEFAULT).unwrap(),
        default_access: Access::Read,
        answers: Answers::new(Format::Problem, false, &[], &credentials),
        credentials,
        http_accepts: HttpAccepts::Nothing,
        identity: Identity::default(),
        routes: Routes::build(routes).unwrap(),
        unmatched: Unmatched::Refuse,
        tokens: None,
    }
}

pub(crate) fn snapshot(parts: Parts) -> Snapshot {
    Snapshot::new(parts, Revocations::default(), || ())
}

/// A request of the key of these tests, and what is decided when its body has come.
pub(crate) fn ask(
    snapshot: &Snapshot,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Grant, Denial> {
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap();
    headers.insert("authorization", bearer);
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let client = (IpAddr::V4(Ipv4Addr::LOCALHOST), false);
    let facts = Facts::new(method, path, Transport::Tls, client, &headers, !body.is_empty());
    match decide(&facts, snapshot, Timestamp::UNIX_EPOCH).outcome? {
        Step::Grant(grant) => Ok(grant),
        Step::Inspect(inspection) => inspection.judge(Ok(body), snapshot).outcome,
        Step::Answer(_) => Err(Denial::NoRoute),
    }
}
