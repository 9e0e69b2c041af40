//! A permit → the upstream's answer, on its way to the client.

use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode};

use hyper::upgrade::OnUpgrade;

use super::body::{Guards, Patience, RequestBody, ResponseBody, Source, Stream};
use super::exchange::Exchange;
use super::forward::{self, Answer, Failure, Limits, Outgoing};
use super::headers::{self, Sender};
use super::intake::Intake;
use super::payload::Payload;
use super::quota;
use super::upgrade;
use super::upload::Upload;
use super::upstream::Opening;
use crate::clock;
use crate::gate::Permit;
use crate::observe::WorkerMetrics;

/// Sends a permitted request on and passes the answer back as it comes. What can be done before
/// anyone is waited for is done at once, so that its state need not be kept.
pub(super) fn forward(
    mut exchange: Exchange,
    permit: Permit,
    parts: &mut Parts,
    payload: Payload,
    intake: &Intake,
) -> impl Future<Output = Response<ResponseBody>> + use<> {
    let worker = Rc::clone(&exchange.worker);
    let world = Rc::clone(exchange.world());
    let key = permit.grant().key();
    let began = clock::mono();
    let until = forward::until(permit.grant().timeout(), began);
    let line = (key.is_some() || until.is_some()).then(|| exchange.tie(key, until));
    let websocket = exchange.is_http11()
        && payload.is_empty()
        && intake.connection
        && headers::asks_for_websocket(&parts.method, &parts.headers);
    let (mut out, client) = outgoing(&exchange, &permit, parts, (payload, began), intake);
    let upload = Rc::clone(&out.upload);
    let slot = permit.into_slot();
    async move {
        let upstream = world.upstream();
        let limits = Limits {
            began,
            until,
            line: line.as_deref(),
            alarms: worker.alarms(),
            pause: world.bounds().upload_pause,
        };
        let answer = match websocket {
            true => Box::pin(upgrade::ask(worker.pool(), upstream, &mut out, &limits)).await,
            false => pin!(forward::exchange(worker.pool(), upstream, &mut out, &limits)).await,
        };
        let answered = clock::mono();
        // The body of a request that was answered early goes on elsewhere.
        drop(out);
        exchange.record.asked(answered.duration_since(began));
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return exchange.fail(&failure, upload.unread()),
        };
        let Answer { opening, source } = answer;
        let switched = opening.status == StatusCode::SWITCHING_PROTOCOLS;
        let client = client.filter(|_| switched && websocket && upgrade::agreed(&opening.headers));
        if switched && client.is_none() {
            let failure = Failure::garbage("it switches to a protocol nobody asked for");
            return exchange.fail(&failure, upload.unread());
        }
        exchange.record.answered(opening.status.as_u16(), answered);
        let quota = exchange.quota;
        let piece = if exchange.is_http2() { PIECE } else { usize::MAX };
        if client.is_some() {
            exchange.open();
        }
        // All of the exchange would be moved to have a part of it.
        let guards = Guards { task: worker.task(), record: exchange.record, slot, line };
        let mut response = match client {
            Some(client) => upgrade::switch(opening, source, client, guards),
            None => {
                let patience = Patience::new(upstream.timeout, until);
                let metrics = worker.metrics().clone();
                pass(opening, source, Passing { upload, guards, patience, metrics, piece })
            }
        };
        quota::tell(response.headers_mut(), quota.as_ref());
        response
    }
}

/// What travels along with a response's body.
struct Passing {
    upload: Rc<Upload>,
    guards: Guards,
    patience: Patience,
    metrics: WorkerMetrics,
    piece: usize,
}

/// The most that is handed over at once to a client that takes an answer piece by piece, so that
/// one who is slow is seen to go on.
const PIECE: usize = 16 * 1024;

/// The request as the upstream shall see it, and the handle by which the client's connection may
/// become something else.
fn outgoing(
    exchange: &Exchange,
    permit: &Permit,
    parts: &mut Parts,
    (payload, began): (Payload, Instant),
    intake: &Intake,
) -> (Outgoing, Option<OnUpgrade>) {
    let localhost = || HeaderValue::from_static("localhost");
    let sender = Sender {
        chain: exchange.chain(intake),
        https: intake.https(parts, exchange.transport),
        host: &intake.host.clone().unwrap_or_else(|_| localhost()),
        request_id: &exchange.request_id,
        connection: intake.connection,
        trace: exchange.record.traced().map(|trace| (exchange.worker.traces(), trace)),
    };
    let snapshot = exchange.world().snapshot();
    let grant = permit.grant();
    let fields = headers::upstream(
        std::mem::take(&mut parts.headers),
        snapshot,
        (grant.key(), grant.profile()),
        grant.forward_credential(),
        sender,
    );
    let upload = Upload::new(payload.is_empty(), began);
    let body = RequestBody::new(payload, snapshot.stripper(), &upload);
    let out = Outgoing {
        method: parts.method.clone(),
        target: target(parts),
        headers: fields,
        body,
        upload,
    };
    (out, parts.extensions.remove())
}

/// What is asked for. An absolute form may have no path, which is `/` (RFC 9112, section 3.2.1).
fn target(parts: &Parts) -> PathAndQuery {
    let root = || PathAndQuery::from_static("/");
    let Some(target) = parts.uri.path_and_query() else { return root() };
    match target.as_str().starts_with('?') {
        true => PathAndQuery::try_from(target.to_string()).unwrap_or_else(|_| root()),
        false => target.clone(),
    }
}

fn pass(opening: Opening, source: Source, passing: Passing) -> Response<ResponseBody> {
    let Opening { status, mut headers, extensions } = opening;
    headers::downstream(&mut headers, status);
    let Passing { upload, guards, patience, metrics, piece } = passing;
    let stream = Stream { source, kept: None, cut: None, upload, guards, patience, metrics, piece };
    let mut response = Response::new(ResponseBody::streaming(stream));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    *response.extensions_mut() = extensions;
    response
}
