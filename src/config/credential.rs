//! `credential:NAME` in the place of a path: a file that the service manager laid out for this service
//! alone (`LoadCredential=` of systemd).

use std::ffi::OsString;
use std::path::PathBuf;

use super::units::Wrong;

/// The variable that says where they are.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const MARK: &str = "credential:";

/// Where a credential is, if a text names one.
pub(super) fn path(text: &str) -> Option<Result<PathBuf, Wrong>> {
    text.strip_prefix(MARK).map(|name| within(std::env::var_os(DIRECTORY), name))
}

fn within(directory: Option<OsString>, name: &str) -> Result<PathBuf, Wrong> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(Wrong {
            message: format!("`{MARK}{}` names no credential", name.escape_debug()),
            help: "write `credential:` and a name as in `LoadCredential=NAME:PATH`".to_owned(),
        });
    }
    match directory.map(PathBuf::from).filter(|directory| directory.is_absolute()) {
        Some(directory) => Ok(directory.join(name)),
        None => Err(Wrong {
            message: format!("there is no credential `{name}`: `{DIRECTORY}` is not set"),
            help: format!(
                "add `LoadCredential={name}:/path/of/the/file` to the service; to try it outside of \
                 one, set `{DIRECTORY}` to a directory with a file `{name}`"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_in_the_directory_of_credentials() {
        let inside = within(Some("/run/credentials/keygate.service".into()), "server.key");
        let wanted = PathBuf::from("/run/credentials/keygate.service/server.key");
        assert_eq!(inside, Ok(wanted));
        assert_eq!(path("tls/server.key"), None);
        assert_eq!(path("./credential:x"), None);
    }

    #[test]
    fn a_name_leads_nowhere_else_and_needs_the_directory() {
        for name in ["", "..", ".hidden", "a/b", "/etc/passwd", "a\0b"] {
            let refused = within(Some("/run/credentials".into()), name).unwrap_err();
            assert!(refused.message.ends_with("names no credential"), "{refused:?}");
        }
        for directory in [None, Some(""), Some("relative")] {
            let refused = within(directory.map(Into::into), "pepper").unwrap_err();
            assert!(refused.message.contains("CREDENTIALS_DIRECTORY"), "{refused:?}");
            assert!(refused.help.contains("LoadCredential=pepper:"), "{refused:?}");
        }
    }
}
