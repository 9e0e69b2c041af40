//! WebSocket: after the permit and the upstream's own 101, bytes both ways until either side ends,
//! or the key dies.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::body::{Guards, ResponseBody};
use super::connect::open_for_upgrade;
use super::forward::{Failure, Limits, Outgoing, bounded, broken};
use super::headers::strip_hop_by_hop;
use super::lifeline::Line;
use crate::config::Upstream;

/// Asks the upstream to become a WebSocket, on a connection of its own.
pub(super) async fn ask(
    upstream: &Arc<Upstream>,
    mut out: Outgoing,
    limits: &Limits,
) -> Result<Response<Incoming>, Failure> {
    out.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    out.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let upload = Rc::clone(&out.upload);
    let mut sender = bounded(upstream, &upload, limits, open_for_upgrade(upstream)).await??;
    let request = out.into_request(upstream, false);
    let sent = bounded(upstream, &upload, limits, sender.send_request(request)).await?;
    sent.map_err(|error| broken(&error, &upload))
}

/// Whether an upstream that switches protocols switches to what it was asked for.
pub(super) fn agreed(response: &Response<Incoming>) -> bool {
    let protocol = response.headers().get(UPGRADE);
    protocol.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the client with the upstream's 101, and joins both sides once both have switched.
pub(super) fn switch(
    mut answer: Response<Incoming>,
    client: OnUpgrade,
    guards: Guards,
) -> Response<ResponseBody> {
    let upstream = hyper::upgrade::on(&mut answer);
    if let Some(line) = &guards.line {
        line.exempt();
    }
    join(client, upstream, guards);
    let mut response = Response::new(ResponseBody::Own(None));
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    strip_hop_by_hop(response.headers_mut());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// The guards are held until the end.
fn join(client: OnUpgrade, upstream: OnUpgrade, guards: Guards) {
    tokio::task::spawn_local(async move {
        let mut guards = guards;
        if let (Ok(client), Ok(upstream)) = (client.await, upstream.await) {
            let line = guards.line.take();
            let (received, sent) = pump(client, upstream, line.as_deref()).await;
            guards.record.received(received);
            guards.record.sent(sent);
        }
    });
}

async fn pump(client: Upgraded, upstream: Upgraded, line: Option<&Line>) -> (u64, u64) {
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    let copy = tokio::io::copy_bidirectional(&mut client, &mut upstream);
    let mut copy = std::pin::pin!(copy);
    std::future::poll_fn(|context| {
        if line.is_some_and(|line| line.poll_cut(context.waker()).is_some()) {
            return Poll::Ready((0, 0));
        }
        copy.as_mut().poll(context).map(|done| done.unwrap_or_default())
    })
    .await
}
