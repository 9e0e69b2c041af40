//! The end: nothing that was accepted is cut while there is time left.

use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::actors::client::{bearer, head};
use crate::actors::origin::Origin;
use crate::actors::scripts::{events, hold};
use crate::actors::setup::{GIVEN, READ, Setup};
use crate::actors::sidecar::Sidecar;
use crate::actors::{Cue, PATIENCE, eventually};

/// A request in flight on each protocol, then SIGTERM; both must end well.
#[test]
fn requests_in_flight_finish_on_both_protocols() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let mut sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    client.send(head("GET", "/h1", &[&bearer(READ)]));
    let http2 = sidecar.http2();
    let mut stream = http2.open("GET", "/h2", &[&bearer(READ)], true);
    origin.wait("both", |state| state.requests.len() == 2);
    sidecar.signal(Signal::TERM);
    eventually("the listener to close", || {
        TcpStream::connect(sidecar.https).is_err().then_some(())
    });
    eventually("GOAWAY", || http2.try_open("GET", "/late", &[], true).is_err().then_some(()));
    assert!(sidecar.running());
    cue.raise();
    let response = client.response("GET");
    response.ok();
    assert_eq!(response.value("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
    assert!(client.closed());
    stream.response().ok();
    let began = Instant::now();
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(http2.ended(), Some(Ok(())));
    assert_eq!(origin.count(), 2);
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let origin = Origin::echo();
        let mut sidecar = Sidecar::start(&Setup::before(&origin));
        let mut client = sidecar.client();
        client.get("/", &[&bearer(READ)]).ok();
        let untouched = sidecar.client();
        let http2 = sidecar.http2();
        http2.get("/", &[&bearer(READ)]).ok();
        let began = Instant::now();
        sidecar.signal(signal);
        assert_eq!(sidecar.wait_exit().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(client.closed());
        drop(untouched);
    }
}

#[test]
fn a_request_body_that_is_still_coming_is_taken_to_its_end() {
    let origin = Origin::echo();
    let mut sidecar = Sidecar::start(&Setup::before(&origin));
    let mut client = sidecar.client();
    let key = bearer(crate::actors::setup::WRITE);
    client.send(head("POST", "/", &[&key, "Content-Length: 10"]));
    client.send("first");
    origin.wait("the first half", |state| {
        state.requests.first().is_some_and(|seen| seen.body == b"first")
    });
    sidecar.signal(Signal::TERM);
    eventually("the listener to close", || {
        TcpStream::connect(sidecar.https).is_err().then_some(())
    });
    client.send("other");
    client.response("POST").ok();
    assert_eq!(origin.only().body, b"firstother");
    assert_eq!(sidecar.wait_exit().code(), Some(0));
}

#[test]
fn readiness_fails_first_and_new_connections_are_served_during_the_delay() {
    let origin = Origin::echo();
    let mut sidecar = Sidecar::start(&Setup::before(&origin).config("[drain]\ndelay = \"4s\"\n"));
    assert_eq!(sidecar.admin("/readyz").status, 200);
    let began = Instant::now();
    sidecar.signal(Signal::TERM);
    eventually("not ready", || (sidecar.admin("/readyz").status == 503).then_some(()));
    let ready = sidecar.ready();
    assert_eq!((&ready["ready"], &ready["draining"]), (&false.into(), &true.into()));
    assert_eq!(sidecar.admin("/livez").status, 200);
    sidecar.get("/", &[&bearer(READ)]).ok();
    assert!(began.elapsed() < Duration::from_secs(4), "too slow a machine to tell");
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(4));
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_never_ends_is_cut_at_the_timeout() {
    let origin = Origin::tcp(events);
    let mut sidecar =
        Sidecar::start(&Setup::before(&origin).config("[drain]\ntimeout = \"500ms\"\n"));
    let mut client = sidecar.client();
    client.send(head("GET", "/", &[&bearer(READ)]));
    let (_, mut left) = client.response_head("GET");
    let began = Instant::now();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
    while let Ok(piece) = client.piece(&mut left) {
        assert!(piece.is_some(), "an end that looks whole");
        assert!(began.elapsed() < PATIENCE, "it goes on and on");
    }
}

#[test]
fn who_waits_for_a_slot_is_served_before_the_end() {
    let cue = Arc::<Cue>::default();
    let origin = Origin::tcp(hold(&cue));
    let route = "[[route]]\npath = \"/{*rest}\"\n\
                 in_flight = { max = 1, per = \"account\", queue = \"10s\" }\n";
    let mut sidecar = Sidecar::start(&Setup::before(&origin).config(route));
    let mut clients = [sidecar.client(), sidecar.client(), sidecar.client()];
    for client in &mut clients {
        client.send(head("GET", "/", &[&bearer(READ)]));
    }
    eventually("all inside", || {
        (sidecar.metric("keygate_in_flight_requests", &[]) == 3.0).then_some(())
    });
    sidecar.signal(Signal::TERM);
    eventually("the listener to close", || {
        TcpStream::connect(sidecar.https).is_err().then_some(())
    });
    origin.wait("the first", |state| !state.requests.is_empty());
    assert_eq!(origin.count(), 1);
    cue.raise();
    clients.iter_mut().for_each(|client| client.response("GET").ok());
    assert_eq!(sidecar.wait_exit().code(), Some(0));
}

/// A disk may hang under it for as long as it likes: here a pipe does, into which nobody writes. One
/// with a name would not be read, nor one that it was not given.
#[test]
fn a_reload_that_hangs_does_not_hold_up_the_end() {
    let origin = Origin::echo();
    let disks = "[access_log]\nfile = \"access.log\"\n\n[audit_log]\nfile = \"audit.log\"\n\n\
                 [state]\ndirectory = \"state\"\n";
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let mut setup = Setup::before(&origin).config(disks);
    setup.given = Some(reader.try_clone().unwrap().into());
    let mut sidecar = Sidecar::start(&setup);
    symlink(GIVEN, sidecar.path("pipe")).unwrap();
    std::fs::rename(sidecar.path("pipe"), sidecar.path("keys.toml")).unwrap();
    let (ours, theirs) = (std::fs::read_link(&pipe), format!("/proc/{}/fd", sidecar.pid()));
    let ours = ours.unwrap();
    eventually("the pipe to be read", || {
        let open = std::fs::read_dir(&theirs).unwrap().map(|entry| entry.unwrap().path());
        let open = open.filter(|fd| std::fs::read_link(fd).is_ok_and(|it| it == ours));
        // The one that it was given, and the one that it reads.
        (open.count() > 1).then_some(())
    });
    // A thread that waits for a disk hears no signal, and of those that hear them the system tells any
    // one: only threads that never wait for a disk may.
    let tasks = format!("/proc/{}/task", sidecar.pid());
    let told = |thread: &str, file| std::fs::read_to_string(format!("{tasks}/{thread}/{file}"));
    let deaf = |thread: &str| {
        let status = told(thread, "status").unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
        let meant = [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR2];
        meant.map(|signal| blocked >> (signal.as_raw() - 1) & 1 == 1)
    };
    let mut names = Vec::new();
    for thread in std::fs::read_dir(&tasks).unwrap() {
        let thread = thread.unwrap().file_name().into_string().unwrap();
        let name = told(&thread, "comm").unwrap().trim().to_owned();
        let hears = name == "control" || name.starts_with("worker-");
        assert_eq!(deaf(&thread), [!hears; 4], "{name}");
        names.push(name);
    }
    for name in ["log", "access-log", "audit-log", "usage", "control", "worker-0"] {
        assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
    }
    let began = Instant::now();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait_exit().code(), Some(0));
    let log = sidecar.log.ended();
    assert!(log.contains("drained") && log.contains("a reload is still under way"), "{log}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    drop((reader, writer));
}
