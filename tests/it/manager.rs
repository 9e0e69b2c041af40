//! Under a service manager: it is told how things stand, and it may open the sockets.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::actors::client::{Client, bearer};
use crate::actors::origin::Origin;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{READ, Setup, key, usual_keys};
use crate::actors::sidecar::{Sidecar, refuses};
use crate::actors::{PATIENCE, never};

/// The manager's end of `NOTIFY_SOCKET`.
pub(crate) struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        Self { socket, directory }.patient()
    }

    /// One whose socket has a name but no file: as it is written in the environment.
    fn without_a_file(name: &str) -> Self {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        Self { socket: UnixDatagram::bind_addr(&address).unwrap(), ..Self::new() }.patient()
    }

    fn patient(self) -> Self {
        self.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        self
    }

    pub(crate) fn path(&self) -> String {
        self.directory.path().join("notify").display().to_string()
    }

    /// The next message, if there is one soon.
    pub(crate) fn next(&self) -> Option<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message[..length].to_vec()).unwrap())
    }

    /// What was said until now and not heard yet.
    pub(crate) fn drain(&self) -> Vec<String> {
        let mut message = [0; 4096];
        self.socket.set_nonblocking(true).unwrap();
        let mut said = Vec::new();
        while let Ok(length) = self.socket.recv(&mut message) {
            said.push(String::from_utf8(message[..length].to_vec()).unwrap());
        }
        self.socket.set_nonblocking(false).unwrap();
        said
    }

    /// The next message that has a line which begins so; all of it.
    pub(crate) fn told(&self, line: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            let message = self.next();
            if let Some(message) = message {
                if message.lines().any(|its| its.starts_with(line)) {
                    return message;
                }
                others.push(message);
            }
            assert!(Instant::now() < deadline, "never told `{line}`, but {others:?}");
        }
    }
}

fn setup(origin: &Origin, manager: &Manager) -> Setup {
    Setup::before(origin).env("NOTIFY_SOCKET", &manager.path())
}

#[test]
fn its_socket_need_not_be_a_file() {
    let name = format!("keygate-{}", std::process::id());
    let (origin, manager) = (Origin::echo(), Manager::without_a_file(&name));
    let setup = Setup::before(&origin).env("NOTIFY_SOCKET", &format!("@{name}"));
    let _sidecar = Sidecar::start(&setup);
    manager.told("READY=1");
}

#[test]
fn it_is_told_of_the_start_a_reload_and_the_end() {
    let (origin, manager) = (Origin::echo(), Manager::new());
    let drain = "[drain]\ndelay = \"1s\"\ntimeout = \"2s\"\n";
    let mut sidecar = Sidecar::start(&setup(&origin, &manager).config(drain));
    let ready = manager.told("READY=1");
    assert!(ready.contains("\nSTATUS=4 keys, 2 accounts, generation 1\n"), "{ready}");
    sidecar.get("/", &[&bearer(READ)]).ok();

    sidecar.signal(Signal::HUP);
    let reloading = manager.told("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
    let ready = manager.told("READY=1");
    assert!(ready.contains("generation 2"), "said before it was done: {ready}");
    assert_eq!(sidecar.generation(), 2);

    sidecar.signal(Signal::TERM);
    let stopping = manager.told("STOPPING=1");
    assert!(stopping.contains("\nEXTEND_TIMEOUT_USEC=8000000\n"), "{stopping}");
    assert_eq!(sidecar.wait_exit().code(), Some(0));
}

#[test]
fn what_a_reload_failed_of_stands_in_the_status() {
    let (origin, manager) = (Origin::echo(), Manager::new());
    let sidecar = Sidecar::start(&setup(&origin, &manager));
    manager.told("READY=1");
    sidecar.replace("keys.toml", usual_keys() + &key("again", "acme", READ, ""));
    let status = manager.told("STATUS=4 keys, 2 accounts, generation 1; the last reload failed:");
    assert!(status.contains("keys.toml:"), "{status}");
    // Somebody asks for a reload: it is done when it has failed, too.
    sidecar.signal(Signal::HUP);
    manager.told("RELOADING=1");
    assert!(manager.told("READY=1").contains("failed"));
    sidecar.replace("keys.toml", usual_keys());
    manager.told("STATUS=4 keys, 2 accounts, generation 2");
}

#[test]
fn it_hears_that_all_is_well_as_often_as_it_wants_to() {
    let (origin, manager) = (Origin::echo(), Manager::new());
    let setup = setup(&origin, &manager).env("WATCHDOG_USEC", "1500000");
    let began = Instant::now();
    let _sidecar = Sidecar::start(&setup);
    manager.told("READY=1");
    let ready = Instant::now();
    for _ in 0..5 {
        manager.told("WATCHDOG=1");
    }
    // Three times in the time that it waits, and on a busy machine it is heard of late.
    assert!(began.elapsed() > Duration::from_millis(2400), "{:?}", began.elapsed());
    assert!(ready.elapsed() < Duration::from_secs(7), "{:?}", ready.elapsed());
}

#[test]
fn it_hears_nothing_of_what_it_did_not_ask_for() {
    let (origin, manager) = (Origin::echo(), Manager::new());
    // The variables of another process, inherited.
    let variables =
        setup(&origin, &manager).env("WATCHDOG_USEC", "600000").env("WATCHDOG_PID", "1");
    let _sidecar = Sidecar::start(&variables);
    manager.told("READY=1");
    assert!(never(Duration::from_millis(1500), || manager.next().is_some()));
}

fn open() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn sockets_that_are_passed_by_name_stand_in_for_the_addresses_of_the_file() {
    let origin = Origin::echo();
    let ((https, https_at), (admin, admin_at)) = (open(), open());
    let setup = Setup::before(&origin)
        .listen("https = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nadmin = false")
        .set("workers=3")
        .pass("https", https)
        .pass("admin", admin);
    let sidecar = Sidecar::start(&setup);
    assert_eq!(sidecar.https, https_at);
    assert_eq!(sidecar.ready()["ready"], true);
    let line = sidecar.logged(0, "the addresses", |line| line.message() == "listening");
    assert_eq!(line.texts("admin"), [admin_at.to_string()]);
    // All workers listen at the same socket, and each connection is somebody's.
    let mut clients: Vec<_> = (0..40).map(|_| sidecar.client()).collect();
    clients.iter_mut().for_each(|client| client.get("/", &[&bearer(READ)]).ok());
}

#[test]
fn sockets_that_are_passed_without_a_name_go_to_their_addresses() {
    let origin = Origin::echo();
    let ((https, https_at), (http, http_at)) = (open(), open());
    let setup = Setup::before(&origin)
        .listen(&format!("https = \"{https_at}\"\nhttp = [\"{http_at}\", \"127.0.0.1:0\"]"))
        .pass("keygate.socket", http)
        .pass("", https);
    let sidecar = Sidecar::start(&setup);
    sidecar.get("/", &[&bearer(READ)]).ok();
    assert_eq!(sidecar.http, Some(http_at));
    sidecar.plain().get("/", &[]).refused(401, "insecure_transport");
    let line = sidecar.logged(0, "the addresses", |line| line.message() == "listening");
    assert_eq!(line.texts("http").len(), 2);
}

#[test]
fn a_socket_that_has_no_place_is_refused_and_so_is_one_that_does_not_listen() {
    let origin = Origin::echo();
    let (stray, at) = open();
    let client = TcpStream::connect(at).unwrap();
    let (code, text) = refuses(&Setup::before(&origin).pass("keygate.socket", stray), |_| {});
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&at.to_string()) && text.contains("FileDescriptorName=https"), "{text}");
    let (code, text) = refuses(&Setup::before(&origin).pass("https", client), |_| {});
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("descriptor 3 (`https`)") && text.contains("ListenStream="), "{text}");
}

/// What a socket unit is for: who connects while nobody is there waits, and is served.
#[test]
fn nobody_is_refused_between_the_end_of_one_and_the_start_of_the_next() {
    let origin = Origin::echo();
    let (https, address) = open();
    let pass = || Setup::before(&origin).pass("https", https.try_clone().unwrap());
    let mut first = Sidecar::start(&pass());
    first.get("/", &[&bearer(READ)]).ok();
    first.signal(Signal::TERM);
    assert_eq!(first.wait_exit().code(), Some(0));
    let early = std::thread::spawn(move || {
        Client::tls(address).get("/", &[&bearer(READ), "Connection: close"]).ok();
    });
    let second = Sidecar::start(&pass());
    early.join().unwrap();
    assert_eq!(second.https, address);
    assert_eq!(origin.count(), 2);
}

/// Every setting that names a file takes the name of a credential.
#[test]
fn secrets_may_be_credentials_of_the_service() {
    let origin = Origin::echo();
    let credentials = TempDir::new().unwrap();
    let identity = TRUSTED.issue();
    let files = [
        ("server.key", identity.key.clone()),
        ("server.crt", identity.certificate),
        ("keys.toml", usual_keys().replace("sha256:", "hmac-sha256:")),
        ("pepper", "0123456789abcdef".to_owned()),
    ];
    for (name, content) in &files {
        std::fs::write(credentials.path().join(name), content).unwrap();
    }
    let keys = "[keys]\nfiles = \"credential:keys.toml\"\npepper_file = \"credential:pepper\"";
    let setup = || {
        Setup::before(&origin)
            .config(keys)
            .set("tls.private_key=credential:server.key")
            .set("tls.certificate=credential:server.crt")
    };
    let path = credentials.path().display().to_string();
    let sidecar = Sidecar::start(&setup().env("CREDENTIALS_DIRECTORY", &path));
    // Nobody's digest is right under this pepper, but everything was read.
    assert_eq!(sidecar.ready()["keys"], 4);
    sidecar.get("/", &[&bearer(READ)]).refused(401, "invalid_credential");
    let (code, text) = refuses(&setup(), |_| {});
    assert_eq!(code, Some(1), "{text}");
    for wanted in
        ["`server.key`", "`keys.toml`", "`pepper`", "LoadCredential=pepper:", "keygate.toml:"]
    {
        assert!(text.contains(wanted), "`{wanted}` is not said in:\n{text}");
    }
}
