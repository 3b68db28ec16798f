// The page Connect: copy buttons, the clock, the reset. Without it the page only loses these.

import { askTwice, copy, say } from "./console.js";

for (const button of document.querySelectorAll("[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(source.textContent, button, "to the clipboard");
    if ("done" in button.dataset) {
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }
  });
}

const clock = document.getElementById("clock");
const written = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
let ahead = null; // milliseconds the server's time is ahead of the browser's

function tick() {
  if (ahead === null) return;
  const now = new Date(Date.now() + ahead);
  clock.textContent = written.format(now);
  clock.dateTime = now.toISOString();
}

async function ask(body) {
  const answer = await fetch("/dev/clock", body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${answer.status}`);
  ahead = Date.parse((await answer.json()).now) - Date.now();
  tick();
}

try {
  await ask();
  document.querySelector("[data-clock]").hidden = false;
  setInterval(tick, 1000);
} catch {
  // No clock, no buttons for it.
}

for (const button of document.querySelectorAll("[data-advance]")) {
  button.addEventListener("click", async () => {
    try {
      await ask({ advance_seconds: Number(button.dataset.advance) });
      say(`The server's time is now ${clock.textContent}.`);
    } catch {
      say("The clock could not be moved.");
    }
  });
}

const reset = document.getElementById("reset");
document.querySelector("[data-reset]").hidden = false;
askTwice(reset, "Really reset?", async () => {
  const answer = await fetch("/dev/reset", { method: "POST" }).catch(() => ({ ok: false }));
  const label = reset.textContent;
  reset.textContent = answer.ok ? "Reset" : "Not reset: is the server running?";
  say(reset.textContent);
  setTimeout(() => { reset.textContent = label; }, 2500);
});
