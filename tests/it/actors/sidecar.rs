//! The program itself, as a child process.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::client::{Client, Response, bearer};
use super::eventually;
use super::http2::Http2;
use super::log::{Line, Transcript};
use super::setup::Setup;
use super::wire::Wire;

/// The program that is tested.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_keygate");

/// A running `keygate run`; it is killed with the test.
pub(crate) struct Sidecar {
    child: Child,
    pub(crate) directory: TempDir,
    pub(crate) log: Transcript,
    pub(crate) https: SocketAddr,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) admin: String,
}

impl Sidecar {
    /// Starts it and waits until it listens.
    pub(crate) fn start(setup: &Setup) -> Self {
        let directory = TempDir::new().unwrap();
        setup.write(directory.path());
        Self::start_in(directory, setup)
    }

    /// Starts it on files that stand there already.
    pub(crate) fn start_in(directory: TempDir, setup: &Setup) -> Self {
        let mut child = command(&directory, setup).spawn().unwrap();
        let log = Transcript::of(child.stderr.take().unwrap());
        let Some(line) = log.wait(0, |line| line.message() == "listening") else {
            let _ = child.kill();
            panic!("it does not listen:\n{}\n--\n{}", log.text(), setup.text());
        };
        let first = |name: &str| line.texts(name).into_iter().next();
        let address = |name| first(name).map(|text| text.parse().expect("an address"));
        Self {
            child,
            directory,
            https: address("https").expect("member `https`"),
            http: address("http"),
            admin: first("admin").expect("member `admin`"),
            log,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a file beside its place and renames it over it, as careful programs do.
    pub(crate) fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, content).unwrap();
        std::fs::rename(temporary, path).unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::tls(self.https)
    }

    pub(crate) fn plain(&self) -> Client {
        Client::plain(self.http.expect("a plain listener"))
    }

    pub(crate) fn http2(&self) -> Http2 {
        Http2::connect(self.https)
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, target: &str, fields: &[&str]) -> Response {
        self.client().get(target, &[fields, &["Connection: close"]].concat())
    }

    /// Asks the admin port.
    pub(crate) fn admin(&self, target: &str) -> Response {
        let mut client = match self.admin.strip_prefix("unix:") {
            Some(path) => Client { wire: Wire::new(Box::new(UnixStream::connect(path).unwrap())) },
            None => Client::plain(self.admin.parse().expect("the admin address")),
        };
        client.get(target, &["Connection: close"])
    }

    pub(crate) fn ready(&self) -> Value {
        self.admin("/readyz").json()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.ready()["generation"].as_u64().expect("a generation")
    }

    /// Waits until a credential is refused. What it has in flight when it dies may be cut.
    #[track_caller]
    pub(crate) fn turns_away(&self, credential: &str) {
        eventually("the credential to be refused", || {
            let answer = self.client().try_get("/", &[&bearer(credential)]);
            answer.filter(|answer| answer.status == 401)
        });
    }

    /// Waits until a newer state is in force.
    pub(crate) fn reloaded(&self, since: u64) -> u64 {
        eventually("a newer generation", || Some(self.generation()).filter(|now| *now > since))
    }

    /// The sum of a metric over all its label sets that contain the given texts.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").text();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| series.split('{').next() == Some(name))
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .fold(0.0, |sum, value| sum + value)
    }

    /// How many requests were refused with a reason so far.
    pub(crate) fn refusals(&self, reason: &str) -> u64 {
        self.counted("refused", Some(reason))
    }

    /// How many requests ended in an outcome so far, for a reason or for any.
    pub(crate) fn counted(&self, outcome: &str, reason: Option<&str>) -> u64 {
        let outcome = format!("outcome=\"{outcome}\"");
        let reason = reason.map(|reason| format!("reason=\"{reason}\"")).unwrap_or_default();
        let labels = [outcome.as_str(), reason.as_str()];
        format!("{:.0}", self.metric("keygate_requests_total", &labels)).parse().unwrap()
    }

    /// The most memory that it ever took, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// How long its first thread, which reloads, was ready to run and had no processor.
    pub(crate) fn kept_from_running(&self) -> Duration {
        let counts = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()));
        let counts = counts.unwrap_or_default();
        Duration::from_nanos(counts.split(' ').nth(1).map_or(0, |delay| delay.parse().unwrap()))
    }

    /// How much time of a processor it has taken.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which may hold anything, user and system time are the 12th and 13th.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) fn freeze(&self) {
        freeze(self.pid());
    }

    /// The first log line from a mark on that satisfies a condition.
    pub(crate) fn logged(&self, from: usize, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let line = self.log.wait(from, wanted);
        line.unwrap_or_else(|| panic!("never logged: {what}:\n{}", self.log.text()))
    }

    /// Waits for the process to end.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        eventually("the process to end", || self.child.try_wait().unwrap())
    }

    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what keygate said:\n{}", self.log.text());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it on files that it should refuse; its exit code and everything it said.
pub(crate) fn refuses(setup: &Setup, spoil: impl FnOnce(&TempDir)) -> (Option<i32>, String) {
    let directory = TempDir::new().unwrap();
    setup.write(directory.path());
    spoil(&directory);
    let mut child = command(&directory, setup).spawn().unwrap();
    let log = Transcript::of(child.stderr.take().unwrap());
    let listening = log.wait(0, |line| line.message() == "listening");
    if listening.is_some() {
        let _ = child.kill();
        panic!("it started although it should not:\n{}", log.text());
    }
    let text = log.ended();
    (child.wait().unwrap().code(), text)
}

fn command(directory: &TempDir, setup: &Setup) -> Command {
    let mut command = program(setup);
    command.arg("run").arg("--config").arg(directory.path().join("keygate.toml"));
    for assignment in setup.sets_in(directory.path()) {
        command.arg("--set").arg(assignment);
    }
    // Not the test's directory: relative paths must not depend on where the program was started.
    command.envs(setup.variables.iter().map(|(name, value)| (name, value)));
    command.current_dir("/").stderr(Stdio::piped());
    command
}

/// The program, with the sockets that it is passed as a service manager would: from descriptor 3 on.
fn program(setup: &Setup) -> Command {
    const PASS: &str = "export LISTEN_PID=$$; exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
    let program = setup.program.clone().unwrap_or_else(|| PROGRAM.into());
    if let Some(pipe) = &setup.given {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 5<&0 </dev/null >/dev/null", "sh"]).arg(program);
        command.stdin(pipe.try_clone().unwrap());
        return command;
    }
    if setup.passed.is_empty() {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        return command;
    }
    let names: Vec<_> = setup.passed.iter().map(|(name, _)| name.as_str()).collect();
    let socket = |at: usize| match setup.passed.get(at) {
        Some((_, socket)) => Stdio::from(socket.try_clone().unwrap()),
        None => Stdio::null(),
    };
    let mut command = Command::new("sh");
    command.args(["-c", PASS, "sh"]).arg(program).stdin(socket(0)).stdout(socket(1));
    command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    command
}

/// Stops a process: its threads stop one after the other, a while after the signal was sent.
pub(crate) fn freeze(process: Pid) {
    kill_process(process, Signal::STOP).unwrap();
    let is_stopped = |thread: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat"));
        // A thread that has ended meanwhile does no more, either.
        stat.map_or(true, |stat| {
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"))
        })
    };
    eventually("it to stop", || {
        let mut threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
        threads.all(|thread| is_stopped(&thread)).then_some(())
    });
}
