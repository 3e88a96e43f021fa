// openid-client signs somebody in at the issuer, as a public app and as the portal with its key and a bound token, asks
// who it was, and signs out; it checks all that the specifications tell a client to check. One line of JSON per client.
import { readFile } from "node:fs/promises";
import * as client from "openid-client";

const [issuer, redirect, keyFile] = process.argv.slice(2);
const jwk = JSON.parse(await readFile(keyFile, "utf8"));
const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);

async function signIn(id, authentication, redirectUri, back, keys) {
  const config = await client.discovery(new URL(issuer), id, undefined, authentication, {
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  });
  const [verifier, state, nonce] = [client.randomPKCECodeVerifier(), client.randomState(), client.randomNonce()];
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: "openid profile",
    state,
    nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    acr_values: "urn:onestop:loa:3",
    max_age: "900",
  });
  const body = new URLSearchParams({ persona: "heir", assurance: "3" });
  const chosen = await fetch(address, { method: "POST", body, redirect: "manual" });
  const answer = new URL(chosen.headers.get("location"));
  const sender = keys && { DPoP: client.getDPoPHandle(config, keys) };
  const expected = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce };
  const redeem = () =>
    client.authorizationCodeGrant(config, answer, { ...expected, maxAge: 900, idTokenExpected: true }, {}, sender);
  const tokens = await redeem();
  const claims = tokens.claims();
  const info = () => client.fetchUserInfo(config, tokens.access_token, claims.sub, sender);
  const person = await info();
  const again = await redeem().then(() => "taken", (error) => error.error);
  const revoked = await info().then(() => "told", (error) => error.status);
  const out = client.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    state,
    ...(back && { post_logout_redirect_uri: back }),
  });
  const left = await fetch(out, { redirect: "manual" });
  const location = left.headers.get("location")?.replace(state, "STATE") ?? null;
  return {
    client: id, claims, kind: tokens.token_type, expiresIn: tokens.expires_in, person, again, revoked, location,
    status: left.status,
  };
}

const portal = client.PrivateKeyJwt({ key, kid: jwk.kid });
for (const each of [
  await signIn("sandbox-app", client.None(), "http://127.0.0.1:4711/callback"),
  await signIn("sandbox-portal", portal, redirect, new URL("/", redirect).href, await client.randomDPoPKeyPair("ES256")),
]) {
  console.log(JSON.stringify(each));
}
