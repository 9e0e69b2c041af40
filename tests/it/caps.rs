//! How many connections there may be. What is beyond is closed at once, said once, and takes
//! nothing from those who are there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit, setrlimit};

use crate::actors::client::{Client, bearer, dial, dial_from, head};
use crate::actors::log::Line;
use crate::actors::origin::Origin;
use crate::actors::pki::TRUSTED;
use crate::actors::scripts::websocket;
use crate::actors::setup::{READ, Setup};
use crate::actors::sidecar::Sidecar;
use crate::actors::{eventually, never};

fn limited(origin: &Origin, lines: &str) -> Sidecar {
    Sidecar::start(&Setup::before(origin).config(&format!("[limits]\n{lines}\n")))
}

fn refused(sidecar: &Sidecar, reason: &str) -> f64 {
    sidecar.metric("keygate_connections_refused_total", &[reason])
}

/// How often it was said that connections are refused.
fn said(sidecar: &Sidecar) -> usize {
    sidecar.log.text().matches("connections are refused").count()
}

/// Whether the server closes a connection before anything is said.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn try_tls(stream: TcpStream) -> Option<Client> {
    Client::tls_on(stream, TRUSTED.client(&["http/1.1"])).ok()
}

/// Waits until somebody new is served.
fn served_again(sidecar: &Sidecar) {
    eventually("a new client to be served", || {
        let mut client = try_tls(dial(sidecar.https).ok()?)?;
        (client.get("/", &[&bearer(READ)]).status == 200).then_some(())
    });
}

#[test]
fn connections_beyond_the_cap_are_closed_at_once_and_the_others_do_not_notice() {
    let origin = Origin::echo();
    let sidecar = limited(&origin, "connections = 5");
    let mut clients: Vec<_> = (0..5).map(|_| sidecar.client()).collect();
    let began = Instant::now();
    for _ in 0..50 {
        assert!(is_closed(&mut dial(sidecar.https).unwrap()));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for client in &mut clients {
        client.get("/", &[&bearer(READ)]).ok();
    }
    assert_eq!(refused(&sidecar, "\"connections\""), 50.0);
    let is_it = |line: &Line| line.message() == "connections are refused";
    assert_eq!(sidecar.logged(0, "the refusals", is_it).texts("reason"), ["connections"]);
    assert_eq!(said(&sidecar), 1);
    clients.pop();
    served_again(&sidecar);
    drop(clients);
}

#[test]
fn an_address_has_so_many_connections_and_others_have_theirs() {
    let origin = Origin::echo();
    let sidecar = limited(&origin, "connections_per_address = 3");
    let mut clients: Vec<_> = (0..3).map(|_| sidecar.client()).collect();
    assert!(is_closed(&mut dial(sidecar.https).unwrap()));
    for local in ["127.0.0.2", "127.0.0.3"] {
        for _ in 0..3 {
            let mut client = try_tls(dial_from(local, sidecar.https).unwrap()).unwrap();
            client.get("/", &[&bearer(READ)]).ok();
            clients.push(client);
        }
        assert!(is_closed(&mut dial_from(local, sidecar.https).unwrap()));
    }
    assert_eq!(refused(&sidecar, "\"connections_per_address\""), 3.0);
    clients.remove(0);
    served_again(&sidecar);
}

#[test]
fn a_trusted_proxy_is_many() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .listen("trusted_proxies = [\"127.0.0.1\"]")
        .config("[limits]\nconnections_per_address = 2\n");
    let sidecar = Sidecar::start(&setup);
    let mut clients: Vec<_> = (0..10).map(|_| sidecar.client()).collect();
    for client in &mut clients {
        client.get("/", &[&bearer(READ)]).ok();
    }
    assert_eq!(refused(&sidecar, ""), 0.0);
}

#[test]
fn what_a_connection_becomes_counts_too() {
    let origin = Origin::tcp(websocket);
    let sidecar = limited(&origin, "connections = 1");
    let mut client = sidecar.client();
    let fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    client.send(head("GET", "/", &[&[bearer(READ).as_str()], &fields[..]].concat()));
    assert_eq!(client.response_head("GET").0.status, 101);
    assert!(is_closed(&mut dial(sidecar.https).unwrap()));
    client.send("ping");
    client.wire.fill().unwrap();
    assert_eq!(client.wire.buffer, b"ping");
    drop(client);
    served_again(&sidecar);
}

#[test]
fn a_cap_that_is_changed_is_in_force_at_once_and_cuts_nobody() {
    let origin = Origin::echo();
    let sidecar = limited(&origin, "connections = 4");
    let mut clients: Vec<_> = (0..4).map(|_| sidecar.client()).collect();
    let change = |to: &str| {
        let generation = sidecar.generation();
        let text = sidecar.read("keygate.toml");
        let line = text.lines().find(|line| line.starts_with("connections = ")).unwrap();
        sidecar.replace("keygate.toml", text.replace(line, to));
        sidecar.reloaded(generation);
    };
    change("connections = 5");
    clients.push(sidecar.client());
    change("connections = 2");
    assert!(is_closed(&mut dial(sidecar.https).unwrap()));
    for client in &mut clients {
        client.get("/", &[&bearer(READ)]).ok();
    }
    change("connections = 0");
    clients.push(sidecar.client());
}

#[test]
fn how_many_there_may_be_is_said_at_the_start_and_follows_what_the_system_allows() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let line = sidecar.logged(0, "the limit", |line| line.message() == "connections are limited");
    let number = |name| line.member(name).and_then(serde_json::Value::as_u64).unwrap();
    let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20);
    assert_eq!(number("descriptors"), allowed);
    assert_eq!(number("connections"), (allowed - 64) / 2);
    let many = limited(&origin, "connections = 100000000");
    many.logged(0, "a warning", |line| {
        line.message().contains("more than the process may open files for")
    });
}

/// Leaves the process no more than so many descriptors besides those that it has.
fn leave(sidecar: &Sidecar, more: u64) {
    let pid = sidecar.pid();
    let fds = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let most = u64::try_from(std::fs::read_dir(fds).unwrap().count()).unwrap() + more;
    let limit = Rlimit { current: Some(most), maximum: Some(most.max(20_000)) };
    let before = prlimit(Some(pid), Resource::Nofile, limit);
    // What may not be raised stays where it was.
    before
        .or_else(|_| prlimit(Some(pid), Resource::Nofile, Rlimit { maximum: Some(most), ..limit }))
        .unwrap();
}

#[test]
fn without_descriptors_new_connections_are_refused_and_the_others_are_served() {
    let origin = Origin::echo();
    let sidecar = limited(&origin, "connections = 100000");
    // Each worker has served somebody, so that it has its connection to the upstream.
    let mut old: Vec<_> = (0..8).map(|_| sidecar.client()).collect();
    for client in &mut old {
        client.get("/", &[&bearer(READ)]).ok();
    }
    leave(&sidecar, 10);
    let mut hoard: Vec<_> = (0..40).map(|_| dial(sidecar.https).unwrap()).collect();
    for stream in &hoard {
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    }
    // Most are told at once that nobody will answer; they do not wait for it.
    eventually("most of them to be closed", || {
        (hoard.iter_mut().filter_map(|stream| is_closed(stream).then_some(())).count() >= 20)
            .then_some(())
    });
    // Nobody else is disturbed, and nothing spins.
    let before = sidecar.processor_time();
    let began = Instant::now();
    assert!(never(Duration::from_millis(500), || {
        is_closed(&mut dial(sidecar.https).unwrap());
        false
    }));
    for client in &mut old {
        client.get("/", &[&bearer(READ)]).ok();
    }
    let busy = sidecar.processor_time() - before;
    assert!(busy < began.elapsed() / 2, "{busy:?} of {:?}", began.elapsed());
    drop(hoard);
    served_again(&sidecar);
    assert!(refused(&sidecar, "descriptors") >= 20.0);
    assert_eq!(said(&sidecar), 1);
    assert!(!sidecar.log.text().contains("panic"));
}

/// Whoever comes while nobody accepts waits with the system, which holds so many and no more. What
/// has gathered there is dealt with when there is time again, and nobody is left waiting.
#[test]
fn a_full_accept_queue_is_worked_off_and_the_next_are_served() {
    raise_descriptors();
    let origin = Origin::echo();
    let setup = Setup::before(&origin).set("workers=1").config("[limits]\nfirst_bytes = \"1s\"");
    let sidecar = Sidecar::start(&setup.listen("http_accepts = \"everything\""));
    let address = sidecar.http.unwrap();
    let mut old = sidecar.plain();
    old.get("/", &[&bearer(READ)]).ok();
    sidecar.freeze();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 10_000, "the queue has no end");
    }
    assert!(waiting.len() > 1_000, "{} fit in", waiting.len());
    sidecar.signal(Signal::CONT);
    // Those of one address are more than it may have.
    eventually("the queue to be worked off", || {
        (refused(&sidecar, "connections_per_address") >= 1_000.0).then_some(())
    });
    assert_eq!(said(&sidecar), 1);
    old.get("/", &[&bearer(READ)]).ok();
    drop(waiting);
    let mut other = Client::over(dial_from("127.0.0.2", address).unwrap());
    other.get("/", &[&bearer(READ)]).ok();
    served_again(&sidecar);
    assert!(!sidecar.log.text().contains("panic"));
}

fn raise_descriptors() {
    let own = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: own.maximum, ..own }).unwrap();
}

#[test]
fn two_thousand_idle_connections_do_not_keep_a_client_waiting() {
    among_idle(2_000);
}

/// By itself, because it takes 20,000 descriptors: `cargo test --test it ten_thousand -- --ignored
/// --nocapture`.
#[test]
#[ignore = "it takes more of the machine than other tests may"]
fn ten_thousand_idle_connections_do_not_keep_a_client_waiting() {
    among_idle(10_000);
}

/// One client among so many that do nothing: a tenth after a handshake, the others in clear, every
/// second of them in a head that does not end.
fn among_idle(count: usize) {
    raise_descriptors();
    let origin = Origin::echo();
    let limits = "connections = 100000\nconnections_per_address = 0\nhandshake = \"1h\"\n\
                  first_bytes = \"1h\"\nhead = \"1h\"\n";
    let setup = Setup::before(&origin).listen("http_accepts = \"everything\"");
    let sidecar = Sidecar::start(&setup.config(&format!("[limits]\n{limits}")));
    let mut client = sidecar.client();
    let ask = |client: &mut Client| {
        let began = Instant::now();
        client.get("/", &[&bearer(READ)]).ok();
        began.elapsed()
    };
    let median = |client: &mut Client| {
        let mut times: Vec<_> = (0..201).map(|_| ask(client)).collect();
        times.sort();
        (times[100], times[198])
    };
    let alone = median(&mut client);
    let memory = sidecar.peak_memory();
    let plain = sidecar.http.unwrap();
    let tls: Vec<_> = (0..count / 10).map(|_| sidecar.client()).collect();
    let mut idle: Vec<_> = (tls.len()..count).map(|_| dial(plain).unwrap()).collect();
    for stream in idle.iter_mut().step_by(2) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-").unwrap();
    }
    let wanted = f64::from(u32::try_from(count).unwrap());
    eventually("all of them", || {
        (sidecar.metric("keygate_connections", &[]) >= wanted).then_some(())
    });
    let among = median(&mut client);
    let each = (sidecar.peak_memory() - memory) / u64::try_from(count).unwrap();
    println!(
        "alone: median {:?}, p99 {:?}; among {count} idle connections: median {:?}, p99 {:?}; \
         {each} bytes for each",
        alone.0, alone.1, among.0, among.1
    );
    // In proportion, with room for a machine that is busy with other tests.
    assert!(among.0 < alone.0 * 20 + Duration::from_millis(100), "{alone:?} {among:?}");
    assert!(each < 64 * 1024, "{each} bytes for each");
    sidecar.get("/", &[&bearer(READ)]).ok();
    drop((idle, tls));
}
