//! keygate sits in front of an API you already have, terminates TLS, lets in only requests that
//! carry a key you issued, and tells the API which account is calling and what it may do.
//!
//! The modules stand in the order in which a request meets them, and a module uses only those to
//! its left: `source, clock, keys → gate → config, observe → live → proxy, admin → serve → cli`.

pub mod clock;
pub mod source;

pub mod keys;

pub mod gate;

pub mod config;
pub mod observe;

pub mod live;

pub mod admin;
#[cfg(feature = "otlp")]
pub mod export;
pub mod proxy;

pub mod serve;

pub mod cli;
