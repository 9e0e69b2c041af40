//! Opening a connection to the upstream: TCP, TLS or a Unix socket, HTTP/1.1 or HTTP/2.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::body::RequestBody;
use super::exec::LocalExec;
use crate::config::Protocol;
use crate::config::Target;
use crate::config::Upstream;
use crate::observe::UpstreamError;

/// Why no connection was opened.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error("the name could not be resolved: {0}")]
    Resolve(io::Error),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("no connection in time")]
    Timeout,
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
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
    Http1(http1::SendRequest<RequestBody>, AbortHandle),
    Http2(http2::SendRequest<RequestBody>),
}

/// Opens a connection within the time for it.
pub(super) async fn open(upstream: &Upstream) -> Result<Opened, ConnectError> {
    within(upstream, async {
        let known = upstream.protocol == Protocol::Http2;
        match (&upstream.target, &upstream.tls) {
            (Target::Unix(path), _) => handshake(unix(path).await?, known).await,
            (Target::Tcp { host, port }, None) => handshake(tcp(host, *port).await?, known).await,
            (Target::Tcp { host, port }, Some(tls)) => {
                let config = Arc::clone(&tls.config);
                let stream = secure(tcp(host, *port).await?, &tls.name, config).await?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                handshake(stream, http2).await
            }
        }
    })
    .await
}

/// Opens a connection that can become something else: HTTP/1.1, used by one request only.
pub(super) async fn open_for_upgrade(
    upstream: &Upstream,
) -> Result<http1::SendRequest<RequestBody>, ConnectError> {
    within(upstream, async {
        match (&upstream.target, &upstream.tls) {
            (Target::Unix(path), _) => upgradable(unix(path).await?).await,
            (Target::Tcp { host, port }, None) => upgradable(tcp(host, *port).await?).await,
            (Target::Tcp { host, port }, Some(tls)) => {
                let mut config = ClientConfig::clone(&tls.config);
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                let stream = tcp(host, *port).await?;
                upgradable(secure(stream, &tls.name, Arc::new(config)).await?).await
            }
        }
    })
    .await
}

async fn within<T>(
    upstream: &Upstream,
    opening: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let opened = tokio::time::timeout(upstream.connect_timeout, opening).await;
    opened.unwrap_or(Err(ConnectError::Timeout))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(ConnectError::Resolve)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(ConnectError::Connect)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Connect(last))
}

async fn unix(path: &Path) -> Result<UnixStream, ConnectError> {
    UnixStream::connect(path).await.map_err(ConnectError::Connect)
}

async fn secure(
    stream: TcpStream,
    name: &ServerName<'static>,
    client: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let connector = TlsConnector::from(client);
    connector.connect(name.clone(), stream).await.map_err(ConnectError::Tls)
}

async fn handshake<T>(stream: T, http2: bool) -> Result<Opened, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    if http2 {
        let (sender, connection) = http2::Builder::new(LocalExec).handshake(io).await?;
        tokio::task::spawn_local(async { drop(connection.await) });
        return Ok(Opened::Http2(sender));
    }
    let (sender, connection) = http1_builder().handshake(io).await?;
    let task = tokio::task::spawn_local(async { drop(connection.await) });
    Ok(Opened::Http1(sender, task.abort_handle()))
}

async fn upgradable<T>(stream: T) -> Result<http1::SendRequest<RequestBody>, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    TokioIo<T>: Read + Write,
{
    let (sender, connection) = http1_builder().handshake(TokioIo::new(stream)).await?;
    let connection = connection.with_upgrades();
    tokio::task::spawn_local(async { drop(connection.await) });
    Ok(sender)
}

/// Nothing lenient: no HTTP/0.9, no folded lines, no spaces before colons.
fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(128 * 1024);
    builder
}
