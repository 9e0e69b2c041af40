//! Turning to another file while requests are served. Its disk may hang: neither does the writing
//! thread wait for that, which goes on where it was, nor whoever reads a configuration.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Journal;
use crate::config::AccessLog;
use crate::config::LogTo;
use crate::observe::aside::aside;
use crate::observe::scribe::Target;

/// What is wanted, and is not so yet.
#[derive(Debug, Default)]
pub(super) struct Turning {
    /// While its file is being opened.
    wanted: Option<AccessLog>,
    /// How often something else was wanted: what took long to open may be wanted no longer.
    turn: u64,
}

impl Journal {
    /// As [`Journal::set`], but a file is opened by a thread of its own, and the log is told of what
    /// cannot be done.
    pub(in crate::observe) fn turn(self: &Arc<Self>, config: &AccessLog) {
        self.turn_by(config, open);
    }

    fn turn_by(
        self: &Arc<Self>,
        config: &AccessLog,
        open: impl FnOnce(&AccessLog, &Path) -> io::Result<Target> + Send + 'static,
    ) {
        let mut orders = self.orders();
        let LogTo::File(path) = &config.to else {
            orders.turning = Turning { wanted: None, turn: orders.turning.turn + 1 };
            drop(orders);
            return tell(self.set(config));
        };
        if orders.to.as_ref() == Some(&config.to) {
            orders.turning = Turning { wanted: None, turn: orders.turning.turn + 1 };
            return self.take_over(config);
        }
        let before = orders.turning.wanted.replace(config.clone());
        if before.is_some_and(|before| before.to == config.to) {
            let file = path.display();
            tracing::warn!(%file, "the access log is still being opened; what was open goes on");
            return;
        }
        orders.turning.turn += 1;
        let turn = orders.turning.turn;
        drop(orders);
        let (journal, asked, path) = (Arc::clone(self), config.clone(), path.clone());
        let opens = move || journal.opened(turn, open(&asked, &path));
        if let Err(error) = aside("log-open", opens) {
            self.opened(turn, Err(error));
        }
    }

    /// Goes on in a file that was opened, unless something else is wanted by now.
    fn opened(self: &Arc<Self>, turn: u64, target: io::Result<Target>) {
        let mut target = Some(target.and_then(|target| self.begin().map(|()| target)));
        let mut done = None;
        self.order(|orders| {
            if orders.turning.turn != turn {
                return;
            }
            let Some(wanted) = orders.turning.wanted.take() else { return };
            let goes_on = |target| self.go_on(orders, &wanted, Some(target));
            done = target.take().map(|target| target.map(goes_on));
        });
        // What is wanted no longer is closed while nobody waits for it: that may hang, too.
        drop(target);
        done.into_iter().for_each(tell);
    }
}

fn open(config: &AccessLog, path: &Path) -> io::Result<Target> {
    match config.written.as_ref().and_then(|written| written.clash()) {
        Some(clash) => Err(io::Error::other(clash)),
        None => Target::file(path),
    }
}

fn tell(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "the access log cannot be opened; what was open goes on");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::Receiver;
    use std::sync::mpsc::Sender;
    use std::sync::mpsc::channel;
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::clock::until;
    use crate::observe::journal::Lane;

    fn to(path: &Path, permits: f64) -> AccessLog {
        AccessLog { to: LogTo::File(path.to_owned()), permits, ..AccessLog::default() }
    }

    /// An opening that waits until it is let go; it tells that it has begun, and that it is over.
    fn hanging() -> (
        impl FnOnce(&AccessLog, &Path) -> io::Result<Target> + Send + 'static,
        Receiver<()>,
        Sender<()>,
    ) {
        let ((begun, begins), (go, goes)) = (channel(), channel::<()>());
        let opening = move |config: &AccessLog, path: &Path| {
            begun.send(()).unwrap();
            goes.recv().unwrap();
            open(config, path)
        };
        (opening, begins, go)
    }

    #[test]
    fn a_file_that_takes_long_to_open_holds_up_nobody_and_may_be_wanted_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let text = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
        let journal = Arc::new(Journal::default());
        journal.set(&to(&path("first"), 1.0)).unwrap();
        let lane = Lane::new(Arc::clone(&journal));
        let write = |line: &str| {
            lane.take(line.as_bytes().to_vec());
            journal.flush();
        };
        let (opening, begins, go) = hanging();
        journal.turn_by(&to(&path("dead"), 1.0), opening);
        begins.recv().unwrap();
        write("1\n");
        assert_eq!(text("first"), "1\n", "what was open goes on");
        // Asked again, it is not opened twice.
        let (again, asked_again) = sync_channel(1);
        journal.turn_by(&to(&path("dead"), 1.0), move |_, _| {
            let _ = again.try_send(());
            Err(io::ErrorKind::Other.into())
        });
        assert!(asked_again.recv().is_err());
        journal.turn(&to(&path("second"), 1.0));
        until(|| path("second").exists() && journal.orders().turning.wanted.is_none());
        write("2\n");
        assert_eq!((text("first").as_str(), text("second").as_str()), ("1\n", "2\n"));
        go.send(()).unwrap();
        until(|| path("dead").exists() && Arc::strong_count(&journal) == 3);
        write("3\n");
        assert_eq!((text("dead").as_str(), text("second").as_str()), ("", "2\n3\n"));
    }

    #[test]
    fn what_is_wanted_last_counts_once_a_file_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let journal = Arc::new(Journal::default());
        let lane = Lane::new(Arc::clone(&journal));
        let (opening, begins, go) = hanging();
        journal.turn_by(&to(&path, 1.0), opening);
        begins.recv().unwrap();
        assert!(!lane.is_on());
        journal.turn(&to(&path, 0.0));
        go.send(()).unwrap();
        until(|| lane.is_on());
        assert!(!lane.chooses());
        let (opening, begins, go) = hanging();
        journal.turn_by(&to(&directory.path().join("other"), 1.0), opening);
        begins.recv().unwrap();
        journal.turn(&AccessLog::default());
        assert!(!lane.is_on());
        go.send(()).unwrap();
        until(|| Arc::strong_count(&journal) == 3);
        assert!(!lane.is_on(), "it is wanted no longer");
    }
}
