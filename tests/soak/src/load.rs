//! The clients: so many of each kind, each at a rate of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::asks::Ask;
use crate::churn::Churn;
use crate::exchange::{Attempt, Sender, chain, dial};
use crate::ledger::{End, Kind, Protocol};
use crate::noise::Dice;
use crate::world::{Stop, World};

const MIB: u64 = 1 << 20;
/// How many requests a connection takes before its client opens another.
const PER_CONNECTION: u64 = 200;

/// What a task needs.
#[derive(Clone)]
struct Actor {
    world: Arc<World>,
    stop: Stop,
    dice: Dice,
}

/// Runs all clients until they are stopped and the last answer is in.
pub(crate) fn run(world: &Arc<World>, churn: &Arc<Churn>, stop: &Stop, seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let mut number = seed * 1000;
        let mut actor = || {
            number += 1;
            Actor { world: Arc::clone(world), stop: stop.clone(), dice: Dice::new(number) }
        };
        for _ in 0..6 {
            tasks.spawn(actor().asks(Protocol::Http1, every(20), mixed));
        }
        for _ in 0..2 {
            tasks.spawn(actor().asks(Protocol::Http2, every(40), mixed));
        }
        tasks.spawn(actor().asks(Protocol::Clear, every(5), |world, dice| {
            Some(Ask::in_clear(&dice.pick(&world.holders).read))
        }));
        for protocol in [Protocol::Http1, Protocol::Http2] {
            tasks.spawn(actor().asks(protocol, every(8), narrow));
            tasks.spawn(actor().asks(protocol, every(6), rated));
            tasks.spawn(actor().asks(protocol, every(8), tokens));
            tasks.spawn(actor().asks(protocol, every(2), transfer));
            for _ in 0..3 {
                tasks.spawn(actor().asks(protocol, every(1), paced));
            }
            let churn = Arc::clone(churn);
            let fresh = move |_: &World, dice: &mut Dice| churn.ask(dice);
            tasks.spawn(actor().asks(protocol, every(15), fresh));
            tasks.spawn(actor().kills(protocol));
        }
        for _ in 0..2 {
            tasks.spawn(actor().talks());
            tasks.spawn(actor().holds(Arc::clone(churn)));
        }
        while tasks.join_next().await.is_some() {}
    });
}

const fn every(per_second: u64) -> Duration {
    Duration::from_micros(1_000_000 / per_second)
}

#[expect(clippy::unnecessary_wraps, reason = "some kinds have nothing to ask at times")]
fn mixed(world: &World, dice: &mut Dice) -> Option<Ask> {
    Some(Ask::mixed(&world.holders, dice))
}

/// Of one account: at times more than two are under way.
#[expect(clippy::unnecessary_wraps, reason = "some kinds have nothing to ask at times")]
fn narrow(world: &World, dice: &mut Dice) -> Option<Ask> {
    Some(Ask::narrow(&world.holders[1].read, 20 + dice.below(200)))
}

/// Of one key: more than it may.
#[expect(clippy::unnecessary_wraps, reason = "some kinds have nothing to ask at times")]
fn rated(world: &World, _: &mut Dice) -> Option<Ask> {
    Some(Ask::rated(&world.holders[2].read))
}

/// A login now and then, and what it gave.
fn tokens(world: &World, dice: &mut Dice) -> Option<Ask> {
    match dice.below(4) {
        0 => Some(Ask::login(&dice.pick(&world.holders).read)),
        _ => world.token(dice).map(|token| Ask::echo(Kind::Token, &token, dice)),
    }
}

/// Mostly one MiB, at times sixteen.
#[expect(clippy::unnecessary_wraps, reason = "some kinds have nothing to ask at times")]
fn transfer(world: &World, dice: &mut Dice) -> Option<Ask> {
    let holder = dice.pick(&world.holders);
    let size = if dice.below(20) == 0 { 16 * MIB } else { MIB / 2 + dice.below(MIB) };
    Some(match dice.below(2) {
        0 => Ask::down(&holder.read, size),
        _ => Ask::up(&holder.write, size),
    })
}

/// Up to two seconds for a body.
#[expect(clippy::unnecessary_wraps, reason = "some kinds have nothing to ask at times")]
fn paced(world: &World, dice: &mut Dice) -> Option<Ask> {
    let holder = dice.pick(&world.holders);
    let ask = match dice.below(3) {
        0 => Ask::down(&holder.read, MIB / 2),
        1 => Ask::up(&holder.write, MIB / 2),
        _ => Ask::slow(&holder.read, 1500),
    };
    Some(ask.paced(Duration::from_millis(40)))
}

impl Actor {
    /// One request after the other over HTTP/1.1, many at a time over HTTP/2.
    async fn asks(
        mut self,
        protocol: Protocol,
        every: Duration,
        next: impl Fn(&World, &mut Dice) -> Option<Ask>,
    ) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut connection, mut used) = (None, 0);
        let mut open = tokio::task::JoinSet::new();
        loop {
            ticks.tick().await;
            if self.stop.raised() {
                break;
            }
            let Some(ask) = next(&self.world, &mut self.dice) else { continue };
            let fresh = match connection.as_mut() {
                Some(sender) if used < PER_CONNECTION => !Sender::ready(sender).await,
                _ => true,
            };
            if fresh {
                match Sender::open(&self.world, protocol).await {
                    Ok(sender) => (connection, used) = (Some(sender), 0),
                    Err(error) => {
                        connection = None;
                        let attempt = Attempt::new(&self.world, ask, protocol);
                        attempt.end(End::Unreached(error.to_string()));
                        continue;
                    }
                }
            }
            used += 1;
            let Some(sender) = connection.as_mut() else { continue };
            match sender.another() {
                None => Attempt::new(&self.world, ask, protocol).make(sender).await,
                Some(mut sender) => {
                    let world = Arc::clone(&self.world);
                    open.spawn(async move {
                        Attempt::new(&world, ask, protocol).make(&mut sender).await;
                    });
                    while open.try_join_next().is_some() {}
                }
            }
        }
        while open.join_next().await.is_some() {}
    }

    /// Goes away at some point of everything: while connecting, within a body, before the answer.
    async fn kills(mut self, protocol: Protocol) {
        let mut ticks = interval(Duration::from_millis(400));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.stop.raised() {
                return;
            }
            let patience = Duration::from_millis(self.dice.below(120));
            if self.dice.below(5) == 0 {
                // Within the handshake, or right after it.
                let _ = timeout(patience / 20, dial(&self.world, &self.world.http1)).await;
                continue;
            }
            let Ok(mut sender) = Sender::open(&self.world, protocol).await else { continue };
            let holder = self.dice.pick(&self.world.holders).clone();
            let ask = match self.dice.below(4) {
                0 => Ask::down(&holder.read, 64 * MIB),
                1 => Ask::up(&holder.write, 64 * MIB),
                2 => Ask::slow(&holder.read, 3000),
                _ => Ask::up(&holder.write, MIB).paced(Duration::from_millis(50)),
            };
            let attempt = Attempt::new(&self.world, Ask { kind: Kind::Killed, ..ask }, protocol);
            let request = attempt.request(protocol);
            let _ = timeout(patience, async {
                if let Ok(response) = sender.send(request).await {
                    let _ = http_body_util::BodyExt::collect(response.into_body()).await;
                }
            })
            .await;
            attempt.end(End::Killed);
            self.world.ledger.deed("clients killed half-way", 1);
        }
    }

    /// WebSockets that are opened, talked over, and closed.
    async fn talks(mut self) {
        while !self.stop.raised() {
            let key = self.dice.pick(&self.world.holders).read.clone();
            let rounds = 5 + self.dice.below(20);
            self.session(Ask::socket(Kind::Socket, &key), Some(rounds)).await;
        }
    }

    /// WebSockets of keys that will be revoked, held until they are cut.
    async fn holds(mut self, churn: Arc<Churn>) {
        while !self.stop.raised() {
            match churn.living(&mut self.dice) {
                Some(key) => self.session(Ask::socket(Kind::Held, &key), None).await,
                None => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// One session; without a number of rounds it is held until it is cut.
    async fn session(&mut self, ask: Ask, rounds: Option<u64>) {
        let mut dice = Dice::new(self.dice.roll());
        let mut attempt = Attempt::new(&self.world, ask, Protocol::Http1);
        let mut sender = match Sender::open(&self.world, Protocol::Http1).await {
            Ok(sender) => sender,
            Err(error) => {
                attempt.end(End::Unreached(error.to_string()));
                return tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let request = attempt.request(Protocol::Http1);
        let mut response = match sender.send(request).await {
            Ok(response) => response,
            Err(error) => {
                attempt.cut(chain(&error));
                return tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if response.status().as_u16() != 101 {
            match attempt.body(response).await {
                Ok(end) => attempt.end(end),
                Err(error) => attempt.cut(chain(&error)),
            }
            return tokio::time::sleep(Duration::from_millis(100)).await;
        }
        attempt.head(response.status(), response.headers());
        let upgraded = match hyper::upgrade::on(&mut response).await {
            Ok(upgraded) => hyper_util::rt::TokioIo::new(upgraded),
            Err(error) => return attempt.cut(chain(&error)),
        };
        match talk(upgraded, &mut attempt, rounds, (&mut dice, &self.stop)).await {
            Ok(()) => attempt.end(End::Answer(101, String::new())),
            Err(error) => attempt.cut(error.to_string()),
        }
    }
}

async fn talk(
    mut socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    attempt: &mut Attempt<'_>,
    rounds: Option<u64>,
    (dice, stop): (&mut Dice, &Stop),
) -> std::io::Result<()> {
    let mut round = 0;
    while rounds.is_none_or(|rounds| round < rounds) {
        if rounds.is_none() && stop.raised() {
            break;
        }
        round += 1;
        let said: Vec<u8> = (0..1 + dice.below(4000)).map(|_| dice.roll() as u8).collect();
        let mut heard = vec![0; said.len()];
        let exchange = async {
            socket.write_all(&said).await?;
            socket.read_exact(&mut heard).await
        };
        timeout(Duration::from_secs(20), exchange).await??;
        if said != heard {
            attempt.wrong("the socket said something else");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    socket.shutdown().await?;
    match timeout(Duration::from_secs(20), socket.read(&mut [0])).await? {
        Ok(0) => Ok(()),
        Ok(_) => {
            attempt.wrong("the socket says more than it was told");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
