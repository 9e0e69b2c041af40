//! Many at once, and some of them killed: the file always loads, and holds every key that anybody
//! was given.

use std::io::Read as _;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use keygate::keys::ApiKey;
use keygate::keys::Digester;

use super::home::Home;

const CREATE: [&str; 6] = ["keys", "create", "--account", "acme", "--keys", "keys.toml"];

fn assert_holds(home: &Home, keys: &[String]) {
    let read = home.records();
    for key in keys {
        let digest = Digester::Sha256.digest(&ApiKey::new(key.as_bytes()));
        assert!(read.keys.iter().any(|record| record.digest.matches(&digest)), "a key is lost");
    }
}

#[test]
fn twenty_at_once_lose_none() {
    let home = Home::new();
    let spawn = |_| {
        let mut command = home.command(&CREATE);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let children: Vec<_> = (0..20).map(spawn).collect();
    let keys: Vec<_> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
        })
        .collect();
    assert_eq!(home.records().keys.len(), 20);
    assert_holds(&home, &keys);
    assert_eq!(home.files(), [".keys.toml.lock", "keys.toml"]);
}

#[test]
fn what_is_killed_at_any_moment_loses_nothing() {
    let home = Home::new();
    let mut printed = Vec::new();
    let mut killed = 0;
    for round in 0..60u64 {
        let mut command = home.command(&CREATE);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // Another moment each time, from before the lock to after the rename.
        thread::sleep(Duration::from_micros(round * 7919 % 24_000));
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        if let Some(key) = out.strip_suffix('\n') {
            printed.push(key.to_owned());
        }
        // It loads, whatever the moment was.
        assert_holds(&home, &printed);
    }
    assert!(killed > 0, "every process was faster than its end");
    let (_, key) = home.create(&[]);
    printed.push(key);
    assert_holds(&home, &printed);
    assert_eq!(home.files(), [".keys.toml.lock", "keys.toml"]);
}
