//! A body that is inspected: what comes of it must be what another reader of JSON finds in it.

#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, Method};
use keygate::gate::Denial;
use keygate::live::World;
use keygate_fuzz::model::{Found, Invalid, Rules, read};
use keygate_fuzz::stage::{KEY, ask, digest, world};
use libfuzzer_sys::fuzz_target;

const RULES: [Rules; 6] = [
    Rules {
        path: "/events",
        events: &["/action", "/*/action"],
        permission: &[],
        attributes: &[],
        tags: &[],
    },
    Rules {
        path: "/commands",
        permission: &["/command", "/query"],
        events: &[],
        attributes: &[],
        tags: &[],
    },
    Rules {
        path: "/profiles",
        attributes: &["", "/attributes"],
        tags: &["/tags"],
        permission: &[],
        events: &[],
    },
    Rules {
        path: "/batches",
        attributes: &["/*", "/*/attributes"],
        permission: &[],
        events: &[],
        tags: &[],
    },
    Rules {
        path: "/all",
        permission: &["/0/command", "/command"],
        events: &["/data/*/*/name", "/data/0/name"],
        attributes: &["/data/1", ""],
        tags: &["/data/tags/*"],
    },
    Rules { path: "/form", tags: &["/nothing"], permission: &[], events: &[], attributes: &[] },
];

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let routes: String = RULES.iter().map(Rules::toml).collect();
    let config = format!("[credentials]\nbearer = true\n{routes}");
    let keys = format!(
        "[[account]]\nid = \"acme\"\n[[key]]\nid = \"key\"\naccount = \"acme\"\naccess = \"write\"\n\
         {}permissions = [\"a\", \"b*\"]\nevents = {{ allow = [\"a\", \"b\"], deny = [\"b\"] }}\n\
         attributes = {{ allow = [\"a\", \"data\"], tags = [\"t\"] }}\n",
        digest(KEY),
    );
    world(&config, &keys)
});

static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let bearer = HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer)])
});

fuzz_target!(|body: &[u8]| {
    let Some(tree) = read(body) else { return };
    for rules in &RULES {
        let expected = match tree.as_ref().map_err(|invalid| *invalid).and_then(|t| rules.find(t)) {
            Ok(found) => judged(&found),
            Err(Invalid) => Err(Denial::InvalidBody),
        };
        let got = ask(WORLD.snapshot(), &Method::POST, rules.path, &HEADERS, body).map(drop);
        assert_eq!(got, expected, "{}: {}", rules.path, body.escape_ascii());
    }
});

/// What the one key may do.
fn judged(found: &Found) -> Result<(), Denial> {
    if !found.permissions.iter().all(|name| name == "a" || name.starts_with('b')) {
        return Err(Denial::MissingPermission);
    }
    if !found.events.iter().all(|event| event == "a") {
        return Err(Denial::EventNotAllowed);
    }
    let attributes = found.attributes.iter().all(|name| ["a", "data"].contains(&name.as_str()));
    let tags = found.tags.iter().all(|tag| tag == "t");
    if attributes && tags { Ok(()) } else { Err(Denial::AttributeNotAllowed) }
}
