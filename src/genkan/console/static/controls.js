// The controls: clock, place, mail provider, policies, and throwing everything away.

import { askTwice, say } from "./console.js";
import { ask, at, h } from "./dom.js";

const STATES = [["enabled", "On"], ["enabledForReportingButNotEnforced", "Report only"], ["disabled", "Off"]];

/** Where requests can come from: [words, address, country]. The addresses are those kept for documentation. */
const PLACES = [
  ["here, this machine", null, null],
  ["Germany, at home", "192.0.2.10", "DE"],
  ["Germany, a hotel network", "192.0.2.200", "DE"],
  ["Japan", "198.51.100.20", "JP"],
  ["Brazil", "203.0.113.30", "BR"],
  ["an unknown country", "203.0.113.99", null],
];

let ahead = 0; // milliseconds the server's time is before the browser's

/** The server's time, in milliseconds. */
export const serverNow = () => Date.now() + ahead;

const written = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
function tick() {
  const now = new Date(serverNow());
  at("clock").textContent = written.format(now);
  at("clock").dateTime = now.toISOString();
}

async function clock(body) {
  ahead = Date.parse((await ask("/dev/clock", body)).now) - Date.now();
  tick();
}

/** Does what a control asks; a failure is said aloud and shown. */
async function attempt(act, done) {
  try {
    await act();
    if (done) tell(done());
  } catch (error) {
    tell(error.message);
  }
}

let fading = 0;
function tell(sentence) {
  say(sentence);
  clearTimeout(fading);
  let toast = document.querySelector(".toast");
  if (!toast) document.body.append((toast = h("p", { class: "toast", "aria-hidden": "true" })));
  toast.textContent = sentence;
  toast.dataset.shown = "";
  fading = setTimeout(() => delete toast.dataset.shown, 4000);
}

function advance(seconds, after) {
  return attempt(() => clock({ advance_seconds: seconds }), () => after ?? `The server's clock shows ${at("clock").textContent}.`);
}

// The place. ------------------------------------------------------------------------------------------

const place = at("place");
place.append(...PLACES.map(([words], index) => h("option", { value: String(index) }, words)));

function showPlace(told) {
  const known = PLACES.findIndex(([, address, country]) => address === told.address && country === told.country);
  place.querySelector("[value=other]")?.remove();
  if (known < 0) place.append(h("option", { value: "other" }, [told.country, told.address].filter(Boolean).join(", ")));
  place.value = known < 0 ? "other" : String(known);
}

// The mail provider. ----------------------------------------------------------------------------------

const mail = at("mail");
let failing = false;

function showMail(told) {
  failing = told.failing;
  mail.setAttribute("aria-checked", String(failing));
  at("mail-words").textContent = !failing ? "works" : told.refused ? `fails, ${told.refused} refused` : "fails";
}

async function watchMail() {
  while (failing) {
    await new Promise((resolve) => { setTimeout(resolve, 1500); });
    if (failing) await ask("/dev/delivery").then(showMail, () => {});
  }
}

// Policies. -------------------------------------------------------------------------------------------

const drop = at("policies");
const opener = at("policies-open");

function showPolicies({ policies }) {
  const on = policies.filter((policy) => policy.state === "enabled").length;
  const reporting = policies.filter((policy) => policy.state === STATES[1][0]).length;
  at("policies-words").textContent = [on ? `${on} on` : "none on", reporting && `${reporting} reporting`].filter(Boolean).join(", ");
  if (drop.childElementCount && drop.dataset.ids === policies.map((policy) => policy.id).join(" ")) {
    for (const policy of policies) drop.querySelector(`[name="${CSS.escape(policy.id)}"][value="${policy.state}"]`).checked = true;
    return;
  }
  drop.dataset.ids = policies.map((policy) => policy.id).join(" ");
  drop.replaceChildren(...policies.map((policy) => h("fieldset", {},
    h("legend", {}, policy.displayName),
    h("div", { class: "kinds" }, STATES.map(([state, words]) => {
      const input = h("input", { type: "radio", name: policy.id, value: state, change: () => switchPolicy(policy, state, words) });
      input.checked = policy.state === state;
      return h("label", {}, input, h("span", {}, words));
    })))));
}

function switchPolicy(policy, state, words) {
  return attempt(
    async () => showPolicies(await ask("/dev/policies", { id: policy.id, state })),
    () => `“${policy.displayName}” is ${words.toLowerCase()}. The next step of every sign-in goes by it.`,
  );
}

function open(shown) {
  drop.hidden = !shown;
  opener.setAttribute("aria-expanded", String(shown));
}

// All of it. ------------------------------------------------------------------------------------------

export async function refresh() {
  await Promise.all([
    clock(),
    ask("/dev/place").then(showPlace),
    ask("/dev/delivery").then(showMail),
    ask("/dev/policies").then(showPolicies),
  ]).catch(() => {});
}

/** Brings the controls to life. `wiped()` after the tenant was thrown away. */
export async function control({ codeSeconds, wiped }) {
  for (const button of document.querySelectorAll("[data-advance]")) {
    button.addEventListener("click", () => advance(Number(button.dataset.advance)));
  }
  at("expire").addEventListener("click", () => advance(codeSeconds + 1, "Every code that was sent so far has expired."));
  place.addEventListener("change", () => {
    const [words, address, country] = PLACES[Number(place.value)] ?? [];
    if (words) attempt(async () => showPlace(await ask("/dev/place", { address, country })), () => `Requests come from ${words}.`);
  });
  mail.addEventListener("click", () => attempt(async () => {
    showMail(await ask("/dev/delivery", { failing: !failing }));
    watchMail();
  }, () => (failing ? "The provider takes no message now. Genkan tries again for as long as the code is good." : "The provider works again. What waited is sent at its next try.")));
  opener.addEventListener("click", () => open(drop.hidden));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || drop.hidden) return;
    open(false);
    opener.focus();
  });
  addEventListener("click", (event) => {
    if (!drop.hidden && !event.target.closest("#policies, #policies-open")) open(false);
  });
  askTwice(at("reset"), "Really?", () => attempt(async () => {
    await ask("/dev/reset", {});
    await refresh();
    await wiped();
  }, () => "The tenant is as it was at first, and the inbox is empty."));
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  await refresh();
  watchMail();
}
