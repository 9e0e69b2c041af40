//! Whatever we let through leads each of the common servers to the route that we judged by.

use proptest::prelude::*;

use crate::servers::{READERS, agreed, decoded, found, judged, snapshot};

const PIECES: [&str; 30] = [
    "/", "//", "admin", "ADMIN", "%61dmin", "users", "a", "b", ".", "..", "%2e", "%2E", "%2e%2e",
    "%2f", "%2F", "%5c", "\\", ";", ";v=1", "%3b", "%25", "%252e", "%00", "%20", "%", "%zz", "#",
    "?", ".hidden", "%c0%ae",
];

#[test]
fn every_server_finds_the_route_that_we_judged_by() {
    let snapshot = snapshot();
    let (mut through, mut refused) = (0, 0);
    let mut try_it = |target: String| match agreed(&snapshot, &target) {
        Ok(true) => through += 1,
        Ok(false) => refused += 1,
        Err(why) => panic!("{why}"),
    };
    for first in PIECES {
        for second in PIECES {
            try_it(format!("/{first}{second}"));
            for third in PIECES {
                try_it(format!("/{first}{second}{third}"));
                try_it(format!("/admin/{first}{second}{third}"));
            }
        }
    }
    assert!(through > 5_000 && refused > 20_000, "{through} {refused}");
}

#[test]
fn each_server_is_led_astray_by_something_that_we_refuse() {
    let snapshot = snapshot();
    let decoded_once = |target: &str| {
        let path = decoded(target.as_bytes()).unwrap_or_default();
        found(&snapshot, &path)
    };
    for (server, target) in [
        ("nginx", "/x/%2e%2e/admin"),
        ("Apache", "/x//../admin"),
        ("Java", "/admin;x/users"),
        ("Go", "/x/../admin"),
        ("Node", "/x\\..\\admin"),
        ("Python", "//admin"),
    ] {
        let (_, read) = READERS.iter().find(|(name, _)| *name == server).unwrap();
        let its = found(&snapshot, &read(target.as_bytes()).unwrap());
        assert!(its.starts_with("/admin") && its != decoded_once(target), "{server}: {its}");
        assert_eq!(judged(&snapshot, target), None, "{server}");
    }
}

proptest! {
    #[test]
    fn longer_targets_lead_to_one_route_too(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 4..12),
    ) {
        let target = format!("/{}", pieces.concat());
        if let Err(why) = agreed(&snapshot(), &target) {
            prop_assert!(false, "{}", why);
        }
    }

    #[test]
    fn any_target_leads_to_one_route(target in "/[!-~]{0,30}") {
        if let Err(why) = agreed(&snapshot(), &target) {
            prop_assert!(false, "{}", why);
        }
    }
}
