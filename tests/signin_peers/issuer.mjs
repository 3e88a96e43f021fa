// oidc-provider as the issuer of our portal and of our tokens: signs everybody in as one subject, as surely as asked.
// node issuer.mjs REDIRECT_URI CLIENT_JWK AUDIENCE SUBJECT ALG; prints one line, its URL.
import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import Provider, { interactionPolicy } from "oidc-provider";

const [redirect, clientJwk, audience, subject, alg] = process.argv.slice(2);
const LOW = "urn:onestop:loa:1";
const key = async (name) => {
  const jwk = await exportJWK((await generateKeyPair(name, { extractable: true })).privateKey);
  return { ...jwk, kid: `key-${name}`, alg: name, use: "sig" };
};

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const policy = interactionPolicy.base();
policy.get("login").checks.add(
  new interactionPolicy.Check("acr", "a surer sign-in is wanted", "login_required", (ctx) => {
    const wanted = ctx.oidc.params.acr_values?.split(" ");
    return Boolean(wanted && !wanted.includes(ctx.oidc.session.acr));
  }),
);

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "our-portal",
      redirect_uris: [redirect],
      grant_types: ["authorization_code"],
      response_types: ["code"],
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "ES256",
      jwks: { keys: [JSON.parse(clientJwk)] },
      id_token_signed_response_alg: "ES256",
      dpop_bound_access_tokens: true,
      require_auth_time: true,
    },
  ],
  jwks: { keys: await Promise.all([...new Set(["ES256", "RS256", alg])].map(key)) },
  enabledJWA: { idTokenSigningAlgValues: ["ES256"], dPoPSigningAlgValues: ["ES256"] },
  acrValues: [LOW, "urn:onestop:loa:2", "urn:onestop:loa:3"],
  cookies: { keys: ["of a test"] },
  findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  extraTokenClaims(ctx) {
    const { acr, authTime } = ctx.oidc.entities.AuthorizationCode;
    return { acr, auth_time: authTime, roles: ["CITIZEN"] };
  },
  features: {
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_ctx, resource) {
        if (resource !== audience) throw new Error("another resource");
        return { scope: "", audience, accessTokenFormat: "jwt", accessTokenTTL: 900, jwt: { sign: { alg } } };
      },
    },
  },
  interactions: { policy, url: (_ctx, { uid }) => `/interaction/${uid}` },
  async loadExistingGrant(ctx) {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid profile");
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
server.on("request", async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  const { params } = await provider.interactionDetails(request, response);
  const acr = params.acr_values ?? LOW;
  await provider.interactionFinished(request, response, { login: { accountId: subject, acr } });
});
console.log(issuer);
