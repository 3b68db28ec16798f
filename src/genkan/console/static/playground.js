// The playground: an app's own screens, driven by MSAL JS or by plain fetch, beside the inbox and the wire.

import { ABLE, call } from "./api.js";
import { copy, say } from "./console.js";
import { control, serverNow } from "./controls.js";
import { at, h } from "./dom.js";
import { listen, seen } from "./letters.js";
import { decode, verify } from "./tokens.js";
import { clear as clearWire, record } from "./wire.js";
import { advice } from "./words.js";

const stage = at("stage");
const screen = at("screen");
const setup = at("setup");
const { otp, password, scope, sdk } = stage.dataset;
const authority = new URL(stage.dataset.authority).pathname;
const KEPT = "genkan.playground";

let calls = 0; // native calls under way
let session = null;
let leaving = Promise.resolve(); // until a session that was left has been forgotten, no other can begin
let typed = null; // the code input of the screen that shows one
let missed = null; // what the demo API was just asked for in vain
let wanted = null; // the same, while a sign-in for it is under way
let newest = null; // the message that came with the present step, perhaps before its answer did

// What is kept over a reload. -------------------------------------------------------------------------

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}
const kept = remembered();
const keep = (changed) => sessionStorage.setItem(KEPT, JSON.stringify(Object.assign(kept, changed)));
const someone = (host) => `${["ada", "bo", "chi", "dana", "emi"][Math.floor(Math.random() * 5)]}.${1000 + Math.floor(Math.random() * 9000)}@${host}`;
kept.address ??= someone("example.com");
kept.phone ??= `+4478${String(Math.floor(Math.random() * 1e8)).padStart(8, "0")}`;

// How the app is built. -------------------------------------------------------------------------------

const chosen = (name) => new FormData(setup).get(name);
const capabilities = () => new FormData(setup).getAll("capability");
const apiScopes = [scope];
const goalScopes = () => (chosen("goal") === "api" ? apiScopes : []);

function restoreSetup() {
  for (const input of setup.querySelectorAll("input")) {
    if (input.type === "radio" && kept[input.name]) input.checked = kept[input.name] === input.value;
    if (input.type === "checkbox" && kept.capabilities) input.checked = kept.capabilities.includes(input.value);
  }
  if (!sdk) {
    setup.querySelector("[value=sdk]").disabled = true;
    setup.querySelector("[value=fetch]").checked = true;
    at("no-sdk").hidden = false;
  }
}

function keepSetup() {
  keep({ app: chosen("app"), goal: chosen("goal"), driver: chosen("driver"), capabilities: capabilities() });
  at("runs-on").textContent = chosen("driver") === "sdk" ? `MSAL JS ${sdk}, unmodified` : "plain fetch, no SDK";
}

const drivers = new Map();
function driver() {
  const configuration = {
    authority,
    clientId: chosen("app") === "otp" ? otp : password,
    challengeTypes: chosen("app") === "otp" ? ["oob"] : ["oob", "password"],
    capabilities: capabilities(),
    scopes: goalScopes(),
    claims: wanted?.claims ?? (goalScopes().length ? JSON.stringify(ABLE) : undefined),
  };
  const key = `${chosen("driver")} ${JSON.stringify(configuration)}`;
  if (!drivers.has(key)) {
    drivers.set(key, import(chosen("driver") === "sdk" ? "./sdk.js" : "./plain.js").then(({ create }) => create(configuration)));
  }
  return drivers.get(key);
}

// Screens. --------------------------------------------------------------------------------------------

function put(title, ...parts) {
  typed = null;
  const heading = h("h3", { tabindex: "-1" }, title);
  screen.replaceChildren(heading, ...parts.filter(Boolean));
  return heading;
}

/** Moves the keyboard to where the person goes on; not on the first screen of a fresh page. */
function focusOn(element) {
  if ("used" in screen.dataset) element?.focus({ preventScroll: matchMedia("(min-width: 64rem)").matches });
}

function field(label, properties, hint) {
  const id = `field-${properties.name}`;
  const input = h("input", { id, "aria-describedby": hint ? `${id}-hint` : null, spellcheck: "false", ...properties });
  return [h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("p", { class: "hint", id: `${id}-hint` }, hint)), input];
}

/** So that a password manager knows whose password this is. */
const whose = () => h("input", { type: "email", autocomplete: "username", value: kept.address, hidden: true });

const link = (words, act) => h("button", { type: "button", class: "link", click: act }, words);

/** A form that does something and goes where that leads. */
function form(parts, submitWords, act, ...links) {
  const button = h("button", { class: "button" }, submitWords);
  const made = h("form", {
    novalidate: true,
    submit: (event) => {
      event.preventDefault();
      if (made.reportValidity()) go(act);
    },
  }, parts, h("div", { class: "alert", role: "alert" }), h("div", { class: "deeds" }, button), h("div", { class: "links" }, links));
  return made;
}

/** Runs one step of the journey: busy meanwhile, then the next screen or a sentence about what went wrong. */
async function go(act) {
  newest = null;
  screen.dataset.used = "";
  screen.dataset.busy = "";
  const buttons = [...screen.querySelectorAll("button, input")].filter((one) => !one.disabled);
  const focused = document.activeElement;
  for (const one of buttons) if (one.tagName === "BUTTON") one.disabled = true;
  alertWith(null);
  try {
    follow(await act());
  } catch (error) {
    alertWith({ sentence: `The page stumbled: ${error.message}. Reload it; if that does not help, the wire shows how far it came.` });
  } finally {
    delete screen.dataset.busy;
    for (const one of buttons) one.disabled = false;
    if (screen.contains(focused) && document.activeElement === document.body) focused.focus();
  }
}

function alertWith(told) {
  const place = screen.querySelector(".alert");
  if (!place) return;
  place.replaceChildren();
  if (!told) return;
  const offer = OFFERS[told.offer];
  place.append(h("p", {}, told.sentence), offer ? h("p", {}, link(offer[0], offer[1])) : "");
  place.scrollIntoView({ block: "nearest" });
}

const OFFERS = {
  "sign-up": ["Sign up with it", () => start("sign-up")],
  "sign-in": ["Sign in with it", () => start("sign-in")],
  reset: ["Choose a new password", () => start("reset")],
  again: ["Start again", () => startAgain()],
  "step-up": ["Sign in for the demo API", () => stepUp()],
  prove: ["Sign in once more", () => stepUp()],
};

const ASKS = { code: askCode, password: askPassword, "new-password": askNewPassword, attributes: askAttributes, method: askMethod, enrol: askEnrol };

function follow(outcome) {
  missed = outcome.missed ?? null;
  if (outcome.failure) alertWith(advice(outcome.failure));
  else if (outcome.refused) alertWith({ sentence: outcome.refused, offer: missed.claims ? "prove" : undefined });
  else if (outcome.browser) toBrowser(outcome.browser);
  else if (outcome.session) signedIn(outcome.session, outcome.note);
  else if (outcome.ask) ASKS[outcome.ask](outcome);
}

const WAYS = { "sign-up": ["Sign up", "signUp"], "sign-in": ["Sign in", "signIn"], reset: ["New password", "resetPassword"] };

/** The first screen: who, and by which way in. */
function start(way = kept.way ?? "sign-up") {
  if (session) leaving = session.signOut();
  session = null;
  wanted = null;
  if (way === "reset" && chosen("app") === "otp") way = "sign-in";
  const [address, input] = field("E-mail address", { name: "address", type: "email", autocomplete: "username", required: true, value: kept.address });
  const ways = Object.entries(WAYS).filter(([name]) => name !== "reset" || chosen("app") === "password");
  const tabs = h("fieldset", {}, h("legend", { class: "unseen" }, "What to do"), h("div", { class: "kinds ways" }, ways.map(([name, [words]]) => {
    const radio = h("input", { type: "radio", name: "way", value: name, change: () => { keep({ way: name, address: input.value }); start(name); screen.querySelector(`[value=${name}]`).focus(); } });
    radio.checked = name === way;
    return h("label", {}, radio, h("span", {}, words));
  })));
  const send = async () => {
    keep({ address: input.value.trim(), way });
    await leaving;
    return (await driver())[WAYS[way][1]](kept.address);
  };
  const words = { "sign-up": "Sign up", "sign-in": "Sign in", reset: "Send a code" }[way];
  put({ "sign-up": "Make an account", "sign-in": "Welcome back", reset: "Choose a new password" }[way],
    h("p", { class: "soft" }, LEADS[way]()), tabs,
    form(address, words, send, way === "sign-up" && link("Somebody else", () => { keep({ address: someone("example.com"), phone: `+4478${String(Math.floor(Math.random() * 1e8)).padStart(8, "0")}` }); input.value = kept.address; input.focus(); })));
  focusOn(input);
}

const LEADS = {
  "sign-up": () => `Press the button and watch the inbox. ${chosen("goal") === "api" ? "A policy guards the demo API: it will want a second factor." : "For signing in alone no policy asks for more."}`,
  "sign-in": () => (chosen("app") === "otp" ? "A code by e-mail, no password." : "With the password of this account."),
  reset: () => "A code by e-mail proves that the mailbox is yours.",
};

function startAgain() {
  start(kept.way === "reset" ? "sign-in" : kept.way);
}

const backLink = () => link("Start again", startAgain);

function askCode({ to, channel, length, submit, again, note }) {
  const [code, input] = field("Code", {
    name: "code", inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: String(length), class: "code-input", pattern: "[0-9 ]+",
  });
  const text = channel === "sms";
  const heading = put(text ? "Check your phone" : "Check your e-mail",
    h("p", { class: "soft" }, note ?? `A code of ${length} digits went ${text ? "by text message" : "by e-mail"} to ${to}. It is in the inbox of this page.`),
    form([code, h("p", { class: "suggestion", hidden: true })], "Continue", async () => submit(input.value.replace(/\s/g, "")),
      again && link("Send a new code", () => go(async () => ({ ...await again(), note: "A new code is on its way." }))), backLink()));
  typed = input;
  if (newest) suggest(newest);
  focusOn(input);
  say(note ?? heading.textContent);
}

function askPassword({ submit }) {
  const [secret, input] = field("Password", { name: "password", type: "password", autocomplete: "current-password", required: true, value: kept.password ?? "" });
  put("Your password", h("p", { class: "soft" }, `For ${kept.address}.`), form([whose(), secret], "Continue", async () => submit(input.value), link("Forgot it", () => start("reset")), backLink()));
  focusOn(input);
}

function askNewPassword({ submit }) {
  kept.password = `${pick(["amber", "quiet", "seven", "paper", "early"])}-${pick(["bridge", "lantern", "otter", "garden", "harbour"])}-${pick(["carries", "follows", "gathers", "borrows"])}-${pick(["rain", "stones", "winter", "letters"])}`;
  const [secret, input] = field("New password", { name: "new-password", type: "text", autocomplete: "new-password", required: true, value: kept.password }, "One was made up for you; it is shown because this is a playground.");
  put("Choose a password", form([whose(), secret], "Continue", async () => { const next = await submit(input.value); if (!next.failure) keep({ password: input.value }); return next; }, backLink()));
  focusOn(input);
}
const pick = (words) => words[crypto.getRandomValues(new Uint32Array(1))[0] % words.length];

const LABELS = { displayName: "Name to be called by", city: "City" };
function askAttributes({ attributes, submit }) {
  const fields = attributes.map(({ name, required }) => field(required ? LABELS[name] ?? name : `${LABELS[name] ?? name} (optional)`, {
    name, required: required === true, autocomplete: name === "displayName" ? "name" : null, value: name === "displayName" ? kept.address.split(".")[0].replace(/^./, (c) => c.toUpperCase()) : "",
  }));
  put("A little about you", h("p", { class: "soft" }, "This app's user flow asks for it."),
    form(fields.map(([part]) => part), "Continue", async () => submit(Object.fromEntries(fields.map(([, { name, value }]) => [name, value]).filter(([, value]) => value))), backLink()));
  focusOn(fields[0]?.[1]);
}

const CHANNEL = { sms: "Text message", email: "E-mail" };
function methodChoice(methods) {
  return h("fieldset", { class: "methods" }, h("legend", { class: methods.length < 2 ? "unseen" : null }, "How"), methods.map((method, index) => {
    const radio = h("input", { type: "radio", name: "method", value: String(index) });
    radio.checked = index === 0;
    return h("label", {}, radio, h("span", {}, CHANNEL[method.channel] ?? method.channel, method.hint ? h("span", { class: "soft" }, ` to ${method.hint}`) : ""));
  }));
}
const picked = (methods) => methods[Number(screen.querySelector("[name=method]:checked").value)];

function askMethod({ methods, choose }) {
  const heading = put("One step up", h("p", { class: "soft" }, "A policy wants a second factor before there are tokens. The wire says which."),
    form(methodChoice(methods), "Send a code", async () => choose(picked(methods)), backLink()));
  focusOn(heading);
}

function askEnrol({ methods, choose }) {
  const [contact, input] = field("", { name: "contact", required: true });
  const choice = methodChoice(methods);
  const adapt = () => {
    const { channel } = picked(methods);
    contact.querySelector("label").textContent = channel === "sms" ? "Phone number" : "E-mail address";
    Object.assign(input, channel === "sms" ? { type: "tel", autocomplete: "tel", value: kept.phone } : { type: "email", autocomplete: "email", value: kept.address });
  };
  choice.addEventListener("change", adapt);
  put("One step up", h("p", { class: "soft" }, "A policy wants a second factor, and this account has none yet. Register one now; its code counts for this very sign-in."),
    form([choice, contact], "Send a code", async () => { if (picked(methods).channel === "sms") keep({ phone: input.value }); return choose(picked(methods), input.value.trim()); }, backLink()));
  adapt();
  focusOn(input);
}

function toBrowser(reason) {
  const heading = put("Over to the browser",
    h("p", {}, "Genkan answered redirect: this app cannot do natively what policy asks, so it would open the browser now."),
    reason && h("p", { class: "soft" }, `${reason.replace(/\.?$/, ".")}`),
    h("p", { class: "soft" }, "Declare both capabilities above, and the app can do it in its own screens. Browser pages are not served yet."),
    h("div", { class: "deeds" }, h("button", { type: "button", class: "button", click: () => { for (const tick of setup.querySelectorAll("[name=capability]")) tick.checked = true; keepSetup(); startAgain(); } }, "Declare both")), h("div", { class: "links" }, backLink()));
  focusOn(heading);
  say(heading.textContent);
}

// Signed in. ------------------------------------------------------------------------------------------

const AMR = { otp: "one-time code", pwd: "password", sms: "text message", email: "e-mail code", tel: "phone" };
const MOMENTS = new Set(["iat", "nbf", "exp", "auth_time"]);

/** `things` is what the demo API said before, and stays. */
function signedIn(now, note, things = h("div", { class: "things", id: "things", tabindex: "-1" })) {
  session = now;
  const { claims } = decode(session.idToken);
  const name = claims.name && claims.name !== "unknown" ? claims.name : null;
  const address = claims.email ?? claims.preferred_username ?? kept.address;
  const act = (words, deed, kind = "button plain") => h("button", { type: "button", class: kind, click: () => go(deed) }, words);
  const guarded = isGuarded(session);
  const heading = put("Signed in",
    h("p", {}, h("strong", {}, name ?? address), h("br"),
      h("span", { class: "soft" }, [name && address, claims.amr && `Proven by ${claims.amr.filter((one) => one !== "mfa").map((one) => AMR[one] ?? one).join(" and ")}.`].filter(Boolean).join(" · "))),
    note && h("p", { class: "soft" }, note),
    tokenCard("ID token", session.idToken, chosen("app") === "otp" ? otp : password),
    session.accessToken && tokenCard(guarded ? "Access token for the demo API" : "Access token", session.accessToken, null),
    things,
    h("div", { class: "alert", role: "alert" }),
    h("div", { class: "deeds of-session" },
      act("Call the demo API", () => useApi({ method: "GET" }), "button"),
      act("Refresh", async () => ({ ...await session.refresh(guarded ? apiScopes : []), note: "Fresh tokens, by the refresh token." })),
      act("Sign out", async () => { startAfterwards(); return {}; })));
  focusOn(heading);
  say(note ?? "Signed in.");
  if (wanted) {
    const deed = wanted;
    wanted = null;
    queueMicrotask(() => go(() => useApi(deed)));
  }
  return heading;
}

const isGuarded = ({ scopes }) => scopes.some((one) => one.startsWith(scope.split("/").slice(0, 3).join("/")));

/** Asks something of the demo API, with a token for it; what came of that stands on the screen. */
async function useApi(deed) {
  if (!isGuarded(session)) {
    const got = await session.ask(apiScopes, JSON.stringify(ABLE));
    if (got.failure) return { ...got, missed: deed };
    signedIn(got.session, undefined, at("things"));
  }
  const said = await call(session, apiScopes, serverNow, deed.method, deed.query);
  if (said.session !== session) signedIn(said.session, undefined, at("things"));
  if (said.failure) return { failure: said.failure, missed: { ...deed, claims: said.claims } };
  if (said.refused) return { refused: said.refused, missed: { ...deed, claims: said.claims } };
  showThings(said.told);
  return {};
}

function showThings({ things, given_away: gone }) {
  const rows = things.map(({ id, name }) => h("li", {}, h("span", {}, name.replace(/^./, (c) => c.toUpperCase())),
    h("button", { type: "button", class: "quiet", "aria-label": `Give away ${name}`, click: () => go(() => useApi({ method: "DELETE", query: `?id=${encodeURIComponent(id)}` })) }, "Give away")));
  const words = gone ? `${gone.replace(/^./, (c) => c.toUpperCase())} is given away.` : "These things are yours, says the demo API.";
  at("things").replaceChildren(h("h4", {}, words),
    rows.length ? h("ul", {}, rows) : h("p", { class: "soft" }, "Nothing is left. Throw the tenant away, and everything is yours again."));
  at("things").focus({ preventScroll: true });
  at("things").scrollIntoView({ block: "nearest" });
  say(words);
}

function startAfterwards() {
  keep({ way: "sign-in" });
  start("sign-in");
}

function tokenCard(name, token, audience) {
  const { header, claims } = decode(token);
  const verdict = h("span", { class: "token-verdict" }, "checking…");
  verify(token, authority, audience, serverNow()).then((why) => {
    verdict.textContent = why ? `not trusted: ${why}` : "verified";
    verdict.dataset.state = why ? "bad" : "good";
  }, () => { verdict.textContent = "could not be checked"; });
  const button = h("button", { type: "button", class: "quiet", click: () => copy(token, button, "the token") }, "Copy");
  return h("details", { class: "token" },
    h("summary", {}, h("span", { class: "token-name" }, name), verdict),
    h("div", { class: "token-body" },
      h("p", { class: "soft" }, `${header.alg}, key ${header.kid.slice(0, 12)}… of the published set`, button),
      h("dl", { class: "members" }, Object.entries(claims).map(([key, value]) => h("div", {},
        h("dt", {}, key),
        h("dd", {}, typeof value === "string" ? value : JSON.stringify(value), MOMENTS.has(key) && h("span", { class: "soft" }, ` ${new Date(value * 1000).toLocaleString()}`)))))));
}

/** Signs in anew for what is wanted of the demo API, and then asks for it again. */
function stepUp() {
  const deed = missed ?? { method: "GET" };
  setup.querySelector("[name=goal][value=api]").checked = true;
  keepSetup();
  start("sign-in");
  wanted = deed;
  go(async () => { await leaving; return (await driver()).signIn(kept.address); });
}

// Panes, codes, and the rest of the page. ------------------------------------------------------------

function showPane(name) {
  stage.dataset.pane = name;
  for (const tab of document.querySelectorAll(".tabs button")) {
    tab.dataset.shows === name ? tab.setAttribute("aria-current", "true") : tab.removeAttribute("aria-current");
  }
  if (name === "inbox") seen();
  if (name === "wire") at("wire-count").hidden = true;
}
for (const tab of document.querySelectorAll(".tabs button")) tab.addEventListener("click", () => { showPane(tab.dataset.shows); scrollTo(0, 0); });

function fill(code) {
  if (!typed?.isConnected) {
    navigator.clipboard.writeText(code).then(() => say("No screen asks for a code, so it was copied."), () => {});
    return;
  }
  showPane("app");
  typed.value = code;
  typed.classList.remove("filled");
  requestAnimationFrame(() => typed.classList.add("filled"));
  screen.querySelector(".suggestion")?.setAttribute("hidden", "");
  screen.querySelector("form .button").focus();
  say("The code is filled in. Press Enter to continue.");
}

/** On a phone the inbox is out of sight: the newest code is offered under the field, as phones do. */
function suggest(message) {
  newest = message;
  const place = screen.querySelector(".suggestion");
  if (!place || message.code === null) return;
  place.replaceChildren(h("button", { type: "button", class: "code", click: () => fill(message.code) },
    h("span", { class: "code-digits" }, message.code), h("span", { class: "code-does" }, message.channel === "sms" ? "From the text" : "From the e-mail")));
  place.hidden = false;
}

// The demo apps accept every page of `localhost`, and so the page is at home there only.
if (["127.0.0.1", "[::1]"].includes(location.hostname)) location.hostname = "localhost";

record(authority, {
  started: () => { calls += 1; stage.dataset.talking = ""; },
  answered: () => { calls -= 1; if (calls === 0) delete stage.dataset.talking; },
});
restoreSetup();
keepSetup();
start();
setup.addEventListener("change", () => {
  keepSetup();
  startAgain();
});

const inbox = listen({ fill, arrived: suggest });
control({
  codeSeconds: Number(stage.dataset.codeSeconds),
  wiped: async () => {
    sessionStorage.removeItem(KEPT);
    for (const key of ["way", "password"]) delete kept[key];
    await inbox.reload();
    clearWire();
    start("sign-up");
  },
});
if (sdk && chosen("driver") === "sdk") {
  driver().then((ready) => ready.restore()).then((found) => { if (found && !("used" in screen.dataset)) signedIn(found); }, () => {});
}
