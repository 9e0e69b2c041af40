//! Files whose changes can never arrive: those that are mounted by themselves.
//!
//! A mount of a single file holds on to that file. When another takes its place, which is how the
//! kubelet, editors and `keygate keys` change a file, the mount still shows the old one, and no
//! watch and no poll can see it. Kubernetes' `subPath` makes such a mount of a Secret or ConfigMap.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::source::Problem;
use crate::source::Problems;

/// Warns of each of these files and directories that can only ever be as it is now. Says nothing
/// where the system has no list of its mounts.
#[must_use]
pub fn frozen(paths: &[PathBuf]) -> Problems {
    let mut problems = Problems::default();
    let Ok(list) = fs::read("/proc/self/mountinfo") else { return problems };
    let mounts = parse(&list);
    let mut told = Vec::new();
    for path in paths {
        // What does not exist is somebody else's problem.
        let Ok(real) = path.canonicalize() else { continue };
        let Some(mount) = mount_of(&mounts, &real) else { continue };
        let Some(problem) = judge(path, &real, mount) else { continue };
        // Everything in a directory that is mounted so has one cause.
        if !told.contains(&&mount.point) {
            told.push(&mount.point);
            problems.push(problem);
        }
    }
    problems
}

/// One line of `/proc/self/mountinfo` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// What of its file system is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
}

/// Later ones cover earlier ones. What is no line of that format is left out.
fn parse(list: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        Some(Mount { root: unescape(fields.next()?), point: unescape(fields.next()?) })
    };
    list.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

/// Blanks, line breaks and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        rest = after;
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) =
            (first, rest)
        {
            plain.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
            rest = after;
        } else {
            plain.push(*first);
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// The mount that a path without symbolic links is in.
fn mount_of<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    let holds = |mount: &&Mount| path.starts_with(&mount.point);
    mounts.iter().filter(holds).max_by_key(|mount| mount.point.components().count())
}

/// `real` is what the path leads to. A directory that is mounted by itself is as good as any.
fn judge(path: &Path, real: &Path, mount: &Mount) -> Option<Problem> {
    let name = path.display();
    if is_generation(&mount.root) {
        let message = format!(
            "`{name}` is mounted by subPath, so a change of its Secret or ConfigMap never arrives"
        );
        let help = "mount the whole volume as a directory, without `subPath`";
        return Some(Problem::new(message).help(help).warning());
    }
    if real == mount.point && real.is_file() {
        let message =
            format!("`{name}` is mounted by itself, so a file that takes its place is never seen");
        return Some(Problem::new(message).help("mount the directory that holds it").warning());
    }
    None
}

/// Whether this is, or lies in, one of the directories that the kubelet replaces as a whole:
/// `..2026_01_31_23_59_59.123`, to which `..data` leads; or one that it keeps for `subPath`.
fn is_generation(root: &Path) -> bool {
    root.iter().any(|name| match name.as_encoded_bytes() {
        b"..data" | b"volume-subpaths" => true,
        [b'.', b'.', digit, ..] => digit.is_ascii_digit(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"\
1041 980 0:120 / / ro,relatime master:287 - overlay overlay rw,lowerdir=/a\n\
1050 1041 8:1 /var/lib/kubelet/pods/6f/volumes/kubernetes.io~configmap/config /etc/keygate ro - ext4 /dev/sda1 rw\n\
1051 1041 0:98 / /secrets/keys ro,relatime - tmpfs tmpfs rw,size=65536k\n\
1052 1041 0:99 /..2026_01_31_23_59_59.1234567890/tls.crt /secrets/tls/tls.crt ro - tmpfs tmpfs rw\n\
1053 1041 8:1 /var/lib/kubelet/pods/6f/volumes/kubernetes.io~configmap/extra/..2026_02_01_00_00_00.1/a.toml//deleted /extra/a.toml ro - ext4 /dev/sda1 rw\n\
1054 1041 8:1 /home/me/my\\040keys/keys.toml /my\\040keys/keys.toml ro - ext4 /dev/sda1 rw\n\
1055 1041 0:97 /..2026_01_31_23_59_59.5/team /secrets/team ro - tmpfs tmpfs rw\n\
\n\
not a line\n";

    fn said(path: &str) -> Option<String> {
        let (mounts, path) = (parse(LIST), Path::new(path));
        judge(path, path, mount_of(&mounts, path)?).map(|problem| problem.message)
    }

    #[test]
    fn a_list_is_read_with_its_escapes() {
        let mounts = parse(LIST);
        assert_eq!(mounts.len(), 7);
        let last = mounts.iter().find(|mount| mount.point == Path::new("/my keys/keys.toml"));
        assert_eq!(last.unwrap().root, Path::new("/home/me/my keys/keys.toml"));
        assert_eq!(unescape(b"\\134\\x\\04\\400"), Path::new("\\\\x\\04\\400"));
    }

    #[test]
    fn a_path_is_in_the_nearest_mount_and_the_last_of_two() {
        let mounts =
            parse(b"1 0 0:1 / / rw\n2 1 0:2 /a /x rw\n3 1 0:3 /b /x rw\n4 1 0:4 /c /xy rw\n");
        let root = |path: &str| mount_of(&mounts, Path::new(path)).unwrap().root.clone();
        assert_eq!(root("/x/y"), Path::new("/b"));
        assert_eq!(root("/xyz"), Path::new("/"));
    }

    #[test]
    fn what_is_mounted_by_subpath_is_told() {
        for path in ["/secrets/tls/tls.crt", "/extra/a.toml", "/secrets/team/a.toml"] {
            let said = said(path).unwrap_or_default();
            assert!(said.contains("by subPath"), "{path}: {said}");
        }
    }

    #[test]
    fn a_whole_volume_is_as_it_should_be() {
        assert_eq!(said("/etc/keygate/..2026_01_31_23_59_59.7/keygate.toml"), None);
        assert_eq!(said("/secrets/keys/..2026_01_31_23_59_59.8/keys.toml"), None);
        assert_eq!(said("/secrets/keys"), None);
        assert_eq!(said("/anywhere/else"), None);
    }

    #[test]
    fn this_machines_own_files_are_not_told() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let files = [here.join("Cargo.toml"), here, PathBuf::from("/nowhere/at/all")];
        assert!(frozen(&files).is_empty());
    }
}
