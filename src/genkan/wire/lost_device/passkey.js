// Lets a passkey or security key be shown on the page for lost devices. Everything else there works without a script.

"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const supported = "PublicKeyCredential" in window;
for (const choice of document.querySelectorAll("[data-script]")) choice.hidden = !supported;

const field = document.querySelector("[data-passkey]");
if (field !== null) {
  const form = field.form;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const options = JSON.parse(field.dataset.passkey);
    let shown = null;
    try {
      const found = await navigator.credentials.get({
        publicKey: {
          ...options,
          challenge: bytes(options.challenge),
          allowCredentials: options.allowCredentials.map(({ type, id }) => ({ type, id: bytes(id) })),
        },
      });
      const { authenticatorData, clientDataJSON, signature, userHandle } = found.response;
      shown = {
        id: found.id,
        rawId: text(found.rawId),
        type: found.type,
        response: {
          authenticatorData: text(authenticatorData),
          clientDataJSON: text(clientDataJSON),
          signature: text(signature),
          ...(userHandle ? { userHandle: text(userHandle) } : {}),
        },
        clientExtensionResults: {},
      };
    } catch {
      // The browser has told the person why. The server says what else there is.
    }
    field.value = JSON.stringify(shown);
    form.submit();
  });
}
