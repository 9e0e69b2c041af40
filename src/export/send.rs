//! One batch to the collector, by HTTP/1.1 (OTLP specification, section OTLP/HTTP).

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::encode;
use crate::config::Collector;
use crate::observe::Span;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long to wait before each further attempt.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// How much of an answer is read.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Why a batch was not taken.
#[derive(Debug, Error)]
pub(super) enum SendError {
    #[error("the collector cannot be reached: {0}")]
    Connect(io::Error),
    #[error("the collector does not answer in time")]
    Late,
    #[error("the collector answers {0}")]
    Refused(StatusCode),
    #[error("the collector does not speak HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
}

impl SendError {
    /// Whether it is worth another attempt.
    const fn passes(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Late | Self::Http(_) => true,
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Request(_) => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Sender {
    collector: Collector,
    runtime: Runtime,
}

impl Sender {
    pub(super) const fn new(collector: Collector, runtime: Runtime) -> Self {
        Self { collector, runtime }
    }

    /// Sends a batch; how many of it the collector took and then refused.
    pub(super) fn send(&self, batch: Vec<Span>, ending: &AtomicBool) -> Result<usize, SendError> {
        let body = Bytes::from(encode::request(&self.collector.service, batch).encode_to_vec());
        self.runtime.block_on(async {
            let mut pauses = PAUSES.iter();
            loop {
                let attempt = tokio::time::timeout(ATTEMPT, self.attempt(body.clone())).await;
                let error = match attempt.unwrap_or(Err(SendError::Late)) {
                    Ok(refused) => return Ok(refused),
                    Err(error) => error,
                };
                // Whoever ends does not wait for a collector to come back.
                match pauses.next().filter(|_| error.passes() && !ending.load(Relaxed)) {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(error),
                }
            }
        })
    }

    async fn attempt(&self, body: Bytes) -> Result<usize, SendError> {
        let Collector { host, port, tls, .. } = &self.collector;
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(SendError::Connect)?;
        match tls {
            None => self.exchange(stream, body).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name.clone(), stream).await;
                self.exchange(stream.map_err(SendError::Connect)?, body).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, body: Bytes) -> Result<usize, SendError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut asked = pin!(async {
            let response = sender.send_request(self.request(body)?).await?;
            let status = response.status();
            let answer = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            match status.is_success() {
                true => Ok(answer.map_or(0, |answer| refused(&answer.to_bytes()))),
                false => Err(SendError::Refused(status)),
            }
        });
        tokio::select! {
            biased;
            done = &mut asked => done,
            // Its end may have brought the answer; if not, that is what is said of it.
            _ = connection => asked.await,
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let Collector { host, port, path, .. } = &self.collector;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Request::post(path)
            .header(HOST, format!("{host}:{port}"))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!("keygate/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Full::new(body))
    }
}

/// How many spans an answer says were refused. One that cannot be read says nothing.
fn refused(answer: &[u8]) -> usize {
    let answer = ExportTraceServiceResponse::decode(answer).ok();
    let partial = answer.and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0))
}
