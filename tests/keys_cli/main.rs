//! `keygate keys …` and `keygate accounts …`, driven as a person or a script drives them: the
//! binary, a directory, stdin and stdout.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that panics is a test that fails"
)]

mod crash;
mod damage;
mod full;
mod help;
mod home;
mod import;
mod journey;
mod listing;
mod rights;
mod screen;
mod settings;
mod terminal;
mod tokens;
mod usage;
