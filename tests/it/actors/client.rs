//! A client that says exactly what it is told, over TLS or in clear.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use super::PATIENCE;
use super::pki::TRUSTED;
use super::wire::{Fields, Framing, Piece, Wire, parse_head, text, values};

/// An answer, as it stood on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// The body came to the end that its framing promised.
    pub(crate) complete: bool,
    /// Statuses that came before the final one.
    pub(crate) interim: Vec<u16>,
}

impl Response {
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The reason that a problem or JSON body gives.
    pub(crate) fn reason(&self) -> String {
        let body = self.json();
        let reason = body.get("reason").or_else(|| body.get("error"));
        reason.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Asserts status and reason in one.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, reason: &str) {
        assert_eq!((self.status, self.reason().as_str()), (status, reason), "{self:?}");
    }

    /// Asserts a complete 200.
    #[track_caller]
    pub(crate) fn ok(&self) {
        assert!(self.status == 200 && self.complete, "{}: {}", self.text(), self.status);
    }
}

/// One connection to the program.
pub(crate) struct Client {
    pub(crate) wire: Wire,
}

impl Client {
    pub(crate) fn tls(address: SocketAddr) -> Self {
        Self::tls_with(address, TRUSTED.client(&["http/1.1"])).expect("a TLS handshake")
    }

    pub(crate) fn tls_with(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::tls_on(dial(address)?, config)
    }

    /// On a connection that is open already.
    pub(crate) fn tls_on(stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::tls_over(stream, &[], config)
    }

    /// On a connection, with something said before the handshake and in one breath with it.
    pub(crate) fn tls_over(
        mut stream: TcpStream,
        before: &[u8],
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut hello = before.to_vec();
        session.write_tls(&mut hello)?;
        stream.write_all(&hello)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { wire: Wire::new(Box::new(stream)) })
    }

    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self::over(dial(address).expect("a connection"))
    }

    /// In clear over a connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { wire: Wire::new(Box::new(stream)) }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write(bytes.as_ref()).expect("the server to take what is sent");
    }

    /// Sends a request with a `Host` and reads the answer.
    pub(crate) fn request(&mut self, method: &str, target: &str, fields: &[&str]) -> Response {
        self.send(head(method, target, fields));
        self.response(method)
    }

    pub(crate) fn get(&mut self, target: &str, fields: &[&str]) -> Response {
        self.request("GET", target, fields)
    }

    /// Asks for what may be cut: nothing if the connection ends before the answer's head.
    pub(crate) fn try_get(&mut self, target: &str, fields: &[&str]) -> Option<Response> {
        self.send(head("GET", target, fields));
        let begins = !self.wire.buffer.is_empty() || matches!(self.wire.fill(), Ok(1..));
        begins.then(|| self.response("GET"))
    }

    pub(crate) fn post(&mut self, target: &str, fields: &[&str], body: &[u8]) -> Response {
        let length = format!("Content-Length: {}", body.len());
        let fields = [fields, &[length.as_str()]].concat();
        let mut bytes = head("POST", target, &fields);
        bytes.extend_from_slice(body);
        self.send(bytes);
        self.response("POST")
    }

    /// Reads a whole answer.
    pub(crate) fn response(&mut self, method: &str) -> Response {
        let (mut response, mut left) = self.response_head(method);
        let deadline = Instant::now() + 4 * PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the body has no end: {}", response.body.len());
            match self.wire.piece(&mut left) {
                Ok(Piece::Data(data)) => response.body.extend(data),
                Ok(Piece::End(trailers)) => {
                    (response.trailers, response.complete) = (trailers, true);
                    return response;
                }
                Ok(Piece::Cut) => return response,
                Err(error) => {
                    assert!(!late(&error), "the body did not go on: {response:?}");
                    return response;
                }
            }
        }
    }

    /// Reads an answer's head, and says how its body will end.
    pub(crate) fn response_head(&mut self, method: &str) -> (Response, Framing) {
        let mut response = Response::default();
        loop {
            let head = self.wire.head().expect("an answer");
            let head = head.expect("an answer before the connection closes");
            let (first, fields) = parse_head(&head);
            let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
            let status = status.unwrap_or_else(|| panic!("no status in `{first}`"));
            if (100..200).contains(&status) && status != 101 {
                response.interim.push(status);
                continue;
            }
            (response.status, response.fields) = (status, fields);
            let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            let left = match bodiless {
                true => Framing::Length(0),
                false => Framing::of(&response.fields, Framing::ToClose),
            };
            return (response, left);
        }
    }

    /// The next bytes of a body; `None` at its end, `Err` when it was cut.
    pub(crate) fn piece(&mut self, left: &mut Framing) -> Result<Option<Vec<u8>>, &'static str> {
        match self.wire.piece(left) {
            Ok(Piece::Data(data)) => Ok(Some(data)),
            Ok(Piece::End(_)) => Ok(None),
            Ok(Piece::Cut) => Err("cut"),
            Err(error) if late(&error) => panic!("nothing more came"),
            Err(_) => Err("cut"),
        }
    }

    /// Whether the server closes now, with nothing more said.
    pub(crate) fn closed(&mut self) -> bool {
        match self.wire.fill() {
            Ok(0) => true,
            Ok(_) => panic!("more was said: {}", text(&self.wire.buffer)),
            Err(error) => !late(&error),
        }
    }
}

fn late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A connection from another address of this machine.
pub(crate) fn dial_from(local: &str, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(local.parse().unwrap(), 0).into())?;
    socket.connect(&address.into())?;
    patient(socket.into())
}

pub(crate) fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    patient(TcpStream::connect_timeout(&address, PATIENCE)?)
}

fn patient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A request's head, with `Host: keygate.test` unless a field names another.
pub(crate) fn head(method: &str, target: &str, fields: &[&str]) -> Vec<u8> {
    let hosted = fields.iter().any(|field| field.to_ascii_lowercase().starts_with("host:"));
    let host = if hosted { "" } else { "Host: keygate.test\r\n" };
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\n{host}{fields}\r\n").chars().map(latin1).collect()
}

/// The byte of a character up to U+00FF: so that a test can write any byte in a string.
fn latin1(c: char) -> u8 {
    u8::try_from(u32::from(c)).expect("a character below U+0100")
}

pub(crate) fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

pub(crate) fn basic(user: &str, key: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{user}:{key}")))
}
