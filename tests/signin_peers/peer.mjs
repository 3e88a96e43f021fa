// openid-client signs somebody in at the issuer, as a public app and as the portal with its key; it checks all that
// the specifications tell a client to check. Prints one line of JSON per client.
import { readFile } from "node:fs/promises";
import * as client from "openid-client";

const [issuer, redirect, keyFile] = process.argv.slice(2);
const jwk = JSON.parse(await readFile(keyFile, "utf8"));
const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);

async function signIn(id, authentication, redirectUri) {
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
  const back = new URL(chosen.headers.get("location"));
  const tokens = await client.authorizationCodeGrant(config, back, {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    maxAge: 900,
    idTokenExpected: true,
  });
  const again = await client
    .authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce })
    .then(() => "taken", (error) => error.error);
  return { client: id, claims: tokens.claims(), expiresIn: tokens.expires_in, again };
}

const portal = client.PrivateKeyJwt({ key, kid: jwk.kid });
for (const each of [
  await signIn("sandbox-app", client.None(), "http://127.0.0.1:4711/callback"),
  await signIn("sandbox-portal", portal, redirect),
]) {
  console.log(JSON.stringify(each));
}
