//! A denial → the answer that a stranger gets.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::body::ResponseBody;
use super::payload::Payload;
use crate::gate::Answers;
use crate::gate::Denial;
use crate::gate::Transport;

/// How much of an unread body is read away, so that the connection can go on.
const MOST_DRAINED: u64 = 64 * 1024;
/// How long that may take.
const LONGEST_DRAIN: Duration = Duration::from_secs(5);

/// Who is refused.
pub(super) struct Refused<'a> {
    pub(super) request_id: &'a HeaderValue,
    pub(super) transport: Transport,
    /// Whether a key came by Bearer.
    pub(super) bearer: bool,
}

/// Makes the answer.
pub(super) fn refuse(
    denial: Denial,
    answers: &Answers,
    refused: &Refused<'_>,
) -> Response<ResponseBody> {
    let id = refused.request_id.to_str().unwrap_or_default();
    let rendered = answers.render(denial, id, refused.transport, refused.bearer);
    let mut response = Response::new(ResponseBody::Own(Some(rendered.body)));
    *response.status_mut() = rendered.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, rendered.content_type);
    headers.insert("x-request-id", refused.request_id.clone());
    for challenge in rendered.challenges {
        headers.append(WWW_AUTHENTICATE, challenge.clone());
    }
    response
}

/// Deals with what is left of an answered request's body. Whether an HTTP/1 connection must end with
/// this answer: the rest would be read as the next request, or is more than anyone wants to read
/// away.
pub(super) fn put_away(denial: Option<Denial>, parts: &Parts, payload: Payload) -> bool {
    let close = must_close(denial, parts, &payload);
    match payload.rest {
        Some(rest) if !close => drain(rest),
        _ => {}
    }
    close
}

fn must_close(denial: Option<Denial>, parts: &Parts, payload: &Payload) -> bool {
    let headers = &parts.headers;
    let broken = matches!(denial, Some(Denial::MalformedRequest | Denial::RequestTimeout));
    if parts.version >= Version::HTTP_2 || (payload.rest.is_none() && !broken) {
        return false;
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    broken
        // Nobody was told to go on, so that nobody knows whether a body follows.
        || (headers.contains_key(EXPECT) && payload.is_untouched())
        || length.is_some_and(|length| length > MOST_DRAINED)
}

/// Says of an answer to HEAD how long its body would be, without it (RFC 9110, section 9.3.2):
/// over HTTP/2 nobody else leaves it away.
pub(super) fn leave_body_away(response: &mut Response<ResponseBody>) {
    let length = response.body().size_hint().exact().unwrap_or_default();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = ResponseBody::Own(None);
}

/// What is answered to a client that has left: it does not come to anybody.
pub(super) fn nobody() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(None));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    close(&mut response);
    response
}

/// Says that the connection ends with this answer.
pub(super) fn close(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Reads an unread body away in the background, up to a bound; beyond it, the connection closes.
fn drain(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::task::spawn_local(async move {
        let reading = async {
            let mut read = 0u64;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > MOST_DRAINED {
                    return;
                }
            }
        };
        // Out of time is out of patience: dropping the body closes the connection.
        let _ = tokio::time::timeout(LONGEST_DRAIN, reading).await;
    });
}
