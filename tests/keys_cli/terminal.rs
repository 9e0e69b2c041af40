//! What a person at a terminal sees: the key for a while, and then no trace of it.

use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use rustix::pty;
use rustix::pty::OpenptFlags;
use rustix::termios;
use rustix::termios::LocalModes;
use rustix::termios::Winsize;

use super::home::Home;
use super::screen::Screen;

const CREATE: [&str; 6] = ["keys", "create", "--account", "acme", "--keys", "keys.toml"];

/// A command on a pseudo-terminal of its own.
struct Terminal {
    screen: File,
    /// Kept open so that what was written last can still be read.
    _user_side: File,
    child: Child,
    seen: String,
    width: u16,
}

impl Terminal {
    fn start(home: &Home, args: &[&str], width: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let screen: OwnedFd = pty::openpt(flags).unwrap();
        pty::grantpt(&screen).unwrap();
        pty::unlockpt(&screen).unwrap();
        let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        termios::tcsetwinsize(&screen, size).unwrap();
        let name = pty::ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&name).unwrap();
        let mut command = home.command(args);
        command.stdin(Stdio::from(open())).stdout(Stdio::from(open()));
        command.stderr(Stdio::from(open()));
        let child = command.spawn().unwrap();
        let (screen, seen) = (File::from(screen), String::new());
        Self { screen, _user_side: open(), child, seen, width }
    }

    /// Reads until a text was seen.
    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut chunk = [0; 4096];
        while !self.seen.contains(text) {
            assert!(Instant::now() < deadline, "`{text}` never came: {:?}", self.seen);
            let length = self.screen.read(&mut chunk).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn echoes(&self) -> bool {
        termios::tcgetattr(&self.screen).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn key(&self) -> String {
        let at = self.seen.find("kg_").expect("no key was shown");
        let shown = &self.seen[at..];
        shown[..shown.find(|c: char| c.is_control()).unwrap()].to_owned()
    }

    /// Waits for the end: the exit code.
    fn end(&mut self) -> i32 {
        self.wait_for("wiped from the screen");
        self.child.wait().unwrap().code().expect("it was killed")
    }

    /// Whether any part of a key is on the screen or in what can be scrolled back to, whether the
    /// terminal has an alternate screen or not.
    fn shows(&self, key: &str) -> bool {
        [true, false].iter().any(|has_two| {
            let screen = Screen::after(&self.seen, usize::from(self.width), *has_two);
            key.as_bytes()
                .windows(8)
                .any(|part| screen.contains(std::str::from_utf8(part).unwrap()))
        })
    }
}

#[test]
fn the_key_is_shown_for_a_while_and_then_wiped() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &[&CREATE[..], &["--reveal", "1s"]].concat(), 80);
    terminal.wait_for("wiped in 1 s");
    let key = terminal.key();
    assert!(terminal.shows(&key));
    assert!(!terminal.echoes());
    assert!(home.records().keys.len() == 1, "it is written before it is shown");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.shows(&key), "{:?}", terminal.seen);
    assert!(terminal.seen.contains("\u{1b}[2K"));
    assert!(terminal.echoes());
    assert_eq!(terminal.seen.matches("kg_").count(), 1);
    assert_eq!(home.status(&key), ("active".to_owned(), 0));
}

#[test]
fn it_is_shown_for_ten_seconds_unless_said_whatever_is_typed() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &CREATE, 80);
    terminal.wait_for("wiped in 10 s");
    terminal.screen.write_all(b"typed ahead\n").unwrap();
    terminal.wait_for("wiped in 8 s");
    let key = terminal.key();
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.shows(&key));
    assert!(!terminal.seen.contains("typed ahead"));
}

#[test]
fn a_key_that_wraps_on_a_narrow_terminal_is_wiped_whole() {
    let home = Home::new();
    for width in [20, 26, 52, 53] {
        let mut terminal =
            Terminal::start(&home, &[&CREATE[..], &["--reveal", "250ms"]].concat(), width);
        terminal.wait_for("wiped in");
        let key = terminal.key();
        assert_eq!(terminal.end(), 0);
        assert!(!terminal.shows(&key), "{width}: {:?}", terminal.seen);
    }
}

#[test]
fn signals_wipe_the_key_too() {
    let home = Home::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut terminal = Terminal::start(&home, &CREATE, 80);
        terminal.wait_for("wiped in 10 s");
        let key = terminal.key();
        terminal.signal(signal);
        assert_eq!(terminal.end(), 0);
        assert!(!terminal.shows(&key), "{signal:?}");
        assert!(terminal.echoes());
    }
}

#[test]
fn a_salt_is_shown_below_its_key_and_wiped_with_it() {
    let home = Home::new();
    let profile = ["--kind", "profile", "--simple-auth", "--reveal", "250ms"];
    for width in [20, 28, 80] {
        let mut terminal = Terminal::start(&home, &[&CREATE[..], &profile[..]].concat(), width);
        terminal.wait_for("wiped in");
        let (key, keys) = (terminal.key(), home.records().keys);
        let salt = keys.last().unwrap().simple_auth.as_ref().unwrap().salt.clone().unwrap();
        assert!(terminal.seen.contains(&format!("salt: {salt}")), "{:?}", terminal.seen);
        assert_eq!(terminal.end(), 0);
        assert!(!terminal.shows(&key) && !terminal.shows(&salt), "{width}: {:?}", terminal.seen);
        assert_eq!(terminal.seen.matches(&*salt).count(), 1);
    }
}

#[test]
fn a_rotated_key_is_shown_the_same_way() {
    let home = Home::new();
    let (id, _) = home.create(&[]);
    let args = ["keys", "rotate", &id, "--keys", "keys.toml", "--reveal", "250ms", "--json"];
    let mut terminal = Terminal::start(&home, &args, 80);
    terminal.wait_for("wiped in 1 s");
    let key = terminal.key();
    terminal.wait_for("ends at");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.shows(&key));
    assert_eq!(terminal.seen.matches("kg_").count(), 1);
}

#[test]
fn a_key_that_is_typed_to_be_verified_is_not_echoed() {
    let home = Home::new();
    let (_, key) = home.create(&[]);
    let mut terminal = Terminal::start(&home, &["keys", "verify", "--keys", "keys.toml"], 80);
    terminal.wait_for("key: ");
    terminal.screen.write_all(format!("{key}\n").as_bytes()).unwrap();
    terminal.wait_for("active");
    assert!(terminal.child.wait().unwrap().success());
    assert!(!terminal.seen.contains(&key[3..]));
    assert!(terminal.echoes());
}

#[test]
fn deleting_asks_at_a_terminal() {
    let home = Home::new();
    let (id, _) = home.create(&["--name", "app"]);
    let args = ["keys", "delete", &id, "--keys", "keys.toml"];
    let mut terminal = Terminal::start(&home, &args, 80);
    terminal.wait_for("(app) of acme for good? [y/N] ");
    terminal.screen.write_all(b"n\n").unwrap();
    terminal.wait_for("nothing was deleted");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(1));
    assert_eq!(home.records().keys.len(), 1);
    let mut terminal = Terminal::start(&home, &args, 80);
    terminal.wait_for("[y/N] ");
    terminal.screen.write_all(b"y\n").unwrap();
    terminal.wait_for("is deleted from");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
    assert!(home.records().keys.is_empty());
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let home = Home::new();
    home.create(&[]);
    let args = ["keys", "list", "--keys", "keys.toml"];
    let mut terminal = Terminal::start(&home, &args, 200);
    terminal.wait_for("active");
    assert!(terminal.seen.contains("\u{1b}[32mactive"), "{:?}", terminal.seen);
    let mut plain = home.command(&args);
    assert!(!String::from_utf8(plain.output().unwrap().stdout).unwrap().contains('\u{1b}'));
}
