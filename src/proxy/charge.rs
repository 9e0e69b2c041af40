//! Facts → a permit: the decision, the body where a rule wants to see it, and where the route has
//! a limit, the wait for a slot.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use http::request::Parts;

use super::exchange::Exchange;
use super::intake::Intake;
use super::payload::{Payload, Room};
use crate::clock;
use crate::gate::Budget;
use crate::gate::Denial;
use crate::gate::Endpoint;
use crate::gate::Grant;
use crate::gate::HttpAccepts;
use crate::gate::Permit;
use crate::gate::Queue;
use crate::gate::Slot;
use crate::gate::Step;
use crate::gate::Transport;
use crate::gate::Waiting;
use crate::gate::decide;
use crate::observe::Fate;
use crate::observe::RouteId;

/// What may be done with a request.
pub(super) enum Passage {
    /// It may be forwarded.
    Forward(Permit),
    /// It is for us.
    Answer(Endpoint),
}

/// What was granted, and what would have been refused if its route enforced.
struct Granted {
    grant: Grant,
    shadow: Option<Denial>,
}

/// A grant, or what is ours to answer.
enum Ruling {
    Granted(Granted),
    Ours(Endpoint),
}

/// Decides, and charges what was granted.
pub(super) async fn permit(
    exchange: &mut Exchange,
    parts: &Parts,
    intake: &Intake,
    payload: &mut Payload,
) -> Result<Passage, Denial> {
    form(exchange, parts, intake)?;
    let ruling = pin!(judge(exchange, parts, intake, payload)).await?;
    let granted = match ruling {
        Ruling::Granted(granted) => granted,
        Ruling::Ours(endpoint) => return Ok(Passage::Answer(endpoint)),
    };
    let mut granted = rate(exchange, granted)?;
    let mut began = None;
    loop {
        let Some((lane, limit)) = granted.grant.limit().cloned() else {
            return Ok(settled(exchange, granted, None));
        };
        let waiting = match exchange.worker.slots().enter(&lane, limit) {
            Queue::Admitted(slot) => return Ok(settled(exchange, granted, Some(slot))),
            Queue::Full | Queue::Wait(_) if !enforced(exchange, &granted.grant) => {
                let shadow = granted.shadow.or(Some(Denial::TooManyInFlight));
                return Ok(settled(exchange, Granted { shadow, ..granted }, None));
            }
            Queue::Full => return Err(Denial::TooManyInFlight),
            Queue::Wait(waiting) => waiting,
        };
        let waited = clock::mono().duration_since(*began.get_or_insert_with(clock::mono));
        let left = limit.queue.saturating_sub(waited);
        let slot = wait(exchange, &granted.grant, waiting, left).await?;
        exchange.renew();
        granted = match judge(exchange, parts, intake, payload).await? {
            Ruling::Granted(granted) => granted,
            Ruling::Ours(endpoint) => return Ok(Passage::Answer(endpoint)),
        };
        if granted.grant.limit().is_some_and(|(now, _)| *now == lane) {
            return Ok(settled(exchange, granted, Some(slot)));
        }
        // A reload has moved it meanwhile, and it is counted where it is now.
    }
}

/// Waits for a slot.
async fn wait(
    exchange: &mut Exchange,
    grant: &Grant,
    waiting: Waiting,
    at_most: Duration,
) -> Result<Slot, Denial> {
    exchange.await_others();
    let began = clock::mono();
    let queued = exchange.worker.metrics().queued(label(exchange, grant));
    let waited = tokio::time::timeout(at_most, waiting).await;
    drop(queued);
    exchange.record.waited(clock::mono().duration_since(began));
    waited.map_err(|_| Denial::TooManyInFlight)
}

/// The transport is judged before the form, and the form before everything else.
fn form(exchange: &Exchange, parts: &Parts, intake: &Intake) -> Result<(), Denial> {
    let snapshot = exchange.world().snapshot();
    let clear = exchange.transport == Transport::Plain;
    match (&intake.host, snapshot.http_accepts()) {
        (Ok(_), _) => Ok(()),
        (Err(_), HttpAccepts::Nothing) if clear => Err(Denial::InsecureTransport),
        (Err(_), HttpAccepts::ForwardedHttps)
            if clear && !intake.https(parts, exchange.transport) =>
        {
            Err(Denial::InsecureTransport)
        }
        (Err(denial), _) => Err(*denial),
    }
}

/// Judges the head, and the body where a rule wants to see it. Reading it takes time, so
/// everything is judged again then.
async fn judge(
    exchange: &mut Exchange,
    parts: &Parts,
    intake: &Intake,
    payload: &mut Payload,
) -> Result<Ruling, Denial> {
    let facts = intake.facts(parts, exchange.transport, !payload.is_empty());
    loop {
        let verdict = decide(&facts, exchange.world().snapshot(), clock::now());
        exchange.note(&verdict);
        let inspection = match verdict.outcome? {
            // A tunnel to anywhere is never what an API is asked for.
            _ if parts.method == Method::CONNECT => return Err(Denial::MalformedRequest),
            Step::Answer(endpoint) => return Ok(Ruling::Ours(endpoint)),
            Step::Grant(grant) => {
                return Ok(Ruling::Granted(Granted { grant, shadow: verdict.shadow }));
            }
            Step::Inspect(inspection) => inspection,
        };
        if let Some(body) = payload.whole() {
            let judged = inspection.judge(body, exchange.world().snapshot());
            return judged
                .outcome
                .map(|grant| Ruling::Granted(Granted { grant, shadow: judged.shadow }));
        }
        let worker = Rc::clone(&exchange.worker);
        let budget = (worker.budget(), exchange.world().body_memory());
        collect(exchange, payload, inspection.most(), budget).await?;
        exchange.renew();
    }
}

/// Reads the body into memory.
pub(super) async fn collect(
    exchange: &mut Exchange,
    payload: &mut Payload,
    most: usize,
    budget: (&Budget, usize),
) -> Result<(), Denial> {
    exchange.await_others();
    let began = clock::mono();
    let pause = exchange.world().bounds().body_pause;
    let done = payload.collect(&Room { most, budget, pause }).await;
    exchange.record.waited(clock::mono().duration_since(began));
    done
}

/// Counts a refusal that is one of a failed attempt; of too many the answer is another one.
pub(super) fn attempt(exchange: &mut Exchange, denial: Denial) -> Denial {
    let Some(rate) = exchange.world().bounds().failures else { return denial };
    let attempts = exchange.worker.attempts();
    match attempts.count(denial, exchange.client(), rate, clock::mono()) {
        Ok(()) => denial,
        Err(quota) => {
            exchange.worker.metrics().attempt_limited();
            exchange.quota = Some(quota);
            Denial::RateLimited
        }
    }
}

fn rate(exchange: &mut Exchange, granted: Granted) -> Result<Granted, Denial> {
    let Some((lane, rate)) = granted.grant.rate() else { return Ok(granted) };
    match exchange.worker.rates().enter(lane, *rate, clock::mono()) {
        Ok(quota) => {
            exchange.quota = Some(quota);
            Ok(granted)
        }
        Err(quota) => {
            exchange.quota = Some(quota);
            match enforced(exchange, &granted.grant) {
                true => Err(Denial::RateLimited),
                false => {
                    let shadow = granted.shadow.or(Some(Denial::RateLimited));
                    Ok(Granted { shadow, ..granted })
                }
            }
        }
    }
}

/// The label of its route in metrics.
fn label(exchange: &Exchange, grant: &Grant) -> RouteId {
    grant.route().map_or(RouteId::NONE, |route| exchange.world().route_id(route))
}

fn enforced(exchange: &Exchange, grant: &Grant) -> bool {
    let routes = exchange.world().snapshot().routes();
    grant.route().and_then(|route| routes.get(route)).is_none_or(|route| route.enforce)
}

fn settled(exchange: &mut Exchange, granted: Granted, slot: Option<Slot>) -> Passage {
    exchange.settle(granted.shadow.map_or(Fate::Forwarded, Fate::Shadow));
    Passage::Forward(granted.grant.charge(slot))
}
