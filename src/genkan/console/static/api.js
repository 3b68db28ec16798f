// The demo API, called as an app would: with its access token, and once more with what a challenge asks for.

import { decode } from "./tokens.js";

export const THINGS = "/dev/demo-api/things";

/** That the app understands a claims challenge: said with each request for tokens, or the API sends none. */
export const ABLE = { access_token: { xms_cc: { values: ["cp1"] } } };

/** What challenges ask for: { claims, maxAge }. The claims are merged with what the app says of itself. */
function askedBy(challenges) {
  const { claims, max_age: maxAge } = Object.fromEntries([...challenges.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
  if (!claims) return {};
  const { access_token: asked } = JSON.parse(atob(claims));
  return { claims: JSON.stringify({ access_token: { ...asked, ...ABLE.access_token } }), maxAge: Number(maxAge) };
}

/** Somebody proved who they are so long ago that no refresh can make up for it. */
const isStale = (token, maxAge, now) => decode(token).claims.auth_time + maxAge < now / 1000;

/**
 * Calls the API; where it refuses the token and a refresh may help, tries once more without troubling anybody.
 *
 * The outcome: { session, told } when it answered; { session, failure, claims } when no better token came without the
 * person; { session, refused, claims } when even that one was not enough. `claims` is what a sign-in must ask for.
 */
export async function call(session, scopes, now, method, query = "") {
  for (let tried = false; ; tried = true) {
    const headers = { authorization: `Bearer ${session.accessToken}` };
    const answer = await fetch(`${THINGS}${query}`, { method, headers }).catch(() => null);
    if (answer === null) return { session, failure: { error: "no_network" } };
    const told = await answer.json();
    if (answer.ok) return { session, told };
    const { claims, maxAge } = askedBy(answer.headers.get("www-authenticate") ?? "");
    if (answer.status !== 401 || tried || isStale(session.accessToken, maxAge, now())) return { session, refused: told.error_description, claims };
    const got = await (claims ? session.ask(scopes, claims) : session.refresh(scopes));
    if (got.failure) return { session, failure: got.failure, claims };
    session = got.session;
  }
}
