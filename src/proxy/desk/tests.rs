//! One request panics: what becomes of all others, of their connections and of the worker.

use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderMap;
use http::Request;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use tokio::sync::watch;

use crate::clock;
use crate::live::Files;
use crate::live::Live;
use crate::live::Reloader;
use crate::observe::Exposition;
use crate::observe::ListenerKind;
use crate::observe::Metrics;
use crate::proxy::Bound;
use crate::proxy::Phase;
use crate::proxy::Spot;
use crate::proxy::run;

/// When a request panics that was told to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    AtOnce,
    /// The first time that it waits for something: it holds its place in the limits then.
    Waiting,
}

const FAULT: &str = "x-fault";
const LONG: Duration = Duration::from_secs(20);

impl Fault {
    pub(super) fn wanted(headers: &HeaderMap) -> Option<Self> {
        match headers.get(FAULT)?.as_bytes() {
            b"at-once" => Some(Self::AtOnce),
            _ => Some(Self::Waiting),
        }
    }
}

/// What answers a request, and may panic on its way.
pub(super) struct Faulty<F>(F, Option<Fault>);

impl<F> Faulty<F> {
    pub(super) fn new(answer: F, fault: Option<Fault>) -> Self {
        Self(answer, fault)
    }
}

impl<F: Future + Unpin> Future for Faulty<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        assert!(self.1 != Some(Fault::AtOnce), "as it was told");
        let polled = Pin::new(&mut self.0).poll(context);
        assert!(self.1.is_none() || polled.is_ready(), "as it was told, while it waits");
        polled
    }
}

/// Answers `ok` to everything, to `/held` once it is let go.
#[derive(Clone, Default)]
struct Upstream(Arc<(Mutex<bool>, Condvar)>);

impl Upstream {
    fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, this) = (listener.local_addr().unwrap(), self.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let this = this.clone();
                thread::spawn(move || this.answer(stream));
            }
        });
        address
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            head.extend(byte);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            if head.starts_with(b"GET /held") {
                let (go, told) = &*self.0;
                drop(told.wait_while(go.lock().unwrap(), |go| !*go).unwrap());
            }
            head.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }

    fn let_go(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// One worker, and what it listens on.
struct Service {
    directory: tempfile::TempDir,
    upstream: Upstream,
    https: SocketAddr,
    http: SocketAddr,
    live: Arc<Live>,
    phase: watch::Sender<Phase>,
    worker: JoinHandle<std::io::Result<()>>,
}

impl Service {
    fn start() -> Self {
        let (directory, upstream) = (tempfile::tempdir().unwrap(), Upstream::default());
        write(directory.path(), upstream.start());
        let files = Files { config: directory.path().join("keygate.toml"), overrides: Vec::new() };
        let metrics = Metrics::new();
        let (_, world, _) = Reloader::first(files, &metrics).unwrap();
        let live = Live::new(world, metrics, clock::now());
        let any = "127.0.0.1:0".parse().unwrap();
        let kinds = [ListenerKind::Https, ListenerKind::Http];
        let mut spots = kinds.map(|kind| Spot::new(any, kind));
        let bound = Bound::bind(&mut spots, 1).unwrap().remove(0);
        let [https, http] = spots.map(|spot| spot.address);
        let (phase, told) = watch::channel(Phase::Serving);
        let serving = Arc::clone(&live);
        let worker = thread::spawn(move || run(&serving, bound, told, || ()));
        Self { directory, upstream, https, http, live, phase, worker }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    fn until_told(&self, line: &str) {
        let deadline = clock::mono() + LONG;
        let metrics = || self.live.metrics().render(Exposition::Prometheus);
        while !metrics().lines().any(|told| told.starts_with(line)) {
            assert!(clock::mono() < deadline, "{line} is not in\n{}", metrics());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// It ends by itself once all connections have.
    fn end(self) {
        self.until_told("keygate_in_flight_requests 0");
        self.phase.send_replace(Phase::Draining(clock::mono() + LONG));
        self.worker.join().unwrap().unwrap();
    }
}

fn write(directory: &Path, upstream: SocketAddr) {
    let names = ["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let file = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    file("server.crt", &made.cert.pem());
    file("server.key", &made.signing_key.serialize_pem());
    file("keys.toml", "[[account]]\nid = \"a\"\n");
    file(
        "keygate.toml",
        &format!(
            "[listen]\nhttps = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n\
             http_accepts = \"everything\"\n\
             [tls]\ncertificate = \"server.crt\"\nprivate_key = \"server.key\"\n\
             [upstream]\nurl = \"http://{upstream}\"\n\
             [[route]]\npath = \"/{{*rest}}\"\npublic = true\n\
             [[route]]\npath = \"/one\"\npublic = true\n\
             in_flight = {{ max = 1, per = \"address\" }}\n"
        ),
    );
}

fn send(stream: &mut TcpStream, path: &str, fault: Option<&str>) {
    let fault = fault.map(|fault| format!("{FAULT}: {fault}\r\n")).unwrap_or_default();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fault}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
}

/// The status of the next answer; `None` where the connection ends instead.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\nok") {
        match stream.read(&mut byte) {
            Ok(1) => answer.extend(byte),
            Ok(_) if answer.is_empty() => return None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            // Other bodies are not read to their end.
            read => {
                read.unwrap();
                break;
            }
        }
        if answer.starts_with(b"HTTP/1.1 4") && answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let text = String::from_utf8(answer).unwrap();
    Some(text.split(' ').nth(1).unwrap().parse().unwrap())
}

#[test]
fn a_request_that_panics_takes_its_own_connection_along_and_nothing_else() {
    let service = Service::start();
    let (mut held, mut kept) = (service.connect(), service.connect());
    send(&mut held, "/held", None);
    send(&mut kept, "/", None);
    assert_eq!(status(&mut kept), Some(200));
    // More often than there are desks to be kept.
    for round in 0..super::MOST_IDLE + 1 {
        for fault in ["at-once", "waiting"] {
            let mut faulty = service.connect();
            send(&mut faulty, "/one", Some(fault));
            assert_eq!(status(&mut faulty), None, "{round} {fault}");
            // The only place there is was given back.
            send(&mut kept, "/one", None);
            assert_eq!(status(&mut kept), Some(200), "{round} {fault}");
        }
    }
    service.upstream.let_go();
    assert_eq!(status(&mut held), Some(200));
    drop((held, kept));
    service.end();
}

#[test]
fn a_request_that_panics_takes_no_other_stream_of_its_connection_along() {
    let service = Service::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(service.https).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = tokio_rustls::TlsConnector::from(trusting(service.directory.path()));
        let tls = tls.connect(name, tcp).await.unwrap();
        let (mut client, connection) = h2::client::handshake(tls).await.unwrap();
        tokio::spawn(connection);
        let mut ask = |path: &str, fault: Option<&str>| {
            let request = Request::get(format!("https://localhost{path}"));
            let request = match fault {
                Some(fault) => request.header(FAULT, fault),
                None => request,
            };
            client.send_request(request.body(()).unwrap(), true).unwrap().0
        };
        let held = ask("/held", None);
        for fault in ["at-once", "waiting"].repeat(5) {
            let faulty = ask("/one", Some(fault)).await;
            assert!(faulty.unwrap_err().is_reset(), "{fault}");
            assert_eq!(ask("/one", None).await.unwrap().status(), 200, "{fault}");
        }
        service.upstream.let_go();
        assert_eq!(held.await.unwrap().status(), 200);
    });
    drop(runtime);
    service.end();
}

fn trusting(directory: &Path) -> Arc<ClientConfig> {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("server.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
