// The inbox, live. Messages come over one event stream; the list is read again whenever that stream opens.

import { askTwice, copy, say } from "./console.js";

const SHOWN = 300; // rows; older messages are found by the filter

const KIND = { email: "e-mail", sms: "text message" };
const PURPOSE = {
  sign_in: "signing in",
  sign_up: "signing up",
  reset_password: "a new password",
  mfa: "the second factor",
  enrol: "registering a method",
  emergency: "an emergency",
  notice: "notice, no code",
};

const at = (id) => document.getElementById(id);
const panes = at("panes");
const list = at("messages");
const article = at("message");
const filter = at("filter");
const clear = at("clear");
const narrow = matchMedia("(max-width: 55.99rem)"); // as in console.css: there is room for one pane only

const known = new Map(); // id → message, oldest first, whatever the filter
let shown = []; // newest first, as the filter has it
let picked = null; // the id the person chose; null: the newest is shown where there is room
let reading = null; // what the reading pane holds

// Reading. --------------------------------------------------------------------------------------------

const today = new Date().toDateString();
function written(moment) {
  const date = new Date(moment);
  const time = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return date.toDateString() === today ? time : `${date.toLocaleDateString(undefined, { day: "numeric", month: "short" })}, ${time}`;
}

function stamp(element, message) {
  element.dateTime = message.created_at;
  element.textContent = written(message.created_at);
}

function fillCode(button, message) {
  button.hidden = message.code === null;
  if (message.code === null) return;
  button.textContent = message.code;
  button.setAttribute("aria-label", `Copy the code ${message.code}`);
  button.title = "Copy the code";
  button.addEventListener("click", () => copy(message.code, button, "the code"));
}

const firstWords = (message) => message.subject ?? message.text;
const digits = (number) => number.replace(/\D/g, "");

function matches(message) {
  const kind = document.querySelector("input[name=kind]:checked").value;
  const words = filter.value.trim().toLowerCase();
  return (!kind || message.channel === kind)
    && [message.to, message.code, message.subject, message.text].some((text) => text?.toLowerCase().includes(words));
}

function row(message) {
  const item = at("row-template").content.cloneNode(true).firstElementChild;
  const link = item.querySelector("a");
  item.dataset.id = message.id;
  link.href = `#${encodeURIComponent(message.id)}`;
  link.querySelector(".row-kind").append(at(`${message.channel}-icon`).content.cloneNode(true));
  link.querySelector(".row-kind").setAttribute("role", "img");
  link.querySelector(".row-kind").setAttribute("aria-label", KIND[message.channel]);
  link.querySelector(".row-to").textContent = message.to;
  link.querySelector(".row-words span").textContent = firstWords(message);
  stamp(link.querySelector("time"), message);
  fillCode(item.querySelector(".code"), message);
  return item;
}

function showList(fresh = new Set()) {
  const rows = new Map([...list.children].map((item) => [item.dataset.id, item]));
  const wanted = shown.map((message) => {
    const item = rows.get(message.id) ?? row(message);
    if (fresh.has(message.id)) item.classList.add("new");
    return item;
  });
  const focused = document.activeElement;
  const kept = new Set(wanted);
  for (const item of [...list.children]) if (!kept.has(item)) item.remove();
  wanted.forEach((item, place) => { if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null); });
  if (list.contains(focused) && document.activeElement !== focused) focused.focus();
  const narrowed = filter.value.trim() !== "" || document.querySelector("input[name=kind]:checked").value !== "";
  at("nothing").hidden = shown.length > 0;
  at("nothing").textContent = narrowed
    ? "No message fits the filter."
    : "Nothing has been sent yet. Codes and notices appear here the moment Genkan sends them.";
  clear.disabled = known.size === 0;
  showMessage();
}

function showMessage() {
  const message = picked !== null ? known.get(picked) : narrow.matches ? undefined : shown[0];
  panes.toggleAttribute("data-reading", picked !== null && message !== undefined);
  for (const link of list.querySelectorAll(".row-link")) {
    const current = message !== undefined && link.parentElement.dataset.id === message.id;
    current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }
  at("unread").hidden = message !== undefined;
  article.hidden = message === undefined;
  if (message === undefined) {
    reading = null;
    article.replaceChildren();
  } else if (message.channel === "sms") {
    showText(message);
  } else if (reading !== message.id) {
    showLetter(message);
  }
}

function showHead(message) {
  article.replaceChildren(at(`${message.channel}-template`).content.cloneNode(true));
  article.querySelector(".purpose").textContent = PURPOSE[message.purpose] ?? message.purpose;
  stamp(article.querySelector("time"), message);
  fillCode(article.querySelector(".code"), message);
  article.querySelector(".code-line").hidden = message.code === null;
  reading = message.id;
}

function measure() {
  const letter = article.querySelector("iframe");
  const height = letter?.contentDocument?.body?.scrollHeight;
  if (height) letter.style.height = `${height + 2}px`; // and its border
}
new ResizeObserver(measure).observe(article);

function showLetter(message) {
  showHead(message);
  article.querySelector("h2").textContent = message.subject;
  article.querySelector(".to").textContent = message.to;
  const letter = article.querySelector("iframe");
  const text = article.querySelector("pre");
  letter.addEventListener("load", measure);
  letter.src = `/dev/inbox/html?id=${encodeURIComponent(message.id)}`;
  text.textContent = message.text;
  for (const choice of article.querySelectorAll("input[name=view]")) {
    choice.addEventListener("change", () => {
      letter.hidden = choice.value !== "html";
      text.hidden = choice.value !== "text";
      if (!letter.hidden) measure();
    });
  }
}

function showText(message) {
  const thread = [...known.values()]
    .filter((other) => other.channel === "sms" && digits(other.to) === digits(message.to))
    .sort((one, other) => Date.parse(one.created_at) - Date.parse(other.created_at));
  const drawn = `${message.id} ${thread.length}`;
  if (reading === drawn) return;
  showHead(message);
  reading = drawn;
  article.querySelector("h2").textContent = message.to;
  article.querySelector(".phone-top").textContent = message.to;
  const bubbles = article.querySelector(".bubbles");
  for (const one of thread) {
    const bubble = document.createElement("li");
    const words = document.createElement("p");
    const time = document.createElement("time");
    words.textContent = one.text;
    stamp(time, one);
    bubble.append(words, time);
    if (one.id === message.id) bubble.setAttribute("aria-current", "true");
    bubbles.append(bubble);
  }
  const current = bubbles.querySelector("[aria-current]");
  bubbles.scrollTop = current.offsetTop - bubbles.offsetTop - bubbles.clientHeight + current.offsetHeight + 16;
}

// Arrivals. -------------------------------------------------------------------------------------------

let arrived = []; // not shown yet: rows are drawn for many at once
let meanwhile = []; // arrived while the list was being read, so perhaps not in it
let unseen = 0;

function arrive(message) {
  if (known.has(message.id)) return;
  known.set(message.id, message);
  arrived.push(message);
  meanwhile.push(message);
  if (arrived.length === 1) setTimeout(takeIn, 50);
}

/** The messages `later`, as they came and as far as the filter wants them, before those that are shown. */
function newestFirst(later, earlier) {
  const ids = new Set(earlier.map((message) => message.id));
  const added = later.filter((message) => !ids.has(message.id) && matches(message)).reverse();
  return [...added, ...earlier].slice(0, SHOWN);
}

function takeIn() {
  const fresh = arrived;
  arrived = [];
  for (const id of [...known.keys()].slice(0, Math.max(0, known.size - 2 * SHOWN))) known.delete(id);
  shown = newestFirst(fresh, shown);
  showList(new Set(fresh.map((message) => message.id)));
  const last = fresh.at(-1);
  say(fresh.length === 1
    ? `New ${KIND[last.channel]} to ${last.to}. ${last.code === null ? firstWords(last) : `Code ${[...last.code].join(" ")}`}`
    : `${fresh.length} new messages.`);
  if (document.hidden) {
    unseen += fresh.length;
    document.title = `(${unseen}) Inbox · Genkan`;
  }
}

document.addEventListener("visibilitychange", () => {
  unseen = 0;
  document.title = "Inbox · Genkan";
});

let latest = 0;
async function load() {
  const turn = ++latest;
  meanwhile = [];
  const asked = new URLSearchParams({ limit: SHOWN, query: filter.value.trim(), channel: document.querySelector("input[name=kind]:checked").value });
  const answer = await fetch(`/dev/inbox/messages?${asked}`);
  if (!answer.ok || turn !== latest) return;
  const { messages } = await answer.json();
  if (turn !== latest) return;
  const narrowed = filter.value.trim() !== "" || asked.get("channel") !== "";
  if (!narrowed) known.clear();
  for (const message of [...[...messages].reverse(), ...meanwhile]) known.set(message.id, message);
  shown = newestFirst(meanwhile, messages);
  showList();
}

function live(state, words) {
  at("live").dataset.state = state;
  at("live-text").textContent = words;
}

const stream = new EventSource("/dev/inbox/stream");
stream.addEventListener("open", () => { live("open", "live"); load().catch(() => {}); });
stream.addEventListener("error", () => live("lost", "connection lost, trying again"));
stream.addEventListener("message", (event) => arrive(JSON.parse(event.data)));

// What the person does. -------------------------------------------------------------------------------

let typing = 0;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => load().catch(() => {}), 120);
});
for (const choice of document.querySelectorAll("input[name=kind]")) choice.addEventListener("change", () => load().catch(() => {}));

askTwice(clear, () => `Clear ${known.size === 1 ? "1 message" : `${known.size} messages`}?`, async () => {
  const answer = await fetch("/dev/inbox/messages", { method: "DELETE" }).catch(() => ({ ok: false }));
  if (!answer.ok) {
    say("The inbox could not be cleared.");
    return;
  }
  known.clear();
  shown = [];
  picked = null;
  if (location.hash) history.replaceState(null, "", location.pathname);
  showList();
  say("The inbox is empty.");
});

function followHash() {
  const before = picked;
  picked = location.hash.length > 1 ? decodeURIComponent(location.hash.slice(1)) : null;
  if (picked !== null && !known.has(picked)) picked = null;
  showMessage();
  if (picked !== null) {
    at("reading").scrollTop = 0;
    if (narrow.matches) { scrollTo(0, 0); at("reading").focus(); }
  } else if (before !== null) {
    list.querySelector(`[data-id="${CSS.escape(before)}"] .row-link`)?.focus();
  }
}
addEventListener("hashchange", followHash);
narrow.addEventListener("change", showMessage);
article.addEventListener("click", (event) => {
  if (!event.target.closest(".back")) return;
  event.preventDefault();
  history.back();
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && picked !== null && event.target !== filter) location.hash = "";
});

list.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const item = event.target.closest?.(".row");
  if (!step || !item || event.altKey || event.ctrlKey || event.metaKey) return;
  const next = step > 0 ? item.nextElementSibling : item.previousElementSibling;
  event.preventDefault();
  next?.querySelector(".row-link").focus();
});

filter.value = new URLSearchParams(location.search).get("query") ?? "";
if (location.hash) load().then(followHash).catch(() => {});
