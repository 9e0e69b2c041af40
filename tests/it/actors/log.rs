//! What the program said on stderr, line by line, always drained.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::Value;

use super::PATIENCE;

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

/// The lines so far.
#[derive(Clone, Default)]
pub(crate) struct Transcript {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

impl Transcript {
    /// Reads a pipe to its end, on a thread of its own.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let transcript = Self::default();
        let shared = Arc::clone(&transcript.shared);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                shared.0.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                shared.1.notify_all();
            }
            shared.0.lock().unwrap().ended = true;
            shared.1.notify_all();
        });
        transcript
    }

    pub(crate) fn text(&self) -> String {
        self.shared.0.lock().unwrap().lines.join("\n")
    }

    /// How many lines there are, to wait for one that comes later.
    pub(crate) fn mark(&self) -> usize {
        self.shared.0.lock().unwrap().lines.len()
    }

    /// The first line from a mark on that satisfies a condition; `None` if the program ended or
    /// the deadline passed without one.
    pub(crate) fn wait(&self, from: usize, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        let find = |lines: &Lines| {
            lines.lines.get(from..)?.iter().map(|line| Line::new(line)).find(|line| wanted(line))
        };
        let lines = self.shared.0.lock().unwrap();
        let waiting = |lines: &mut Lines| find(lines).is_none() && !lines.ended;
        let (lines, _) = self.shared.1.wait_timeout_while(lines, PATIENCE, waiting).unwrap();
        find(&lines)
    }

    /// Waits for the end of the program's output.
    pub(crate) fn ended(&self) -> String {
        let lines = self.shared.0.lock().unwrap();
        let (lines, _) =
            self.shared.1.wait_timeout_while(lines, PATIENCE, |lines| !lines.ended).unwrap();
        assert!(lines.ended, "the program is still running");
        lines.lines.join("\n")
    }
}

/// One line, JSON or not.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    json: Value,
}

impl Line {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), json: serde_json::from_str(text).unwrap_or_default() }
    }

    /// A member of the line, at its top or among its fields.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.json.get(name).or_else(|| self.json.get("fields")?.get(name))
    }

    pub(crate) fn message(&self) -> &str {
        self.member("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// The texts of a member that is a string, a list, or a list written as a string.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.member(name) {
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(Value::String(text)) => text
                .split([',', ' ', '[', ']', '"'])
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    }
}
