//! An upstream that speaks HTTP/2, in clear (with prior knowledge) or by ALPN.

use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::http2::DRIVER;
use super::pki::Identity;

/// More than all buffers between it and a client take.
static LONG: LazyLock<Bytes> = LazyLock::new(|| vec![b'a'; 32 << 20].into());

/// What it saw of one request.
#[derive(Debug)]
pub(crate) struct Seen2 {
    pub(crate) head: Request<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A running upstream that takes a hundred requests at a time on a connection. It answers `POST` with the body, a trailer, and anything else with `ok`. It
/// closes its connection after `/last`, and at once on `/abort`; from `/freeze` on it says nothing more
/// on that one. It resets what asks for `/reset/N`, by that error, and without one what asks for `/torn`
/// and has half of its answer, when told. What asks for `/hold` waits for ever. The head for `/large/N`
/// has so many KiB, the body for `/long` 32 MiB, and that for `/drops` 20,000 frames of ten bytes. `/enough` is answered with `ok` after the first piece of
/// the body, of which it wants no more then.
pub(crate) struct Origin2 {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Vec<Seen2>>>,
    pub(crate) connections: Arc<Mutex<usize>>,
    pub(crate) tear: Arc<Notify>,
}

impl Origin2 {
    /// In clear, or with TLS under an identity.
    pub(crate) fn start(identity: Option<&Identity>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let scheme = if identity.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let acceptor = identity.map(|identity| {
            let mut config = rustls::ServerConfig::clone(&identity.server());
            config.alpn_protocols = vec![b"h2".to_vec()];
            tokio_rustls::TlsAcceptor::from(Arc::new(config))
        });
        let seen = Arc::<Mutex<Vec<Seen2>>>::default();
        let connections = Arc::<Mutex<usize>>::default();
        let tear = Arc::<Notify>::default();
        let (log, count, cue) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&tear));
        DRIVER.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                let (log, acceptor, cue) = (Arc::clone(&log), acceptor.clone(), Arc::clone(&cue));
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                converse(stream, log, cue).await;
                            }
                        }
                        None => converse(stream, log, cue).await,
                    }
                });
            }
        });
        Self { url, seen, connections, tear }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    log: Arc<Mutex<Vec<Seen2>>>,
    cue: Arc<Notify>,
) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(100);
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let log = Arc::clone(&log);
        let path = request.uri().path().to_owned();
        if path == "/abort" {
            return;
        }
        if path == "/freeze" {
            std::future::pending::<()>().await;
        }
        let (last, cue) = (path == "/last", Arc::clone(&cue));
        tokio::spawn(async move {
            let (parts, mut incoming) = request.into_parts();
            let mut body = Vec::new();
            if path == "/enough" {
                // The library resets the stream without an error for who does not read on.
                let _ = incoming.data().await;
                let outgoing = respond.send_response(Response::new(()), false);
                return outgoing.unwrap().send_data(Bytes::from_static(b"ok"), true).unwrap();
            }
            while let Some(Ok(piece)) = incoming.data().await {
                let _ = incoming.flow_control().release_capacity(piece.len());
                body.extend_from_slice(&piece);
            }
            let trailers = incoming.trailers().await.ok().flatten();
            let answer = match path.as_str() {
                "/long" => LONG.clone(),
                _ if body.is_empty() => Bytes::from_static(b"ok"),
                _ => Bytes::from(body.clone()),
            };
            let head = Request::from_parts(parts, ());
            log.lock().unwrap().push(Seen2 { head, body, trailers });
            if let Some(reason) = path.strip_prefix("/reset/") {
                return respond.send_reset(reason.parse::<u32>().unwrap().into());
            }
            if path == "/hold" {
                std::future::pending::<()>().await;
            }
            let mut response = Response::new(());
            if let Some(size) = path.strip_prefix("/large/") {
                let value = "a".repeat(size.parse::<usize>().unwrap() * 1024);
                response.headers_mut().insert("x-large", value.parse().unwrap());
            }
            let Ok(mut outgoing) = respond.send_response(response, false) else { return };
            if path == "/torn" {
                let _ = outgoing.send_data(Bytes::from_static(b"half"), false);
                cue.notified().await;
                return outgoing.send_reset(h2::Reason::NO_ERROR);
            }
            for _ in 0..if path == "/drops" { 20_000 } else { 0 } {
                let _ = outgoing.send_data(Bytes::from_static(b"0123456789"), false);
            }
            let _ = outgoing.send_data(answer, false);
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "1".parse().unwrap());
            let _ = outgoing.send_trailers(trailers);
        });
        if last {
            connection.graceful_shutdown();
        }
    }
}
