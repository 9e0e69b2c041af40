//! What is accepted as one of our tokens, and what is not although it looks like one. The names of
//! keys here are of no account: see the tests of the program for what becomes of accepted tokens.

use aws_lc_rs::signature::UnparsedPublicKey;
use proptest::prelude::*;

use super::*;
use crate::keys::Account;
use crate::keys::KeyDigest;
use crate::keys::KeyId;
use crate::keys::KeyRecord;
use crate::keys::KeyTable;
use crate::keys::KeyTableBuilder;
use crate::keys::Name;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn tokens(signer: &Arc<SigningKey>, verifiers: &[&Arc<SigningKey>]) -> Tokens {
    Tokens::new(TokenSettings {
        signer: Arc::clone(signer),
        verifiers: verifiers.iter().map(|key| Arc::clone(key)).collect(),
        lifetime: Duration::from_secs(3600),
        max_age: Duration::from_secs(10_000),
        issuer: "us".into(),
        audience: "api".into(),
        endpoints: vec![(Endpoint::Login, "/log%69n".into()), (Endpoint::Jwks, "/jwks".into())],
    })
}

fn signer(algorithm: Algorithm) -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(algorithm).unwrap())
}

fn record(digest: u8) -> KeyRecord {
    KeyRecord::plain("key_1", "acme", KeyDigest::from_bytes([digest; 32]))
}

fn table(record: KeyRecord) -> KeyTable {
    let account = Account {
        id: Name::new("acme").unwrap(),
        name: None,
        permissions: None,
        disabled: false,
        origin: Default::default(),
    };
    let mut builder = KeyTableBuilder::default();
    builder.add([account], [record]);
    builder.build().unwrap()
}

fn mint(tokens: &Tokens, profile: Option<Profile>) -> Box<str> {
    let table = table(record(1));
    let (_, key) = table.keys().next().unwrap();
    tokens.mint(key, profile, NOW, at(NOW), [7; 16]).unwrap()
}

#[test]
fn what_is_minted_is_accepted_until_its_second_comes() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(&signer(algorithm), &[]);
        let token = mint(&tokens, None);
        let verified = tokens.verify(&token, at(NOW)).unwrap();
        assert_eq!(verified.claims.key, KeyId::new("key_1").unwrap());
        assert!(verified.signer.binds(&record(1).digest, &verified.claims.binding));
        assert!(!verified.signer.binds(&record(2).digest, &verified.claims.binding));
        let last = at(NOW + 3600) - Duration::from_nanos(1);
        assert!(tokens.verify(&token, last).is_some(), "{algorithm}");
        assert!(tokens.verify(&token, at(NOW + 3600)).is_none(), "{algorithm}");
        // A replica's clock may be behind.
        assert!(tokens.verify(&token, at(NOW - 60)).is_some());
        assert!(tokens.verify(&token, at(NOW - 61)).is_none());
    }
}

#[test]
fn a_login_cannot_be_prolonged_beyond_its_end() {
    let tokens = tokens(&signer(Algorithm::EdDsa), &[]);
    let table = table(record(1));
    let (_, key) = table.keys().next().unwrap();
    let refreshed = |login: i64| tokens.mint(key, None, login, at(NOW), [7; 16]);
    let token = refreshed(NOW - 9_990).unwrap();
    assert!(tokens.verify(&token, at(NOW + 9)).is_some());
    assert!(tokens.verify(&token, at(NOW + 10)).is_none());
    assert!(refreshed(NOW - 10_000).is_none());
}

#[test]
fn the_claims_of_profiles_come_back_as_they_were() {
    let tokens = tokens(&signer(Algorithm::EdDsa), &[]);
    for profile in [
        Profile { uuid: Some("u".into()), custom_id: None, email: None },
        Profile { uuid: None, custom_id: Some("\"\\/\u{202e}ż,{}".into()), email: None },
        Profile { uuid: Some("u".into()), custom_id: Some("c".into()), email: Some("e".into()) },
    ] {
        let token = mint(&tokens, Some(profile.clone()));
        let claims = tokens.verify(&token, at(NOW)).unwrap().claims;
        assert_eq!(*claims.subject, *profile.id());
        assert_eq!(claims.profile, Some(profile));
    }
}

/// The claims of a good token, with something in their place.
fn claims(what: &str, with: &str) -> String {
    let good = r#"{"iss":"us","aud":"api","sub":"acme","jti":"1","key_id":"key_1",
        "key_binding":"AAAAAAAAAAAAAAAA","iat":1800000000,"exp":1800003600,"auth_time":1800000000}"#;
    assert!(good.contains(what), "{what}");
    good.replacen(what, with, 1)
}

#[test]
fn every_claim_is_asked_for_and_has_one_type() {
    let signer = signer(Algorithm::EdDsa);
    let tokens = tokens(&signer, &[]);
    let accepted =
        |payload: &str| tokens.verify(&jwt::write(payload, &signer).unwrap(), at(NOW)).is_some();
    assert!(accepted(&claims("", "")));
    assert!(accepted(&claims(r#""sub""#, r#""more":{"x":[1]},"sub""#)));
    for (what, with) in [
        (r#""iss":"us","#, ""),
        (r#""aud":"api","#, ""),
        (r#""sub":"acme","#, ""),
        (r#""jti":"1","#, ""),
        (r#""key_id":"key_1","#, ""),
        (r#""key_binding":"AAAAAAAAAAAAAAAA","#, ""),
        (r#""iat":1800000000,"#, ""),
        (r#""exp":1800003600,"#, ""),
        (r#","auth_time":1800000000"#, ""),
        ("\"us\"", "\"them\""),
        ("\"us\"", "\"US\""),
        ("\"us\"", "[\"us\"]"),
        ("\"api\"", "\"apis\""),
        ("\"api\"", "[\"api\"]"),
        ("\"acme\"", "\"\""),
        ("\"acme\"", "null"),
        ("\"1\"", "1"),
        ("\"key_1\"", "\"a b\""),
        ("\"key_1\"", "\"\""),
        ("AAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA"),
        ("AAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA"),
        ("AAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAA=="),
        ("AAAAAAAAAAAAAAAA", ""),
        ("1800003600", "\"1800003600\""),
        ("1800003600", "1800003600.0"),
        ("1800003600", "1800003600.5"),
        ("1800003600", "18000036e2"),
        ("1800003600", "-1"),
        ("1800003600", "0"),
        ("1800003600", "null"),
        ("1800003600", "true"),
        ("1800003600", "[1800003600]"),
        ("1800003600", "01800003600"),
        ("1800003600", "+1800003600"),
        ("1800003600", "1800000000"),
        ("1800003600", "999999999999999999"),
        ("1800003600", "9223372036854775807"),
        ("1800003600", "9223372036854775808"),
        ("1800003600", "1e400"),
        ("1800000000", "1800000061"),
        ("1800000000", "1800000000.0"),
        (r#""auth_time":1800000000"#, r#""auth_time":1800000001"#),
        (r#""auth_time":1800000000"#, r#""auth_time":1799990000"#),
        (r#""auth_time":1800000000"#, r#""auth_time":-9223372036854775808"#),
        ("\"sub\"", "\"nbf\":0,\"sub\""),
        ("\"sub\"", "\"iss\":\"us\",\"sub\""),
        ("\"sub\"", "\"exp\":1800003600,\"sub\""),
        ("\"sub\"", "\"\\u0065xp\":1800003600,\"sub\""),
        ("\"sub\"", "\"x\":{\"a\":1,\"a\":2},\"sub\""),
        ("\"sub\"", "\"uuid\":7,\"sub\""),
        ("\"sub\"", "\"uuid\":\"\",\"sub\""),
        ("\"sub\"", "\"email\":\"a\\r\\nb\",\"sub\""),
        ("\"sub\"", "\"customId\":null,\"sub\""),
        ("}", "}{}"),
        ("}", "},"),
        ("{", "[{"),
        ("{", "\u{feff}{"),
    ] {
        assert!(!accepted(&claims(what, with)), "{what} -> {with}");
    }
    for payload in ["", "null", "[]", "\"{}\"", "{}", "\0"] {
        assert!(!accepted(payload), "{payload}");
    }
}

#[test]
fn a_token_has_one_spelling() {
    let signer = signer(Algorithm::EdDsa);
    let tokens = tokens(&signer, &[]);
    let token = mint(&tokens, None);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let other = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let alg =
        |alg: &str| other(&format!(r#"{{"alg":"{alg}","kid":"{}","typ":"JWT"}}"#, signer.kid()));
    for forged in [
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}.{signature} "),
        format!(" {token}"),
        format!("{header}.{payload}.\n{signature}"),
        format!("{}.{payload}.{signature}", alg("none")),
        format!("{}.{payload}.", alg("none")),
        format!("{}.{payload}.{signature}", alg("eddsa")),
        format!("{}.{payload}.{signature}", alg("HS256")),
        format!("{}.{payload}.{signature}", alg("RS256")),
        format!("{}.{payload}.{signature}", other(r#"{"alg":"EdDSA","typ":"JWT"}"#)),
        format!("{}.{payload}.{signature}", other(r#"{"alg":"EdDSA","kid":"x","typ":"JWT"}"#)),
        token.replace('-', "+").replace('_', "/") + "=",
        token.strip_suffix(|_: char| true).unwrap().to_owned(),
        token.to_uppercase(),
    ] {
        assert!(tokens.verify(&forged, at(NOW)).is_none(), "{forged}");
    }
    // The last digit of 64 bytes holds four bits that say nothing: they must be zero.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let spellings = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .filter(|c| *c != last.chars().next().unwrap());
    for c in spellings {
        assert!(tokens.verify(&format!("{header}.{payload}.{rest}{c}"), at(NOW)).is_none(), "{c}");
    }
}

#[test]
fn a_header_is_believed_in_nothing() {
    // Signed with the very key, but under another header: nothing of it is interpreted.
    let signer = signer(Algorithm::EdDsa);
    let tokens = tokens(&signer, &[]);
    let payload = claims("", "");
    for header in [
        r#"{"alg":"EdDSA","kid":"KID","typ":"JWT","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","kid":"KID","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","kid":"KID"}"#,
        r#"{"alg":"EdDSA","typ":"JWT"}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA","kid":"KID","typ":"JWT"}"#,
        r#"{"alg":"EdDSA","kid":"KID","typ":"JWT","jwk":{}}"#,
        r#"{"alg":"none","kid":"KID","typ":"JWT"}"#,
        r#"{ "alg":"EdDSA","kid":"KID","typ":"JWT"}"#,
        r#"{"alg":"EdDSA","kid":"KID","typ":"JWT"}{}"#,
    ] {
        let header = URL_SAFE_NO_PAD.encode(header.replace("KID", signer.kid()));
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&payload));
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).unwrap());
        assert!(tokens.verify(&format!("{signed}.{signature}"), at(NOW)).is_none(), "{header}");
    }
}

#[test]
fn one_algorithm_is_never_taken_for_another() {
    let der = signer(Algorithm::Rs256).to_pkcs8().unwrap();
    let key = |algorithm| Arc::new(SigningKey::from_pkcs8(&der, algorithm).unwrap());
    let (short, long) = (key(Algorithm::Rs256), key(Algorithm::Rs512));
    assert_eq!(short.kid(), long.kid());
    let (short, long) = (tokens(&short, &[]), tokens(&long, &[]));
    let token = mint(&short, None);
    assert!(short.verify(&token, at(NOW)).is_some());
    assert!(long.verify(&token, at(NOW)).is_none());
    // The same claims and the signature of the one under the header of the other.
    let (_, rest) = token.split_once('.').unwrap();
    let other = mint(&long, None);
    let (header, _) = other.split_once('.').unwrap();
    assert!(long.verify(&format!("{header}.{rest}"), at(NOW)).is_none());
}

#[test]
fn keys_are_changed_by_a_list() {
    let (old, new) = (signer(Algorithm::EdDsa), signer(Algorithm::EdDsa));
    let before = mint(&tokens(&old, &[]), None);
    let both = tokens(&new, &[&old]);
    assert!(both.verify(&before, at(NOW)).is_some());
    let after = mint(&both, None);
    assert!(tokens(&old, &[]).verify(&after, at(NOW)).is_none());
    assert!(tokens(&new, &[]).verify(&before, at(NOW)).is_none());
    assert!(both.jwks().contains(old.kid()) && both.jwks().contains(new.kid()));
}

#[test]
fn a_key_that_is_written_and_read_is_the_same_and_keeps_its_secret() {
    for algorithm in Algorithm::ALL {
        let made = signer(algorithm);
        let read = SigningKey::from_pkcs8(&made.to_pkcs8().unwrap(), algorithm).unwrap();
        assert_eq!(made.kid(), read.kid());
        assert_eq!(made.bind(&record(1).digest), read.bind(&record(1).digest));
        assert_ne!(made.bind(&record(1).digest), signer(algorithm).bind(&record(1).digest));
        let shown = format!("{made:?}");
        assert_eq!(shown, format!("SigningKey {{ kid: {:?}, .. }}", made.kid()));
        for other in Algorithm::ALL.into_iter().filter(|other| other.key() != algorithm.key()) {
            let refused = SigningKey::from_pkcs8(&made.to_pkcs8().unwrap(), other).unwrap_err();
            assert_eq!(refused, SigningKeyError::Kind { found: algorithm.key(), wanted: other });
        }
    }
}

/// RFC 8037, appendix A: a key, its thumbprint, and a signature.
#[test]
fn agrees_with_the_example_of_rfc_8037() {
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let der = [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &seed];
    let key = SigningKey::from_pkcs8(&der.concat(), Algorithm::EdDsa).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert!(key.jwk().contains(r#""x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#));
    let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc").unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.encode(&signature),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
    let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let public = UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public);
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(public.verify(signed.as_bytes(), &signature).is_ok());
}

#[test]
fn our_paths_are_compared_decoded_and_take_their_methods_only() {
    let tokens = tokens(&signer(Algorithm::EdDsa), &[]);
    let ask = |path: &str, method: &str| {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        tokens.endpoint(&CanonicalPath::new(path).unwrap(), &method)
    };
    assert_eq!(ask("/login", "POST"), Some(Ok(Endpoint::Login)));
    assert_eq!(ask("/%6cogin", "POST"), Some(Ok(Endpoint::Login)));
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "post", "TRACE"] {
        assert_eq!(ask("/login", method), Some(Err(Denial::NoRoute)), "{method}");
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(ask("/jwks", method), Some(Ok(Endpoint::Jwks)));
    }
    assert_eq!(ask("/jwks", "POST"), Some(Err(Denial::NoRoute)));
    for path in ["/login/", "/Login", "/", "/login;x", "/refresh"] {
        assert_eq!(ask(path, "POST"), None, "{path}");
    }
}

proptest! {
    #[test]
    fn no_text_is_accepted_or_breaks_anything(text in "\\PC*", parts in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
        let tokens = tokens(&signer(Algorithm::EdDsa), &[]);
        prop_assert!(tokens.verify(&text, at(NOW)).is_none());
        prop_assert!(tokens.verify(&parts, at(NOW)).is_none());
    }

    #[test]
    fn no_token_with_another_character_is_accepted(position in 0usize..400, c in "[A-Za-z0-9._=-]") {
        let tokens = tokens(&signer(Algorithm::EdDsa), &[]);
        let token = mint(&tokens, None);
        let mut edited = token.to_string();
        let position = position % edited.len();
        edited.replace_range(position..=position, &c);
        prop_assert_eq!(tokens.verify(&edited, at(NOW)).is_some(), *edited == *token);
    }

    #[test]
    fn any_claims_are_judged_without_a_panic(payload in "\\PC*") {
        let signer = signer(Algorithm::EdDsa);
        let tokens = tokens(&signer, &[]);
        let token = jwt::write(&payload, &signer).unwrap();
        prop_assert!(tokens.verify(&token, at(NOW)).is_none());
    }
}
