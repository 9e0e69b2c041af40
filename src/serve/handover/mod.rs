//! Another program in our place, without a connection refused or cut: for upgrades.
//!
//! At SIGUSR2 a process starts the program that it was started with, as it is now on disk, with the
//! same arguments. The new process is sent the very sockets that the old one listens on: what is
//! closed takes the connections along that wait at it, so none is closed that somebody may have
//! connected to. Over the same connection they agree on who serves:
//!
//! ```text
//! old                                    new
//!  │ start, sockets, "end" ─────────────▶ │ loads all files, takes the sockets, opens the rest,
//!  │                                       │ starts every thread
//!  │ ◀───────────────────────── "prepared" │
//!  │ "go" ──────────────────────────────▶ │ looks at the files once more, and accepts
//!  │ ◀────────────────────────── "serving" │
//!  │ tells the service manager             │
//!  │ "main" ────────────────────────────▶ │ tells the service manager that it is ready
//!  │ accepts no more, and drains           │
//! ```
//!
//! All that can fail is done before "prepared", but for one thing: what changed while the new process
//! loaded, a key that was revoked, is in force in the old one, so the new one brings it into force before
//! it accepts anything, and ends where the disk hangs meanwhile. And the service manager is told of the
//! new process only when that serves: one whose main process ends takes the others along.
//!
//! A new process that ends, or takes too long, before it serves has changed nothing: the old one goes
//! on as if it had not been asked. There is no moment at which nobody listens, and while neither has
//! the word, connections wait in the system's queue.
//!
//! The connection is the new process's standard input: the one descriptor that the standard library
//! passes on without unsafe code. The sockets travel over it (`SCM_RIGHTS`), so that none of them is
//! ever open in a program that does not know of it.
//!
//! Why not a program that connects to a running one, or `SO_REUSEPORT` on both sides? The first needs
//! a path that both may open, and somebody who starts it in the same namespaces; with the second the
//! old sockets are closed at last, and whoever waits there is reset.

mod channel;
mod predecessor;
mod successor;

use std::time::Duration;

pub(super) use self::predecessor::Predecessor;
pub(super) use self::successor::Attempt;
pub(super) use self::successor::Failure;
pub(super) use self::successor::Successor;

/// Names the process that hands over, to the one that takes over.
const VARIABLE: &str = "KEYGATE_PREDECESSOR";
/// How long the new process may take to load everything.
const PREPARATION: Duration = Duration::from_secs(60);
/// How long the rest may take, which takes no time at all.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the new process may take to bring into force what changed while it loaded. The old one
/// waits a little longer.
pub(super) const CATCHING_UP: Duration = Duration::from_secs(8);

const END: &str = "end";
const PREPARED: &str = "prepared";
const GO: &str = "go";
const SERVING: &str = "serving";
const MAIN: &str = "main";
