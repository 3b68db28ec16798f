// The inbox pane: e-mails and texts as they arrive, the newest open, and their codes one click away.

import { say } from "./console.js";
import { at, h, timeOf } from "./dom.js";
import { PURPOSE } from "./words.js";

const SHOWN = 30;
const list = at("letters");
const stage = at("stage");
const known = new Map();
let unread = 0;
let listeners = { fill: () => {}, arrived: () => {} };

const icon = (path) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
};
const ICON = { email: "M2.5 5h15v10.5h-15zM2.5 5.5 10 11.5l7.5-6", sms: "M3 4h14v9.5H9L5.5 16.5v-3H3z" };

function letter(message) {
  const email = message.channel === "email";
  const details = h("details", { class: "letter-details" },
    h("summary", {}, email ? "The e-mail" : "On the phone"),
    email ? frame(message) : phone(message));
  const fill = message.code !== null && h("button", {
    type: "button", class: "code",
    click: () => listeners.fill(message.code, message),
  }, h("span", { class: "code-digits" }, message.code), h("span", { class: "code-does" }, "Fill in"));
  const item = h("li", { class: "letter-item" },
    h("p", { class: "letter-head" },
      icon(ICON[message.channel]),
      h("span", { class: "letter-to" }, message.to),
      h("time", { datetime: message.created_at }, timeOf(message.created_at))),
    h("p", { class: "letter-for" }, email ? message.subject : `Text for ${PURPOSE[message.purpose] ?? message.purpose}`),
    fill, details);
  item.dataset.id = message.id;
  return item;
}

/** The e-mail as it would be seen: a document in which nothing runs and nothing is fetched. */
function frame(message) {
  const shown = h("iframe", { class: "letter", title: `The e-mail “${message.subject}”`, sandbox: "allow-same-origin", referrerpolicy: "no-referrer", loading: "lazy" });
  const measure = () => {
    const height = shown.contentDocument?.body?.scrollHeight;
    if (height) shown.style.height = `${height + 2}px`; // and its border
  };
  shown.addEventListener("load", measure);
  new ResizeObserver(measure).observe(shown);
  shown.src = `/dev/inbox/html?id=${encodeURIComponent(message.id)}`;
  return shown;
}

function phone(message) {
  return h("div", { class: "phone" },
    h("p", { class: "phone-top" }, message.to),
    h("p", { class: "bubble" }, message.text));
}

function arrive(message, live) {
  if (known.has(message.id)) return;
  known.set(message.id, message);
  const item = letter(message);
  for (const open of list.querySelectorAll("details[open]")) open.open = false;
  item.querySelector("details").open = true;
  list.prepend(item);
  while (list.children.length > SHOWN) {
    known.delete(list.lastElementChild.dataset.id);
    list.lastElementChild.remove();
  }
  at("inbox-empty").hidden = true;
  if (!live) return;
  item.classList.add("fresh");
  list.parentElement.scrollTop = 0;
  if (stage.dataset.pane !== "inbox") unread += 1;
  count();
  const what = message.channel === "email" ? "e-mail" : "text";
  say(`New ${what} to ${message.to}. ${message.code === null ? message.subject ?? message.text : `Code ${[...message.code].join(" ")}`}`);
  listeners.arrived(message);
}

function count() {
  at("inbox-count").textContent = String(unread);
  at("inbox-count").hidden = unread === 0;
}

export function seen() {
  unread = 0;
  count();
}

async function load() {
  const answer = await fetch(`/dev/inbox/messages?limit=${SHOWN}`).catch(() => null);
  if (!answer?.ok) return;
  const { messages } = await answer.json();
  const ids = new Set(messages.map((message) => message.id));
  for (const item of [...list.children]) {
    if (ids.has(item.dataset.id)) continue;
    known.delete(item.dataset.id);
    item.remove();
  }
  for (const message of messages.reverse()) arrive(message, false);
  at("inbox-empty").hidden = list.children.length > 0;
}

/** Begins to listen. `fill(code, message)` when a code is chosen, `arrived(message)` for each new message. */
export function listen(on) {
  listeners = on;
  const live = (state, words) => {
    at("live").dataset.state = state;
    at("live-text").textContent = words;
  };
  const stream = new EventSource("/dev/inbox/stream");
  stream.addEventListener("open", () => { live("open", "live"); load(); });
  stream.addEventListener("error", () => live("lost", "no connection"));
  stream.addEventListener("message", (event) => arrive(JSON.parse(event.data), true));
  return { reload: load };
}
