//! What goes out in one piece, and what must not wait for anything.
//!
//! The system holds back what is to go along with something else for 200 ms at most, and an
//! acknowledgement for 40 ms. So what comes sooner was not held back.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ClientConnection};

use crate::actors::PATIENCE;
use crate::actors::client::{bearer, dial, head};
use crate::actors::origin::{After, Exchange, Origin};
use crate::actors::pki::{Authority, TRUSTED};
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::tls::only;

/// A client that decides itself what goes out in one piece.
struct Teller {
    session: ClientConnection,
    stream: TcpStream,
}

impl Teller {
    /// Says hello, and hears what is answered.
    fn greet(sidecar: &Sidecar, config: Arc<ClientConfig>) -> Self {
        let stream = dial(sidecar.https).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(config, name).unwrap();
        let mut teller = Self { session, stream };
        teller.say(b"");
        while teller.session.is_handshaking() && !teller.session.wants_write() {
            teller.hear().unwrap();
        }
        teller
    }

    /// Says what is due, and this, in one piece.
    fn say(&mut self, what: &[u8]) {
        self.session.writer().write_all(what).unwrap();
        let mut bytes = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut bytes).unwrap();
        }
        self.stream.write_all(&bytes).unwrap();
    }

    /// Reads once; says how much came.
    fn hear(&mut self) -> io::Result<usize> {
        let mut room = [0; 16 * 1024];
        let count = self.stream.read(&mut room)?;
        let mut bytes = &room[..count];
        while !bytes.is_empty() {
            self.session.read_tls(&mut bytes)?;
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(count)
    }

    fn heard(&mut self) -> String {
        let mut plain = Vec::new();
        let _ = self.session.reader().read_to_end(&mut plain);
        String::from_utf8(plain).unwrap()
    }
}

fn last(method: &str) -> Vec<u8> {
    head(method, "/", &[&bearer(READ), "Connection: close"])
}

/// How long something took that happens several times, when it was quickest.
fn quickest(once: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(once).take(5).min().unwrap()
}

#[test]
fn the_last_answer_and_the_end_come_in_one_piece() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let cases = [
        (&TLS13, last("GET"), "200"),
        (&TLS13, last("HEAD"), "200"),
        (&TLS13, head("GET", "/", &["Connection: close"]), "401"),
        (&TLS12, last("GET"), "200"),
    ];
    // Pieces may look like one to who is late to read them; not every time.
    for (version, request, status) in cases.iter().cycle().take(10 * cases.len()) {
        let mut teller = Teller::greet(&sidecar, only(version));
        if **version == TLS12 {
            teller.say(b"");
            while teller.session.is_handshaking() {
                teller.hear().unwrap();
            }
        }
        teller.say(request);
        teller.hear().unwrap();
        let said = teller.heard();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
        assert_eq!(teller.hear().unwrap(), 0, "more came after {said}");
    }
}

/// The ticket with which the session can be resumed goes along with the first answer; where nothing
/// is asked it comes by itself.
#[test]
fn a_ticket_comes_at_once_to_whom_asks_nothing() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let took = quickest(|| {
        let mut teller = Teller::greet(&sidecar, only(&TLS13));
        let begun = Instant::now();
        teller.say(b"");
        assert_ne!(teller.hear().unwrap(), 0);
        let took = begun.elapsed();
        assert_eq!(teller.session.tls13_tickets_received(), 1);
        took
    });
    assert!(took < Duration::from_millis(150), "{took:?}");
}

/// A client without `TCP_NODELAY` holds a small piece back until the one before it was
/// acknowledged.
#[test]
fn nothing_waits_for_a_client_that_waits() {
    let origin = Origin::echo();
    let sidecar = Sidecar::start(&Setup::before(&origin));
    let post = head("POST", "/", &[&bearer(WRITE), "Content-Length: 4"]);
    let pieces: [(&str, &[&[u8]]); 2] =
        [("a request on its own", &[b"", &last("GET")]), ("a body on its own", &[&post, b"body"])];
    for (what, pieces) in pieces {
        let took = quickest(|| {
            let mut teller = Teller::greet(&sidecar, only(&TLS13));
            teller.stream.set_nodelay(false).unwrap();
            let begun = Instant::now();
            pieces.iter().for_each(|piece| teller.say(piece));
            let mut said = String::new();
            while said.is_empty() {
                assert_ne!(teller.hear().unwrap(), 0);
                said = teller.heard();
            }
            assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
            begun.elapsed()
        });
        assert!(took < Duration::from_millis(30), "{what}: {took:?}");
    }
}

fn in_two_pieces(exchange: &mut Exchange<'_>) -> After {
    exchange.drain();
    exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na");
    exchange.wait_gone();
    After::Close
}

#[test]
fn of_a_last_answer_that_is_not_over_nothing_is_held_back() {
    let origin = Origin::tcp(in_two_pieces);
    let setup = Setup::before(&origin).listen("http_accepts = \"everything\"");
    let sidecar = Sidecar::start(&setup);
    let took = quickest(|| {
        let mut stream = dial(sidecar.http.unwrap()).unwrap();
        stream.write_all(&last("GET")).unwrap();
        let (begun, mut said) = (Instant::now(), Vec::new());
        while !said.ends_with(b"\r\n\r\na") {
            let mut room = [0; 1024];
            let count = stream.read(&mut room).unwrap();
            assert_ne!(count, 0);
            said.extend_from_slice(&room[..count]);
        }
        begun.elapsed()
    });
    assert!(took < Duration::from_millis(150), "{took:?}");
}

/// What is wrong with a client's certificate is said after the client has shaken hands, in the
/// place of the ticket, and the connection is closed with its request unread.
#[test]
fn who_is_refused_by_its_certificate_is_told() {
    let clients = Authority::new();
    let origin = Origin::echo();
    let setup = Setup::before(&origin)
        .tls("client_ca = \"clients.pem\"")
        .file("clients.pem", clients.pem());
    let sidecar = Sidecar::start(&setup);
    let mut teller = Teller::greet(&sidecar, TRUSTED.client(&["http/1.1"]));
    teller.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    teller.say(&last("GET"));
    let error = teller.hear().unwrap_err().into_inner().unwrap();
    let error = error.downcast::<rustls::Error>().unwrap();
    let wanted = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
    assert_eq!(*error, wanted);
    assert_eq!(origin.count(), 0);
}
