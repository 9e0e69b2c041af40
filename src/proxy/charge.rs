//! Facts → a permit: the decision, and where its route has a limit, the wait for a slot.

use http::Method;
use http::request::Parts;

use super::exchange::Exchange;
use super::intake::Intake;
use crate::clock;
use crate::gate::Denial;
use crate::gate::Grant;
use crate::gate::HttpAccepts;
use crate::gate::Permit;
use crate::gate::Queue;
use crate::gate::Slot;
use crate::gate::Transport;
use crate::gate::decide;
use crate::observe::Fate;

/// Decides, and charges what was granted.
pub(super) async fn permit(
    exchange: &mut Exchange,
    parts: &Parts,
    intake: &Intake,
) -> Result<Permit, Denial> {
    form(exchange, parts, intake)?;
    let (grant, shadow) = judge(exchange, parts, intake)?;
    let Some((lane, limit)) = grant.limit().cloned() else {
        return Ok(settled(exchange, grant, None, shadow));
    };
    let slot = match exchange.worker.slots().enter(&lane, limit) {
        Queue::Admitted(slot) => slot,
        Queue::Full | Queue::Wait(_) if !enforced(exchange, &grant) => {
            let shadow = shadow.or(Some(Denial::TooManyInFlight));
            return Ok(settled(exchange, grant, None, shadow));
        }
        Queue::Full => return Err(Denial::TooManyInFlight),
        Queue::Wait(waiting) => {
            let began = clock::mono();
            let waited = tokio::time::timeout(limit.queue, waiting).await;
            exchange.record.waited(clock::mono().duration_since(began));
            let slot = waited.map_err(|_| Denial::TooManyInFlight)?;
            exchange.renew();
            let (grant, shadow) = judge(exchange, parts, intake)?;
            return Ok(settled(exchange, grant, Some(slot), shadow));
        }
    };
    Ok(settled(exchange, grant, Some(slot), shadow))
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

fn judge(
    exchange: &mut Exchange,
    parts: &Parts,
    intake: &Intake,
) -> Result<(Grant, Option<Denial>), Denial> {
    let facts = intake.facts(parts, exchange.transport);
    let verdict = decide(&facts, exchange.world().snapshot(), clock::now());
    exchange.note(&verdict);
    // A tunnel to anywhere is never what an API is asked for.
    match verdict.outcome {
        Ok(_) if parts.method == Method::CONNECT => Err(Denial::MalformedRequest),
        outcome => outcome.map(|grant| (grant, verdict.shadow)),
    }
}

fn enforced(exchange: &Exchange, grant: &Grant) -> bool {
    let routes = exchange.world().snapshot().routes();
    grant.route().and_then(|route| routes.get(route)).is_none_or(|route| route.enforce)
}

fn settled(
    exchange: &mut Exchange,
    grant: Grant,
    slot: Option<Slot>,
    shadow: Option<Denial>,
) -> Permit {
    exchange.settle(shadow.map_or(Fate::Forwarded, Fate::Shadow));
    grant.charge(slot)
}
