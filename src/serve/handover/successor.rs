//! The side that hands over.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

use super::ANSWER;
use super::END;
use super::GO;
use super::MAIN;
use super::PREPARATION;
use super::PREPARED;
use super::SERVING;
use super::VARIABLE;
use super::channel::Channel;
use crate::clock;
use crate::serve::manager::Way;
use crate::serve::passed::Passed;
use crate::serve::passed::word;

/// What describes one process to its service manager, and not another.
const OWN: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];
/// How long a process that has closed the connection may take to end.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// How to start the program that takes our place.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Successor {
    program: OsString,
    arguments: Vec<OsString>,
}

/// One attempt to hand over, on a thread of its own.
#[derive(Debug)]
pub(in crate::serve) struct Attempt {
    channel: Channel,
    outcome: oneshot::Receiver<Result<u32, Failure>>,
    thread: Option<JoinHandle<()>>,
}

/// Why nobody took over.
#[derive(Debug, Error)]
pub(in crate::serve) enum Failure {
    /// Its container ends with it.
    #[error("process 1 cannot be replaced: all others end with it")]
    First,
    /// The program cannot be started.
    #[error("`{program}` cannot be started: {error}")]
    Start { program: String, error: io::Error },
    /// It ended.
    #[error("the new process ended ({0}) before it served; it said why")]
    Ended(ExitStatus),
    /// It takes too long.
    #[error("the new process was not ready within {} s", PREPARATION.as_secs())]
    Late,
    /// Something of the system.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Successor {
    /// The program of this process: found again by the name that it was started by, since what is
    /// at that place may have been replaced.
    pub(in crate::serve) fn of_this_process() -> Self {
        let mut arguments = env::args_os();
        let program = arguments.next().unwrap_or_else(|| "keygate".into());
        Self { program, arguments: arguments.collect() }
    }

    /// Begins to hand over sockets.
    ///
    /// # Errors
    /// When nothing can be begun.
    pub(in crate::serve) fn begin(
        &self,
        sockets: Vec<Passed>,
        manager: Way,
    ) -> Result<Attempt, Failure> {
        if std::process::id() == 1 {
            return Err(Failure::First);
        }
        let (channel, its_end) = Channel::pair()?;
        let child = self.start(its_end)?;
        let (told, outcome) = oneshot::channel();
        let own = channel.try_clone()?;
        let attempt = move || {
            // Whoever asked may have ended meanwhile.
            let _ = told.send(hand_over(&own, child, &sockets, &manager));
        };
        let thread = thread::Builder::new().name("handover".to_owned()).spawn(attempt)?;
        Ok(Attempt { channel, outcome, thread: Some(thread) })
    }

    fn start(&self, its_end: OwnedFd) -> Result<Child, Failure> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::from(its_end));
        command.env(VARIABLE, std::process::id().to_string());
        for name in OWN {
            command.env_remove(name);
        }
        let program = self.program.to_string_lossy().into_owned();
        command.spawn().map_err(|error| Failure::Start { program, error })
    }
}

impl Attempt {
    /// The process that serves in our place now, or why there is none.
    pub(in crate::serve) async fn outcome(&mut self) -> Result<u32, Failure> {
        let outcome = (&mut self.outcome).await;
        outcome.unwrap_or_else(|_| Err(io::Error::other("the attempt was broken off").into()))
    }
}

/// What was begun and is no longer wanted ends: the new process sees it, and ends too. One that does
/// not is made to within two seconds, which are waited for: it holds the sockets, and after us nobody
/// would take them from it.
impl Drop for Attempt {
    fn drop(&mut self) {
        self.channel.close();
        // What it came to was told already, if anybody asks.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn hand_over(
    channel: &Channel,
    mut child: Child,
    sockets: &[Passed],
    manager: &Way,
) -> Result<u32, Failure> {
    let agreed = agree(channel, child.id(), sockets, manager);
    let failure = match agreed {
        Ok(true) => return Ok(child.id()),
        Ok(false) => end(&mut child).map_or_else(Failure::System, Failure::Ended),
        Err(error) => {
            let late = error.kind() == io::ErrorKind::WouldBlock;
            let ended = end(&mut child);
            match (late, ended) {
                (true, _) => Failure::Late,
                (false, Ok(status)) => Failure::Ended(status),
                (false, Err(error)) => Failure::System(error),
            }
        }
    };
    Err(failure)
}

fn agree(channel: &Channel, child: u32, sockets: &[Passed], manager: &Way) -> io::Result<bool> {
    channel.wait_at_most(ANSWER)?;
    for Passed { socket, kind, given } in sockets {
        let Some(kind) = kind else { continue };
        let text = format!("{} {}", word(*kind), if *given { "given" } else { "own" });
        channel.send(&text, Some(socket.as_fd()))?;
    }
    channel.send(END, None)?;
    channel.wait_at_most(PREPARATION)?;
    if !channel.hear(PREPARED)? {
        return Ok(false);
    }
    channel.wait_at_most(ANSWER)?;
    channel.send(GO, None)?;
    if !channel.hear(SERVING)? {
        return Ok(false);
    }
    // What it says to the service manager from now on is heard.
    manager.main_process(child);
    // It serves, whether it hears this or not.
    let _ = channel.send(MAIN, None);
    Ok(true)
}

/// How it ended; if it does not end by itself, it is made to.
fn end(child: &mut Child) -> io::Result<ExitStatus> {
    let until = clock::mono() + LAST_BREATH;
    while clock::mono() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()
}
