//! As much of a terminal as it takes to know what is on its screen at the end.

/// Lines without end, of which the last ones are the screen: what scrolled out is still looked at.
pub(crate) struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    width: usize,
    /// Where the other screen is while this one is hidden; `None` where a terminal has only one.
    hidden: Option<(Vec<Vec<char>>, usize, usize)>,
    has_two: bool,
}

impl Screen {
    pub(crate) fn after(output: &str, width: usize, has_two: bool) -> String {
        let lines = vec![Vec::new()];
        let mut screen = Self { lines, row: 0, column: 0, width, hidden: None, has_two };
        let mut rest = output.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.down(),
                '\u{1b}' => {
                    assert_eq!(rest.next(), Some('['), "an escape that is not known");
                    let mut argument = String::new();
                    let end = loop {
                        match rest.next().expect("an escape that does not end") {
                            c if c.is_ascii_alphabetic() => break c,
                            c => argument.push(c),
                        }
                    };
                    screen.obey(&argument, end);
                }
                c => screen.put(c),
            }
        }
        let text: Vec<String> = screen.lines.iter().map(|line| line.iter().collect()).collect();
        text.join("\n")
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
    }

    fn put(&mut self, c: char) {
        if self.column == self.width {
            self.column = 0;
            self.down();
        }
        let line = &mut self.lines[self.row];
        if line.len() <= self.column {
            line.resize(self.column + 1, ' ');
        }
        line[self.column] = c;
        self.column += 1;
    }

    fn obey(&mut self, argument: &str, end: char) {
        match (argument, end) {
            ("2", 'K') => self.lines[self.row].clear(),
            ("1", 'A') => self.row = self.row.saturating_sub(1),
            ("", 'J') => {
                let column = self.column;
                self.lines[self.row].truncate(column);
                self.lines.truncate(self.row + 1);
            }
            ("?1049", 'h') if self.has_two => {
                let blank = vec![Vec::new(); self.lines.len()];
                let lines = std::mem::replace(&mut self.lines, blank);
                self.hidden = Some((lines, self.row, self.column));
            }
            ("?1049", 'l') if self.has_two => {
                let hidden = self.hidden.take().expect("the first screen is shown already");
                (self.lines, self.row, self.column) = hidden;
            }
            ("?1049", _) | (_, 'm') => {}
            _ => panic!("an escape that is not known: {argument}{end}"),
        }
    }
}

#[test]
fn lines_wrap_and_can_be_erased() {
    assert_eq!(Screen::after("abc\r\ndef", 10, true), "abc\ndef");
    assert_eq!(Screen::after("abcdef", 4, true), "abcd\nef");
    assert_eq!(Screen::after("abcdef\r\u{1b}[2K\u{1b}[1A\u{1b}[2K", 4, true), "\n");
    assert_eq!(Screen::after("a\u{1b}[?1049hsecret\u{1b}[?1049lb", 10, true), "ab");
    assert_eq!(Screen::after("a\u{1b}[?1049hsecret\u{1b}[?1049lb", 10, false), "asecretb");
}
