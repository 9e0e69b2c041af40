//! An HTTP/2 client; its connections are driven by one background thread.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use rustls::pki_types::ServerName;
use tokio::runtime::{Builder, Handle};

use super::PATIENCE;
use super::client::Response;
use super::pki::TRUSTED;
use super::wire::{Fields, text};

pub(crate) static DRIVER: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
});

/// Runs a future to its end, or fails at the deadline.
pub(crate) fn wait<F: Future>(what: &str, future: F) -> F::Output {
    DRIVER.block_on(async {
        tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} came"))
    })
}

/// One connection.
pub(crate) struct Http2 {
    send: SendRequest<Bytes>,
    ended: Arc<Mutex<Option<Result<(), String>>>>,
}

impl Http2 {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, h2::client::Builder::new())
    }

    /// With settings of its own.
    pub(crate) fn connect_as(address: SocketAddr, builder: h2::client::Builder) -> Self {
        Self::over(std::net::TcpStream::connect(address).unwrap(), builder)
    }

    /// On a connection on which something has been said already.
    pub(crate) fn over(stream: std::net::TcpStream, builder: h2::client::Builder) -> Self {
        let config = TRUSTED.client(&["h2"]);
        let connect = async move {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let connector = tokio_rustls::TlsConnector::from(config);
            let stream = connector.connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
            builder.handshake(stream).await.unwrap()
        };
        let (send, connection) = wait("HTTP/2 handshake", connect);
        let ended = Arc::<Mutex<Option<Result<(), String>>>>::default();
        let end = Arc::clone(&ended);
        DRIVER.spawn(async move {
            let result = connection.await.map_err(|error| error.to_string());
            *end.lock().unwrap() = Some(result);
        });
        Self { send, ended }
    }

    /// How the connection ended, once it has.
    pub(crate) fn ended(&self) -> Option<Result<(), String>> {
        self.ended.lock().unwrap().clone()
    }

    /// Opens a stream; `end` says that no body follows.
    pub(crate) fn open(&self, method: &str, path: &str, fields: &[&str], end: bool) -> Stream {
        self.try_open(method, path, fields, end).expect("a stream")
    }

    pub(crate) fn try_open(
        &self,
        method: &str,
        path: &str,
        fields: &[&str],
        end: bool,
    ) -> Result<Stream, h2::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://keygate.test{path}"))
            .body(())
            .unwrap();
        for field in fields {
            let (name, value) = split(field);
            request.headers_mut().append(name, value);
        }
        let mut send = wait("readiness", self.send.clone().ready())?;
        // Within the driver: sending wakes the connection.
        let _driver = DRIVER.enter();
        let (answer, body) = send.send_request(request, end)?;
        Ok(Stream { answer: Some(answer), body, incoming: None })
    }

    /// Asks for a tunnel; the status, unless the stream is reset.
    pub(crate) fn connect_to(&self, authority: &str, fields: &[&str]) -> Option<u16> {
        let mut request = Request::builder().method("CONNECT").uri(authority).body(()).unwrap();
        request.headers_mut().extend(fields.iter().map(|field| split(field)));
        let mut send = wait("readiness", self.send.clone().ready()).ok()?;
        let (answer, _body) = {
            let _driver = DRIVER.enter();
            send.send_request(request, false).ok()?
        };
        wait("answer", answer).ok().map(|answer| answer.status().as_u16())
    }

    /// A whole exchange.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        fields: &[&str],
        body: &[u8],
    ) -> Response {
        let mut stream = self.open(method, path, fields, body.is_empty());
        if !body.is_empty() {
            stream.send(body, true);
        }
        stream.response()
    }

    pub(crate) fn get(&self, path: &str, fields: &[&str]) -> Response {
        self.request("GET", path, fields, b"")
    }
}

/// One stream.
pub(crate) struct Stream {
    answer: Option<ResponseFuture>,
    body: SendStream<Bytes>,
    incoming: Option<RecvStream>,
}

impl Stream {
    pub(crate) fn send(&mut self, bytes: &[u8], end: bool) {
        self.body.send_data(Bytes::copy_from_slice(bytes), end).expect("the stream to be open");
    }

    pub(crate) fn send_trailers(&mut self, fields: &[&str]) {
        let trailers: HeaderMap = fields.iter().map(|field| split(field)).collect();
        self.body.send_trailers(trailers).expect("the stream to be open");
    }

    /// Gives the stream up.
    pub(crate) fn reset(self) {
        self.reset_for(h2::Reason::CANCEL);
    }

    pub(crate) fn reset_for(mut self, reason: h2::Reason) {
        self.body.send_reset(reason);
    }

    /// The head of the answer; an error is the stream's or the connection's end.
    pub(crate) fn try_head(&mut self) -> Result<Response, h2::Error> {
        let answer = self.answer.take().expect("one answer");
        let answer = wait("answer", answer)?;
        let (head, incoming) = answer.into_parts();
        self.incoming = Some(incoming);
        let fields = fields(&head.headers);
        Ok(Response { status: head.status.as_u16(), fields, ..Response::default() })
    }

    pub(crate) fn head(&mut self) -> Response {
        self.try_head().expect("an answer")
    }

    /// The next bytes of the answer's body; `None` at its end.
    pub(crate) fn piece(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let incoming = self.incoming.as_mut().expect("a head first");
        loop {
            let Some(piece) = wait("body", incoming.data()).transpose()? else { return Ok(None) };
            incoming.flow_control().release_capacity(piece.len())?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// The rest of the answer.
    pub(crate) fn response(&mut self) -> Response {
        let mut response = self.head();
        let deadline = Instant::now() + 4 * PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the body has no end: {}", response.body.len());
            match self.piece() {
                Ok(Some(piece)) => response.body.extend_from_slice(&piece),
                Ok(None) => break,
                Err(_) => return response,
            }
        }
        let incoming = self.incoming.as_mut().expect("a head first");
        if let Ok(trailers) = wait("trailers", incoming.trailers()) {
            response.trailers = trailers.as_ref().map(fields).unwrap_or_default();
            response.complete = true;
        }
        response
    }
}

fn split(field: &str) -> (HeaderName, HeaderValue) {
    let (name, value) = field.split_once(':').expect("a field");
    let value = value.trim().chars().map(|c| u8::try_from(u32::from(c)).unwrap());
    let value = HeaderValue::from_bytes(&value.collect::<Vec<_>>()).unwrap();
    (HeaderName::from_bytes(name.as_bytes()).unwrap(), value)
}

fn fields(map: &HeaderMap) -> Fields {
    map.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}
