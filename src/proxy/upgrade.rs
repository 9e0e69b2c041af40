//! WebSocket: after the permit and the upstream's own 101, bytes both ways until either side ends,
//! or the key dies.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

use super::body::{Guards, ResponseBody, Source};
use super::forward::{Answer, Failure, Limits, Outgoing, bounded};
use super::headers::strip_hop_by_hop;
use super::lifeline::Line;
use super::pool::Pool;
use super::upstream::{Opening, Stream};
use crate::clock;
use crate::config::Upstream;

/// Asks the upstream to become a WebSocket, on a connection of its own.
pub(super) async fn ask(
    pool: &Pool,
    upstream: &Arc<Upstream>,
    out: &mut Outgoing,
    limits: &Limits<'_>,
) -> Result<Answer, Failure> {
    out.headers.push(CONNECTION, HeaderValue::from_static("upgrade"));
    out.headers.push(UPGRADE, HeaderValue::from_static("websocket"));
    let upload = Rc::clone(&out.upload);
    let apart = pin!(pool.apart(upstream));
    let lease = bounded(upstream, &upload, limits, limits.began, apart).await??;
    let sent = pin!(out.send_on(lease));
    let sent = bounded(upstream, &upload, limits, clock::mono(), sent).await?;
    sent.map_err(|failed| failed.why.into())
}

/// Whether an upstream that switches protocols switches to what it was asked for.
pub(super) fn agreed(headers: &HeaderMap) -> bool {
    let protocol = headers.get(UPGRADE);
    protocol.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the client with the upstream's 101, and joins both sides once the client has switched.
pub(super) fn switch(
    opening: Opening,
    source: Source,
    client: OnUpgrade,
    guards: Guards,
) -> Response<ResponseBody> {
    if let Some(line) = &guards.line {
        line.exempt();
    }
    join(client, source, guards);
    let Opening { mut headers, extensions, .. } = opening;
    strip_hop_by_hop(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let mut response = Response::new(ResponseBody::Own(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    *response.extensions_mut() = extensions;
    response
}

/// The guards are held until the end.
fn join(client: OnUpgrade, source: Source, guards: Guards) {
    tokio::task::spawn_local(async move {
        let mut guards = guards;
        let upstream = match source {
            Source::Own(lease) => lease.into_stream(),
            Source::Shared(..) => None,
        };
        if let (Ok(client), Some((upstream, begun))) = (client.await, upstream) {
            let line = guards.line.take();
            let (received, sent) = pump(client, upstream, &begun, line.as_deref()).await;
            guards.record.received(received);
            guards.record.sent(sent);
        }
    });
}

/// What the upstream has said already goes first.
async fn pump(
    client: Upgraded,
    mut upstream: Stream,
    begun: &Bytes,
    line: Option<&Line>,
) -> (u64, u64) {
    let mut client = TokioIo::new(client);
    let copy = async {
        client.write_all(begun).await?;
        client.flush().await?;
        let (received, sent) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
        Ok::<_, std::io::Error>((received, sent + begun.len() as u64))
    };
    let mut copy = std::pin::pin!(copy);
    std::future::poll_fn(|context| {
        if line.is_some_and(|line| line.poll_cut(context.waker()).is_some()) {
            return Poll::Ready((0, 0));
        }
        copy.as_mut().poll(context).map(|done| done.unwrap_or_default())
    })
    .await
}
