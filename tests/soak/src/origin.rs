//! The API behind: a process of its own, to be killed. Each answer says who it was told is calling
//! and which request it answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::noise::{Comparison, Noise};
use crate::pki::Identity;
use crate::world::Stage;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The header that numbers a request.
pub(crate) const SEQ: &str = "soak-seq";
/// The header of an answer that says whose request it was.
pub(crate) const IDENTITY: &str = "soak-identity";
/// The header of an answer that says by which id its request went.
pub(crate) const ID: &str = "soak-request-id";
/// The header of an answer that says what should not have come.
pub(crate) const LEAK: &str = "soak-leak";

const TOLD: [&str; 5] = ["x-account-id", "x-key-id", "x-key-access", "x-permissions", "x-key-kind"];

/// What the header [`IDENTITY`] says for what a key's headers should say.
pub(crate) fn identity(told: [&str; 5]) -> String {
    told.join("|")
}

/// What [`serve`] is told: where to listen in clear, with TLS, for HTTP/2 in clear and on a socket
/// of the file system; the certificate and its key.
pub(crate) fn arguments(stage: &Stage) -> [String; 6] {
    let beside = |extension| stage.beside(extension).display().to_string();
    let address = |address: SocketAddr| address.to_string();
    [
        address(stage.upstream),
        address(stage.upstream_tls),
        address(stage.upstream_http2),
        beside("sock"),
        beside("crt"),
        beside("key"),
    ]
}

/// Serves until it is killed.
pub(crate) fn serve(arguments: &[String]) -> io::Result<()> {
    let [clear, tls, http2, socket, certificate, key] = arguments else {
        return Err(io::Error::other("the wrong number of arguments"));
    };
    let read = std::fs::read_to_string;
    let identity = Identity { certificate: read(certificate)?, key: read(key)? };
    let acceptor = TlsAcceptor::from(identity.server());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // One that was killed has left it.
        let _ = std::fs::remove_file(socket);
        let socket = UnixListener::bind(socket)?;
        let (tls, http2) = (TcpListener::bind(tls).await?, TcpListener::bind(http2).await?);
        // The one that is waited for comes last.
        let clear = TcpListener::bind(clear).await?;
        loop {
            tokio::select! {
                came = clear.accept() => drop(tokio::spawn(http1(without_delay(came?.0)?))),
                came = socket.accept() => drop(tokio::spawn(http1(came?.0))),
                came = http2.accept() => {
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let io = TokioIo::new(without_delay(came?.0)?);
                    tokio::spawn(http.serve_connection(io, service_fn(answer)));
                }
                came = tls.accept() => {
                    let handshake = acceptor.accept(without_delay(came?.0)?);
                    tokio::spawn(async move {
                        if let Ok(stream) = handshake.await {
                            http1(stream).await;
                        }
                    });
                }
            }
        }
    })
}

fn without_delay(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn http1(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let mut http = hyper::server::conn::http1::Builder::new();
    let serving = http
        .timer(hyper_util::rt::TokioTimer::new())
        .serve_connection(TokioIo::new(socket), service_fn(answer))
        .with_upgrades();
    let _ = serving.await;
}

/// How many requests for `/narrow` may be under way at a time for an account.
pub(crate) const NARROW: usize = 2;

/// How many there are now.
static CROWD: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// One of them, for as long as it is.
struct One(String);

impl One {
    /// Says also whether there are more than may be.
    fn begin(account: &str) -> (Self, bool) {
        let mut crowd = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
        let count = crowd.entry(account.to_owned()).or_default();
        *count += 1;
        (Self(account.to_owned()), *count > NARROW)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut crowd = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = crowd.get_mut(&self.0) {
            *count -= 1;
        }
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let seq = number(request.headers().get(SEQ));
    let (headers, mut leak) = (told(request.headers()), leak(request.headers()));
    let id = request.headers().get("x-request-id").cloned();
    let path = request.uri().path().to_owned();
    let mut words = path.split('/').skip(1);
    let (what, size) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let size: u64 = size.parse().unwrap_or_default();
    let pace = Duration::from_millis(number(request.headers().get("soak-pace")));
    let mut status = StatusCode::OK;
    let body: Body = match what {
        "down" => Noise::new(seq, size).paced(pace).boxed_unsync(),
        "up" => taken(request.body_mut(), seq, size).await?,
        "slow" => {
            tokio::time::sleep(Duration::from_millis(size)).await;
            Full::from(format!("waited {size}")).boxed_unsync()
        }
        "narrow" => {
            let account = request.headers().get("x-account-id");
            let account = account.and_then(|it| it.to_str().ok()).unwrap_or_default();
            let (one, too_many) = One::begin(account);
            if too_many {
                leak = Some(HeaderValue::from_static("more at a time than it may be"));
            }
            tokio::time::sleep(Duration::from_millis(size)).await;
            drop(one);
            Full::from(format!("waited {size}")).boxed_unsync()
        }
        "ws" => {
            tokio::spawn(talk(hyper::upgrade::on(&mut request)));
            status = StatusCode::SWITCHING_PROTOCOLS;
            Full::default().boxed_unsync()
        }
        _ => {
            let method = request.method().to_string();
            let body = request.into_body().collect().await?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            Full::from(format!("{method} {path} {seq} {body}")).boxed_unsync()
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(SEQ, HeaderValue::from(seq));
    fields.insert(IDENTITY, headers);
    fields.extend(id.map(|id| (http::HeaderName::from_static(ID), id)));
    fields.extend(leak.map(|leak| (http::HeaderName::from_static(LEAK), leak)));
    if status == StatusCode::SWITCHING_PROTOCOLS {
        fields.insert("connection", HeaderValue::from_static("upgrade"));
        fields.insert("upgrade", HeaderValue::from_static("websocket"));
    }
    Ok(response)
}

fn number(value: Option<&HeaderValue>) -> u64 {
    value.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default()
}

/// Every value of every identity header: one that comes twice is seen twice.
fn told(headers: &HeaderMap) -> HeaderValue {
    let values = |name: &&str| {
        let values = headers.get_all(*name).iter().map(|value| value.to_str().unwrap_or("?"));
        values.collect::<Vec<_>>().join("+")
    };
    let told: Vec<String> = TOLD.iter().map(values).collect();
    HeaderValue::from_str(&told.join("|")).unwrap_or(HeaderValue::from_static("?"))
}

/// The names of headers that should not have come: credentials, and identity in other spellings.
fn leak(headers: &HeaderMap) -> Option<HeaderValue> {
    let folded = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let names = headers.keys().map(http::HeaderName::as_str).filter(|name| {
        *name == "authorization" || (!TOLD.contains(name) && TOLD.contains(&folded(name).as_str()))
    });
    let names = names.collect::<Vec<_>>().join(" ");
    (!names.is_empty()).then(|| HeaderValue::from_str(&names).ok()).flatten()
}

async fn taken(body: &mut Incoming, seed: u64, size: u64) -> Result<Body, hyper::Error> {
    let mut comparison = Comparison::new(seed, size);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            comparison.take(&data);
        }
    }
    let text = match comparison.whole() {
        true => format!("took {size}"),
        false => format!("differs at {} of {size}", comparison.taken),
    };
    Ok(Full::from(text).boxed_unsync())
}

/// Sends everything back.
async fn talk(upgrade: hyper::upgrade::OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = TokioIo::new(upgraded);
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = socket.read(&mut piece).await {
        if socket.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    // Over TLS an end that nobody announces is a cut.
    let _ = socket.shutdown().await;
}
