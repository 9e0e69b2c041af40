//! One shell for a whole page, in a directory and a network of its own: the ports on the page are
//! free there, further addresses can be had, and everything that was started ends with it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// For what has to happen; it takes as long only when it does not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ends what a command printed; nothing prints it.
const END: &str = "-- 9f3a the command has ended";

pub(crate) struct Shell {
    directory: tempfile::TempDir,
    bash: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    status: i32,
}

/// What a command printed, on both of its outputs.
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) status: i32,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_keygate"), bin.join("keygate")).unwrap();
        let ways: [&[&str]; 2] = [&["--user", "--map-root-user"], &[]];
        ways.iter().find_map(|way| Self::within(&directory, way)).map_or_else(
            || panic!("the system lets nobody make a network namespace"),
            |(bash, stdin, lines)| Self { directory, bash, stdin, lines, status: 0 },
        )
    }

    fn within(
        directory: &tempfile::TempDir,
        way: &[&str],
    ) -> Option<(Child, ChildStdin, Receiver<String>)> {
        let here = directory.path();
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("unshare")
            .args(way)
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "bash", "--norc"])
            .current_dir(here)
            .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", here.join("bin").display()))
            .env("TMPDIR", here)
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let (sender, lines) = channel();
        let out = BufReader::new(bash.stdout.take().unwrap());
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        let mut stdin = bash.stdin.take().unwrap();
        let told = writeln!(stdin, "ip link set lo up && echo ready");
        let ready = told.is_ok() && lines.recv_timeout(PATIENCE).is_ok_and(|line| line == "ready");
        if !ready {
            let _ = bash.kill();
            let _ = bash.wait();
        }
        ready.then_some((bash, stdin, lines))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn install(&self, name: &str, from: &Path) {
        let to = self.path("bin").join(name);
        if !to.exists() {
            symlink(from, to).unwrap();
        }
    }

    /// Runs a command to its end, in the shell that ran those before.
    pub(crate) fn run(&mut self, command: &str) -> Output {
        let status = self.status;
        writeln!(
            self.stdin,
            "(exit {status}); {{ {command}\n}} </dev/null 2>&1; printf '\\n%s %s\\n' '{END}' $?"
        )
        .unwrap();
        let mut text = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("`{command}` does not end:\n{text}"));
            if let Some(status) = line.strip_prefix(END) {
                self.status = status.trim().parse().unwrap();
                // The end has a line of its own, whether the output ended with one or not.
                text.pop();
                return Output { text, status: self.status };
            }
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// Runs a command that has to do what it is told.
    pub(crate) fn done(&mut self, command: &str) -> String {
        let output = self.run(command);
        assert_eq!(output.status, 0, "`{command}`:\n{}", output.text);
        output.text
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.bash.kill();
        let _ = self.bash.wait();
    }
}
