//! One request and its answer, on a connection of either protocol, looked at to the last byte.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::asks::{Ask, Body, Load};
use crate::ledger::{End, Kind, Protocol, Record, now};
use crate::noise::Comparison;
use crate::origin::{ID, IDENTITY, LEAK, SEQ};
use crate::world::Key;
use crate::world::World;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(45);

/// A connection.
pub(crate) enum Sender {
    Http1(http1::SendRequest<Body>, Protocol),
    Http2(http2::SendRequest<Body>),
}

impl Sender {
    pub(crate) async fn open(world: &World, protocol: Protocol) -> io::Result<Self> {
        let opening = async {
            match protocol {
                Protocol::Http1 => {
                    let tls = dial(world, &world.http1).await?;
                    let (sender, connection) =
                        http1::handshake(TokioIo::new(tls)).await.map_err(io::Error::other)?;
                    tokio::spawn(connection.with_upgrades());
                    Ok(Self::Http1(sender, protocol))
                }
                Protocol::Clear => {
                    let socket = TcpStream::connect(world.http).await?;
                    let (sender, connection) =
                        http1::handshake(TokioIo::new(socket)).await.map_err(io::Error::other)?;
                    tokio::spawn(connection);
                    Ok(Self::Http1(sender, protocol))
                }
                Protocol::Http2 => {
                    let tls = dial(world, &world.http2).await?;
                    let made = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await;
                    let (sender, connection) = made.map_err(io::Error::other)?;
                    tokio::spawn(connection);
                    Ok(Self::Http2(sender))
                }
            }
        };
        timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Http1(_, protocol) => *protocol,
            Self::Http2(_) => Protocol::Http2,
        }
    }

    /// Whether another request can be sent.
    pub(crate) async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender, _) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender, _) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Another handle of the same connection, where it takes several requests at a time.
    pub(crate) fn another(&self) -> Option<Self> {
        match self {
            Self::Http1(..) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }
}

pub(crate) async fn dial(
    world: &World,
    config: &Arc<rustls::ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(world.https).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(Arc::clone(config)).connect(name, socket).await
}

/// A request that is being made.
pub(crate) struct Attempt<'w> {
    world: &'w World,
    pub(crate) record: Record,
    ask: Ask,
}

impl<'w> Attempt<'w> {
    pub(crate) fn new(world: &'w World, ask: Ask, protocol: Protocol) -> Self {
        let seq = world.next();
        let named = world.named.load(Relaxed) || seq.is_multiple_of(2);
        let from = now();
        let record = Record {
            seq,
            kind: ask.kind,
            protocol,
            key: ask.key.as_ref().map(|key| key.id.clone()).unwrap_or_default(),
            from,
            head: None,
            to: from,
            end: End::Killed,
            id: named.then(|| format!("soak-{seq}")),
            wrong: None,
        };
        Self { world, record, ask }
    }

    pub(crate) fn request(&self, protocol: Protocol) -> Request<Body> {
        let id = self.record.id.as_deref();
        self.ask.request(self.record.seq, id, protocol == Protocol::Http2)
    }

    pub(crate) fn end(mut self, end: End) {
        self.record.to = now();
        self.record.end = end;
        self.world.ledger.open().records.push(self.record);
    }

    pub(crate) fn cut(self, why: impl Into<String>) {
        let status = self.record.head.map(|_| self.ask.kind.answer().0);
        self.end(End::Cut(status, why.into()));
    }

    pub(crate) fn wrong(&mut self, what: impl Into<String>) {
        self.record.wrong.get_or_insert(what.into());
    }

    /// Looks at an answer's head.
    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.record.head = Some(now());
        let text = |name: &str| {
            let values: Vec<_> =
                headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
            (!values.is_empty()).then(|| values.join("+"))
        };
        let forwarded = matches!(status.as_u16(), 101 | 200) && self.ask.login.is_none();
        let id = text(if forwarded { ID } else { "x-request-id" });
        if id.is_none() || self.record.id.is_some() && id != self.record.id {
            self.wrong(format!("the request id is {id:?}"));
        }
        self.record.id = id;
        let (seq, identity, leak) = (text(SEQ), text(IDENTITY), text(LEAK));
        if !forwarded {
            if seq.is_some() || identity.is_some() {
                self.wrong("a refusal with headers of the upstream");
            }
            return;
        }
        if seq != Some(self.record.seq.to_string()) {
            self.wrong(format!("the answer to request {seq:?}"));
        }
        let expected = self.ask.key.as_ref().map(|key| key.identity.clone());
        if identity != expected {
            self.wrong(format!("the upstream was told {identity:?}, not {expected:?}"));
        }
        if let Some(leak) = leak {
            self.wrong(format!("the upstream was sent {leak}"));
        }
    }

    /// Makes it; says whether the connection can be used again.
    pub(crate) async fn make(mut self, sender: &mut Sender) {
        let request = self.request(sender.protocol());
        self.record.from = now();
        match timeout(PATIENCE, sender.send(request)).await {
            Err(_) => self.cut("no answer in time"),
            Ok(Err(error)) => self.cut(chain(&error)),
            Ok(Ok(response)) => match timeout(PATIENCE, self.body(response)).await {
                Err(_) => self.cut("the answer's body did not end in time"),
                Ok(Err(error)) => self.cut(chain(&error)),
                Ok(Ok(end)) => self.end(end),
            },
        }
    }

    /// Takes a whole answer.
    pub(crate) async fn body(&mut self, response: Response<Incoming>) -> hyper::Result<End> {
        let (head, mut body) = response.into_parts();
        self.head(head.status, &head.headers);
        let status = head.status.as_u16();
        if let (200, Load::Down(size)) = (status, self.ask.load) {
            let mut comparison = Comparison::new(self.record.seq, size);
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame?.into_data() {
                    comparison.take(&data);
                }
            }
            if !comparison.whole() {
                self.wrong(format!("the body differs, at {} of {size}", comparison.taken));
            }
            return Ok(End::Answer(status, String::new()));
        }
        let bytes = body.collect().await?.to_bytes();
        if let (200, Some(key)) = (status, self.ask.login.clone()) {
            self.token(key, &bytes);
            return Ok(End::Answer(status, String::new()));
        }
        if status == 200 {
            self.text(&bytes);
            return Ok(End::Answer(status, String::new()));
        }
        let reason = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|body| Some(body.get("reason")?.as_str()?.to_owned()));
        if reason.is_none() {
            self.wrong(format!("a refusal without a reason: {bytes:?}"));
        }
        Ok(End::Answer(status, reason.unwrap_or_default()))
    }

    /// Keeps a token for those who use it.
    fn token(&mut self, key: Key, bytes: &Bytes) {
        let body: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        match body.get("token").and_then(serde_json::Value::as_str) {
            Some(text) => self.world.keep(Key { text: text.to_owned(), ..key }),
            None => self.wrong(format!("a login without a token: {bytes:?}")),
        }
    }

    fn text(&mut self, bytes: &Bytes) {
        let seq = self.record.seq;
        let expected = match (self.ask.load, self.ask.kind) {
            (Load::Up(size), _) => format!("took {size}"),
            (_, Kind::Slow | Kind::Narrow) => {
                format!("waited {}", self.ask.path.rsplit('/').next().unwrap_or(""))
            }
            _ => format!("{} {} {seq} {}", self.ask.method, self.ask.path, self.ask.text(seq)),
        };
        if bytes != expected.as_bytes() {
            self.wrong(format!(
                "the body is {:?}, not {expected:?}",
                String::from_utf8_lossy(bytes)
            ));
        }
    }
}

/// An error with what caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += ": ";
        text += &cause.to_string();
        next = cause.source();
    }
    text
}
