//! How long the head of a request may take, from its first byte to its end.
//!
//! Each head has a time of its own, counted from when all that had come was read.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// The time of the head that has begun on a connection, if one has.
#[derive(Debug)]
pub(super) struct HeadTime {
    most: Duration,
    begun: bool,
    end: Option<Pin<Box<Sleep>>>,
    /// How many heads had come when this one began.
    heads: u64,
}

impl HeadTime {
    pub(super) const fn new(most: Duration) -> Self {
        Self { most, begun: false, end: None, heads: 0 }
    }

    /// Notes whether a head has begun whose end has not come, and how many came whole before.
    pub(super) fn note(&mut self, begun: bool, heads: u64) {
        if !begun || heads != self.heads {
            (self.end, self.heads) = (None, heads);
        }
        self.begun = begun;
    }

    /// Ready when the head that has begun took too long.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.begun {
            return Poll::Pending;
        }
        let most = self.most;
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        end.as_mut().poll(context)
    }
}
