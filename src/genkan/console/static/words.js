// What the page calls things: the specification's names, and what a person can do about a refusal.

/** Below the tenant: what a request is called. The grant type, where there is one, says more. */
const REQUESTS = {
  "/oauth2/v2.0/initiate": "Sign-in: initiate",
  "/oauth2/v2.0/challenge": "Sign-in: challenge",
  "/oauth2/v2.0/introspect": "Second factor: introspect",
  "/oauth2/v2.0/token": "Token",
  "/signup/v1.0/start": "Sign-up: start",
  "/signup/v1.0/challenge": "Sign-up: challenge",
  "/signup/v1.0/continue": "Sign-up: continue",
  "/resetpassword/v1.0/start": "Reset: start",
  "/resetpassword/v1.0/challenge": "Reset: challenge",
  "/resetpassword/v1.0/continue": "Reset: continue",
  "/resetpassword/v1.0/submit": "Reset: submit",
  "/resetpassword/v1.0/poll_completion": "Reset: poll for completion",
  "/register/v1.0/introspect": "Registration: introspect",
  "/register/v1.0/challenge": "Registration: challenge",
  "/register/v1.0/continue": "Registration: continue",
};

export const isNative = (endpoint) => endpoint in REQUESTS;

export function requestName(endpoint, form) {
  const name = REQUESTS[endpoint];
  return form.grant_type ? `${name}, grant ${form.grant_type}` : name;
}

/** What an answer is, in the specification's word: [word, kind]. The kinds are `next`, `policy`, `done` and `refused`. */
export function answerName(status, body) {
  if (body.error !== undefined) {
    const word = body.suberror && body.suberror !== "message_only" ? body.suberror : body.error;
    const policy = ["mfa_required", "registration_required"].includes(body.suberror) || [53003, 50076, 50079].includes(body.error_codes?.[0]);
    const next = ["credential_required", "attributes_required"].includes(word);
    return [word, policy ? "policy" : next ? "next" : "refused"];
  }
  if (body.access_token !== undefined) return ["tokens", "done"];
  if (body.challenge_type === "redirect") return ["redirect", "policy"];
  if (body.challenge_type === "oob") return [`oob by ${body.challenge_channel}`, "next"];
  if (body.challenge_type === "preverified") return ["preverified", "next"];
  if (body.challenge_type) return [body.challenge_type, "next"];
  if (body.methods) return ["methods", "next"];
  if (body.status) return [body.status, "next"];
  if (body.continuation_token) return ["continuation_token", "next"];
  return [String(status), "next"];
}

export const API_REQUESTS = { GET: "Demo API: what is mine", DELETE: "Demo API: give away" };

/** What an answer of the demo API is: [word, kind]. The word of a refusal is that of its last challenge. */
export function apiAnswerName(body, challenge) {
  if (body.error === undefined) return [body.given_away ? "given away" : "things", "done"];
  const word = [...(challenge ?? "").matchAll(/\berror="([^"]*)"/g)].at(-1)?.[1] ?? body.error;
  return [word, word.startsWith("insufficient") ? "policy" : "refused"];
}

/** The phase of the specification that an answer leads to (native-auth-v1, 1.8); "" when it stays or the flow is over. */
export function phaseAfter(endpoint, body) {
  const family = { "/signup": "SU", "/resetp": "RP", "/oauth2": "SI" }[endpoint.slice(0, 7)] ?? "";
  if (body.suberror === "mfa_required") return "MFA.required";
  if (body.suberror === "registration_required") return "REG.required";
  if (body.error === "credential_required") return "SU.cred";
  if (body.error === "attributes_required") return "SU.attr";
  if (body.error !== undefined || body.challenge_type === "redirect" || body.methods) return "";
  if (endpoint.endsWith("/initiate") || endpoint.endsWith("/start")) return `${family}.init`;
  if (endpoint === "/register/v1.0/challenge") return body.challenge_type === "preverified" ? "REG.pre" : "REG.oob";
  if (endpoint.endsWith("/challenge")) return body.challenge_type === "password" ? `${family}.pwd` : `${family}.oob`;
  return { "/signup/v1.0/continue": "SU.done", "/register/v1.0/continue": "REG.done", "/resetpassword/v1.0/continue": "RP.verified", "/resetpassword/v1.0/submit": "RP.done" }[endpoint] ?? "";
}

export const PURPOSE = {
  sign_in: "signing in",
  sign_up: "signing up",
  reset_password: "a new password",
  mfa: "the second factor",
  enrol: "registering a method",
  emergency: "an emergency",
  notice: "notice",
};

/** What happened and what to do about it, from a failure of either driver: { sentence, offer }. */
export function advice(failure) {
  const number = failure.codes?.[0];
  const word = failure.suberror || failure.error;
  const known = BY_WORD[word] ?? BY_NUMBER[number];
  if (known) return known;
  const said = (failure.description ?? "").replace(/^AADSTS\d+: /, "").replace(/ ?Trace ID:.*$/s, "").trim();
  return { sentence: said || "The server refused, and did not say why. The wire shows its answer.", offer: failure.over ? "again" : undefined };
}

const BY_WORD = {
  http_request_failed: { sentence: "The server does not answer. Is genkan dev still running? Start it and try again." },
  no_network: { sentence: "The server does not answer. Is genkan dev still running? Start it and try again." },
  user_not_found: { sentence: "No account has this address. Sign up with it first, or check the spelling.", offer: "sign-up" },
  user_already_exists: { sentence: "This address has an account already. Sign in with it instead.", offer: "sign-in" },
  invalid_oob_value: { sentence: "This code is not right, or no longer valid. Take the newest code from the inbox, or have a new one sent." },
  expired_token: { sentence: "This took too long, and the attempt has expired. Start again.", offer: "again" },
  password_too_weak: { sentence: "This password is too easy to guess. Use a longer one, or less common words." },
  password_too_short: { sentence: "This password is too short. Use eight characters or more." },
  password_too_long: { sentence: "This password is too long. Use 256 characters at most." },
  password_banned: { sentence: "Everybody knows this password. Choose one that is not on the list of well-known ones." },
  password_recently_used: { sentence: "This is the password from before. Choose a new one." },
  password_is_invalid: { sentence: "This password holds characters that cannot be used. Choose another." },
  attribute_validation_failed: { sentence: "One of these values was refused. Check what is typed." },
};

const BY_NUMBER = {
  50126: { sentence: "The address or the password is wrong. Try again, or choose a new password.", offer: "reset" },
  50142: { sentence: "The password must be changed. Choose a new one.", offer: "reset" },
  50076: { sentence: "Policy wants a second factor for this, and a refresh cannot give one. Sign in again, for the demo API.", offer: "step-up" },
  50079: { sentence: "Policy wants a second factor for this, and a refresh cannot register one. Sign in again, for the demo API.", offer: "step-up" },
  50057: { sentence: "The account is disabled. Throw the tenant away to start afresh." },
  50173: { sentence: "The session has ended. Sign in again.", offer: "again" },
  700082: { sentence: "The refresh token has expired. Sign in again.", offer: "again" },
  70000: { sentence: "The refresh token is not valid any more. Sign in again.", offer: "again" },
  70043: { sentence: "The sign-in is too old for a policy. Sign in again.", offer: "again" },
  53003: { sentence: "A policy blocks this sign-in. The story on the wire says which; switch it off, or try from another place.", offer: "again" },
  552003: { sentence: "This took too long, and the attempt has expired. Start again.", offer: "again" },
  55200: { sentence: "This attempt is over. Start again.", offer: "again" },
  500222: { sentence: "This account has no password to reset: it signs in with codes by e-mail.", offer: "sign-in" },
  701014: { sentence: "Too many codes were asked for. Wait a quarter of an hour, or move the clock on." },
  50088: { sentence: "Too many text messages were asked for. Move the clock on by ten minutes, or use another number." },
  901001: { sentence: "This address or number cannot be registered here. Check it, or use another." },
  550024: { sentence: "Text messages to this number are switched off. Use another number." },
  90055: { sentence: "The server is busy. Try again in a moment." },
};
