//! Text that people wrote, and what is wrong with it.
//!
//! Every file is read into a [`Source`]; a [`Section`] takes its members one by one; every mistake
//! becomes a [`Problem`] that points at the bytes and says what to write instead; [`Problems`]
//! collects all of them, so that one run shows everything. Knows nothing of keys, routes or the
//! network.

mod getters;
mod mark;
mod mask;
mod nearest;
mod open;
mod problem;
mod read;
mod real;
mod render;
mod section;
mod syntax;
mod text;
mod value;

pub use mark::Mark;
pub use nearest::nearest;
pub use open::contents;
pub use open::open;
pub use problem::{Problem, Problems};
pub use real::RealPaths;
pub use section::Section;
pub use text::Source;
pub use value::{At, Span, Table, Value};
