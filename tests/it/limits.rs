//! How many at once: in the order of arrival, per account, and never for someone who has left.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::actors::client::{Client, Response, basic, bearer, head};
use crate::actors::origin::{After, Exchange, Origin};
use crate::actors::setup::{OTHER, READ, Setup, WRITE, WRITE_TWO, usual_keys};
use crate::actors::sidecar::Sidecar;
use crate::actors::{Cue, PATIENCE, eventually, never};

/// Lets requests end in the order in which they arrived, as many as it is told.
#[derive(Default)]
pub(crate) struct Turnstile {
    arrived: AtomicUsize,
    allowed: Mutex<usize>,
    changed: Condvar,
}

impl Turnstile {
    /// Lets the first so many requests end.
    pub(crate) fn allow(&self, count: usize) {
        *self.allowed.lock().unwrap() = count;
        self.changed.notify_all();
    }

    fn script(self: &Arc<Self>) -> impl Fn(&mut Exchange<'_>) -> After + use<> {
        let this = Arc::clone(self);
        move |exchange| {
            let mine = this.arrived.fetch_add(1, Ordering::SeqCst);
            exchange.drain();
            let allowed = this.allowed.lock().unwrap();
            let late = this.changed.wait_timeout_while(allowed, PATIENCE, |count| *count <= mine);
            drop(late);
            exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            After::Keep
        }
    }
}

const FREE: &str = "[[route]]\npath = \"/{*rest}\"\n";

pub(crate) fn limited(queue: &str, per: &str) -> String {
    format!(
        "{FREE}[[route]]\npath = \"/insert\"\n\
         in_flight = {{ max = 1, per = \"{per}\", queue = \"{queue}\" }}\n"
    )
}

pub(crate) struct Scene {
    pub(crate) turnstile: Arc<Turnstile>,
    pub(crate) origin: Origin,
    pub(crate) sidecar: Sidecar,
}

impl Scene {
    pub(crate) fn new(config: &str) -> Self {
        let turnstile = Arc::<Turnstile>::default();
        let origin = Origin::tcp(turnstile.script());
        let sidecar = Sidecar::start(&Setup::before(&origin).config(config));
        Self { turnstile, origin, sidecar }
    }

    /// Sends an insert and does not wait for its answer.
    pub(crate) fn insert(&self, key: &str, name: &str) -> Client {
        let mut client = self.sidecar.client();
        let name = format!("X-Name: {name}");
        client.send(head("POST", "/insert", &[&bearer(key), &name, "Content-Length: 0"]));
        client
    }

    /// Waits until so many requests are inside, forwarded or queued.
    pub(crate) fn inside(&self, count: usize) {
        let wanted = f64::from(u32::try_from(count).unwrap());
        eventually("requests inside", || {
            (self.sidecar.metric("keygate_in_flight_requests", &[]) == wanted).then_some(())
        });
    }

    pub(crate) fn arrived(&self, count: usize) {
        self.origin.wait("as many requests", |state| state.requests.len() >= count);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let name = |seen: &crate::actors::origin::Seen| seen.value("x-name").unwrap().to_owned();
        self.origin.requests().iter().map(name).collect()
    }
}

#[track_caller]
pub(crate) fn answered(mut client: Client) -> Response {
    client.response("POST")
}

/// A preset's text.
fn preset(name: &str) -> String {
    let presets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/presets");
    std::fs::read_to_string(presets.join(name).join("keygate.toml")).unwrap()
}

#[test]
fn personyze_throttles_inserts_as_its_document_says() {
    let turnstile = Arc::<Turnstile>::default();
    let origin = Origin::tcp(turnstile.script());
    let setup = Setup::whole(&preset("personyze"), &origin).keys(usual_keys());
    let sidecar = Sidecar::start(&setup);
    let insert = |key: &str| {
        let mut client = sidecar.client();
        client.send(head("POST", "/rest/users", &[&basic("api", key), "Content-Length: 0"]));
        client
    };
    let first = insert(WRITE);
    origin.wait("the first", |state| state.requests.len() == 1);
    let other = insert(OTHER);
    origin.wait("the other account's", |state| state.requests.len() == 2);
    let mut reading = sidecar.client();
    reading.send(head("GET", "/rest/users", &[&basic("api", WRITE)]));
    origin.wait("another method", |state| state.requests.len() == 3);
    let began = Instant::now();
    let refused = answered(insert(WRITE_TWO));
    let took = began.elapsed();
    assert_eq!((refused.status, refused.text().as_str()), (400, "Too many simultaneous requests"));
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
    turnstile.allow(4);
    answered(first).ok();
    answered(other).ok();
    reading.response("GET").ok();
    answered(insert(WRITE_TWO)).ok();
}

#[test]
fn personyze_gives_the_fast_path_up() {
    let origin = Origin::tcp(crate::actors::scripts::hang);
    let preset = preset("personyze");
    assert_eq!(preset.matches("timeout = \"10s\"").count(), 1);
    let preset = preset.replace("timeout = \"10s\"", "timeout = \"300ms\"");
    let sidecar = Sidecar::start(&Setup::whole(&preset, &origin).keys(usual_keys()));
    let response = sidecar.get("/tracker/hit", &[&basic("api", READ)]);
    assert_eq!(response.status, 503, "{response:?}");
    origin.wait("the cancellation", |state| state.requests.first().is_some_and(|seen| seen.gone));
    assert_eq!(sidecar.counted("failed", Some("upstream_timeout")), 1);
}

#[test]
fn who_waits_is_served_in_the_order_of_arrival() {
    let scene = Scene::new(&limited("10s", "account"));
    let mut clients = Vec::new();
    for (at, name) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        clients.push(scene.insert(WRITE, name));
        scene.inside(at + 1);
        scene.arrived(1);
    }
    assert_eq!(scene.names(), ["a"]);
    for (at, client) in clients.into_iter().enumerate() {
        scene.turnstile.allow(at + 1);
        answered(client).ok();
    }
    assert_eq!(scene.names(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn who_waits_too_long_is_refused() {
    let scene = Scene::new(&limited("400ms", "account"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let began = Instant::now();
    answered(scene.insert(WRITE, "second")).refused(429, "too_many_in_flight");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(scene.sidecar.refusals("too_many_in_flight"), 1);
    scene.turnstile.allow(2);
    answered(first).ok();
    answered(scene.insert(WRITE, "third")).ok();
    assert_eq!(scene.names(), ["first", "third"]);
}

#[test]
fn accounts_never_wait_for_each_other_and_keys_of_one_account_do() {
    let scene = Scene::new(&limited("10s", "account"));
    let first = scene.insert(WRITE, "acme");
    scene.arrived(1);
    let other = scene.insert(OTHER, "other");
    scene.arrived(2);
    let second = scene.insert(WRITE_TWO, "acme again");
    scene.inside(3);
    assert!(never(Duration::from_millis(200), || scene.origin.count() > 2));
    scene.sidecar.get("/elsewhere", &[&bearer("no-such-key-0123456789")]);
    scene.turnstile.allow(3);
    answered(first).ok();
    answered(other).ok();
    answered(second).ok();
    assert_eq!(scene.names(), ["acme", "other", "acme again"]);
}

#[test]
fn a_limit_per_key_lets_the_accounts_other_key_pass() {
    let scene = Scene::new(&limited("100ms", "key"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let second = scene.insert(WRITE_TWO, "second");
    scene.arrived(2);
    answered(scene.insert(WRITE, "third")).refused(429, "too_many_in_flight");
    scene.turnstile.allow(2);
    answered(first).ok();
    answered(second).ok();
}

#[test]
fn a_limit_per_address_holds_for_all_accounts_there() {
    let scene = Scene::new(&limited("100ms", "address"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    answered(scene.insert(OTHER, "second")).refused(429, "too_many_in_flight");
    scene.turnstile.allow(1);
    answered(first).ok();
}

#[test]
fn other_routes_do_not_wait() {
    let scene = Scene::new(&limited("10s", "account"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    scene.turnstile.allow(0);
    let mut second = scene.sidecar.client();
    second.send(head("GET", "/elsewhere", &[&bearer(WRITE)]));
    scene.arrived(2);
    scene.turnstile.allow(2);
    answered(first).ok();
    second.response("GET").ok();
}

#[test]
fn who_left_the_queue_is_never_forwarded() {
    let scene = Scene::new(&limited("10s", "account"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let leaver = scene.insert(WRITE, "leaver");
    scene.inside(2);
    let http2 = scene.sidecar.http2();
    let reset = http2.open("POST", "/insert", &[&bearer(WRITE), "x-name: reset"], true);
    scene.inside(3);
    let last = scene.insert(WRITE, "last");
    scene.inside(4);
    drop(leaver);
    reset.reset();
    scene.inside(2);
    scene.turnstile.allow(2);
    answered(first).ok();
    answered(last).ok();
    assert_eq!(scene.names(), ["first", "last"]);
}

#[test]
fn who_left_the_queue_with_a_body_unread_is_never_forwarded() {
    let scene = Scene::new(&limited("10s", "account"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let mut leaver = scene.sidecar.client();
    let length = "Content-Length: 300000";
    leaver.send(head("POST", "/insert", &[&bearer(WRITE), "X-Name: leaver", length]));
    scene.inside(2);
    leaver.send(vec![b'x'; 100_000]);
    let last = scene.insert(WRITE, "last");
    scene.inside(3);
    drop(leaver);
    scene.inside(2);
    scene.turnstile.allow(2);
    answered(first).ok();
    answered(last).ok();
    assert_eq!(scene.names(), ["first", "last"]);
}

#[test]
fn who_leaves_in_flight_frees_the_slot() {
    let scene = Scene::new(&limited("10s", "account"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let second = scene.insert(WRITE, "second");
    scene.inside(2);
    drop(first);
    scene.arrived(2);
    let http2 = scene.sidecar.http2();
    let third = http2.open("POST", "/insert", &[&bearer(WRITE), "x-name: third"], true);
    scene.inside(2);
    drop(second);
    scene.arrived(3);
    let fourth = scene.insert(WRITE, "fourth");
    scene.inside(2);
    third.reset();
    scene.arrived(4);
    scene.turnstile.allow(4);
    answered(fourth).ok();
    assert_eq!(scene.names(), ["first", "second", "third", "fourth"]);
}

#[test]
fn the_slot_is_held_to_the_end_of_the_body() {
    let cue = Arc::<Cue>::default();
    let held = Arc::clone(&cue);
    let origin = Origin::tcp(move |exchange| {
        exchange.drain();
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf");
        held.wait();
        exchange.send("half");
        After::Keep
    });
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&limited("10s", "account")));
    let mut first = sidecar.client();
    first.send(head("POST", "/insert", &[&bearer(WRITE), "Content-Length: 0"]));
    let (_, mut left) = first.response_head("POST");
    assert_eq!(first.piece(&mut left), Ok(Some(b"half".to_vec())));
    let mut second = sidecar.client();
    second.send(head("POST", "/insert", &[&bearer(WRITE), "Content-Length: 0"]));
    assert!(never(Duration::from_millis(200), || origin.count() > 1));
    cue.raise();
    assert_eq!(first.piece(&mut left), Ok(Some(b"half".to_vec())));
    second.response("POST").ok();
}

#[test]
fn an_upstream_that_fails_frees_the_slot() {
    let origin = Origin::tcp(|exchange| {
        exchange.drain();
        After::Close
    });
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&limited("100ms", "account")));
    let mut client = sidecar.client();
    for _ in 0..3 {
        client.post("/insert", &[&bearer(WRITE)], b"x").refused(502, "upstream_unreachable");
    }
}

#[test]
fn who_leaves_the_queue_for_the_upstream_is_judged_again() {
    let scene = Scene::new(&limited("10s", "account"));
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let second = scene.insert(WRITE_TWO, "second");
    scene.inside(2);
    let keys = usual_keys().replace(
        "id = \"acme-write-two\"",
        "id = \"acme-write-two\"\nrevoked = 2026-01-01T00:00:00Z",
    );
    let generation = scene.sidecar.generation();
    scene.sidecar.replace("keys.toml", keys);
    scene.sidecar.reloaded(generation);
    scene.turnstile.allow(2);
    answered(first).ok();
    answered(second).refused(401, "invalid_credential");
    assert_eq!(scene.names(), ["first"]);
}

#[test]
fn a_queue_is_at_most_a_thousand_long() {
    let scene = Scene::new(&limited("30s", "account"));
    let connections: Vec<_> = (0..20).map(|_| scene.sidecar.http2()).collect();
    let mut streams = Vec::new();
    for at in 0..1001 {
        let fields = [&bearer(WRITE), "x-name: n"];
        streams.push(connections[at % 20].open("POST", "/insert", &fields, true));
    }
    scene.inside(1001);
    let began = Instant::now();
    answered(scene.insert(WRITE, "beyond")).refused(429, "too_many_in_flight");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(scene.origin.count(), 1);
}

const TIMED: &str = "[[route]]\npath = \"/{*rest}\"\ntimeout = \"400ms\"\n";

#[test]
fn a_routes_time_is_over_before_the_head() {
    let origin = Origin::tcp(crate::actors::scripts::hang);
    let config = format!("[responses]\nupstream_timeout = {{ status = 503 }}\n{TIMED}");
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&config));
    let began = Instant::now();
    sidecar.get("/", &[&bearer(WRITE)]).refused(503, "upstream_timeout");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(10), "{took:?}");
    origin.wait("the cancellation", |state| state.requests.first().is_some_and(|seen| seen.gone));
}

#[test]
fn a_routes_time_is_over_in_the_body_however_lively() {
    let origin = Origin::tcp(crate::actors::scripts::events);
    let sidecar = Sidecar::start(&Setup::before(&origin).config(&TIMED.replace("400ms", "2s")));
    let began = Instant::now();
    let response = sidecar.client().get("/", &[&bearer(WRITE)]);
    assert_eq!((response.status, response.complete), (200, false));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
    let response = sidecar.http2().get("/", &[&bearer(WRITE)]);
    assert_eq!((response.status, response.complete), (200, false));
    origin.wait("the cancellation", |state| state.requests.iter().all(|seen| seen.gone));
}

#[test]
fn a_client_that_reads_nothing_does_not_stretch_a_routes_time() {
    let origin = Origin::tcp(crate::actors::scripts::flood);
    let sidecar = Sidecar::start(&Setup::before(&origin).config(TIMED));
    let mut client = sidecar.client();
    client.send(head("GET", "/", &[&bearer(WRITE)]));
    origin.wait("the cancellation", |state| state.requests.iter().any(|seen| seen.gone));
    eventually("the end of the connection", || {
        (sidecar.metric("keygate_in_flight_requests", &[]) == 0.0).then_some(())
    });
}

#[test]
fn the_queue_is_not_counted_in_a_routes_time() {
    let route = "[[route]]\npath = \"/insert\"\ntimeout = \"1500ms\"\n\
                 in_flight = { max = 1, per = \"account\", queue = \"10s\" }\n";
    let scene = Scene::new(route);
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let second = scene.insert(WRITE, "second");
    // The first one's whole time passes; the second one's begins only then.
    answered(first).refused(504, "upstream_timeout");
    scene.arrived(2);
    scene.turnstile.allow(2);
    answered(second).ok();
}

#[test]
fn a_limit_that_is_not_enforced_only_counts() {
    let route = "[[route]]\npath = \"/insert\"\nenforce = false\n\
                 in_flight = { max = 1, per = \"account\", queue = \"10s\" }\n";
    let scene = Scene::new(route);
    let first = scene.insert(WRITE, "first");
    scene.arrived(1);
    let second = scene.insert(WRITE, "second");
    scene.arrived(2);
    scene.turnstile.allow(2);
    answered(first).ok();
    answered(second).ok();
    eventually("the count", || {
        (scene.sidecar.counted("shadow", Some("too_many_in_flight")) == 1).then_some(())
    });
}
