//! Names that some parser would take for one another.

/// Whether two names are the same to a parser that does not tell upper from lower case. Folds as
/// widely as any of them: `ſ` is an `s` here and the Kelvin sign a `k`.
pub(super) fn alike(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    folded(a).eq(folded(b))
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_only_are_alike() {
        for (a, b) in [
            ("action", "action"),
            ("action", "ACTION"),
            ("tags", "tagſ"),
            ("key", "\u{212a}ey"),
            ("action", "actıon"),
            ("straße", "STRASSE"),
            ("é", "É"),
            ("σ", "ς"),
            ("ﬁrst", "FIRST"),
        ] {
            assert!(alike(a, b) && alike(b, a), "{a} {b}");
        }
        for (a, b) in [("action", "actions"), ("a", ""), ("a_b", "ab"), ("e", "é"), ("K", "X")] {
            assert!(!alike(a, b) && !alike(b, a), "{a} {b}");
        }
    }
}
