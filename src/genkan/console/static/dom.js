// Making elements, without ever reading a string as markup.

/** An element: `h("p", { class: "soft" }, "words", child)`. A property that is a function is a listener. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

export const at = (id) => document.getElementById(id);

/** A time of day, as the reader writes it. */
export function timeOf(moment) {
  return new Date(moment).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

/** GET or POST JSON at one of our own endpoints; the answer, or an error whose message is a sentence. */
export async function ask(path, body) {
  const how = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, how).catch(() => null);
  if (answer === null) throw new Error("The server does not answer. Is it still running?");
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error_description ?? `The server answered ${answer.status}.`);
  return told;
}
