//! Which keys are used, on the way from the requests to the state directory.
//!
//! Each worker notes in a map of its own which key was presented from where ([`Sightings`]): no
//! lock, no clock, no memory that another core writes, and after the first time no allocation. Once
//! a second it hands the map's content over to a thread ([`recorder`]), which keeps of each key the
//! newest use and adds them to the file, the first at once and then every five seconds or so. What a
//! process holds is bounded by the keys that were used between two writings, not by those that
//! exist. Without a state directory there is no thread, and nothing is noted.
//!
//! A process that is killed loses what it saw since it last wrote; one that ends loses nothing.

mod recorder;
mod sightings;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use self::recorder::Recorder;
use crate::clock;
use crate::keys::usage::UsageStore;
use crate::observe::Metrics;
use crate::observe::aside;

pub use self::sightings::Sightings;

use self::sightings::Told;

/// How many seconds of how many workers may wait while a disk is slow.
const WAITING: usize = 256;
/// How long the end of the process waits for the last uses to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the thread is told.
enum Message {
    Told(Told),
    /// Nothing more comes: write, and say so.
    End(SyncSender<()>),
}

/// Where uses are recorded, if they are.
#[derive(Debug, Default)]
pub struct Usage(OnceLock<SyncSender<Message>>);

impl Usage {
    /// Begins to record in a directory, for the workers that begin from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn begin(&self, directory: PathBuf, metrics: Arc<Metrics>) -> io::Result<()> {
        let (sender, receiver) = sync_channel(WAITING);
        let recorder = Recorder::new(UsageStore::new(directory), metrics);
        aside("usage", move || recorder.run(&receiver))?;
        // Whoever began first goes on; the other thread ends at once.
        let _ = self.0.set(sender);
        Ok(())
    }

    /// For one worker.
    #[must_use]
    pub fn sightings(&self) -> Sightings {
        Sightings::new(self.0.get().cloned())
    }

    /// Waits until all that was told is written, but not for ever.
    pub fn end(&self) {
        let Some(sender) = self.0.get() else { return };
        let (done, written) = sync_channel(1);
        let begun = clock::mono();
        let left = || PATIENCE.saturating_sub(clock::mono().saturating_duration_since(begun));
        let mut message = Message::End(done);
        while let Err(TrySendError::Full(back)) = sender.try_send(message) {
            if left().is_zero() {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        // A disk that takes nothing by then takes nothing.
        let _ = written.recv_timeout(left());
    }
}
