// The same app without an SDK: the native-authentication API by plain fetch, one form after the other.
//
// The outcomes are those of sdk.js.

const OPENID = ["openid", "profile", "offline_access"];

export const version = "";

/** `configuration`: { authority, clientId, challengeTypes, capabilities, scopes, claims }. */
export async function create({ authority, clientId, challengeTypes, capabilities, scopes, claims }) {
  const offers = { challenge_type: [...challengeTypes, "redirect"].join(" "), capabilities: capabilities.join(" ") };
  const scope = [...new Set([...OPENID, ...scopes])].join(" ");
  let journey = crypto.randomUUID();

  /** One request; the answer's JSON, with `failed` where it is a refusal. */
  async function post(path, form) {
    const headers = { "content-type": "application/x-www-form-urlencoded", "client-request-id": journey };
    const body = new URLSearchParams({ client_id: clientId, ...form }).toString();
    const answer = await fetch(`${authority}${path}`, { method: "POST", headers, body }).catch(() => null);
    if (answer === null) return { failed: true, error: "no_network" };
    const told = await answer.json();
    return { failed: !answer.ok, ...told };
  }

  const failure = ({ error, suberror, error_codes: codes, error_description: description }) => ({ failure: { error, suberror, codes, description } });
  const browser = (told) => (told.challenge_type === "redirect" ? { browser: told.redirect_reason } : null);
  const shown = (method) => ({ id: method.id, channel: method.challenge_channel, hint: method.login_hint });

  /** What a challenge asks for; `submit` hands in what was typed, `again` repeats the challenge. */
  function challenged(told, submit, again) {
    if (told.failed) return failure(told);
    if (told.challenge_type !== "oob") return browser(told) ?? { ask: "password", submit: (text) => submit(told, text) };
    return {
      ask: "code",
      to: told.challenge_target_label ?? told.challenge_target,
      channel: told.challenge_channel,
      length: told.code_length,
      submit: (text) => submit(told, text),
      again,
    };
  }

  // Tokens, and what may come before them.

  async function token(form, username) {
    const told = await post("/oauth2/v2.0/token", { scope, client_info: "1", ...(claims && { claims }), ...form });
    if (told.access_token) return { session: session(told) };
    if (browser(told)) return browser(told);
    if (told.suberror === "mfa_required") return secondFactor(told.continuation_token, username);
    if (told.suberror === "registration_required") return registration(told.continuation_token, username);
    return failure(told);
  }

  async function secondFactor(handle, username) {
    const listed = await post("/oauth2/v2.0/introspect", { continuation_token: handle });
    if (listed.failed) return failure(listed);
    const choose = async (method) => challenged(
      await post("/oauth2/v2.0/challenge", { continuation_token: listed.continuation_token, id: method.id }),
      (sent, oob) => token({ continuation_token: sent.continuation_token, grant_type: "mfa_oob", oob }, username),
      () => choose(method),
    );
    return { ask: "method", methods: listed.methods.map(shown), choose };
  }

  async function registration(handle, username) {
    const listed = await post("/register/v1.0/introspect", { continuation_token: handle });
    if (listed.failed) return failure(listed);
    const finish = async (sent, form) => {
      const told = await post("/register/v1.0/continue", { continuation_token: sent.continuation_token, ...form });
      return told.failed ? failure(told) : token({ continuation_token: told.continuation_token, grant_type: "continuation_token" }, username);
    };
    const choose = async (method, contact) => {
      const sent = await post("/register/v1.0/challenge", {
        continuation_token: listed.continuation_token, challenge_type: "oob", challenge_target: contact, challenge_channel: method.channel,
      });
      if (sent.challenge_type === "preverified") return finish(sent, { grant_type: "continuation_token" });
      return challenged(sent, (given, oob) => finish(given, { grant_type: "oob", oob }), () => choose(method, contact));
    };
    return { ask: "enrol", methods: listed.methods.map(shown), choose };
  }

  function session(told) {
    const renew = async (asked = scopes, claims) => {
      journey = crypto.randomUUID();
      const answer = await post("/oauth2/v2.0/token", {
        grant_type: "refresh_token", refresh_token: told.refresh_token, client_info: "1", scope: [...new Set([...OPENID, ...asked])].join(" "), ...(claims && { claims }),
      });
      return answer.failed ? failure(answer) : { session: session({ ...told, ...answer }) };
    };
    return {
      idToken: told.id_token,
      accessToken: told.access_token,
      scopes: (told.scope ?? "").split(" "),
      refresh: renew,
      ask: renew,
      signOut: async () => {},
    };
  }

  // The three ways in.

  async function signIn(username) {
    journey = crypto.randomUUID();
    const begun = await post("/oauth2/v2.0/initiate", { username, ...offers });
    if (begun.failed) return failure(begun);
    if (browser(begun)) return browser(begun);
    const send = async () => challenged(
      await post("/oauth2/v2.0/challenge", { continuation_token: begun.continuation_token, challenge_type: offers.challenge_type }),
      (sent, text) => token(sent.challenge_type === "oob"
        ? { continuation_token: sent.continuation_token, grant_type: "oob", oob: text }
        : { continuation_token: sent.continuation_token, grant_type: "password", password: text }, username),
      send,
    );
    return send();
  }

  async function signUp(username) {
    journey = crypto.randomUUID();
    const begun = await post("/signup/v1.0/start", { username, ...offers });
    if (begun.failed) return failure(begun);
    if (browser(begun)) return browser(begun);
    const send = async () => challenged(
      await post("/signup/v1.0/challenge", { continuation_token: begun.continuation_token }),
      (sent, oob) => goOn(sent.continuation_token, { grant_type: "oob", oob }),
      send,
    );
    const goOn = async (handle, form) => {
      const told = await post("/signup/v1.0/continue", { continuation_token: handle, ...form });
      if (told.error === "credential_required") {
        const asked = await post("/signup/v1.0/challenge", { continuation_token: told.continuation_token });
        if (asked.failed) return failure(asked);
        return browser(asked) ?? { ask: "new-password", submit: (password) => goOn(asked.continuation_token, { grant_type: "password", password }) };
      }
      if (told.error === "attributes_required") {
        const submit = (values) => goOn(told.continuation_token, { grant_type: "attributes", attributes: JSON.stringify(values) });
        return { ask: "attributes", attributes: told.required_attributes, submit };
      }
      if (told.failed) return failure(told);
      return token({ continuation_token: told.continuation_token, grant_type: "continuation_token", username }, username);
    };
    return send();
  }

  async function resetPassword(username) {
    journey = crypto.randomUUID();
    const begun = await post("/resetpassword/v1.0/start", { username, ...offers });
    if (begun.failed) return failure(begun);
    if (browser(begun)) return browser(begun);
    const send = async () => challenged(
      await post("/resetpassword/v1.0/challenge", { continuation_token: begun.continuation_token }),
      async (sent, oob) => {
        const proven = await post("/resetpassword/v1.0/continue", { continuation_token: sent.continuation_token, grant_type: "oob", oob });
        return proven.failed ? failure(proven) : { ask: "new-password", submit: (password) => submit(proven.continuation_token, password) };
      },
      send,
    );
    const submit = async (handle, password) => {
      const kept = await post("/resetpassword/v1.0/submit", { continuation_token: handle, new_password: password });
      if (kept.failed) return failure(kept);
      const done = await post("/resetpassword/v1.0/poll_completion", { continuation_token: kept.continuation_token });
      return done.failed ? failure(done) : token({ continuation_token: done.continuation_token, grant_type: "continuation_token", username }, username);
    };
    return send();
  }

  return { signIn, signUp, resetPassword, restore: async () => null };
}
