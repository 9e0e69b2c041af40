//! A line of a file as a report may show it: no secret reaches a log because the line that it
//! stands in has a mistake.

use std::borrow::Cow;

/// Fields that would hold a secret if somebody wrote one into a file where none belongs.
const SECRET: [&str; 5] = ["api_key", "password", "pepper", "salt", "secret"];

/// Whether a value of this field may be shown.
pub(super) fn shows(field: &str, shown: Option<&[&str]>) -> bool {
    shown.map_or_else(|| !SECRET.contains(&field), |shown| shown.contains(&field))
}

/// The line, with `*` for every letter and digit of the values that may not be shown. As long as it
/// was, so that carets still fit. With `shown`, only the values of those fields may be.
pub(super) fn mask(line: &str, shown: Option<&[&str]>) -> String {
    let mut masked = String::with_capacity(line.len());
    for part in Parts(line) {
        let show = match part.field {
            Some(field) => shows(field, shown),
            None => shown.is_none() || part.text.trim_start().starts_with('['),
        };
        match (show, part.field) {
            (true, _) => masked.push_str(&without_password(part.text)),
            (false, Some(_)) => {
                let (name, value) = part.text.split_at(part.value);
                masked.push_str(name);
                masked.push_str(&stars(value));
            }
            (false, None) => masked.push_str(&stars(part.text)),
        }
    }
    masked
}

/// A url without what stands in it before an `@`.
fn without_password(text: &str) -> Cow<'_, str> {
    let start = text.find("://").map(|at| at + 3);
    let password = start.and_then(|start| Some(start..start + text.get(start..)?.rfind('@')?));
    match password.and_then(|range| Some((text.get(range.clone())?, range))) {
        Some((secret, range)) => {
            let mut text = text.to_owned();
            text.replace_range(range, &stars(secret));
            Cow::Owned(text)
        }
        None => Cow::Borrowed(text),
    }
}

fn stars(text: &str) -> String {
    let mut stars = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii_punctuation() || c.is_whitespace() => stars.push(c),
            c => stars.extend(std::iter::repeat_n('*', c.len_utf8())),
        }
    }
    stars
}

/// A `field = value` of a line, or what is none.
struct Part<'l> {
    text: &'l str,
    field: Option<&'l str>,
    /// Where the value begins.
    value: usize,
}

struct Parts<'l>(&'l str);

impl<'l> Iterator for Parts<'l> {
    type Item = Part<'l>;

    fn next(&mut self) -> Option<Part<'l>> {
        if self.0.is_empty() {
            return None;
        }
        let end = end_of_part(self.0);
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        let equals = outside_strings(text).find(|(_, c)| *c == '=').map(|(at, _)| at);
        let field = equals.and_then(|at| text.get(..at)).map(|name| {
            let name = name.rsplit('.').next().unwrap_or_default();
            name.trim_matches([' ', '\t', '"', '\'', '{', '}', ',', '['])
        });
        Some(Part { text, field, value: equals.map_or(0, |at| at + 1) })
    }
}

/// A part ends at a `,` between two members, or at the `{` that begins an inline table.
fn end_of_part(text: &str) -> usize {
    let mut lists = 0;
    let mut equals = false;
    for (at, c) in outside_strings(text) {
        match c {
            '=' => equals = true,
            '[' => lists += 1,
            ']' => lists -= 1,
            ',' if lists <= 0 => return at + 1,
            '{' if equals => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn outside_strings(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut escaped = false;
    text.char_indices().filter(move |(_, c)| {
        match quote {
            None if *c == '"' || *c == '\'' => quote = Some(*c),
            None => return true,
            Some(_) if escaped => escaped = false,
            Some('"') if *c == '\\' => escaped = true,
            Some(open) if *c == open => quote = None,
            Some(_) => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_that_may_be_shown_are() {
        let shown: Option<&[&str]> = Some(&["id", "permissions", "events", "allow"]);
        for (line, masked) in [
            (r#"id = "key_1""#, r#"id = "key_1""#),
            (r#"digest = "kg_abc=1,x = 2""#, r#"digest = "**_***=*,* = *""#),
            (r#"simple_auth = { salt = "a\"b=c" }"#, r#"simple_auth = { salt = "*\"*=*" }"#),
            (
                r#"events = { allow = ["a", "b"], x = "y" }"#,
                r#"events = { allow = ["a", "b"], x = "*" }"#,
            ),
            (r#"  "continued","#, r#"  "*********","#),
            ("[[key]]", "[[key]]"),
            (r#"permissions = ["a", "b"] # c"#, r#"permissions = ["a", "b"] # c"#),
            ("salt = unquoted é", "salt = ******** **"),
            ("kg_alone", "**_*****"),
        ] {
            assert_eq!(mask(line, shown), masked);
            assert_eq!(mask(line, shown).len(), line.len());
        }
    }

    #[test]
    fn a_secret_where_none_belongs_is_not_shown() {
        assert_eq!(mask(r#"pepper = "s3""#, None), r#"pepper = "**""#);
        assert_eq!(mask("keys.pepper=s3", None), "keys.pepper=**");
        assert_eq!(mask(r#"https = "a:1""#, None), r#"https = "a:1""#);
        assert_eq!(mask(r#"url = "http://u:p@4@h/""#, None), r#"url = "http://*:*@*@h/""#);
    }
}
