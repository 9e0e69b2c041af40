//! Bytes in, bytes out. `handle` is one request's way through: intake, decide and charge,
//! forward or refuse, and one record of it.
//!
//! Must not know TOML or files. A worker is one thread with its own listeners, its own upstream
//! connections and its own counters; workers share the snapshot and the limits that were asked
//! for, nothing else.

mod alarm;
mod body;
mod charge;
mod connect;
mod connection;
mod desk;
mod doors;
mod exchange;
mod exec;
mod fields;
mod forward;
mod guard;
mod head_time;
mod headers;
mod http2;
mod id;
mod idle;
mod intake;
mod lifeline;
mod linger;
mod listen;
mod mint;
mod names;
mod outlet;
mod payload;
mod peer;
mod phrase;
mod pool;
pub mod preamble;
mod pulse;
mod quota;
mod refuse;
mod relay;
mod shared;
mod socket;
mod trace;
mod upgrade;
mod upload;
mod upstream;
mod worker;

use std::pin::pin;
use std::rc::Rc;

use http::Response;
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;

use self::body::ResponseBody;
use self::charge::Passage;
use self::connection::Origin;
use self::desk::Asked;
use self::exchange::Exchange;
use self::payload::Payload;
use self::worker::Worker;

pub use self::guard::Flaw;
pub use self::guard::flaw;
pub use self::guard::passes;
pub use self::intake::Intake;
pub use self::listen::Bound;
pub use self::listen::ListenError;
pub use self::listen::Spot;
pub use self::pulse::Pulse;
pub use self::upstream::Reading;
pub use self::upstream::read;
pub use self::worker::Phase;
pub use self::worker::run;

/// Answers one request, as long as there is a client to answer.
async fn handle(asked: &mut Asked) -> Response<ResponseBody> {
    let Asked { worker, origin, parts, body } = asked;
    let Some(body) = body.take() else { return refuse::nobody() };
    let alone = body.is_end_stream();
    let mut answer = pin!(answer(worker, origin, parts, body));
    if alone {
        return answer.await;
    }
    // While a body waits nobody reads the connection, so nobody would see its end.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        () = origin.left() => {
            // One that only sends no more still listens: it is told nothing rather than something
            // that is not so.
            origin.hang_up();
            refuse::nobody()
        }
    }
}

async fn answer(
    worker: &Rc<Worker>,
    origin: &Rc<Origin>,
    parts: &mut Parts,
    body: Incoming,
) -> Response<ResponseBody> {
    let mut exchange = Exchange::begin(Rc::clone(worker), origin, parts);
    let intake = Intake::read(parts, origin, exchange.world().trusted_proxies());
    exchange.meet(parts, &intake);
    let mut payload = Payload::new(body, parts.version);
    let passage = pin!(charge::permit(&mut exchange, parts, &intake, &mut payload)).await;
    match passage {
        Ok(Passage::Forward(permit)) => {
            pin!(relay::forward(exchange, permit, parts, payload, &intake)).await
        }
        Ok(Passage::Answer(endpoint)) => {
            Box::pin(mint::answer(exchange, endpoint, parts, payload, &intake)).await
        }
        Err(denial) => {
            let denial = charge::attempt(&mut exchange, denial);
            let close = refuse::put_away(Some(denial), parts, payload);
            exchange.refuse(denial, close)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_one<'a, A: 'a, F: Future>(_: impl Fn(&'a mut A) -> F) -> usize {
        size_of::<F>()
    }

    fn of_four<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// An idle connection keeps room for its own, a worker for those of some requests. The compiler
    /// keeps what a future was given as well as what it makes of it, so they grow fast.
    #[test]
    fn the_state_of_a_request_and_of_a_connection_is_small() {
        let (request, connection) = (of_one(handle), of_four(connection::serve));
        assert!(request <= 3 * 1024 + 256, "{request}");
        assert!(connection <= 5 * 1024 + 512, "{connection}");
    }
}
