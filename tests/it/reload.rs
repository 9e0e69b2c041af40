//! What changes while it runs: seen however the file was changed, in force at once, and without a
//! connection noticing.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::actors::client::{Client, bearer, head};
use crate::actors::origin::Origin;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{OTHER, READ, Setup, WRITE, account, key, usual_keys};
use crate::actors::sidecar::{PROGRAM, Sidecar};
use crate::actors::{Cue, eventually, never, scripts};

/// A change is in force within a second; the rest is for a machine that has other work.
const SOON: Duration = Duration::from_millis(1700);

pub(crate) const NEW: &str = "new-write-key-0123456789abcdef";

pub(crate) fn with_a_new_key() -> String {
    usual_keys() + &key("new", "acme", NEW, "access = \"write\"")
}

fn without(id: &str) -> String {
    let kept = usual_keys();
    kept.split("[[")
        .filter(|part| !part.contains(&format!("id = {id:?}\n")))
        .collect::<Vec<_>>()
        .join("[[")
}

fn revoked(id: &str) -> String {
    let line = format!("id = {id:?}\n");
    usual_keys().replace(&line, &format!("{line}revoked = 2026-01-01T00:00:00Z\n"))
}

/// Asks on one connection until a key has the wanted status, and says how long that took. A key that
/// dies takes what is in flight with it, which ends that connection.
#[track_caller]
fn until(sidecar: &Sidecar, client: &mut Client, key: &str, status: u16) -> Duration {
    let began = Instant::now();
    eventually("the change to be in force", || {
        let answer = client.try_get("/", &[&bearer(key)]).filter(|answer| answer.complete);
        match answer {
            Some(answer) => (answer.status == status).then_some(()),
            None => {
                assert_eq!(status, 401, "cut off");
                *client = sidecar.client();
                None
            }
        }
    });
    began.elapsed()
}

/// What the machine keeps from the thread that reloads, which stands behind all others, is not counted.
#[track_caller]
pub(crate) fn soon(sidecar: &Sidecar, client: &mut Client, key: &str, status: u16) {
    let before = sidecar.kept_from_running();
    let took = until(sidecar, client, key, status);
    let kept = sidecar.kept_from_running() - before;
    assert!(
        took.saturating_sub(kept) < SOON,
        "in force only after {took:?}, {kept:?} of it waiting"
    );
}

fn sidecar(origin: &Origin) -> Sidecar {
    Sidecar::start(&Setup::before(origin))
}

#[test]
fn a_key_file_that_is_renamed_into_place_is_seen() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    assert_eq!(client.get("/", &[&bearer(NEW)]).status, 401);
    sidecar.replace("keys.toml", with_a_new_key());
    soon(&sidecar, &mut client, NEW, 200);
    sidecar.replace("keys.toml", usual_keys());
    soon(&sidecar, &mut client, NEW, 401);
}

#[test]
fn a_key_file_that_is_written_in_place_is_seen() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    assert_eq!(client.get("/", &[&bearer(NEW)]).status, 401);
    fs::write(sidecar.path("keys.toml"), with_a_new_key()).unwrap();
    soon(&sidecar, &mut client, NEW, 200);
}

#[test]
fn a_key_file_behind_a_swapped_symlink_is_seen() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .config("[keys]\nfiles = [\"current.toml\"]")
        .file("one/keys.toml", usual_keys())
        .file("two/keys.toml", with_a_new_key());
    let directory = tempfile::TempDir::new().unwrap();
    setup.write(directory.path());
    symlink("one/keys.toml", directory.path().join("current.toml")).unwrap();
    let sidecar = Sidecar::start_in(directory, &setup);
    let mut client = sidecar.client();
    assert_eq!(client.get("/", &[&bearer(NEW)]).status, 401);
    symlink("two/keys.toml", sidecar.path("next")).unwrap();
    fs::rename(sidecar.path("next"), sidecar.path("current.toml")).unwrap();
    soon(&sidecar, &mut client, NEW, 200);
    // And the file that it points to now.
    fs::write(sidecar.path("two/keys.toml"), usual_keys()).unwrap();
    until(&sidecar, &mut client, NEW, 401);
}

#[test]
fn a_file_that_appears_in_a_directory_of_keys_is_seen() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .config("[keys]\nfiles = [\"keys\"]")
        .file("keys/acme.toml", usual_keys());
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    assert_eq!(client.get("/", &[&bearer(NEW)]).status, 401);
    let more = account("newcomer", "") + &key("new", "newcomer", NEW, "");
    sidecar.replace("keys/newcomer.toml", more);
    soon(&sidecar, &mut client, NEW, 200);
    fs::remove_file(sidecar.path("keys/newcomer.toml")).unwrap();
    soon(&sidecar, &mut client, NEW, 401);
}

#[test]
fn a_key_file_that_vanishes_keeps_the_old_state_until_it_returns() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    fs::remove_file(sidecar.path("keys.toml")).unwrap();
    eventually("the loss to be told", || (!sidecar.ready()["error"].is_null()).then_some(()));
    client.get("/", &[&bearer(READ)]).ok();
    assert_eq!(sidecar.admin("/readyz").status, 200);
    fs::write(sidecar.path("keys.toml"), with_a_new_key()).unwrap();
    soon(&sidecar, &mut client, NEW, 200);
    eventually("the error to be over", || sidecar.ready()["error"].is_null().then_some(()));
}

#[test]
fn a_file_that_is_replaced_by_the_same_makes_no_new_state() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let generation = sidecar.generation();
    sidecar.replace("keys.toml", usual_keys());
    assert!(never(Duration::from_millis(700), || sidecar.generation() != generation));
    // And one change makes one state, however often it is looked at.
    sidecar.replace("keys.toml", with_a_new_key());
    assert_eq!(sidecar.reloaded(generation), generation + 1);
    assert!(never(Duration::from_millis(700), || sidecar.generation() != generation + 1));
}

#[test]
fn writes_in_place_that_follow_each_other_at_once_are_all_seen() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    // As long as each other: nothing but the instant tells the files apart.
    let dead = usual_keys() + &key("new", "acme", &NEW.replace('n', "x"), "access = \"write\"");
    assert_eq!(dead.len(), with_a_new_key().len());
    for _ in 0..5 {
        fs::write(sidecar.path("keys.toml"), &dead).unwrap();
        fs::write(sidecar.path("keys.toml"), with_a_new_key()).unwrap();
        soon(&sidecar, &mut client, NEW, 200);
        fs::write(sidecar.path("keys.toml"), &dead).unwrap();
        soon(&sidecar, &mut client, NEW, 401);
    }
}

#[test]
fn a_large_file_is_seen_however_it_is_changed() {
    let origin = Origin::echo();
    let large = |keys: String| format!("{keys}\n#{}\n", "x".repeat(5 << 20));
    let setup = Setup::before(&origin).file("keys.toml", large(usual_keys()));
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(WRITE)]).ok();
    let generation = sidecar.generation();
    sidecar.replace("keys.toml", large(revoked("acme-write")));
    soon(&sidecar, &mut client, WRITE, 401);
    assert_eq!(sidecar.reloaded(generation), generation + 1);
    fs::write(sidecar.path("keys.toml"), large(usual_keys())).unwrap();
    soon(&sidecar, &mut client, WRITE, 200);
    fs::write(sidecar.path("keys.toml"), large(with_a_new_key())).unwrap();
    soon(&sidecar, &mut client, NEW, 200);
}

#[test]
fn sighup_reloads() {
    let origin = Origin::echo();
    let mut sidecar = sidecar(&origin);
    let reloads = sidecar.metric("keygate_reloads_total", &[]);
    sidecar.signal(Signal::HUP);
    eventually("a reload", || {
        (sidecar.metric("keygate_reloads_total", &[]) > reloads).then_some(())
    });
    assert!(sidecar.running());
    sidecar.client().get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_key_that_is_revoked_is_refused_on_the_open_connection() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let (mut client, http2) = (sidecar.client(), sidecar.http2());
    client.get("/", &[&bearer(WRITE)]).ok();
    http2.get("/", &[&bearer(WRITE)]).ok();
    sidecar.replace("keys.toml", revoked("acme-write"));
    soon(&sidecar, &mut client, WRITE, 401);
    // One that was on its way when the key died may still arrive upstream; none that came after.
    let fields = [&bearer(WRITE), "x-after: 1"];
    for _ in 0..20 {
        client.get("/", &fields).refused(401, "invalid_credential");
        http2.get("/", &fields).refused(401, "invalid_credential");
    }
    assert!(!origin.requests().iter().any(|seen| seen.has("x-after")));
    assert!(sidecar.refusals("revoked_key") >= 40);
    client.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn a_key_that_is_deleted_is_unknown() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(WRITE)]).ok();
    sidecar.replace("keys.toml", without("acme-write"));
    soon(&sidecar, &mut client, WRITE, 401);
    client.get("/", &[&bearer(WRITE)]);
    assert!(sidecar.refusals("unknown_key") >= 1);
}

#[test]
fn an_account_that_is_disabled_is_refused() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(WRITE)]).ok();
    let keys = usual_keys().replacen("name = \"acme\"", "name = \"acme\"\ndisabled = true", 1);
    sidecar.replace("keys.toml", keys);
    soon(&sidecar, &mut client, WRITE, 403);
    client.get("/", &[&bearer(OTHER)]).ok();
}

#[test]
fn a_reload_says_what_it_changed() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let (mark, generation) = (sidecar.log.mark(), sidecar.generation());
    let keys = revoked("acme-write").replace("\"acme-read\"", "\"acme-reader\"");
    sidecar.replace("keys.toml", keys + &key("new", "acme", NEW, ""));
    assert_eq!(sidecar.reloaded(generation), generation + 1);
    for id in ["new", "acme-reader", "acme-read", "acme-write"] {
        sidecar.logged(mark, id, |line| line.text.contains(id));
    }
}

#[test]
fn routes_and_answers_are_live() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).ok();
    let config = sidecar.read("keygate.toml");
    let route = "[responses]\nno_route = { status = 418 }\n[[route]]\npath = \"/only\"\n";
    sidecar.replace("keygate.toml", config.clone() + route);
    soon(&sidecar, &mut client, READ, 418);
    client.get("/only", &[&bearer(READ)]).ok();
    sidecar.replace("keygate.toml", config);
    soon(&sidecar, &mut client, READ, 200);
}

#[test]
fn timeouts_are_live() {
    let origin = Origin::tcp(|exchange| match exchange.request.target.as_str() {
        "/hang" => scripts::hang(exchange),
        _ => scripts::echo(exchange),
    });
    let sidecar = sidecar(&origin);
    let (config, generation) = (sidecar.read("keygate.toml"), sidecar.generation());
    sidecar
        .replace("keygate.toml", config.replace("[upstream]", "[upstream]\ntimeout = \"200ms\""));
    sidecar.reloaded(generation);
    sidecar.get("/hang", &[&bearer(READ)]).refused(504, "upstream_timeout");
}

#[test]
fn the_upstream_can_be_moved() {
    let (origin, other) = (Origin::echo(), Origin::echo());
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).ok();
    let (config, generation) = (sidecar.read("keygate.toml"), sidecar.generation());
    sidecar.replace("keygate.toml", config.replace(&origin.url, &other.url));
    sidecar.reloaded(generation);
    client.get("/", &[&bearer(READ)]).ok();
    assert_eq!((origin.count(), other.count()), (1, 1));
}

#[test]
fn a_listener_that_moves_asks_for_a_restart() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let (config, mark) = (sidecar.read("keygate.toml"), sidecar.log.mark());
    sidecar.replace(
        "keygate.toml",
        config.replacen("https = \"127.0.0.1:0\"", "https = \"127.0.0.2:0\"", 1),
    );
    sidecar.logged(mark, "a restart", |line| line.text.contains("restart"));
    sidecar.client().get("/", &[&bearer(READ)]).ok();
}

/// The serial number of the certificate that a new handshake shows.
pub(crate) fn shown(sidecar: &Sidecar) -> Vec<u8> {
    use rustls::pki_types::ServerName;
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(TRUSTED.client(&[]), name).unwrap();
    let mut stream = std::net::TcpStream::connect(sidecar.https).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    session.peer_certificates().unwrap()[0].as_ref().to_vec()
}

#[test]
fn a_certificate_is_replaced_without_closing_a_connection() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(READ)]).ok();
    let (old, identity) = (shown(&sidecar), TRUSTED.issue());
    // One after the other: what does not fit together in between is not loaded.
    sidecar.replace("server.crt", identity.certificate);
    assert!(never(Duration::from_millis(300), || shown(&sidecar) != old));
    sidecar.replace("server.key", identity.key);
    eventually("the new certificate", || (shown(&sidecar) != old).then_some(()));
    client.get("/", &[&bearer(READ)]).ok();
    eventually("no error", || sidecar.ready()["error"].is_null().then_some(()));
}

#[test]
fn a_broken_file_keeps_the_old_state_and_says_where() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    assert_eq!(sidecar.metric("keygate_last_reload_successful", &[]), 1.0);
    let mark = sidecar.log.mark();
    let broken =
        usual_keys() + "[[key]]\nid = \"bad\"\naccount = \"acme\"\ndigest = \"sha256:00\"\n";
    let line = broken.lines().position(|line| line.contains("sha256:00")).unwrap() + 1;
    sidecar.replace("keys.toml", &broken);
    let place = format!("keys.toml:{line}:");
    sidecar.logged(mark, &place, |line| line.text.contains(&place));
    eventually("the metric", || {
        (sidecar.metric("keygate_last_reload_successful", &[]) == 0.0).then_some(())
    });
    let error = eventually("the error", || sidecar.ready()["error"].as_str().map(str::to_owned));
    assert!(error.contains("keys.toml"), "{error}");
    assert_eq!(sidecar.ready()["ready"], true);
    client.get("/", &[&bearer(READ)]).ok();
    sidecar.replace("keys.toml", usual_keys());
    eventually("it to be over", || {
        let successful = sidecar.metric("keygate_last_reload_successful", &[]) == 1.0;
        (successful && sidecar.ready()["error"].is_null()).then_some(())
    });
}

#[test]
fn a_file_that_is_no_toml_at_all_keeps_the_old_state() {
    let origin = Origin::echo();
    let sidecar = sidecar(&origin);
    let mut client = sidecar.client();
    for broken in [&b"[[key"[..], b"", b"\xff\xfe", b"key = 1"] {
        sidecar.replace("keys.toml", broken);
        eventually("the error", || (!sidecar.ready()["error"].is_null()).then_some(()));
        client.get("/", &[&bearer(READ)]).ok();
        sidecar.replace("keys.toml", usual_keys());
        eventually("it to be over", || sidecar.ready()["error"].is_null().then_some(()));
    }
    sidecar.replace("keygate.toml", "nonsense");
    eventually("the error", || (!sidecar.ready()["error"].is_null()).then_some(()));
    client.get("/", &[&bearer(READ)]).ok();
}

#[test]
fn revocations_hold_even_while_the_rest_does_not_load() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .config("[keys]\nfiles = [\"keys.toml\", \"more.toml\"]\nrevocations = \"revoked.txt\"")
        .file("more.toml", account("more", "") + &key("more", "more", NEW, ""))
        .file("revoked.txt", "# none yet\n");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(NEW)]).ok();
    sidecar.replace("more.toml", "broken = ");
    eventually("the error", || (!sidecar.ready()["error"].is_null()).then_some(()));
    // By its id, by its digest, and by the mark in a file that does parse.
    sidecar.replace("revoked.txt", "acme-read # leaked\n");
    soon(&sidecar, &mut client, READ, 401);
    let digest = crate::actors::setup::sha256(OTHER);
    sidecar.replace("revoked.txt", format!("acme-read\n{digest}\n"));
    soon(&sidecar, &mut client, OTHER, 401);
    sidecar.replace("keys.toml", revoked("acme-write"));
    soon(&sidecar, &mut client, WRITE, 401);
    client.get("/", &[&bearer(NEW)]).ok();
    // What was revoked stays so when the file vanishes.
    fs::remove_file(sidecar.path("revoked.txt")).unwrap();
    assert!(never(Duration::from_millis(500), || {
        client.get("/", &[&bearer(READ)]).status != 401
    }));
}

#[test]
fn reloads_drop_no_connection() {
    let origin = Origin::tcp(|exchange| match exchange.request.target.as_str() {
        "/events" => scripts::events(exchange),
        _ => scripts::echo(exchange),
    });
    let sidecar = sidecar(&origin);
    let http2 = sidecar.http2();
    let mut client = sidecar.client();
    let mut stream = http2.open("GET", "/events", &[&bearer(READ)], true);
    stream.head();
    client.get("/", &[&bearer(READ)]).ok();
    for round in 0..10 {
        let generation = sidecar.generation();
        let keys = if round % 2 == 0 { with_a_new_key() } else { usual_keys() };
        sidecar.replace("keys.toml", keys);
        sidecar.reloaded(generation);
        client.get("/", &[&bearer(READ)]).ok();
        assert!(stream.piece().unwrap().is_some());
    }
    assert_eq!(origin.connections(), 2);
}

#[test]
fn what_is_revoked_stays_so_when_the_file_that_says_it_vanishes() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .config("[keys]\nfiles = [\"keys.toml\"]\nrevocations = \"revoked.txt\"")
        .file("revoked.txt", "# none yet\n");
    let sidecar = Sidecar::start(&setup);
    let mut client = sidecar.client();
    client.get("/", &[&bearer(WRITE)]).ok();
    sidecar.replace("keygate.toml", "broken = ");
    sidecar.replace("keys.toml", revoked("acme-write"));
    soon(&sidecar, &mut client, WRITE, 401);
    fs::remove_file(sidecar.path("keys.toml")).unwrap();
    sidecar.replace("revoked.txt", "acme-read\n");
    soon(&sidecar, &mut client, READ, 401);
    client.get("/", &[&bearer(WRITE)]).refused(401, "invalid_credential");
}

/// A way to an address that opens only at a sign.
fn gated(address: &str, cue: &Arc<Cue>) -> (String, Arc<Cue>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (address, cue, asked) = (address.to_owned(), Arc::clone(cue), Arc::<Cue>::default());
    let tell = Arc::clone(&asked);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            tell.raise();
            cue.wait();
            let server = TcpStream::connect(&address).unwrap();
            let ways = [(&client, &server), (&server, &client)];
            for (from, to) in ways.map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap())) {
                std::thread::spawn(move || std::io::copy(&mut &from, &mut &to));
            }
        }
    });
    (url, asked)
}

#[test]
fn a_connection_that_opens_while_the_upstream_moves_serves_nobody_later() {
    let origin = || Origin::tls(&TRUSTED.issue(), scripts::echo);
    let (old, new, cue) = (origin(), origin(), Arc::<Cue>::default());
    let (url, asked) = gated(old.url.trim_start_matches("https://"), &cue);
    let setup = Setup::before_url(&url)
        .upstream("ca = \"ca.pem\"\nconnect_timeout = \"20s\"")
        .file("ca.pem", TRUSTED.pem())
        .set("workers=1");
    let sidecar = Sidecar::start(&setup);
    let mut early = sidecar.client();
    early.send(head("GET", "/", &[&bearer(READ)]));
    assert!(asked.wait());
    let (config, generation) = (sidecar.read("keygate.toml"), sidecar.generation());
    sidecar.replace("keygate.toml", config.replace(&url, &new.url));
    sidecar.reloaded(generation);
    let mut later = sidecar.client();
    later.get("/", &[&bearer(READ)]).ok();
    cue.raise();
    early.response("GET").ok();
    for _ in 0..3 {
        later.get("/", &[&bearer(READ)]).ok();
    }
    assert_eq!((old.count(), new.count()), (1, 4));
}

#[test]
fn what_can_be_read_only_once_is_read_once() {
    let origin = Origin::echo();
    let scripts = tempfile::tempdir().unwrap();
    let path = scripts.path().join("keygate");
    // The private key comes by a pipe: whoever reads it again finds nothing.
    let text = format!("#!/bin/bash\nexec {PROGRAM} \"$@\" < <(cat \"${{3%/*}}/server.key\")\n");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let mut setup = Setup::before(&origin).set("tls.private_key=/dev/stdin");
    setup.program = Some(path);
    let sidecar = Sidecar::start(&setup);
    assert_eq!(sidecar.get("/", &[&bearer(READ)]).status, 200);
}
