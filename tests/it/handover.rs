//! Another program in the place of the running one: nobody is refused, reset or cut.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, test_kill_process, waitpid,
};

use crate::actors::client::{Client, bearer};
use crate::actors::http2::Http2;
use crate::actors::origin::Origin;
use crate::actors::scripts::websocket;
use crate::actors::setup::{GIVEN, READ, Setup, key, usual_keys};
use crate::actors::sidecar::{PROGRAM, Sidecar, freeze};
use crate::actors::{eventually, never};
use crate::manager::Manager;

/// A program and those that took its place.
struct Line {
    first: Sidecar,
    /// All that serve or have served, in turn.
    processes: Vec<Pid>,
}

impl Line {
    fn start(setup: &Setup) -> Self {
        // Whose parent has ended is ours then, so that its end can be seen.
        set_child_subreaper(Some(getpid())).unwrap();
        let first = Sidecar::start(setup);
        let processes = vec![first.pid()];
        Self { first, processes }
    }

    fn serving(&self) -> Pid {
        *self.processes.last().unwrap()
    }

    /// Has a new process take over, and waits until it has.
    fn hand_over(&mut self) {
        let mark = self.first.log.mark();
        kill_process(self.serving(), Signal::USR2).unwrap();
        let line = self
            .first
            .logged(mark, "the new process", |line| line.message().starts_with("handed over"));
        let process = line.member("process").and_then(serde_json::Value::as_i64).unwrap();
        self.processes.push(Pid::from_raw(i32::try_from(process).unwrap()).unwrap());
    }

    /// Has a new process tried, which does not take over; what was said of it.
    fn hand_over_in_vain(&self) -> String {
        let mark = self.first.log.mark();
        kill_process(self.serving(), Signal::USR2).unwrap();
        let what = |line: &crate::actors::log::Line| line.message().starts_with("not handed over");
        self.first.logged(mark, "the failure", what).text
    }

    /// Waits for the end of one, and asserts that it was a good one.
    fn ends_well(&mut self, which: usize) {
        if which == 0 {
            assert_eq!(self.first.wait_exit().code(), Some(0));
            return;
        }
        let process = self.processes[which];
        let status = eventually("its end", || {
            let ended = waitpid(Some(process), WaitOptions::NOHANG);
            ended.ok().flatten().map(|(_, status)| status)
        });
        assert_eq!(status.exit_status(), Some(0), "{status:?}");
    }

    fn runs(&self, which: usize) -> bool {
        test_kill_process(self.processes[which]).is_ok()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for process in self.processes.iter().skip(1) {
            let _ = kill_process(*process, Signal::KILL);
            let _ = waitpid(Some(*process), WaitOptions::empty());
        }
    }
}

/// Clients that ask all the time, each in its own way. One that is not answered panics.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Vec<(&'static str, Arc<AtomicUsize>)>,
    clients: Vec<JoinHandle<()>>,
}

type Ask = Box<dyn FnMut() + Send>;

impl Load {
    fn on(address: SocketAddr) -> Self {
        let mut load = Self { stop: Arc::default(), answered: Vec::new(), clients: Vec::new() };
        load.begin("new connections", new_connections(address));
        load.begin("kept connections", kept_connections(address));
        load.begin("kept connections", kept_connections(address));
        load.begin("HTTP/2", http2(address));
        load
    }

    fn begin(&mut self, name: &'static str, mut ask: Ask) {
        let (stop, answered) = (Arc::clone(&self.stop), Arc::<AtomicUsize>::default());
        self.answered.push((name, Arc::clone(&answered)));
        self.clients.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                ask();
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }

    /// Waits until every client has been answered so many times more.
    fn goes_on(&self, more: usize) {
        for (name, answered) in &self.answered {
            let wanted = answered.load(Ordering::Relaxed) + more;
            eventually(name, || (answered.load(Ordering::Relaxed) >= wanted).then_some(()));
        }
    }

    /// How many answers there were in all.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("a client that failed"));
        self.answered.iter().map(|(_, answered)| answered.load(Ordering::Relaxed)).sum()
    }
}

fn new_connections(address: SocketAddr) -> Ask {
    let fields = [bearer(READ), "Connection: close".to_owned()];
    Box::new(move || {
        Client::tls(address).get("/new", &[&fields[0], &fields[1]]).ok();
    })
}

/// Asks on the same connection until it is told that it ends.
fn kept_connections(address: SocketAddr) -> Ask {
    let mut client = None;
    Box::new(move || {
        let answer =
            client.get_or_insert_with(|| Client::tls(address)).get("/kept", &[&bearer(READ)]);
        answer.ok();
        if answer.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            client = None;
        }
    })
}

/// Asks on the same connection until it ends. What the server says it has not looked at
/// (RFC 9113, section 6.8) is asked again, as every client does.
fn http2(address: SocketAddr) -> Ask {
    let mut client = None;
    Box::new(move || {
        loop {
            let connection = client.get_or_insert_with(|| Http2::connect(address));
            let stream = connection.try_open("GET", "/h2", &[&bearer(READ)], true);
            let Ok(mut stream) = stream else {
                client = None;
                continue;
            };
            match stream.try_head() {
                Ok(head) => {
                    assert_eq!(head.status, 200);
                    while stream.piece().expect("a whole body").is_some() {}
                    return;
                }
                Err(error) => {
                    let unseen = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
                    assert!(unseen, "{error:?}");
                    client = None;
                }
            }
        }
    })
}

fn upgrade(address: SocketAddr) -> Client {
    let mut client = Client::tls(address);
    let fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        &bearer(READ),
    ];
    assert_eq!(client.get("/ws", &fields).status, 101);
    client
}

fn comes_back(client: &mut Client, text: &str) {
    client.send(text);
    while client.wire.buffer.len() < text.len() {
        assert_ne!(client.wire.fill().unwrap(), 0, "the WebSocket was cut");
    }
    assert_eq!(std::mem::take(&mut client.wire.buffer), text.as_bytes());
}

/// Over HTTP/1.1, HTTP/2 and a WebSocket, also where the number of workers changes.
#[test]
fn nobody_notices_that_another_process_serves() {
    let origin = Origin::tcp(websocket);
    // On a slow machine, too, what is to stay stays.
    let times = "[drain]\ntimeout = \"10m\"\n[limits]\nidle = \"10m\"\n";
    let mut line = Line::start(&Setup::before(&origin).config(times));
    let address = line.first.https;
    let config = line.first.read("keygate.toml");
    let load = Load::on(address);
    let mut idle = Client::tls(address);
    idle.get("/idle", &[&bearer(READ)]).ok();
    let mut tunnel = upgrade(address);
    for workers in [3, 1, 2] {
        load.goes_on(5);
        line.first.replace("keygate.toml", format!("workers = {workers}\n{config}"));
        line.hand_over();
        comes_back(&mut tunnel, &format!("{workers} workers"));
    }
    load.goes_on(5);
    // One that waited all the time is answered by the first, and told to come again.
    let answer = idle.get("/idle", &[&bearer(READ)]);
    answer.ok();
    assert_eq!(answer.value("connection"), Some("close"));
    assert!(idle.closed());
    let answered = load.end();
    assert_eq!(origin.count(), answered + 3, "asked twice, or not answered");
    assert!(line.runs(0), "the WebSocket is still open");
    comes_back(&mut tunnel, "the last");
    drop(tunnel);
    for which in 0..3 {
        line.ends_well(which);
    }
    assert!(line.runs(3));
    kill_process(line.serving(), Signal::TERM).unwrap();
    line.ends_well(3);
}

#[test]
fn the_admin_port_is_that_of_the_new_process_at_once() {
    for listen in ["admin = \"127.0.0.1:0\"", "admin = \"unix:admin.sock\""] {
        let origin = Origin::tcp(websocket);
        let mut line = Line::start(&Setup::before(&origin).listen(listen));
        let mut tunnel = upgrade(line.first.https);
        line.first.get("/", &[]).refused(401, "no_credential");
        assert_eq!(line.first.refusals("no_credential"), 1);
        line.hand_over();
        for _ in 0..20 {
            assert_eq!(line.first.ready()["ready"], true);
            assert_eq!(line.first.refusals("no_credential"), 0, "an answer of the old one");
        }
        comes_back(&mut tunnel, "still there");
    }
}

#[test]
fn what_does_not_load_takes_nobodys_place() {
    let origin = Origin::echo();
    let mut line = Line::start(&Setup::before(&origin));
    let keys = usual_keys();
    line.first.replace("keys.toml", keys.clone() + &key("again", "acme", READ, ""));
    let said = line.hand_over_in_vain();
    assert!(said.contains("exit status: 1"), "{said}");
    assert!(line.first.log.text().contains("have the same digest"));
    line.first.get("/", &[&bearer(READ)]).ok();
    assert!(line.first.running());
    line.first.replace("keys.toml", keys);
    line.hand_over();
    line.ends_well(0);
    line.first.get("/", &[&bearer(READ)]).ok();
}

/// The program is the one that stands there now, and that may be anything.
#[test]
fn the_program_that_takes_over_is_the_one_on_disk() {
    let origin = Origin::echo();
    let directory = tempfile::TempDir::new().unwrap();
    let program = directory.path().join("keygate");
    let install = |source: &PathBuf| {
        let new = directory.path().join("new");
        std::fs::copy(source, &new).unwrap();
        std::fs::rename(new, &program).unwrap();
    };
    install(&PROGRAM.into());
    let mut setup = Setup::before(&origin);
    setup.program = Some(program.clone());
    let mut line = Line::start(&setup);
    std::fs::remove_file(&program).unwrap();
    let said = line.hand_over_in_vain();
    assert!(said.contains("cannot be started"), "{said}");
    install(&"/bin/false".into());
    let said = line.hand_over_in_vain();
    assert!(said.contains("exit status: 1"), "{said}");
    line.first.get("/", &[&bearer(READ)]).ok();
    install(&PROGRAM.into());
    line.hand_over();
    line.ends_well(0);
    line.first.get("/", &[&bearer(READ)]).ok();
}

/// A process that is short of descriptors fails in another place for each number of them. Where it
/// does not serve, the old one must, and the service manager must never have taken it for the main
/// process: that would end the old one with it.
#[test]
fn whatever_the_new_process_lacks_somebody_serves() {
    let (origin, manager) = (Origin::echo(), Manager::new());
    let directory = tempfile::TempDir::new().unwrap();
    let program = directory.path().join("keygate");
    std::fs::copy(PROGRAM, &program).unwrap();
    let mut setup = Setup::before(&origin).env("NOTIFY_SOCKET", &manager.path());
    setup.program = Some(program.clone());
    let mut line = Line::start(&setup);
    manager.told("READY=1");
    let config = line.first.read("keygate.toml");
    line.first.replace("keygate.toml", format!("workers = 3\n{config}"));
    let mut failures = 0;
    for descriptors in 12..200 {
        let script = format!("#!/bin/sh\nulimit -n {descriptors}\nexec {PROGRAM} \"$@\"\n");
        let new = directory.path().join("new");
        std::fs::write(&new, script).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&new, &program).unwrap();
        let mark = line.first.log.mark();
        kill_process(line.serving(), Signal::USR2).unwrap();
        let said = line.first.logged(mark, "what came of it", |line| {
            ["handed over", "not handed over"].iter().any(|it| line.message().starts_with(it))
        });
        if let Some(process) = said.member("process").and_then(serde_json::Value::as_i64) {
            line.processes.push(Pid::from_raw(i32::try_from(process).unwrap()).unwrap());
            break;
        }
        failures += 1;
        line.first.get("/", &[&bearer(READ)]).ok();
        let told = manager.drain().concat();
        assert!(!told.contains("MAINPID="), "{descriptors}: {told}\n{}", said.text);
    }
    assert!(failures > 3 && line.processes.len() == 2, "{failures}");
    manager.told("READY=1");
    line.ends_well(0);
    let log = line.first.log.text();
    let served = log.rfind("\"listening\"").unwrap();
    let ended = || !line.runs(1) || log_after(&line, served).contains("a worker cannot run");
    assert!(never(std::time::Duration::from_millis(300), ended), "it did not serve");
    assert!(!log.contains("panicked"), "{log}");
}

fn log_after(line: &Line, position: usize) -> String {
    line.first.log.text().get(position..).unwrap_or_default().to_owned()
}

/// Whether a process has begun to hand over, and waits for the new one.
fn waits_for_the_new_one(process: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap();
    threads.flatten().any(|thread| {
        let read = |name| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        read("comm") == "handover\n" && read("stat").contains("(handover) S")
    })
}

/// The new process loads, and then a key is revoked, which the old one refuses at once.
#[test]
fn a_key_that_is_revoked_while_the_new_process_begins_is_not_let_in_again() {
    let origin = Origin::echo();
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::copy(PROGRAM, path("keygate")).unwrap();
    let mut setup = Setup::before(&origin);
    setup.program = Some(path("keygate"));
    let mut line = Line::start(&setup);
    let begin = format!(
        "#!/bin/sh\necho $$ > {0}/told\nwhile [ ! -e {0}/go ]; do sleep 0.01; done\nexec {PROGRAM} \"$@\"\n",
        directory.path().display()
    );
    std::fs::write(path("new"), begin).unwrap();
    std::fs::set_permissions(path("new"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(path("new"), path("keygate")).unwrap();
    let (old, mark) = (line.serving(), line.first.log.mark());
    kill_process(old, Signal::USR2).unwrap();
    let new = eventually("the new process", || {
        Pid::from_raw(std::fs::read_to_string(path("told")).ok()?.trim().parse().ok()?)
    });
    line.processes.push(new);
    eventually("the sockets to be sent", || waits_for_the_new_one(old).then_some(()));
    // It cannot be told to go until it has loaded, nor go until the key is refused.
    freeze(old);
    std::fs::write(path("go"), "").unwrap();
    let loaded = |line: &crate::actors::log::Line| line.message() == "connections are limited";
    line.first.logged(mark, "the new process to have loaded", loaded);
    freeze(new);
    let keys = usual_keys().replace("id = \"acme-read\"", "id = \"acme-read\"\nrevoked = true");
    assert_ne!(keys, usual_keys());
    line.first.replace("keys.toml", keys);
    kill_process(old, Signal::CONT).unwrap();
    line.first.turns_away(READ);
    let status = || line.first.get("/", &[&bearer(READ)]).status;
    kill_process(new, Signal::CONT).unwrap();
    eventually("the new process to serve", || {
        assert_eq!(status(), 401, "it is let in again");
        let log = line.first.log.text();
        assert!(!log.contains("not handed over"), "{log}");
        log.contains("handed over: draining").then_some(())
    });
    for _ in 0..20 {
        assert_eq!(status(), 401, "it is let in again");
    }
    line.ends_well(0);
}

/// The new process has loaded, and then the disk hangs on which the keys are: who knows what was
/// revoked meanwhile? Here it is a pipe that hangs, which the test holds.
#[test]
fn who_cannot_see_what_changed_meanwhile_takes_nobodys_place() {
    let origin = Origin::echo();
    let directory = tempfile::TempDir::new().unwrap();
    let program = directory.path().join("keygate");
    std::fs::copy(PROGRAM, &program).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut setup = Setup::before(&origin);
    setup.program = Some(program);
    setup.given = Some(reader.into());
    let line = Line::start(&setup);
    let mark = line.first.log.mark();
    kill_process(line.serving(), Signal::USR2).unwrap();
    let loaded = |line: &crate::actors::log::Line| line.message() == "connections are limited";
    // The old one cannot tell it to go before the pipe is there.
    eventually("the sockets to be sent", || waits_for_the_new_one(line.serving()).then_some(()));
    freeze(line.serving());
    line.first.logged(mark, "the new process to have loaded", loaded);
    std::os::unix::fs::symlink(GIVEN, line.first.path("pipe")).unwrap();
    std::fs::rename(line.first.path("pipe"), line.first.path("keys.toml")).unwrap();
    kill_process(line.serving(), Signal::CONT).unwrap();
    let failed = |line: &crate::actors::log::Line| line.message().starts_with("not handed over");
    line.first.logged(mark, "that nobody took over", failed);
    assert!(line.first.log.text().contains("what changed in the files meanwhile was not read"));
    drop(writer);
    line.first.get("/", &[&bearer(READ)]).ok();
    // The old one could not read it either; it sees what is there now.
    line.first.replace(
        "keys.toml",
        usual_keys().replace("id = \"acme-read\"", "id = \"acme-read\"\nrevoked = true"),
    );
    line.first.turns_away(READ);
}

/// Otherwise it would hold the sockets for as long as it hangs, and nobody would accept.
#[test]
fn a_program_that_hangs_ends_with_the_process_that_started_it() {
    let origin = Origin::echo();
    let directory = tempfile::TempDir::new().unwrap();
    let program = directory.path().join("keygate");
    std::fs::copy(PROGRAM, &program).unwrap();
    let mut setup = Setup::before(&origin);
    setup.program = Some(program.clone());
    let mut line = Line::start(&setup);
    let hanging = directory.path().join("hanging");
    let told = directory.path().join("told");
    std::fs::write(&hanging, format!("#!/bin/sh\necho $$ > {}\nexec sleep 300\n", told.display()))
        .unwrap();
    std::fs::set_permissions(&hanging, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&hanging, &program).unwrap();
    kill_process(line.serving(), Signal::USR2).unwrap();
    let process = eventually("the program", || {
        Pid::from_raw(std::fs::read_to_string(&told).ok()?.trim().parse().ok()?)
    });
    line.first.signal(Signal::TERM);
    line.ends_well(0);
    assert!(test_kill_process(process).is_err(), "it goes on");
    TcpListener::bind(line.first.https).unwrap();
}

/// What the new configuration has no use for is closed, but not before who waits there is served.
#[test]
fn addresses_may_change_on_the_way() {
    let origin = Origin::tcp(websocket);
    let mut line = Line::start(&Setup::before(&origin));
    let old = line.first.https;
    let config = line.first.read("keygate.toml");
    let new = config.replace("https = \"127.0.0.1:0\"", "https = \"127.0.0.2:0\"");
    assert_ne!(config, new);
    line.first.replace("keygate.toml", new);
    let mark = line.first.log.mark();
    let mut waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(old).unwrap()).collect();
    line.hand_over();
    for stream in waiting.drain(..) {
        let trusted = crate::actors::pki::TRUSTED.client(&["http/1.1"]);
        Client::tls_on(stream, trusted).unwrap().get("/", &[&bearer(READ)]).ok();
    }
    let said = line.first.logged(mark, "the addresses", |line| line.message() == "listening");
    let new: SocketAddr = said.texts("https")[0].parse().unwrap();
    assert_eq!(new.ip().to_string(), "127.0.0.2");
    Client::tls(new).get("/", &[&bearer(READ)]).ok();
    line.ends_well(0);
    assert!(TcpStream::connect(old).is_err());
}

#[test]
fn one_that_leaves_without_haste_makes_haste_when_it_is_told_to() {
    let origin = Origin::echo();
    let mut line = Line::start(&Setup::before(&origin));
    let mut idle = line.first.client();
    idle.get("/", &[&bearer(READ)]).ok();
    line.hand_over();
    assert!(line.first.running(), "somebody may still ask");
    line.first.signal(Signal::TERM);
    line.ends_well(0);
    assert!(idle.closed());
    Client::tls(line.first.https).get("/", &[&bearer(READ)]).ok();
}

#[test]
fn the_service_manager_is_told_who_serves_and_nothing_by_who_does_not() {
    let (origin, manager) = (Origin::echo(), Manager::new());
    let setup = Setup::before(&origin).env("NOTIFY_SOCKET", &manager.path());
    let mut line = Line::start(&setup);
    manager.told("READY=1");
    line.hand_over();
    let mut said = Vec::new();
    while !said.last().is_some_and(|last: &String| last.starts_with("READY=1")) {
        said.extend(manager.next());
    }
    assert_eq!(said[0], format!("MAINPID={}\n", line.serving().as_raw_nonzero()));
    assert_eq!(said.len(), 2, "{said:?}");
    line.ends_well(0);
    assert_eq!(manager.next(), None);
}

/// Sockets of the service manager stay where they are, under their names.
#[test]
fn sockets_that_were_passed_are_passed_on() {
    let origin = Origin::echo();
    let https = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::before(&origin).listen("https = \"127.0.0.1:1\"").pass("https", https);
    let mut line = Line::start(&setup);
    for _ in 0..2 {
        line.hand_over();
        line.first.get("/", &[&bearer(READ)]).ok();
    }
    line.ends_well(0);
}

/// A variable that is inherited from somebody else does not make a process wait for one.
#[test]
fn nobody_takes_the_place_of_a_stranger() {
    let origin = Origin::echo();
    for stranger in ["1", "0", "-1", "x"] {
        let setup = Setup::before(&origin).env("KEYGATE_PREDECESSOR", stranger);
        Sidecar::start(&setup).get("/", &[&bearer(READ)]).ok();
    }
    let setup = Setup::before(&origin).env("KEYGATE_PREDECESSOR", &std::process::id().to_string());
    Sidecar::start(&setup).get("/", &[&bearer(READ)]).ok();
}
