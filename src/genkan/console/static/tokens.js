// Reading and verifying tokens as an API would: signature by the published keys, issuer, audience, times.

const fromBase64url = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const read = (part) => JSON.parse(new TextDecoder().decode(fromBase64url(part)));

const ALGORITHMS = {
  RS256: [{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, { name: "RSASSA-PKCS1-v1_5" }],
  ES256: [{ name: "ECDSA", namedCurve: "P-256" }, { name: "ECDSA", hash: "SHA-256" }],
};

/** `{ header, claims }`, unverified. */
export function decode(token) {
  const [header, claims] = token.split(".");
  return { header: read(header), claims: read(claims) };
}

/** Why a token is not to be trusted, in a sentence; "" when it is. `now` is the server's time in milliseconds. */
export async function verify(token, authority, audience, now) {
  const { header, claims } = decode(token);
  const published = await (await fetch(`${authority}/v2.0/.well-known/openid-configuration`)).json();
  const { keys } = await (await fetch(new URL(published.jwks_uri).pathname)).json();
  const jwk = keys.find((key) => key.kid === header.kid);
  const algorithm = ALGORITHMS[header.alg];
  if (!jwk || !algorithm) return "No published key fits it.";
  const key = await crypto.subtle.importKey("jwk", jwk, algorithm[0], false, ["verify"]);
  const [head, body, signature] = token.split(".");
  const signed = new TextEncoder().encode(`${head}.${body}`);
  if (!(await crypto.subtle.verify(algorithm[1], key, fromBase64url(signature), signed))) return "Its signature is wrong.";
  if (claims.iss !== published.issuer) return "It is of another issuer.";
  if (audience && claims.aud !== audience) return "It is for another audience.";
  if (claims.exp * 1000 <= now) return "It has expired.";
  return "";
}
