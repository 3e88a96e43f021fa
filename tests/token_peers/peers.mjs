// node peers.mjs: one JSON document, {now, jwks, judged: [{name, method, url, authorization, dpop, taken, why}]}.
// Tokens and proofs are jose's, the judgements oauth4webapi's.
import { createHash, randomUUID } from "node:crypto";
import { CompactSign, calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import { customFetch, validateJwtAccessToken } from "oauth4webapi";

const ISSUER = "https://issuer.test";
const AUDIENCE = "https://onestop.test/graphql";
const URL_ = AUDIENCE;
const now = Math.floor(Date.now() / 1000);
const algorithms = ["ES256", "PS256", "Ed25519"];

const pair = async (alg, kid) => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { alg, kid, privateKey, jwk, secret: await exportJWK(privateKey), jkt: await calculateJwkThumbprint(jwk) };
};
const issuer = {};
for (const alg of algorithms) issuer[alg] = await pair(alg, `issuer-${alg}`);
const stranger = await pair("ES256", "issuer-ES256");
const sender = {};
for (const alg of algorithms) sender[alg] = await pair(alg);
const other = await pair("ES256");
const rs256 = await pair("RS256", "issuer-RS256");
const jwks = {
  keys: [...Object.values(issuer), rs256].map(({ jwk, kid, alg }) => ({ ...jwk, kid, alg, use: "sig" })),
};

const without = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
const signed = (header, claims, key) =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(without(claims))))
    .setProtectedHeader(without(header))
    .sign(key.privateKey, header.crit ? { crit: Object.fromEntries(header.crit.map((name) => [name, true])) } : {});

const token = (claims = {}, header = {}, key = issuer.ES256) =>
  signed(
    { alg: key.alg, typ: "at+jwt", kid: key.kid, ...header },
    {
      iss: ISSUER, aud: AUDIENCE, sub: "abcdefghijklmnopqrstuvwxyz", client_id: "portal", jti: randomUUID(),
      iat: now - 30, exp: now + 300, ...claims,
    },
    key,
  );
const bound = (key = sender.ES256, claims = {}) => token({ cnf: { jkt: key.jkt }, ...claims });
const ath = (of) => createHash("sha256").update(of).digest("base64url");
const proof = (of, claims = {}, header = {}, key = sender.ES256) =>
  signed(
    { alg: key.alg, typ: "dpop+jwt", jwk: key.jwk, ...header },
    { jti: randomUUID(), htm: "POST", htu: URL_, iat: now, ath: ath(of), ...claims },
    key,
  );

const cases = [];
const ask = (name, authorization, dpop, url = URL_, method = "POST") =>
  cases.push({ name, authorization, dpop: dpop ?? null, url, method });
const bearer = async (name, claims, header, key) => ask(name, `Bearer ${await token(claims, header, key)}`);
const proved = async (name, claims, header, key, url) => {
  const sent = await bound();
  ask(name, `DPoP ${sent}`, await proof(sent, claims, header, key), url);
};

// Tokens
for (const alg of algorithms) await bearer(`token by ${alg}`, {}, {}, issuer[alg]);
await bearer("token by RS256", {}, {}, rs256);
await bearer("token typ with application/", {}, { typ: "application/at+jwt" });
await bearer("token typ in capitals", {}, { typ: "AT+JWT" });
await bearer("token typ JWT", {}, { typ: "JWT" });
await bearer("token typ dpop+jwt", {}, { typ: "dpop+jwt" });
await bearer("token without typ", {}, { typ: undefined });
await bearer("token without kid", {}, { kid: undefined });
await bearer("token by an unknown kid", {}, { kid: "nobody" });
await bearer("token by a stranger under our kid", {}, {}, stranger);
await bearer("token with the stranger's key in its header", {}, { jwk: stranger.jwk }, stranger);
await bearer("token with our own key in its header", {}, { jwk: issuer.ES256.jwk });
await bearer("token with a key URL", {}, { jku: "https://evil.test" });
await bearer("token with critical extensions", {}, { crit: ["bork"], bork: 1 });
await bearer("token by another issuer", { iss: "https://other.test" });
await bearer("token by the issuer with a slash", { iss: `${ISSUER}/` });
await bearer("token for another audience", { aud: "https://other.test" });
await bearer("token for several audiences", { aud: ["https://other.test", AUDIENCE] });
await bearer("token for several others", { aud: ["https://other.test"] });
for (const name of ["iss", "aud", "sub", "client_id", "jti", "iat", "exp"]) {
  await bearer(`token without ${name}`, { [name]: undefined });
}
for (const name of ["sub", "client_id", "jti"]) await bearer(`token whose ${name} is a number`, { [name]: 7 });
await bearer("token whose exp is a text", { exp: String(now + 300) });
await bearer("token whose iat is a text", { iat: String(now) });
await bearer("token expired", { exp: now - 60 });
await bearer("token just expired", { exp: now - 5 });
await bearer("token expired a little longer", { exp: now - 20 });
await bearer("token not valid yet", { nbf: now + 60 });
await bearer("token almost valid", { nbf: now + 5 });
await bearer("token issued in the far future", { iat: now + 3600, exp: now + 7200 });
await bearer("token whose subject is an address", { sub: "heir@example.test" });
const good = await token();
ask("no token", "");
ask("another scheme", `Basic ${good}`);
ask("scheme in small letters", `bearer ${good}`);
ask("signature cut", `Bearer ${good.slice(0, -8)}`);
ask("claims changed", `Bearer ${good.replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"x"}').toString("base64url")}.`)}`);
ask("unsigned", `Bearer ${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url")}.${good.split(".")[1]}.`);
ask("bound token as Bearer", `Bearer ${await bound()}`);
const asBearer = await bound();
ask("bound token as Bearer with its proof", `Bearer ${asBearer}`, await proof(asBearer));
ask("free token as DPoP", `DPoP ${good}`, await proof(good));
ask("free token as Bearer with a proof beside it", `Bearer ${good}`, await proof(good));
for (const [name, cnf] of [["certificate", { "x5t#S256": sender.ES256.jkt }], ["nothing", {}], ["null", null]]) {
  const sent = await token({ cnf });
  ask(`token bound to ${name} as DPoP`, `DPoP ${sent}`, await proof(sent));
}
const twice = await token({ cnf: { jkt: sender.ES256.jkt, "x5t#S256": sender.ES256.jkt } });
ask("token bound twice", `DPoP ${twice}`, await proof(twice));

// Proofs
for (const alg of algorithms) {
  const sent = await bound(sender[alg]);
  ask(`proof by ${alg}`, `DPoP ${sent}`, await proof(sent, {}, {}, sender[alg]));
}
await proved("proof typ JWT", {}, { typ: "JWT" });
await proved("proof typ with application/", {}, { typ: "application/dpop+jwt" });
await proved("proof without key", {}, { jwk: undefined });
await proved("proof with its private key", {}, { jwk: sender.ES256.secret });
await proved("proof by another key", {}, {}, other);
await proved("proof that shows another key", {}, { jwk: other.jwk });
await proved("proof with critical extensions", {}, { crit: ["bork"], bork: 1 });
await proved("proof with a key URL", {}, { jku: "https://evil.test" });
await proved("proof with an unknown header member", {}, { note: "x" });
for (const name of ["jti", "htm", "htu", "iat", "ath"]) await proved(`proof without ${name}`, { [name]: undefined });
await proved("proof whose jti is a number", { jti: 7 });
await proved("proof whose jti is long", { jti: "x".repeat(1000) });
await proved("proof for GET", { htm: "GET" });
await proved("proof for post", { htm: "post" });
await proved("proof for another host", { htu: "https://other.test/graphql" });
await proved("proof for another path", { htu: `${URL_}/` });
await proved("proof with query and fragment", { htu: `${URL_}?a=b#c` });
await proved("request with a query", {}, {}, undefined, `${URL_}?a=b`);
await proved("proof with the default port", { htu: "https://onestop.test:443/graphql" });
await proved("proof with host in capitals", { htu: "HTTPS://ONESTOP.test/graphql" });
await proved("proof with dots in its path", { htu: "https://onestop.test/a/../graphql" });
await proved("proof with an escaped letter", { htu: "https://onestop.test/%67raphql" });
await proved("proof with a user", { htu: "https://user@onestop.test/graphql" });
await proved("proof with a path alone", { htu: "/graphql" });
await proved("proof of half a minute ago", { iat: now - 30 });
await proved("proof of two minutes ago", { iat: now - 120 });
await proved("proof of ten minutes ago", { iat: now - 600 });
await proved("proof five seconds ahead", { iat: now + 5 });
await proved("proof a minute ahead", { iat: now + 60 });
await proved("proof ten minutes ahead", { iat: now + 600 });
await proved("proof whose iat is a text", { iat: String(now) });
await proved("proof for another token", { ath: ath("another") });
await proved("proof with a nonce that nobody gave", { nonce: "x" });
const once = await bound();
const spent = await proof(once);
ask("proof the first time", `DPoP ${once}`, spent);
ask("proof the second time", `DPoP ${once}`, spent);
ask("two proofs in one header", `DPoP ${once}`, `${await proof(once)}, ${await proof(once)}`);
ask("no proof", `DPoP ${once}`);
ask("the token as its own proof", `DPoP ${once}`, once);

const judged = [];
for (const { name, authorization, dpop, url, method } of cases) {
  const headers = new Headers();
  if (authorization) headers.set("authorization", authorization);
  if (dpop !== null) headers.set("dpop", dpop);
  const as = { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` };
  const options = { signingAlgorithms: algorithms, [customFetch]: async () => Response.json(jwks) };
  let why = null;
  try {
    await validateJwtAccessToken(as, new Request(url, { method, headers }), AUDIENCE, options);
  } catch (error) {
    why = `${error.name}: ${error.message}`;
  }
  judged.push({ name, method, url, authorization, dpop, taken: why === null, why });
}
console.log(JSON.stringify({ now, jwks, judged }));
