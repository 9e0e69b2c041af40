// Verifies the token in TOKEN as a service would that knows nothing but where the public keys are,
// and prints its claims.
import { createHash, createPublicKey, verify } from "node:crypto";

const [header, payload, signature] = process.env.TOKEN.split(".");
const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
const { alg, kid, typ } = read(header);
const answer = await fetch(`https://${process.env.BASE}/.well-known/jwks.json`);
const { keys } = await answer.json();
const jwk = keys.find((key) => key.kid === kid && key.alg === alg && key.use === "sig");

// RFC 7638, with the members that it lists for each kind of key.
const members = { OKP: ["crv", "kty", "x"], EC: ["crv", "kty", "x", "y"], RSA: ["e", "kty", "n"] };
const canonical = JSON.stringify(Object.fromEntries(members[jwk.kty].map((m) => [m, jwk[m]])));
const thumbprint = createHash("sha256").update(canonical).digest("base64url");

const key = createPublicKey({ key: jwk, format: "jwk" });
const hash = { EdDSA: null, ES256: "sha256", RS256: "sha256", RS512: "sha512" }[alg];
const signed = Buffer.from(`${header}.${payload}`);
const genuine = verify(
  hash,
  signed,
  { key, dsaEncoding: "ieee-p1363" },
  Buffer.from(signature, "base64url"),
);
if (typ !== "JWT" || kid !== thumbprint || !genuine || "d" in jwk || "p" in jwk) {
  throw new Error(`not verified: ${JSON.stringify({ alg, kid, typ, thumbprint, genuine })}`);
}
console.log(JSON.stringify({ alg, keys: keys.length, ...read(payload) }));
