//! What looks like a token and is none of ours: signed with the very key or not at all. (What the
//! parser itself refuses is tested beside it.)

use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use rcgen::SigningKey as _;
use serde_json::json;

use super::*;

/// A program whose signing key the test has too.
struct Stage {
    origin: Origin,
    sidecar: Sidecar,
    pair: rcgen::KeyPair,
    /// A good token, to change.
    token: String,
}

impl Stage {
    fn new(set: &[&str]) -> Self {
        let origin = Origin::echo();
        let mut setup = signed(&origin);
        for assignment in set {
            setup = setup.set(assignment);
        }
        let sidecar = Sidecar::start(&setup);
        let pair = rcgen::KeyPair::from_pem(&sidecar.read("tokens.pem")).unwrap();
        let token = login(&sidecar, SERVER);
        Self { origin, sidecar, pair, token }
    }

    /// A token with these two parts, really signed.
    fn sign(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        let signature = self.pair.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The good token with other claims, really signed.
    fn claiming(&self, claims: &str) -> String {
        self.sign(self.token.split('.').next().unwrap(), &URL_SAFE_NO_PAD.encode(claims))
    }

    fn header(&self, header: &Value) -> String {
        let payload = self.token.split('.').nth(1).unwrap();
        self.sign(&URL_SAFE_NO_PAD.encode(header.to_string()), payload)
    }

    #[track_caller]
    fn refuses(&self, token: &str) {
        let seen = self.origin.count();
        let counted = self.sidecar.refusals("invalid_token");
        let answer = ask(&self.sidecar, token);
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (401, "invalid_credential"),
            "{token}"
        );
        refresh(&self.sidecar, token).refused(401, "invalid_credential");
        assert_eq!(self.sidecar.refusals("invalid_token"), counted + 2, "{token}");
        assert_eq!(self.origin.count(), seen);
    }
}

#[test]
fn a_token_that_is_signed_again_as_it_was_is_accepted() {
    let stage = Stage::new(&[]);
    let claims = part(&stage.token, 1).to_string();
    ask(&stage.sidecar, &stage.claiming(&claims)).ok();
}

#[test]
fn no_other_algorithm_is_believed() {
    let stage = Stage::new(&[]);
    let kid = part(&stage.token, 0)["kid"].clone();
    let payload = stage.token.split('.').nth(1).unwrap();
    for alg in ["none", "None", "HS256", "RS256", "ES256", "Ed25519", "eddsa"] {
        let header = json!({ "alg": alg, "kid": kid, "typ": "JWT" });
        stage.refuses(&stage.header(&header));
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        stage.refuses(&format!("{header}.{payload}."));
    }
    // The public key as the secret of an HMAC, in each of its forms.
    let jwks = stage.sidecar.get(JWKS, &[]).json();
    let public = stage.pair.public_key_pem();
    let raw = URL_SAFE_NO_PAD.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
    let jwk = jwks["keys"][0].to_string();
    for secret in [public.as_bytes(), public.trim_end().as_bytes(), &raw, jwk.as_bytes(), b""] {
        let header = json!({ "alg": "HS256", "kid": kid, "typ": "JWT" }).to_string();
        let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        stage.refuses(&format!("{signed}.{signature}"));
    }
}

#[test]
fn rs512_is_not_rs256_although_the_key_is_the_same() {
    let origin = Origin::echo();
    let pem = crate::cases::logins::signing_key("RS256");
    let start = |algorithm: &str| {
        let setup = signed(&origin).file("rsa.pem", pem.as_str());
        let setup = setup.set("tokens.signing_key={dir}/rsa.pem");
        Sidecar::start(&setup.set(&format!("tokens.algorithm={algorithm}")))
    };
    let (short, long) = (start("RS256"), start("RS512"));
    let (one, two) = (login(&short, SERVER), login(&long, SERVER));
    assert_eq!(part(&one, 0)["kid"], part(&two, 0)["kid"]);
    ask(&short, &one).ok();
    ask(&long, &two).ok();
    ask(&short, &two).refused(401, "invalid_credential");
    ask(&long, &one).refused(401, "invalid_credential");
    let (header, _) = two.split_once('.').unwrap();
    let (_, rest) = one.split_once('.').unwrap();
    ask(&long, &format!("{header}.{rest}")).refused(401, "invalid_credential");
}

#[test]
fn a_header_that_asks_for_more_is_refused_although_it_is_signed() {
    let stage = Stage::new(&[]);
    let kid = part(&stage.token, 0)["kid"].clone();
    for header in [
        json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT", "crit": ["exp"] }),
        json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT", "b64": false, "crit": ["b64"] }),
        json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT", "zip": "DEF" }),
        json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT", "jku": "https://example.com/" }),
        json!({ "alg": "EdDSA", "kid": kid, "typ": "at+jwt" }),
        json!({ "alg": "EdDSA", "kid": kid }),
        json!({ "alg": "EdDSA", "typ": "JWT" }),
        json!({ "alg": "EdDSA", "kid": "", "typ": "JWT" }),
        json!({ "alg": "EdDSA", "kid": "../../tokens.pem", "typ": "JWT" }),
        json!({ "alg": "EdDSA", "kid": [kid], "typ": "JWT" }),
        json!({ "alg": ["EdDSA"], "kid": kid, "typ": "JWT" }),
        json!([]),
        json!(null),
    ] {
        stage.refuses(&stage.header(&header));
    }
}

#[test]
fn each_claim_must_be_there_of_its_type_and_ours() {
    let stage = Stage::new(&[]);
    let good = part(&stage.token, 1);
    for name in good.as_object().unwrap().keys() {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        stage.refuses(&stage.claiming(&claims.to_string()));
    }
    let exp = good["exp"].as_i64().unwrap();
    for (name, value) in [
        ("exp", json!(exp.to_string())),
        ("exp", json!(exp as f64)),
        ("exp", json!(exp as f64 + 0.5)),
        ("exp", json!(-1)),
        ("exp", json!(0)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!(null)),
        ("exp", json!([exp])),
        ("exp", json!(true)),
        ("iat", json!(exp - 1)),
        ("iat", json!("now")),
        ("auth_time", json!(0)),
        ("auth_time", json!("0")),
        ("auth_time", json!(exp)),
        ("iss", json!("somebody")),
        ("iss", json!(["keygate"])),
        ("aud", json!("somebody")),
        ("aud", json!(["keygate"])),
        ("nbf", json!(0)),
        ("key_id", json!("open")),
        ("key_id", json!("nobody")),
        ("key_id", json!("")),
        ("key_binding", json!("AAAAAAAAAAAAAAAA")),
        ("key_binding", json!("")),
        // A workspace key stands for no profile.
        ("uuid", json!("u")),
        ("email", json!("a@b")),
    ] {
        let mut claims = good.clone();
        claims[name] = value.clone();
        stage.refuses(&stage.claiming(&claims.to_string()));
    }
    let text = good.to_string();
    for claims in [
        text.replacen('{', &format!("{{\"exp\":{exp},"), 1),
        text.replacen('{', "{\"sub\":\"other\",", 1),
        text.replacen('{', "{\"\\u0073ub\":\"other\",", 1),
        format!("{text}{text}"),
        format!("{text} x"),
        format!("[{text}]"),
        format!("\u{feff}{text}"),
        String::new(),
    ] {
        stage.refuses(&stage.claiming(&claims));
    }
}

#[test]
fn a_profile_cannot_be_taken_out_of_a_token() {
    let stage = Stage::new(&[]);
    let token = simple(&stage.sidecar, OPEN, json!({ "customId": "anna" }));
    let mut claims = part(&token, 1);
    ask(&stage.sidecar, &stage.claiming(&claims.to_string())).ok();
    claims.as_object_mut().unwrap().remove("customId");
    stage.refuses(&stage.claiming(&claims.to_string()));
}

#[test]
fn tokens_of_other_parties_and_other_keys_are_refused() {
    let stage = Stage::new(&[]);
    let same_key = |set: &str| {
        let origin = Origin::echo();
        let pem = stage.sidecar.read("tokens.pem");
        let setup = signed(&origin).file("same.pem", pem);
        let setup = setup.set("tokens.signing_key={dir}/same.pem").set(set);
        login(&Sidecar::start(&setup), SERVER)
    };
    ask(&stage.sidecar, &same_key("tokens.issuer=keygate")).ok();
    stage.refuses(&same_key("tokens.issuer=https://auth.example.com"));
    stage.refuses(&same_key("tokens.audience=other"));
    let other = Stage::new(&[]);
    stage.refuses(&other.token);
    // The signature of another key under our header.
    let (signed, _) = stage.token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    stage.refuses(&other.sign(header, payload));
}

#[test]
fn a_token_has_one_spelling() {
    let stage = Stage::new(&[]);
    let token = &stage.token;
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let decoded = URL_SAFE_NO_PAD.decode(signature).unwrap();
    // Two bits beyond the last byte: 64 bytes take 86 digits, of which the last holds two.
    let mut last = signature.to_owned();
    let spare = last.pop().map(|c| char::from(u8::try_from(c).unwrap() + 1)).unwrap();
    last.push(spare);
    for forged in [
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}.{}", STANDARD.encode(&decoded)),
        format!("{header}.{payload}.{last}"),
        format!("{header}.{payload}.{}", signature.get(1..).unwrap()),
        format!("{header}.{payload}.{}", signature.get(..10).unwrap()),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}. {signature}"),
        format!("{header}.{payload}\t.{signature}"),
        format!("{payload}.{header}.{signature}"),
    ] {
        stage.refuses(&forged);
    }
    // Not even the shape of one.
    for other in [
        format!("{header}.{payload}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        token.replace('.', "%2E"),
    ] {
        ask(&stage.sidecar, &other).refused(401, "invalid_credential");
    }
    assert_eq!(stage.origin.count(), 0);
    let fields = format!("Authorization: bEaReR   {token}");
    stage.sidecar.get("/a", &[&fields]).ok();
}
