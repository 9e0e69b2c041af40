//! `listen.admin`: where health and metrics are, for who listens there and for who asks.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use super::reading::judge;
use super::units;
use super::units::Wrong;
use crate::source::At;
use crate::source::Problems;
use crate::source::Section;
use crate::source::Source;
use crate::source::Value;

/// Where the admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl AdminAddress {
    /// What the configuration says, whatever else is wrong with it: who asks after a running
    /// process has no use for the rest. `None` where there is no admin listener.
    ///
    /// # Errors
    /// When the file cannot be read, or does not say it in a form that can be.
    pub fn of_config(path: &Path) -> Result<Option<Self>, Problems> {
        let source = Source::read(path)?;
        let mut problems = Problems::default();
        let mut root = Section::root(&source, &mut problems);
        let table = root.table("listen");
        let (mut found, mut wrong) = (None, root.problems().clone());
        if let Some(table) = table {
            let mut section = root.enter("[listen]", table);
            found = read(&mut section);
            // Before the section ends, which reports the members that nobody took: all the others.
            wrong = section.problems().clone();
        }
        if found.is_none() && wrong.fatal() { Err(wrong) } else { Ok(found) }
    }

    /// What somebody writes: `IP:port`, `localhost:port` or `unix:PATH`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let told = |Wrong { message, help }| format!("{message}; {help}");
        parse(text, |path| PathBuf::from(path)).map_err(told)
    }
}

/// As it is written.
impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Option<AdminAddress> {
    let at = section.take("admin")?;
    if let Value::Boolean(false) = at.value {
        return None;
    }
    let At { value, span } = section.as_string("admin", at)?;
    let address = parse(&value, |path| section.source().path(path, &span));
    judge(section, &span, address)
}

fn parse(text: &str, path: impl Fn(&str) -> PathBuf) -> Result<AdminAddress, Wrong> {
    match text.strip_prefix("unix:") {
        Some(written) => Ok(AdminAddress::Unix(path(written))),
        None => units::socket(text).map(AdminAddress::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<AdminAddress>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keygate.toml");
        std::fs::write(&path, text).unwrap();
        AdminAddress::of_config(&path).map_err(|problems| problems.lines().join("\n"))
    }

    fn tcp(text: &str) -> Option<AdminAddress> {
        Some(AdminAddress::Tcp(text.parse().unwrap()))
    }

    #[test]
    fn it_is_found_whatever_else_is_wrong_with_the_file() {
        for text in [
            "[listen]\nadmin = \"127.0.0.1:9090\"",
            "[listen]\nhttps = 7\nadmn = 1\nadmin = \"127.0.0.1:9090\"\n[[rout]]\n",
            "[listen]\nadmin = \"127.0.0.1:9090\"\n[upstream]\nurl = http://nowhere\n",
        ] {
            assert_eq!(of(text), Ok(tcp("127.0.0.1:9090")), "{text}");
        }
    }

    #[test]
    fn a_file_without_one_is_no_mistake_and_one_that_cannot_be_read_is() {
        assert_eq!(of("[listen]\nadmin = false"), Ok(None));
        assert_eq!(of("[lissen]\nadmin = \"127.0.0.1:9090\""), Ok(None));
        assert!(of("listen = 1").unwrap_err().contains("`listen`"));
        assert!(of("[listen]\nadmin = 9090").unwrap_err().contains("`admin`"));
        assert!(of("[listen]\nadmin = \"9090\"").unwrap_err().contains("9090"));
        let missing = AdminAddress::of_config(Path::new("/nowhere/keygate.toml")).unwrap_err();
        assert!(missing.lines().concat().contains("/nowhere/keygate.toml"));
    }

    #[test]
    fn a_path_of_the_file_is_relative_to_it_and_one_of_an_argument_is_not() {
        let found = of("[listen]\nadmin = \"unix:admin.sock\"").unwrap().unwrap();
        assert!(matches!(&found, AdminAddress::Unix(path) if path.is_absolute()), "{found}");
        let given = AdminAddress::parse("unix:admin.sock").unwrap();
        assert_eq!(given.to_string(), "unix:admin.sock");
        assert!(AdminAddress::parse("9090").unwrap_err().contains("`"));
    }
}
