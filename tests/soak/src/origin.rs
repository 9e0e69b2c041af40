//! The API behind: a process of its own, to be killed. Each answer says who it was told is calling
//! and which request it answers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::noise::{Comparison, Noise};

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

/// Serves until it is killed.
pub(crate) fn serve(address: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let mut http = hyper::server::conn::http1::Builder::new();
            let serving = http
                .timer(hyper_util::rt::TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service_fn(answer))
                .with_upgrades();
            tokio::spawn(serving);
        }
    })
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let seq = number(request.headers().get(SEQ));
    let (headers, leak) = (told(request.headers()), leak(request.headers()));
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
}
