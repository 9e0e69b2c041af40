//! What is answered here instead of being forwarded: logins, refreshing, the public keys.
//!
//! The gate judges and mints; what is done here is reading the body before and writing the answer
//! after. What is minted is in the answer and nowhere else.

use std::rc::Rc;

use http::HeaderValue;
use http::Response;
use http::header::CACHE_CONTROL;
use http::request::Parts;

use super::body::ResponseBody;
use super::charge;
use super::exchange::Exchange;
use super::intake::Intake;
use super::payload::Payload;
use super::refuse;
use crate::clock;
use crate::gate::Denial;
use crate::gate::Endpoint;
use crate::gate::Minting;

/// The most bytes of all bodies that are being read here: 16 MiB. Nobody must show a key to send
/// one, so they have a budget of their own: strangers take no room from those who have shown theirs.
const MOST_OF_ALL: usize = 1024 * Endpoint::MOST;

/// Answers a request for a path of our own.
pub(super) async fn answer(
    mut exchange: Exchange,
    endpoint: Endpoint,
    parts: &Parts,
    mut payload: Payload,
    intake: &Intake,
) -> Response<ResponseBody> {
    exchange.note_endpoint(endpoint);
    let outcome = match read(&mut exchange, endpoint, &mut payload).await {
        Ok(()) => mint(&mut exchange, endpoint, parts, &payload, intake),
        Err(denial) => Err(denial),
    };
    let outcome = outcome.map_err(|denial| charge::attempt(&mut exchange, denial));
    let close = refuse::put_away(outcome.as_ref().err().copied(), parts, payload);
    let mut response = match outcome {
        Ok(document) => exchange.mint(&document, close),
        Err(denial) => exchange.refuse(denial, close),
    };
    let caching = match endpoint {
        Endpoint::Jwks if response.status().is_success() => "public, max-age=300",
        Endpoint::Login | Endpoint::LoginSimple | Endpoint::Refresh | Endpoint::Jwks => "no-store",
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// Reads the body, where there is one to read. One that says that it is too large is not begun, so
/// that nobody is asked to send it.
async fn read(
    exchange: &mut Exchange,
    endpoint: Endpoint,
    payload: &mut Payload,
) -> Result<(), Denial> {
    if !endpoint.reads_body() || payload.is_empty() {
        return Ok(());
    }
    if payload.announced().is_some_and(|length| length > Endpoint::MOST as u64) {
        return Err(Denial::BodyTooLarge);
    }
    let worker = Rc::clone(&exchange.worker);
    let budget = (worker.login_budget(), MOST_OF_ALL);
    charge::collect(exchange, payload, Endpoint::MOST, budget).await?;
    exchange.renew();
    Ok(())
}

fn mint(
    exchange: &mut Exchange,
    endpoint: Endpoint,
    parts: &Parts,
    payload: &Payload,
    intake: &Intake,
) -> Result<Box<str>, Denial> {
    let mut nonce = [0; 16];
    // Without randomness no two tokens could be told apart.
    getrandom::fill(&mut nonce).map_err(|_| Denial::Overloaded)?;
    let facts = intake.facts(parts, exchange.transport, !payload.is_empty());
    let body = payload.whole().unwrap_or(Ok(&[]));
    let snapshot = exchange.world().snapshot();
    let Minting { outcome, key, bearer } =
        endpoint.answer(&facts, body, snapshot, clock::now(), nonce);
    exchange.note_holder(key, bearer);
    outcome
}
