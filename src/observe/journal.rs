//! The access log of its own: lines of all workers on their way to a file, or to standard error.
//!
//! Each worker has a [`Lane`]: a ring of its own into which it copies each line, whole, without a
//! lock and without waiting. One thread empties the rings and writes what it finds. A ring that is
//! full keeps no line: it is counted as lost.

mod turn;

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use self::turn::Turning;
use super::aside::aside;
use super::output::Lost;
use super::ring::{Inlet, Outlet, ring};
use super::scribe::{Scribe, Target};
use crate::config::AccessLog;
use crate::config::LogTo;

pub(super) static LOST: Lost = Lost::new();

/// How long lines may gather before they are written together.
const NAP: Duration = Duration::from_millis(5);
/// How long to sleep where nobody has anything to write.
const SLEEP: Duration = Duration::from_secs(10);
/// How long the end of the process waits for lines to be written.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much is written at once.
const BATCH: usize = 256 * 1024;
/// How many lines that are being made a worker keeps the memory of, and how large each may be.
const SPARES: usize = 64;
const LARGEST_SPARE: usize = 4096;
/// One part in 2^64 of the golden ratio: multiples of it are spread evenly, and in no rhythm.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many lines of requests this process has lost.
pub(super) fn lost() -> u64 {
    LOST.get()
}

/// What workers and the writing thread share.
#[derive(Debug)]
pub(super) struct Journal {
    on: AtomicBool,
    user_agent: AtomicBool,
    /// What a permit's number must not exceed.
    permits: AtomicU64,
    queue: AtomicUsize,
    /// Whether the writing thread sleeps until it is woken.
    asleep: AtomicBool,
    writer: OnceLock<Thread>,
    orders: Mutex<Orders>,
}

/// What the writing thread is told; nothing of it is told for a request.
#[derive(Debug, Default)]
struct Orders {
    lanes: Vec<Outlet>,
    target: Option<Target>,
    /// Where lines go, once the target has been turned to.
    to: Option<LogTo>,
    reopen: bool,
    turning: Turning,
    told: Vec<SyncSender<()>>,
}

impl Orders {
    /// Takes what is to be done.
    fn take(&mut self) -> Self {
        let (to, turning) = (self.to.clone(), std::mem::take(&mut self.turning));
        std::mem::replace(self, Self { to, turning, ..Self::default() })
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            on: AtomicBool::new(false),
            user_agent: AtomicBool::new(false),
            permits: AtomicU64::new(u64::MAX),
            queue: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            writer: OnceLock::new(),
            orders: Mutex::default(),
        }
    }
}

impl Journal {
    /// Takes over what a configuration says: all of it or, where a file cannot be opened, nothing. A
    /// file to which lines go already is not opened again.
    ///
    /// # Errors
    /// When it cannot be opened, or there is no thread to write from.
    pub(super) fn set(self: &Arc<Self>, config: &AccessLog) -> io::Result<()> {
        let target = match &config.to {
            to if self.orders().to.as_ref() == Some(to) => {
                self.take_over(config);
                return Ok(());
            }
            LogTo::Log => None,
            LogTo::Stderr => Some(Target::Stderr),
            LogTo::File(path) => Some(Target::file(path)?),
        };
        if target.is_some() {
            self.begin()?;
        }
        self.order(|orders| self.go_on(orders, config, target));
        Ok(())
    }

    /// Makes sure that there is a thread that writes.
    fn begin(self: &Arc<Self>) -> io::Result<()> {
        // One at a time: of two threads that wrote, one would have the rings and the other the file.
        let _alone = self.orders();
        if self.writer.get().is_none() {
            let journal = Arc::clone(self);
            let thread = aside("access-log", move || journal.write())?;
            let _ = self.writer.set(thread.thread().clone());
        }
        Ok(())
    }

    /// Takes over all of a configuration.
    fn go_on(&self, orders: &mut Orders, config: &AccessLog, target: Option<Target>) {
        self.take_over(config);
        orders.to = Some(config.to.clone());
        let on = target.is_some();
        if on {
            orders.target = target;
        }
        self.on.store(on, Relaxed);
    }

    /// Takes over all but where lines go.
    fn take_over(&self, config: &AccessLog) {
        self.permits.store(threshold(config.permits), Relaxed);
        self.user_agent.store(config.user_agent, Relaxed);
        self.queue.store(config.queue, Relaxed);
    }

    /// Opens the file anew: the one that was open may have been renamed.
    pub(super) fn reopen(&self) {
        self.order(|orders| orders.reopen = true);
    }

    /// Waits until what was told before is written, but not long.
    pub(super) fn flush(&self) {
        if self.writer.get().is_none() {
            return;
        }
        let (done, written) = sync_channel(1);
        self.order(|orders| orders.told.push(done));
        // A disk that hangs keeps no process from ending.
        let _ = written.recv_timeout(PATIENCE);
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, say: impl FnOnce(&mut Orders)) {
        say(&mut self.orders());
        self.asleep.store(false, SeqCst);
        self.writer.get().inspect(|writer| writer.unpark());
    }

    /// Wakes the writing thread, if it sleeps.
    fn wake(&self) {
        if self.asleep.load(SeqCst) {
            self.asleep.store(false, SeqCst);
            self.writer.get().inspect(|writer| writer.unpark());
        }
    }

    /// What the writing thread does.
    fn write(&self) {
        let (mut lanes, mut scribe) = (Vec::<Outlet>::new(), Scribe::new(&LOST));
        let mut lines = Vec::with_capacity(BATCH);
        loop {
            let orders = self.orders().take();
            lanes.extend(orders.lanes);
            if let Some(target) = orders.target {
                scribe.turn_to(target);
            }
            if orders.reopen {
                scribe.reopen();
            }
            for lane in &mut lanes {
                lane.take(&mut lines, BATCH);
            }
            let (some, all) = (!lines.is_empty(), lines.len() < BATCH);
            scribe.write(&lines, all);
            lines.clear();
            if !orders.told.is_empty() {
                self.finish(&mut lanes, &mut scribe, &orders.told);
            }
            lanes.retain(|lane| !lane.is_over());
            match (all, some) {
                (false, _) => {}
                (true, true) => thread::sleep(NAP),
                (true, false) => self.sleep(&lanes),
            }
        }
    }

    fn finish(&self, lanes: &mut [Outlet], scribe: &mut Scribe, told: &[SyncSender<()>]) {
        let mut lines = Vec::new();
        for lane in lanes {
            lane.take(&mut lines, usize::MAX);
        }
        scribe.write(&lines, true);
        for done in told {
            let _ = done.send(());
        }
    }

    /// Sleeps, unless somebody has something to write or to say.
    fn sleep(&self, lanes: &[Outlet]) {
        self.asleep.store(true, SeqCst);
        let said = {
            let orders = self.orders();
            let news = !orders.lanes.is_empty() || !orders.told.is_empty();
            news || orders.target.is_some() || orders.reopen
        };
        if !said && lanes.iter().all(Outlet::is_empty) {
            thread::park_timeout(SLEEP);
        }
        self.asleep.store(false, SeqCst);
    }
}

/// The share of all numbers that are not larger.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share from 0 to 1 of all numbers, rounded"
)]
fn threshold(share: f64) -> u64 {
    (share * u64::MAX as f64) as u64
}

/// One worker's way to the journal.
#[derive(Debug)]
pub(super) struct Lane {
    journal: Arc<Journal>,
    /// Made for the first line.
    inlet: RefCell<Option<Inlet>>,
    /// Counts permits.
    permits: Cell<u64>,
    spares: RefCell<Vec<Vec<u8>>>,
}

impl Lane {
    pub(super) fn new(journal: Arc<Journal>) -> Self {
        let (inlet, spares) = (RefCell::default(), RefCell::default());
        Self { journal, inlet, permits: Cell::new(0), spares }
    }

    /// Whether requests are told of here, and not in the log.
    pub(super) fn is_on(&self) -> bool {
        self.journal.on.load(Relaxed)
    }

    /// Whether what a client calls itself is told.
    pub(super) fn tells_agent(&self) -> bool {
        self.journal.user_agent.load(Relaxed)
    }

    /// Whether a permit is one of those that are told of. They are counted, and those are chosen
    /// whose number times the golden ratio is small behind the point: no client can choose to be
    /// left out, and of each ten one is chosen, or two.
    pub(super) fn chooses(&self) -> bool {
        let most = self.journal.permits.load(Relaxed);
        let next = self.permits.get().wrapping_add(STEP);
        self.permits.set(next);
        most > 0 && next <= most
    }

    /// Memory for a line.
    pub(super) fn begin(&self) -> Vec<u8> {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a line that is complete.
    pub(super) fn take(&self, mut line: Vec<u8>) {
        let mut inlet = self.inlet.borrow_mut();
        let inlet = inlet.get_or_insert_with(|| self.open());
        match inlet.push(&line) {
            true => self.journal.wake(),
            false => LOST.one(),
        }
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARES && line.capacity() <= LARGEST_SPARE {
            line.clear();
            spares.push(line);
        }
    }

    /// The one time that a worker takes a lock.
    #[cold]
    fn open(&self) -> Inlet {
        let (inlet, outlet) = ring(self.journal.queue.load(Relaxed));
        self.journal.order(|orders| orders.lanes.push(outlet));
        inlet
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Barrier;

    use super::*;

    fn to(path: &Path, permits: f64) -> AccessLog {
        AccessLog { to: LogTo::File(path.to_owned()), permits, ..AccessLog::default() }
    }

    #[test]
    fn of_all_permits_the_share_is_chosen_that_was_asked_for_wherever_one_looks() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::default());
        let lane = Lane::new(Arc::clone(&journal));
        for (share, least, most) in
            [(0.0, 0, 0), (0.001, 0, 2), (0.1, 97, 103), (0.5, 498, 502), (1.0, 1000, 1000)]
        {
            journal.set(&to(&directory.path().join("log"), share)).unwrap();
            for _ in 0..20 {
                let chosen = (0..1000).filter(|_| lane.chooses()).count();
                assert!((least..=most).contains(&chosen), "{share}: {chosen}");
            }
        }
    }

    #[test]
    fn every_line_is_written_and_goes_to_the_file_that_was_named_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let read = |name: &str| fs::read_to_string(path(name)).unwrap();
        let journal = Arc::new(Journal::default());
        journal.set(&to(&path("a"), 1.0)).unwrap();
        let lane = Lane::new(Arc::clone(&journal));
        assert!(lane.is_on());
        for number in 0..1000 {
            lane.take(format!("{number}\n").into_bytes());
        }
        journal.flush();
        assert_eq!(read("a").lines().count(), 1000);
        journal.set(&to(&path("b"), 1.0)).unwrap();
        journal.flush();
        lane.take(b"b\n".to_vec());
        journal.flush();
        assert_eq!((read("a").lines().count(), read("b").as_str()), (1000, "b\n"));
        assert!(journal.set(&to(&path("none/log"), 1.0)).is_err());
        lane.take(b"c\n".to_vec());
        journal.flush();
        assert_eq!(read("b"), "b\nc\n");
    }

    #[test]
    fn a_file_that_is_open_is_not_opened_again_for_other_settings() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let journal = Arc::new(Journal::default());
        let lane = Lane::new(Arc::clone(&journal));
        journal.set(&to(&path("a"), 1.0)).unwrap();
        journal.flush();
        fs::rename(path("a"), path("old")).unwrap();
        journal.set(&to(&path("a"), 0.0)).unwrap();
        journal.flush();
        assert!(!path("a").exists() && !lane.chooses());
        // What was opened in between is not what is open.
        for name in ["b", "a"] {
            journal.set(&to(&path(name), 1.0)).unwrap();
            assert!(path(name).exists() && lane.chooses());
        }
    }

    #[test]
    fn what_cannot_be_opened_leaves_all_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::default());
        journal.set(&to(&directory.path().join("log"), 1.0)).unwrap();
        let lane = Lane::new(Arc::clone(&journal));
        let wrong =
            AccessLog { user_agent: true, queue: 7, ..to(&directory.path().join("none/log"), 0.0) };
        let queue = journal.queue.load(Relaxed);
        journal.set(&wrong).unwrap_err();
        assert!(lane.is_on() && lane.chooses() && !lane.tells_agent());
        assert_eq!(journal.queue.load(Relaxed), queue);
    }

    #[test]
    fn one_thread_writes_however_many_begin_it_at_once() {
        for _ in 0..50 {
            let (journal, all) = (Arc::new(Journal::default()), Barrier::new(4));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        all.wait();
                        journal.begin().unwrap();
                    });
                }
            });
            assert_eq!(Arc::strong_count(&journal), 2);
        }
    }

    #[test]
    fn the_memory_of_lines_is_used_again() {
        let journal = Arc::new(Journal::default());
        journal.queue.store(1024, Relaxed);
        let lane = Lane::new(journal);
        let mut line = lane.begin();
        line.extend_from_slice(b"line\n");
        let memory = line.as_ptr();
        lane.take(line);
        let again = lane.begin();
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
    }
}
