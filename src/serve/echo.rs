//! An API to try things with: it answers every request with what it was sent.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// How much of a body is echoed.
const MOST: usize = 64 * 1024;

/// Makes a socket that listens ready for [`serve`].
///
/// # Errors
/// When the system does not allow it.
pub(super) fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Answers until the process ends.
pub(super) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::task::spawn_local(async { drop(connection.await) });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MOST).collect().await.map(|body| body.to_bytes());
    let header = |name| parts.headers.get(name).map(text);
    let echo = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        "account": header("x-account-id"),
        "access": header("x-key-access"),
        "permissions": header("x-permissions"),
        "key": header("x-key-id"),
        "headers": headers(&parts.headers),
        "body": String::from_utf8_lossy(&body.unwrap_or_default()),
    });
    let mut response = Response::new(Full::from(format!("{echo:#}\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    headers.iter().map(|(name, value)| (name.to_string(), json!(text(value)))).collect()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
