//! Cases as data: files of requests with the answers they must get. [`file`] reads them and knows
//! nothing of how they are played; [`run`] plays them against the real program, and asks the other
//! [`judges`] for their opinion.

mod file;
mod judges;
pub(crate) mod logins;
mod page;
mod run;

use run::{census, play};

#[test]
fn usetix_answers_every_row_of_its_document() {
    play("usetix.toml");
}

#[test]
fn usetix_with_anonymous_requests_forwarded() {
    play("usetix-anonymous.toml");
}

#[test]
fn personyze_answers_every_row_of_its_document() {
    play("personyze.toml");
}

#[test]
fn polyteia_answers_every_row_of_its_document() {
    play("polyteia.toml");
    play("polyteia-bodies.toml");
}

#[test]
fn synerise_answers_every_row_of_its_document() {
    play("synerise.toml");
    play("synerise-logins.toml");
}

#[test]
fn synerise_holds_keys_to_their_lists() {
    play("synerise-events.toml");
    play("synerise-attributes.toml");
}

#[test]
fn synerise_keeps_profiles_to_themselves() {
    play("synerise-profiles.toml");
}

#[test]
fn minimal_lets_in_only_keys() {
    play("minimal.toml");
}

#[test]
fn credentials_are_taken_by_the_carriers_that_are_on() {
    play("carriers.toml");
    play("carriers-plain.toml");
}

#[test]
fn a_header_of_its_own_leaves_authorization_to_the_upstream() {
    play("header-travels.toml");
}

#[test]
fn the_account_is_the_basic_user_where_so_configured() {
    play("basic-account.toml");
}

#[test]
fn addresses_are_believed_only_from_trusted_proxies() {
    play("addresses.toml");
}

#[test]
fn routes_are_matched_by_the_most_specific_path() {
    play("routes.toml");
}

#[test]
fn permissions_are_the_narrower_of_account_and_key() {
    play("permissions.toml");
}

#[test]
fn refusals_have_the_configured_form() {
    play("answers-json.toml");
    play("answers-text.toml");
    play("answers-disclosed.toml");
}

#[test]
fn shadow_and_public_routes_waive_what_they_say() {
    play("waived.toml");
}

#[test]
fn the_first_check_that_fails_is_the_answer() {
    play("order.toml");
}

#[test]
fn a_header_of_its_own_can_be_the_only_carrier() {
    play("header-only.toml");
}

#[test]
fn bodies_are_judged_by_what_their_route_asks() {
    play("bodies.toml");
}

#[test]
fn pages_that_hold_a_key_are_refused_where_a_route_says_so() {
    play("browsers.toml");
}

#[test]
fn ambiguous_paths_are_refused() {
    play("paths.toml");
    play("encodings.toml");
}

#[test]
fn every_file_of_cases_can_be_read_and_is_played() {
    let played = include_str!("mod.rs");
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let file = file::CaseFile::read(&name);
        assert!(!file.cases.is_empty(), "{name} has no case");
        assert!(played.contains(&format!("play({name:?})")), "{name} is not played");
    }
}

#[test]
fn few_cases_can_be_judged_by_the_proxy_alone() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let (mut all, mut skipped) = (0, 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = file::CaseFile::read(&entry.unwrap().file_name().into_string().unwrap());
        let (cases, alone) = census(&file);
        (all, skipped) = (all + cases, skipped + alone);
    }
    println!("{skipped} of {all} cases are judged by the proxy alone");
    assert!(all > 400 && skipped * 50 < all, "{skipped} of {all}");
}
