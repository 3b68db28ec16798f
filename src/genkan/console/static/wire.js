// The wire: what the app and Genkan say to each other, in order, and the story of what was decided.
//
// The page's own `fetch` is watched from outside, so the SDK runs as it is and knows nothing of it.

import { THINGS } from "./api.js";
import { copy } from "./console.js";
import { ask, at, h, timeOf } from "./dom.js";
import { API_REQUESTS, answerName, apiAnswerName, isNative, phaseAfter, requestName } from "./words.js";

const journeys = at("journeys");
const body = at("wire-body");
const stage = at("stage");
const known = new Map(); // correlation id → { list, story, turn, told, before }, of its newest part
let number = 0;
let latest = null; // the correlation id of the part that stands last

/** Begins to record the native calls of this page, and what it asks of the demo API. */
export function record(authority, { started, answered }) {
  const real = window.fetch.bind(window);
  window.fetch = async (input, how = {}) => {
    const url = new URL(typeof input === "string" ? input : input.url ?? input.href, location.href);
    const endpoint = url.pathname.startsWith(`${authority}/`) ? url.pathname.slice(authority.length) : "";
    const isApi = url.pathname === THINGS;
    if (!isNative(endpoint) && !isApi) return real(input, how);
    const call = {
      url,
      endpoint: isApi ? url.pathname + url.search : endpoint,
      isApi,
      method: how.method ?? "GET",
      form: isApi ? how.headers : Object.fromEntries(new URLSearchParams(how.body ?? "")),
    };
    const began = performance.now();
    started();
    try {
      const answer = await real(input, how);
      const text = await answer.clone().text();
      show({ ...call, status: answer.status, text, challenge: answer.headers.get("www-authenticate"), took: performance.now() - began, correlation: answer.headers.get("client-request-id") });
      answered();
      return isApi ? answer : asElsewhere(answer, text);
    } catch (error) {
      show({ ...call, status: 0, text: "{}", took: performance.now() - began, correlation: null });
      answered();
      throw error;
    }
  };
}

/**
 * The answer as a page of another origin would get it: without the request id of the server, which is not exposed to
 * it. An SDK that reads that header goes on with it as its correlation id, which an app never sees happen.
 */
function asElsewhere(answer, text) {
  const headers = new Headers(answer.headers);
  headers.delete("x-ms-request-id");
  return new Response(text, { status: answer.status, statusText: answer.statusText, headers });
}

const quote = (text) => `'${text.replace(/'/g, `'\\''`)}'`;

function curl({ url, form, isApi, method }) {
  if (isApi) return [`curl -s -X ${method} ${quote(url.href)}`, ...Object.entries(form).map(([name, value]) => `  -H ${quote(`${name}: ${value}`)}`)].join(" \\\n");
  const fields = Object.entries(form).map(([name, value]) => `  --data-urlencode ${quote(`${name}=${value}`)}`);
  return [`curl -s ${quote(url.href)}`, ...fields].join(" \\\n");
}

/** The members of a form or an answer, one a line. A long value folds until it is asked for. */
function members(values) {
  return h("dl", { class: "members" }, Object.entries(values).map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 1).replace(/\n\s*/g, " ");
    return h("div", {}, h("dt", {}, name), h("dd", { class: text.length > 160 ? "long" : null, tabindex: text.length > 160 ? "0" : null }, text));
  }));
}

/** Where a call is shown: below the one before it, if they belong together. An SDK may come back to an id later. */
function journey(correlation, { form, endpoint, isApi }) {
  const found = known.get(correlation);
  if (found && correlation === latest) return found;
  latest = correlation;
  const list = h("ol", { class: "calls-list" });
  const story = h("div", { class: "story", hidden: true });
  const title = isApi ? "Demo API" : NAMES.find(([start]) => endpoint.startsWith(start))?.[1] ?? "Refresh";
  const name = endpoint === "/oauth2/v2.0/token" && form.grant_type === "refresh_token" ? "Refresh" : title;
  journeys.append(h("article", { class: "journey" }, h("h3", {}, name, h("span", { class: "journey-time" }, form.username ?? "")), list, story));
  const made = { list, story, turn: 0, told: 0, before: found?.told ?? 0 };
  known.set(correlation, made);
  return made;
}
const NAMES = [["/signup", "Sign-up"], ["/resetpassword", "Password reset"], ["/oauth2", "Sign-in"], ["/register", "Registration"]];

function show(call) {
  let told = {};
  try { told = JSON.parse(call.text); } catch { /* not JSON: shown as it is */ }
  const [word, kind] = call.status === 0 ? ["no answer", "refused"] : call.isApi ? apiAnswerName(told, call.challenge) : answerName(call.status, told);
  const part = journey(call.isApi ? THINGS : call.correlation ?? crypto.randomUUID(), call);
  const button = h("button", { type: "button", class: "quiet", click: () => copy(curl(call), button, "the request as curl") }, "Copy as curl");
  const phase = call.isApi ? "" : phaseAfter(call.endpoint, told);
  const answer = call.challenge ? { "www-authenticate": call.challenge, ...told } : told;
  number += 1;
  const follows = nearEnd();
  part.list.append(h("li", { class: "call fresh" }, h("details", {},
    h("summary", {},
      h("span", { class: "call-number", "aria-hidden": "true" }, String(number)),
      h("span", { class: "call-name" }, call.isApi ? API_REQUESTS[call.method] : requestName(call.endpoint, call.form)),
      h("span", { class: "call-word", "data-kind": kind }, word),
      h("span", { class: "call-path" }, h("span", {}, `${call.method} `), call.endpoint),
      h("span", { class: "call-status" }, call.status === 0 ? "—" : `${call.status} · ${Math.max(1, Math.round(call.took))} ms`)),
    h("div", { class: "call-body" },
      h("h4", {}, "Request"), members(call.form),
      h("h4", {}, "Answer", phase && h("span", {}, ", and the flow is now in ", h("code", {}, phase))), Object.keys(answer).length ? members(answer) : h("p", { class: "soft" }, "An empty answer."),
      h("p", { class: "call-tools" }, button)))));
  at("wire-empty").hidden = true;
  at("wire-clear").disabled = false;
  count(number);
  if (follows) toEnd();
  const stopped = told.error !== undefined && !told.continuation_token && !TRIED_AGAIN.has(told.error_codes?.[0]);
  const over = kind === "done" || word === "redirect" || stopped;
  if (call.correlation) tell(call.correlation, part, over);
}

/** Refusals after which the person tries once more: a wrong code, a wrong or unfit password. */
const TRIED_AGAIN = new Set([50181, 50126, 399246, 55106, 901001]);

// The pane follows what happens for as long as nobody has scrolled away from its end.
const nearEnd = () => body.scrollHeight - body.scrollTop - body.clientHeight < 160;
const toEnd = () => { body.scrollTop = body.scrollHeight; };

/** What the server says it decided, once it decided something. */
async function tell(correlation, part, over) {
  const turn = ++part.turn;
  const { stories: all } = await ask(`/dev/story?correlation_id=${encodeURIComponent(correlation)}`).catch(() => ({ stories: [] }));
  if (known.get(correlation) !== part || turn !== part.turn) return;
  part.told = all.length;
  const stories = all.slice(part.before); // those before stand with an earlier part
  if (!stories.some((one) => one.events.some((event) => event.because.length) || one.unconcerned.length)) return;
  const { story } = part;
  const follows = nearEnd();
  story.replaceChildren(...stories.flatMap((one, place) => chapters(one, over || place + 1 < stories.length)));
  story.hidden = false;
  if (follows) toEnd();
}

function chapters(story, over) {
  return [
    h("h4", {}, story.title.replace(/ on \d{4}-.*$/, "")),
    h("ol", { class: "steps-told" }, story.events.map((event) => h("li", {},
      h("time", { datetime: event.at }, timeOf(event.at)),
      h("div", {}, event.text, event.because.map((sentence) => h("p", { class: "because" }, sentence)))))),
    over && h("p", { class: "ending" }, story.ending),
    h("details", { class: "more" }, h("summary", {}, "Who, from where, and what was not about it"),
      h("dl", { class: "members" }, story.facts.map((fact) => {
        const [name, ...rest] = fact.split(/ {2,}/);
        return h("div", {}, h("dt", {}, name), h("dd", {}, rest.join(" ")));
      })),
      story.unconcerned.map((sentence) => h("p", { class: "because" }, sentence))),
  ].filter(Boolean);
}

function count(many) {
  at("wire-count").textContent = String(many);
  at("wire-count").hidden = many === 0 || stage.dataset.pane === "wire";
}

/** Forgets everything that was said. */
export function clear() {
  known.clear();
  number = 0;
  latest = null;
  journeys.replaceChildren();
  at("wire-empty").hidden = false;
  at("wire-clear").disabled = true;
  count(0);
}
at("wire-clear").addEventListener("click", () => { clear(); at("wire-title").parentElement.parentElement.querySelector(".pane-body").focus(); });
