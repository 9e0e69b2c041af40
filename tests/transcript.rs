//! Transcripts on a page: what is typed, and what is printed.
//!
//! In a ```` ```console ```` block `$ ` begins a command, which goes on after a `\` at the end of a
//! line or where the next begins with `> `. What follows is what it prints, and `…` stands for
//! anything. A line `<!-- $ … -->` of the page is a command that is run and not shown.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that panics is a test that fails"
)]

/// A command, and what it prints.
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) command: String,
    /// `None` where the page does not show it.
    pub(crate) shown: Option<Vec<String>>,
}

/// The commands of every console block of a page.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for (number, line) in page.lines().enumerate() {
        let new =
            |command: &str, shown| Step { line: number + 1, command: command.to_owned(), shown };
        let hidden = line.strip_prefix("<!-- $ ").and_then(|rest| rest.strip_suffix(" -->"));
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (false, Some(command)) = (inside, hidden) {
            steps.push(new(command, None));
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            steps.push(new(command, Some(Vec::new())));
        } else if inside {
            let step =
                steps.last_mut().unwrap_or_else(|| panic!("line {}: no command", number + 1));
            step.add(line);
        }
    }
    steps
}

impl Step {
    fn add(&mut self, line: &str) {
        let shown = self.shown.get_or_insert_default();
        let more = line.strip_prefix("> ");
        let begun = self.command.ends_with('\\');
        if shown.is_empty() && (begun || more.is_some()) {
            self.command = format!("{}\n{}", self.command, more.unwrap_or(line));
        } else {
            shown.push(line.to_owned());
        }
    }
}

/// Whether a printed text is what is shown, where `…` stands for anything within a line, and a line
/// of it alone for any lines.
pub(crate) fn matches(shown: &[String], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == "…" => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        (Some((line, rest)), Some((first, others))) => {
            line_matches(line, first) && matches(rest, others)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

pub(crate) fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((before, after)) = shown.split_once('…') else { return shown == printed };
    printed.strip_prefix(before).is_some_and(|rest| {
        let mut ends = (0..=rest.len()).filter(|&at| rest.is_char_boundary(at));
        ends.any(|at| line_matches(after, &rest[at..]))
    })
}

#[test]
fn a_transcript_that_does_not_hold_is_noticed() {
    let page = "```console\n$ a \\\n  b\none …\n…\nlast\n```\n```\n$ not this\n```\n";
    let [step] = &steps(page)[..] else { panic!("one command") };
    assert_eq!(step.command, "a \\\n  b");
    assert_eq!(steps("```console\n$ a\n> b\\\n> c\nd\n```\n")[0].command, "a\nb\\\nc");
    for (printed, same) in [
        ("one 1\nlast", true),
        ("one 1\ntwo\nthree\nlast", true),
        ("one 1\ntwo", false),
        ("two\nlast", false),
        ("one 1\nlast\nmore", false),
    ] {
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(matches(step.shown.as_deref().unwrap(), &printed), same, "{printed:?}");
    }
    assert!(line_matches("a …c… e", "a b c d e"));
    assert!(!line_matches("a …", "b a "));
}
