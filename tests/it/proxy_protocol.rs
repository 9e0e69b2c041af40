//! Proxies that say whose connection it is, and everyone else who says so.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::actors::client::{self, Client, bearer, head};
use crate::actors::eventually;
use crate::actors::http2::Http2;
use crate::actors::origin::Origin;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{READ, Setup, account, key};
use crate::actors::sidecar::{Sidecar, refuses};

const PROXY: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.9";
const TEXT: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 4242 443\r\n";

/// The trusted proxies are one address of this machine and one network beyond.
fn setup(origin: &Origin) -> Setup {
    Setup::before(origin)
        .listen("proxy_protocol = true")
        .listen("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]")
        .listen("http = \"127.0.0.1:0\"\nhttp_accepts = \"everything\"")
}

fn scene() -> (Origin, Sidecar) {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&setup(&origin));
    (origin, sidecar)
}

fn dial_from(source: &str, address: SocketAddr) -> TcpStream {
    client::dial_from(source, address).expect("a connection")
}

/// A header of version 2 that names a client, or nobody.
fn binary(client: Option<&str>, values: &[u8]) -> Vec<u8> {
    let (command, family, addresses) = match client.map(|client| client.parse().unwrap()) {
        None => (0x20, 0x00, Vec::new()),
        Some(IpAddr::V4(it)) => {
            (0x21, 0x11, [&it.octets()[..], &[10, 0, 0, 1, 1, 2, 3, 4]].concat())
        }
        Some(IpAddr::V6(it)) => (0x21, 0x21, [&it.octets()[..], &[1; 20]].concat()),
    };
    let length = u16::try_from(addresses.len() + values.len()).unwrap().to_be_bytes();
    let fixed = [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length].concat();
    [fixed, addresses, values.to_vec()].concat()
}

fn tls(sidecar: &Sidecar, from: &str, header: &[u8]) -> std::io::Result<Client> {
    Client::tls_over(dial_from(from, sidecar.https), header, TRUSTED.client(&["http/1.1"]))
}

fn plain(sidecar: &Sidecar, from: &str, header: &[u8]) -> Client {
    let mut client = Client::over(dial_from(from, sidecar.http.unwrap()));
    client.send(header);
    client
}

fn http2(sidecar: &Sidecar, from: &str, header: &[u8]) -> Http2 {
    let mut stream = dial_from(from, sidecar.https);
    stream.write_all(header).unwrap();
    stream.set_read_timeout(None).unwrap();
    Http2::over(stream, h2::client::Builder::new())
}

/// What the upstream was told last of where a request comes from.
fn told(origin: &Origin) -> String {
    origin.last().value("x-forwarded-for").unwrap_or_default().to_owned()
}

/// Whether the server ends a connection without a word.
fn hung_up(mut stream: TcpStream) -> bool {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    said.is_empty()
}

fn refused(sidecar: &Sidecar, reason: &str) -> f64 {
    sidecar.metric("keygate_connections_refused_total", &[&format!("proxy_header_{reason}")])
}

#[test]
fn the_client_that_a_trusted_proxy_names_is_believed_on_every_listener_and_protocol() {
    let (origin, sidecar) = scene();
    let key = bearer(READ);
    let told_besides = [&[0x02, 0, 4][..], b"h2.x", &[0x04, 0, 0, 0xea, 0, 1, 1]].concat();
    for (header, client) in [
        (TEXT.to_vec(), "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4242 443\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:203.0.113.8 ::1 4242 443\r\n".to_vec(), "203.0.113.8"),
        (b"PROXY UNKNOWN\r\n".to_vec(), PROXY),
        (b"PROXY UNKNOWN 203.0.113.7 1 2 3\r\n".to_vec(), PROXY),
        (binary(Some("203.0.113.9"), &[]), "203.0.113.9"),
        (binary(Some("2001:db8::9"), &told_besides), "2001:db8::9"),
        (binary(None, &told_besides), PROXY),
    ] {
        tls(&sidecar, PROXY, &header).unwrap().get("/tls", &[&key]).ok();
        assert_eq!(told(&origin), client);
        plain(&sidecar, PROXY, &header).get("/plain", &[&key]).ok();
        assert_eq!(told(&origin), client);
        http2(&sidecar, PROXY, &header).open("GET", "/h2", &[&key], true).response().ok();
        assert_eq!(told(&origin), client);
    }
}

#[test]
fn the_named_client_is_who_asks_in_lists_and_log() {
    let origin = Origin::echo();
    let bound = "acme-bound-key-0123456789abcdef";
    let keys = account("acme", "") + &key("bound", "acme", bound, "ips = [\"203.0.113.7\"]");
    let sidecar = Sidecar::start(&setup(&origin).keys(keys));
    let bound = bearer(bound);
    tls(&sidecar, PROXY, TEXT).unwrap().get("/mine", &[&bound]).ok();
    let mark = sidecar.log.mark();
    let other = binary(Some("203.0.113.6"), &[]);
    tls(&sidecar, PROXY, &other).unwrap().get("/", &[&bound]).refused(403, "ip_not_allowed");
    let line = sidecar.logged(mark, "it", |line| line.text.contains("ip_not_allowed"));
    assert_eq!(line.member("client").unwrap(), "203.0.113.6", "{}", line.text);
    tls(&sidecar, STRANGER, b"").unwrap().get("/", &[&bound]).refused(403, "ip_not_allowed");
}

#[test]
fn no_header_of_a_stranger_is_believed() {
    let (origin, sidecar) = scene();
    let key = bearer(READ);
    // Without one it is served under its own address.
    tls(&sidecar, STRANGER, b"").unwrap().get("/", &[&key]).ok();
    assert_eq!(told(&origin), STRANGER);
    http2(&sidecar, STRANGER, b"").open("GET", "/", &[&key], true).response().ok();
    assert_eq!(told(&origin), STRANGER);
    plain(&sidecar, STRANGER, b"").get("/", &[&key]).ok();
    assert_eq!(told(&origin), STRANGER);
    let count = origin.count();
    for header in [TEXT.to_vec(), binary(Some("203.0.113.7"), &[]), binary(None, &[])] {
        assert!(tls(&sidecar, STRANGER, &header).is_err());
        let mut client = plain(&sidecar, STRANGER, &header);
        client.get("/", &[&key]).refused(400, "malformed_request");
        assert!(client.closed());
    }
    assert_eq!(origin.count(), count);
    assert_eq!(refused(&sidecar, ""), 0.0, "nobody expected a header there");
}

#[test]
fn a_trusted_proxy_must_send_a_header() {
    let (origin, sidecar) = scene();
    let mark = sidecar.log.mark();
    for _ in 0..20 {
        assert!(tls(&sidecar, PROXY, b"").is_err());
    }
    let mut stream = dial_from(PROXY, sidecar.http.unwrap());
    stream.write_all(&head("GET", "/", &[&bearer(READ)])).unwrap();
    assert!(hung_up(stream));
    assert_eq!((origin.count(), refused(&sidecar, "absent")), (0, 21.0));
    let complains = |line: &crate::actors::log::Line| line.text.contains("proxy_header_absent");
    let line = sidecar.logged(mark, "the missing header", complains);
    assert_eq!(line.member("last").unwrap(), PROXY, "{}", line.text);
    assert_eq!(sidecar.log.text().matches("proxy_header_absent").count(), 1);
}

#[test]
fn a_header_that_is_none_closes_the_connection() {
    let (origin, sidecar) = scene();
    let request = head("GET", "/", &[&bearer(READ)]);
    let headers: [&[u8]; 8] = [
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4242\r\n",
        b"PROXY TCP4 203.0.113.07 198.51.100.1 4242 443\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4242 443\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4242 443 \r\n",
        b"PROXY TCP6 203.0.113.7 198.51.100.1 4242 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b0123456789a",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ];
    for header in headers {
        let mut stream = dial_from(PROXY, sidecar.http.unwrap());
        // It may be gone before all is said.
        let _ = stream.write_all(&[header, &request].concat());
        assert!(hung_up(stream), "{}", header.escape_ascii());
    }
    let long = [b"PROXY UNKNOWN ", [b'a'; 200].as_slice()].concat();
    let mut stream = dial_from(PROXY, sidecar.http.unwrap());
    stream.write_all(&long).unwrap();
    assert!(hung_up(stream));
    assert_eq!((origin.count(), refused(&sidecar, "malformed")), (0, 9.0));
}

#[test]
fn a_second_header_is_no_request() {
    let (origin, sidecar) = scene();
    let v2 = binary(Some("203.0.113.7"), &[]);
    for twice in [[TEXT, TEXT].concat(), [TEXT, &v2].concat(), [&v2, TEXT].concat(), v2.repeat(2)] {
        assert!(tls(&sidecar, PROXY, &twice).is_err());
        let mut client = plain(&sidecar, PROXY, &twice);
        client.get("/", &[&bearer(READ)]).refused(400, "malformed_request");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_header_may_come_in_pieces() {
    let (origin, sidecar) = scene();
    for header in [TEXT.to_vec(), binary(Some("203.0.113.7"), &[0xea, 0, 2, 1, 2])] {
        let mut client = Client::over(dial_from(PROXY, sidecar.http.unwrap()));
        let all = [header, head("GET", "/pieces", &[&bearer(READ)])].concat();
        for byte in all {
            client.send([byte]);
        }
        client.response("GET").ok();
        assert_eq!(told(&origin), "203.0.113.7");
    }
}

#[test]
fn a_proxy_that_looks_whether_somebody_listens_is_no_complaint() {
    let (_origin, sidecar) = scene();
    for _ in 0..5 {
        drop(dial_from(PROXY, sidecar.https));
        drop(dial_from(PROXY, sidecar.http.unwrap()));
    }
    // A header that ends half-way is one.
    let mut stream = dial_from(PROXY, sidecar.https);
    stream.write_all(&TEXT[..20]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(hung_up(stream));
    eventually("all to be over", || {
        let open = sidecar.metric("keygate_connections", &["https"])
            + sidecar.metric("keygate_connections", &["\"http\""]);
        (open == 0.0).then_some(())
    });
    assert_eq!((refused(&sidecar, ""), refused(&sidecar, "malformed")), (1.0, 1.0));
}

#[test]
fn a_header_must_come_in_time() {
    let origin = Origin::echo();
    let limits = "[limits]\nfirst_bytes = \"200ms\"";
    let sidecar = Sidecar::start(&setup(&origin).config(limits));
    let silent = dial_from(PROXY, sidecar.https);
    let mut halfway = dial_from(PROXY, sidecar.http.unwrap());
    halfway.write_all(&TEXT[..20]).unwrap();
    assert!(hung_up(silent) && hung_up(halfway));
    eventually("both to be counted", || (refused(&sidecar, "late") == 2.0).then_some(()));
}

#[test]
fn connections_are_counted_by_whom_they_are_named_for() {
    let origin = Origin::echo();
    let limits = "[limits]\nconnections_per_address = 1";
    let sidecar = Sidecar::start(&setup(&origin).config(limits));
    let key = bearer(READ);
    let mut first = plain(&sidecar, PROXY, TEXT);
    first.get("/", &[&key]).ok();
    let mut stream = dial_from(PROXY, sidecar.http.unwrap());
    stream.write_all(TEXT).unwrap();
    assert!(hung_up(stream));
    plain(&sidecar, PROXY, &binary(Some("203.0.113.8"), &[])).get("/", &[&key]).ok();
    first.get("/", &[&key]).ok();
    let refused = "keygate_connections_refused_total";
    assert_eq!(sidecar.metric(refused, &["connections_per_address"]), 1.0);
}

#[test]
fn what_is_said_of_further_clients_counts_where_the_named_one_is_trusted() {
    let (origin, sidecar) = scene();
    let key = bearer(READ);
    let ask = |header: &[u8]| {
        let mut client = tls(&sidecar, PROXY, header).unwrap();
        client.get("/", &[&key, "X-Forwarded-For: 6.6.6.6, 192.0.2.1"]).ok();
        told(&origin)
    };
    // A client that is not one of ours says what it likes.
    assert_eq!(ask(&binary(Some("203.0.113.7"), &[])), "203.0.113.7");
    // A proxy of ours behind another one.
    assert_eq!(ask(&binary(Some("10.1.2.3"), &[])), "192.0.2.1, 10.1.2.3");
    assert_eq!(ask(b"PROXY TCP4 10.1.2.3 10.0.0.1 1 2\r\n"), "192.0.2.1, 10.1.2.3");
    // The proxy itself.
    assert_eq!(ask(&binary(None, &[])), "192.0.2.1, 127.0.0.1");
    // Somebody whom it does not name could be anybody.
    assert_eq!(ask(b"PROXY UNKNOWN\r\n"), PROXY);
}

/// The word that a request came by HTTPS is the named client's, and only a trusted proxy's counts.
#[test]
fn what_is_said_of_https_counts_where_the_named_one_is_trusted() {
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .listen("proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]")
        .listen("http = \"127.0.0.1:0\"\nhttp_accepts = \"forwarded-https\"");
    let sidecar = Sidecar::start(&setup);
    sidecar.logged(0, "the trap", |line| line.message().contains("`X-Forwarded-Proto`"));
    let key = bearer(READ);
    let ask = |header: &[u8]| {
        plain(&sidecar, PROXY, header).get("/", &[&key, "X-Forwarded-Proto: https"])
    };
    ask(&binary(Some("10.1.2.3"), &[])).ok();
    ask(&binary(None, &[])).ok();
    for header in [TEXT, &binary(Some("203.0.113.7"), &[]), b"PROXY UNKNOWN\r\n"] {
        ask(header).refused(401, "insecure_transport");
    }
}

#[test]
fn whose_word_counts_can_change_while_it_runs() {
    let (origin, sidecar) = scene();
    let key = bearer(READ);
    tls(&sidecar, PROXY, TEXT).unwrap().get("/", &[&key]).ok();
    let since = sidecar.generation();
    let config = sidecar.read("keygate.toml").replace("\"127.0.0.1\", ", "\"127.0.0.9\", ");
    sidecar.replace("keygate.toml", config);
    sidecar.reloaded(since);
    assert!(tls(&sidecar, PROXY, TEXT).is_err());
    tls(&sidecar, PROXY, b"").unwrap().get("/", &[&key]).ok();
    assert_eq!(told(&origin), PROXY);
    tls(&sidecar, STRANGER, TEXT).unwrap().get("/", &[&key]).ok();
    assert_eq!(told(&origin), "203.0.113.7");
}

/// HAProxy on a free port of this machine, in front of an address; it ends with the test.
struct Balancer(Child, SocketAddr);

impl Balancer {
    /// `None` where it is not installed.
    fn start(sidecar: &Sidecar, name: &str, options: &str) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 15s\n timeout server 15s\n\
             listen it\n bind {free}\n server keygate {} {options} check inter 50ms\n",
            sidecar.https
        );
        let path = sidecar.path(name);
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-q").arg("-f").arg(path);
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Some(Self(child, free)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy_in_front_names_its_clients() {
    let (origin, sidecar) = scene();
    let options =
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"];
    for (at, options) in options.iter().enumerate() {
        let name = format!("haproxy-{at}.cfg");
        let Some(balancer) = Balancer::start(&sidecar, &name, options) else {
            eprintln!("haproxy is not installed: nothing was tried");
            return;
        };
        let client = |source: &str| {
            let stream = client::dial_from(source, balancer.1).ok()?;
            Client::tls_over(stream, &[], TRUSTED.client(&["http/1.1"])).ok()
        };
        for source in [STRANGER, "127.0.0.8"] {
            let mut client = eventually("haproxy", || client(source));
            client.get("/", &[&bearer(READ)]).ok();
            assert_eq!(told(&origin), source, "{options}");
        }
    }
    assert_eq!(refused(&sidecar, ""), 0.0, "not even its health checks");
}

#[test]
fn headers_that_nobody_could_send_are_a_mistake() {
    let origin = Origin::echo();
    let (code, said) = refuses(&Setup::before(&origin).listen("proxy_protocol = true"), |_| {});
    assert!(code == Some(1) && said.contains("`trusted_proxies` is empty"), "{said}");
}
