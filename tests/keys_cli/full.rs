//! A disk without room: a file system of a few pages, in a mount namespace of the test's own.

use std::process::{Command, Output};

use super::home::{Home, KEYGATE};

/// Runs a script where `$disk` is a file system of 16 pages on which stands this directory's
/// `keys.toml`, and `$keygate` the program. `None` where the system allows nobody to mount one.
fn on_a_small_disk(home: &Home, script: &str) -> Option<Output> {
    let mount = "mount -t tmpfs -o size=64k none \"$disk\" || exit 99; cp -p keys.toml \"$disk\"; \
                 cd \"$disk\"";
    let disk = home.path("disk");
    std::fs::create_dir(&disk).unwrap();
    for namespace in ["-rm", "-m"] {
        let output = Command::new("unshare")
            .args([namespace, "sh", "-c", &format!("{mount}\n{script}")])
            .current_dir(home.path("."))
            .env("disk", &disk)
            .env("keygate", KEYGATE)
            .output();
        match output {
            Ok(output) if !output.stdout.is_empty() => return Some(output),
            Ok(_) | Err(_) => {}
        }
    }
    None
}

/// Fills the disk up to so many pages of 4 KiB, tries to make a key, makes room and tries again.
const SCRIPT: &str = r#"
echo begun
cp keys.toml before
cat /dev/zero >fill 2>/dev/null
test "$pages" = 0 || truncate -s "-$((pages * 4096))" fill
"$keygate" keys create --account acme --keys keys.toml
echo "code $?"
cmp keys.toml before && echo unchanged
ls -A | tr '\n' ' '; echo
rm fill
"$keygate" keys create --account acme --keys keys.toml >/dev/null
echo "code $?"
grep -c '^.\[key\]\]' keys.toml
"#;

#[test]
fn a_full_disk_changes_nothing_and_is_said() {
    // With room for the temporary file's beginning too.
    for pages in ["0", "1"] {
        let home = Home::new();
        // Larger than a page, so that the beginning of it may find room.
        home.write("keys.toml", home.text() + &"# a note\n".repeat(1_000));
        let script = format!("pages={pages}\n{SCRIPT}");
        let Some(output) = on_a_small_disk(&home, &script) else {
            eprintln!("SKIPPED: nobody may mount a file system here, so that none can be full");
            return;
        };
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let expected = "begun\ncode 1\nunchanged\n.keys.toml.lock before fill keys.toml \n\
                        code 0\n1\n";
        assert_eq!(out, expected, "{err}");
        assert!(err.contains("No space left on device"), "{err}");
        assert!(err.contains("help: make room; nothing was changed"), "{err}");
    }
}
