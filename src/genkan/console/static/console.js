// What the pages share: saying things aloud, copying, asking twice. No other host is ever asked for anything.

/** Says a sentence to screen readers, and shows it to nobody. */
export function say(sentence) {
  document.getElementById("said").textContent = sentence;
}

/** Copies a text, and marks the button for a moment. */
export async function copy(text, button, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    say("The browser did not allow copying.");
    return;
  }
  say(`Copied ${what}.`);
  button.dataset.done = "";
  setTimeout(() => delete button.dataset.done, 1500);
}

/** Lets a button act only when it is pressed twice in a row. */
export function askTwice(button, question, act) {
  const label = button.textContent;
  let waiting = 0;
  const calm = () => {
    clearTimeout(waiting);
    waiting = 0;
    button.textContent = label;
    delete button.dataset.asking;
  };
  button.addEventListener("click", () => {
    if (waiting) {
      calm();
      act();
      return;
    }
    const asked = typeof question === "function" ? question() : question;
    button.textContent = asked;
    button.dataset.asking = "";
    say(`${asked} Press again to confirm.`);
    waiting = setTimeout(calm, 4000);
  });
  button.addEventListener("blur", calm);
}
