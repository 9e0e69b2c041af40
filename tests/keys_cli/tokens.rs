//! Keys that sign tokens: made once, for their owner alone, never in the place of another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::process::Stdio;

use super::home::Home;
use super::home::Said;

const LEAST: &str = "[listen]\nhttp = \"127.0.0.1:0\"\nhttp_accepts = \"everything\"\n[upstream]\n\
                     url = \"http://127.0.0.1:3000\"\n[keys]\nfiles = [\"keys.toml\"]\n";

/// What `openssl pkey` says of a private key on stdin: somebody else's reading of it.
fn openssl(pem: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["pkey", "-text", "-noout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    std::io::Write::write_all(&mut child.stdin.take()?, pem.as_bytes()).ok()?;
    Some(Said::from(child.wait_with_output().ok()?).done())
}

#[test]
fn a_key_is_written_for_its_owner_alone_and_the_advice_works() {
    for (algorithm, is) in
        [("EdDSA", "ED25519"), ("ES256", "256 bit"), ("RS256", "3072 bit"), ("RS512", "3072 bit")]
    {
        let home = Home::empty();
        let args = ["tokens", "keygen", "--algorithm", algorithm, "--out", "sign \"1\".pem"];
        let said = home.run(&args).done();
        let path = home.path("sign \"1\".pem");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(home.files(), ["sign \"1\".pem"]);
        let pem = fs::read_to_string(&path).unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{algorithm}");
        assert!(pem.lines().all(|line| line.len() <= 64));
        if let Some(text) = openssl(&pem) {
            assert!(text.to_uppercase().contains(&is.to_uppercase()), "{algorithm}: {text}");
        }
        let (_, advice) = said.split_once("in keygate.toml:\n").unwrap();
        home.write("keygate.toml", format!("{LEAST}{advice}"));
        home.write("keys.toml", "# none\n");
        let checked = home.run(&["check", "--config", "keygate.toml"]);
        assert_eq!(checked.code, 0, "{}", checked.err);
        assert!(!checked.err.contains("signing_key"), "{}", checked.err);
        // What is said of the key is public.
        let secret: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(!said.contains(&secret[24..48]));
    }
}

#[test]
fn nothing_is_overwritten() {
    let home = Home::empty();
    let keygen = |name: &str| home.run(&["tokens", "keygen", "--out", name]);
    home.write("here.pem", "mine");
    let said = keygen("here.pem").refused();
    assert!(said.contains("`here.pem` exists already"), "{said}");
    assert_eq!(fs::read_to_string(home.path("here.pem")).unwrap(), "mine");
    symlink(home.path("elsewhere.pem"), home.path("link.pem")).unwrap();
    assert!(keygen("link.pem").refused().contains("exists already"));
    assert!(keygen("no/such.pem").refused().contains("does not exist"));
    assert_eq!(home.files(), ["here.pem", "link.pem"]);
}

#[test]
fn without_a_file_only_the_key_is_on_stdout() {
    let home = Home::empty();
    let said = home.run(&["tokens", "keygen"]);
    assert!(said.err.contains("(kid)") && said.err.contains("signing_key"), "{}", said.err);
    assert!(!said.err.contains("PRIVATE KEY"));
    let pem = said.done();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(pem.ends_with("-----END PRIVATE KEY-----\n"));
    assert_eq!(home.files(), Vec::<String>::new());
    let another = home.run(&["tokens", "keygen"]).done();
    assert_ne!(pem, another);
    assert_eq!(home.run(&["tokens", "keygen", "--algorithm", "HS256"]).code, 2);
}
