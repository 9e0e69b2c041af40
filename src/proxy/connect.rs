//! Opening a connection to the upstream: TCP, TLS or a Unix socket, HTTP/1.1 or HTTP/2.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::body::RequestBody;
use super::exec::LocalExec;
use super::names::Names;
use super::shared::{CONNECTION_WINDOW, REMEMBERED_RESETS, SEND_BUFFER, STREAM_WINDOW};
use super::upstream::{Carrier, LARGEST_HEAD, Stream};
use crate::clock;
use crate::config::Protocol;
use crate::config::Target;
use crate::config::Upstream;
use crate::observe::UpstreamError;
use crate::observe::WorkerMetrics;

use ConnectError::{Connect, Http, Resolve, Timeout, Tls};

/// Why no connection was opened; the same for all who waited for it.
#[derive(Clone, Debug, Error)]
pub(super) enum ConnectError {
    #[error("the name could not be resolved: {0}")]
    Resolve(Arc<io::Error>),
    #[error("no connection: {0}")]
    Connect(Arc<io::Error>),
    #[error("no TLS: {0}")]
    Tls(Arc<io::Error>),
    #[error("no connection in time")]
    Timeout,
    #[error("no HTTP: {0}")]
    Http(Arc<hyper::Error>),
}

impl ConnectError {
    /// What it counts as.
    pub(super) const fn kind(&self) -> UpstreamError {
        match self {
            Self::Resolve(_) => UpstreamError::Resolve,
            Self::Connect(_) | Self::Timeout => UpstreamError::Connect,
            Self::Tls(_) => UpstreamError::Tls,
            Self::Http(_) => UpstreamError::Garbage,
        }
    }
}

/// A new connection.
pub(super) enum Opened {
    Http1(Stream),
    Http2(http2::SendRequest<RequestBody>),
}

/// Opens a connection within the time for it.
pub(super) async fn open(
    upstream: &Upstream,
    names: &Names,
    metrics: &WorkerMetrics,
) -> Result<Opened, ConnectError> {
    within(upstream, async {
        let (stream, negotiated) = stream(upstream, names, metrics, Arc::clone).await?;
        let http2 = match negotiated {
            Some(http2) => http2,
            None => upstream.protocol == Protocol::Http2,
        };
        if !http2 {
            return Ok(Opened::Http1(stream));
        }
        let mut builder = http2::Builder::new(LocalExec);
        builder
            .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_concurrent_reset_streams(REMEMBERED_RESETS)
            .max_local_error_reset_streams(None);
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| Http(error.into()))?;
        tokio::task::spawn_local(async { drop(connection.await) });
        Ok(Opened::Http2(sender))
    })
    .await
}

/// Opens a connection that can become something else: HTTP/1.1, used by one request only.
pub(super) async fn open_for_upgrade(
    upstream: &Upstream,
    names: &Names,
    metrics: &WorkerMetrics,
) -> Result<Stream, ConnectError> {
    let only_http1 = |tls: &Arc<ClientConfig>| {
        let mut config = ClientConfig::clone(tls);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    };
    within(upstream, async { Ok(stream(upstream, names, metrics, only_http1).await?.0) }).await
}

/// The connection, and whether HTTP/2 was agreed on, where that is spoken of.
async fn stream(
    upstream: &Upstream,
    names: &Names,
    metrics: &WorkerMetrics,
    config: impl Fn(&Arc<ClientConfig>) -> Arc<ClientConfig>,
) -> Result<(Stream, Option<bool>), ConnectError> {
    let longest = upstream.connect_timeout;
    let (carrier, http2) = match (&upstream.target, &upstream.tls) {
        (Target::Unix(path), _) => (Carrier::Unix(unix(path).await?), None),
        (Target::Tcp { host, port }, None) => {
            (Carrier::Tcp(tcp((host, *port), names, longest).await?), None)
        }
        (Target::Tcp { host, port }, Some(tls)) => {
            let stream = tcp((host, *port), names, longest).await?;
            secure(stream, &tls.name, config(&tls.config)).await?
        }
    };
    Ok((Stream::new(carrier, metrics.upstream_opened()), http2))
}

async fn within<T>(
    upstream: &Upstream,
    opening: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let opened = tokio::time::timeout(upstream.connect_timeout, opening).await;
    opened.unwrap_or(Err(Timeout))
}

/// Tries one address after the other. Each has its part of the time, or one that leads nowhere would
/// keep us from the others.
async fn tcp(
    name: (&str, u16),
    names: &Names,
    longest: Duration,
) -> Result<TcpStream, ConnectError> {
    let until = clock::mono() + longest;
    let lookup = async { Ok(tokio::net::lookup_host(name).await?.collect()) };
    let addresses =
        names.addresses(name, longest, lookup).await.map_err(|error| Resolve(error.into()))?;
    let mut last = Timeout;
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let time = until.saturating_duration_since(clock::mono());
        let time = time / u32::try_from(left).unwrap_or(u32::MAX);
        let connected = tokio::time::timeout(time, TcpStream::connect(address)).await;
        last = match connected.map(|connected| connected.and_then(prompt)) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Connect(error.into()),
            Err(_) => Timeout,
        };
        names.put_last(*address);
    }
    Err(last)
}

/// Sends what there is at once.
fn prompt(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn unix(path: &Path) -> Result<UnixStream, ConnectError> {
    UnixStream::connect(path).await.map_err(|error| Connect(error.into()))
}

async fn secure(
    stream: TcpStream,
    name: &ServerName<'static>,
    client: Arc<ClientConfig>,
) -> Result<(Carrier, Option<bool>), ConnectError> {
    let connector = TlsConnector::from(client);
    let stream =
        connector.connect(name.clone(), stream).await.map_err(|error| Tls(error.into()))?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Carrier::Tls(Box::new(stream)), Some(http2)))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use socket2::{Domain, Socket, Type};

    use super::*;

    const TIME: Duration = Duration::from_secs(2);

    /// One that listens, and has room for so many whom nobody has accepted.
    fn listener(room: i32) -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(room).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn an_address_that_leads_nowhere_keeps_nobody_from_the_next() {
        let (_full, nowhere) = listener(0);
        let _first = std::net::TcpStream::connect(nowhere).unwrap();
        let (_open, somewhere) = listener(8);
        let (name, names) = (("api", 1), Names::default());
        let all = vec![nowhere, somewhere];
        names.addresses(name, TIME, async { Ok(all) }).await.unwrap();
        let stream = tcp(name, &names, TIME).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), somewhere);
        let known = names.addresses(name, TIME, std::future::pending()).await.unwrap();
        assert_eq!(known, [somewhere, nowhere]);
        drop(stream);
    }

    #[tokio::test]
    async fn where_no_address_leads_anywhere_the_last_reason_is_told() {
        let (full, nowhere) = listener(0);
        let _first = std::net::TcpStream::connect(nowhere).unwrap();
        let (closed, refuses) = listener(8);
        drop(closed);
        let (name, names) = (("api", 1), Names::default());
        let all = vec![refuses, nowhere];
        names.addresses(name, TIME, async { Ok(all) }).await.unwrap();
        let told = tcp(name, &names, TIME).await.unwrap_err();
        assert!(matches!(told, Timeout), "{told}");
        drop(full);
    }
}
