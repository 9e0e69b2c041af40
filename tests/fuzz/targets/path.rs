//! Any target: where it is let through, each of the common servers finds the route that it was judged
//! by.

#![no_main]

#[path = "../../gate/servers.rs"]
mod servers;
#[path = "../../gate/world.rs"]
#[expect(dead_code, reason = "the tests of the gate make other worlds too")]
mod world;

use std::sync::LazyLock;

use keygate::gate::Snapshot;
use libfuzzer_sys::fuzz_target;

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(servers::snapshot);

fuzz_target!(|target: &[u8]| {
    let Ok(target) = std::str::from_utf8(target) else { return };
    // What follows a fragment's mark never gets as far as this.
    if let Err(why) = servers::agreed(&SNAPSHOT, &format!("/{target}")) {
        panic!("{why}");
    }
});
