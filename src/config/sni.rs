//! Certificates by the name that a client asks for (RFC 6066, section 3).
//!
//! Names decide which certificate is shown and nothing else: every name leads to the same routes and
//! the same keys.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::DnsName;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

use super::units::Wrong;

/// A name that a certificate is shown for, or `*.` and what all names one label longer end in:
/// lower case, without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(Box<str>);

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let name = text.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let below = name.strip_prefix("*.").unwrap_or(name);
        let shown = text.escape_debug();
        let (message, help) = if !text.is_ascii() {
            let help = "write it as it stands in the certificate: each label that is not ASCII \
                        begins with `xn--` there";
            (format!("`{shown}` is not written in ASCII"), help)
        } else if below.contains('*') {
            let help = "write `*.` and a name, which stands for one label: `*.example.com`";
            (format!("`{shown}` is not a wildcard"), help)
        } else if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            let help = "name the host; clients that use an address get the certificate of `[tls]`";
            (format!("`{shown}` is an address, which no client asks for by name"), help)
        } else if name.ends_with('.') || DnsName::try_from(below).is_err() {
            let help = "write the name of a host alone, like `api.example.com`";
            (format!("`{shown}` is not the name of a host"), help)
        } else {
            return Ok(Self(name.into()));
        };
        Err(Wrong { message, help: help.to_owned() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a certificate for `other` is one for this name too (RFC 6125, section 6.4.3).
    pub(super) fn is_covered_by(&self, other: &Self) -> bool {
        self == other || parent(&self.0).is_some_and(|wildcard| *wildcard == *other.0)
    }
}

/// The wildcard that a name falls under.
fn parent(name: &str) -> Option<String> {
    let (label, rest) = name.split_once('.')?;
    (label != "*").then(|| format!("*.{rest}"))
}

/// What is shown to whom.
#[derive(Debug)]
pub(super) struct ByName {
    /// To those who ask for no name, or for one that is not known.
    pub(super) default: Arc<CertifiedKey>,
    pub(super) named: HashMap<Name, Arc<CertifiedKey>>,
}

impl ByName {
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        if self.named.is_empty() {
            return None;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let wildcard = parent(&name);
        let exact = self.named.get(&Name(name.into()));
        exact.or_else(|| self.named.get(&Name(wildcard?.into())))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        Some(Arc::clone(named.unwrap_or(&self.default)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::KeyPair;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn shown() -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap();
        let signer = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(CertifiedKey::new(Vec::new(), signer))
    }

    fn by_name(names: &[&str]) -> ByName {
        let named = names.iter().map(|name| (Name::parse(name).unwrap(), shown()));
        ByName { default: shown(), named: named.collect() }
    }

    /// Which of the names a client is shown the certificate of.
    fn found<'n>(all: &ByName, names: &[&'n str], asked: &str) -> Option<&'n str> {
        let found = all.find(asked)?;
        let of = |name: &&&str| Arc::ptr_eq(&all.named[&Name::parse(name).unwrap()], found);
        names.iter().find(of).copied()
    }

    #[test]
    fn a_name_comes_before_a_wildcard_and_a_wildcard_is_one_label() {
        let names = ["api.example.com", "*.example.com", "*.b.example.com", "*.org", "example.net"];
        let all = by_name(&names);
        for (asked, expected) in [
            ("api.example.com", Some("api.example.com")),
            ("API.Example.COM.", Some("api.example.com")),
            ("www.example.com", Some("*.example.com")),
            ("WWW.EXAMPLE.COM.", Some("*.example.com")),
            ("xn--mnchen-3ya.example.com", Some("*.example.com")),
            ("b.example.com", Some("*.example.com")),
            ("a.b.example.com", Some("*.b.example.com")),
            ("x.api.example.com", None),
            ("x.y.b.example.com", None),
            ("example.com", None),
            ("example.org", Some("*.org")),
            ("a.example.org", None),
            ("example.net", Some("example.net")),
            ("www.example.net", None),
            ("example", None),
            ("com", None),
            // No client can ask for these; if one could, they would be no one's.
            ("*.example.com.", Some("*.example.com")),
            ("", None),
            (".", None),
            (".example.com", Some("*.example.com")),
        ] {
            assert_eq!(found(&all, &names, asked), expected, "{asked}");
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for (text, part) in [
            ("", "not the name of a host"),
            (".", "not the name"),
            ("a..b", "not the name"),
            ("a.b..", "not the name"),
            ("-a.b", "not the name"),
            ("a b", "not the name"),
            ("a/b", "not the name"),
            ("https://a.b", "not the name"),
            ("a.b:443", "not the name"),
            ("a.b\n", "`a.b\\n` is not the name"),
            ("127.0.0.1", "is an address"),
            ("::1", "is an address"),
            ("[::1]", "is an address"),
            ("m\u{fc}nchen.example", "not written in ASCII"),
            ("*", "not a wildcard"),
            ("*.*.example.com", "not a wildcard"),
            ("a*.example.com", "not a wildcard"),
            ("a.*.com", "not a wildcard"),
            ("*.", "not a wildcard"),
        ] {
            let wrong = Name::parse(text).unwrap_err();
            assert!(wrong.message.contains(part), "{text}: {}", wrong.message);
        }
        assert!(Name::parse(&"a".repeat(64)).is_err());
        assert_eq!(Name::parse("API.Example.com.").unwrap().as_str(), "api.example.com");
        assert_eq!(Name::parse("*.Example.com.").unwrap().as_str(), "*.example.com");
    }

    #[test]
    fn a_certificate_covers_its_names_and_one_label_of_its_wildcards() {
        for (name, other, covered) in [
            ("a.b", "A.B.", true),
            ("a.b", "*.b", true),
            ("*.b", "*.b", true),
            ("*.b", "a.b", false),
            ("*.a.b", "*.b", false),
            ("a.b", "b", false),
            ("a.b.c", "*.c", false),
        ] {
            let (name, other) = (Name::parse(name).unwrap(), Name::parse(other).unwrap());
            assert_eq!(name.is_covered_by(&other), covered, "{name:?} {other:?}");
        }
    }

    proptest! {
        /// What is found for a name never depends on how it is spelled, and covers it.
        #[test]
        fn spelling_never_counts(labels in prop::collection::vec("[a-c]", 1..5)) {
            let names = ["a.b", "*.b", "*.a.b", "b.c", "*.c", "*.b.c"];
            let all = by_name(&names);
            let name = labels.join(".");
            let lower = found(&all, &names, &name);
            prop_assert_eq!(lower, found(&all, &names, &format!("{}.", name.to_uppercase())));
            if let Some(found) = lower {
                let found = Name::parse(found).unwrap();
                prop_assert!(Name::parse(&name).unwrap().is_covered_by(&found));
            }
        }
    }
}
