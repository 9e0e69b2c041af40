//! What holds of every decision, whatever the request and whatever the rules.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that fails"
)]

mod answered;
mod answers;
mod changes;
mod decisions;
mod differential;
mod documents;
mod grants;
mod guard;
mod normalisers;
mod properties;
mod servers;
mod timing;
mod wire;
mod world;
