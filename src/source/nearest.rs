//! "Did you mean …?"

/// The name among `known` that was most likely meant by `written`, if one is near enough.
#[must_use]
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = fold(written);
    known
        .into_iter()
        .map(|name| (likeness(&written, &fold(name)), name))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn likeness(a: &str, b: &str) -> f64 {
    let alike = strsim::jaro_winkler(a, b);
    let (shorter, longer) = if a.len() < b.len() { (a, b) } else { (b, a) };
    if shorter.len() >= 3 && longer.contains(shorter) { alike.max(0.85) } else { alike }
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["certificate", "private_key", "min_version", "client_ca"];
        for (written, meant) in [
            ("certificat", Some("certificate")),
            ("cert", Some("certificate")),
            ("private-key", Some("private_key")),
            ("privatekey", Some("private_key")),
            ("key", Some("private_key")),
            ("minversion", Some("min_version")),
            ("MIN_VERSION", Some("min_version")),
            ("ciphers", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }
}
