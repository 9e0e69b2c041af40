//! Text that people wrote, and what is wrong with it.
//!
//! Every file is read into a [`Source`]; every mistake becomes a [`Problem`] that points at the
//! bytes and says what to write instead; [`Problems`] collects all of them, so that one run shows
//! everything. Knows nothing of keys, routes or the network.

mod problem;
mod section;

pub use problem::{Problem, Problems, Source};
pub use section::Section;
