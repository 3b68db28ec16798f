// For the tests of apps: start `genkan dev`, wait for a code, move the clock, be somewhere else.
// Speaks to the server by the development-mode contract alone; needs nothing but Node.js 18.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Start a server of your own on a free port. `command` is how `genkan` is called, `data` its folder. */
export async function start({ command = ["genkan"], data } = {}) {
  const folder = data ?? await mkdtemp(join(tmpdir(), "genkan-"));
  const [program, ...first] = command;
  const server = spawn(program, [...first, "dev", "--port", "0", "--json", "--data", folder], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  server.stderr.on("data", (text) => { said = (said + text).slice(-4000); });
  const ended = new Promise((resolve) => { server.once("close", resolve); });
  const line = await new Promise((resolve, reject) => {
    createInterface(server.stdout).once("line", resolve);
    server.once("error", (error) => reject(new Error(`genkan cannot be started: ${error.message}`)));
    ended.then(() => reject(new Error(`genkan dev did not start: ${said.trim()}`)));
  });
  ended.catch(() => {});
  return new Genkan(JSON.parse(line), async () => {
    server.kill();
    await ended;
    if (data === undefined) await rm(folder, { recursive: true, force: true });
  });
}

/** A server in development mode: what it told when it was ready, and what a test may ask of it. */
export class Genkan {
  #stop;

  /** `told` is the line that `genkan dev --json` prints. */
  constructor(told, stop = async () => {}) {
    this.told = told;
    this.baseUrl = told.base_url;
    this.authority = told.authority;
    this.otpApp = told.apps.otp;
    this.passwordApp = told.apps.password;
    this.scope = told.api.scope;
    this.#stop = stop;
  }

  /** End the server, and throw its folder away where `start` made it. */
  stop() { return this.#stop(); }

  /** What arrives from now on for an address or a number. */
  async mailbox(to) {
    const [newest] = await this.messages({ to });
    return new Mailbox(this, to, newest?.id ?? "");
  }

  /** What has arrived, newest first. */
  async messages({ to = "", channel = "", after = "", query = "" } = {}) {
    return (await this.#ask("GET", `/dev/inbox/messages?${new URLSearchParams({ to, channel, after, query })}`)).messages;
  }

  /** The same as soon as there is one; an empty list when there was none in time. */
  async wait({ to = "", channel = "", after = "", seconds = 10 } = {}) {
    return (await this.#ask("GET", `/dev/inbox/wait?${new URLSearchParams({ to, channel, after, timeout: seconds })}`)).messages;
  }

  async clear() { await this.#ask("DELETE", "/dev/inbox/messages"); }

  /** Move the server's clock forward, and every expiry with it; its time then. */
  async advance(seconds) { return new Date((await this.#ask("POST", "/dev/clock", { advance_seconds: seconds })).now); }

  /** From now on requests seem to come from there; without arguments, from where they do. */
  async place({ country = null, address = null } = {}) { await this.#ask("POST", "/dev/place", { country, address }); }

  /** The provider takes no message, or takes them again. */
  async failDelivery(failing = true) { await this.#ask("POST", "/dev/delivery", { failing }); }

  /** Every policy of the tenant, as Graph shows it. */
  async policies() { return (await this.#ask("GET", "/dev/policies")).policies; }

  /** Switch a policy: `enabled`, `disabled` or `enabledForReportingButNotEnforced`. */
  async switchPolicy(id, state) { await this.#ask("POST", "/dev/policies", { id, state }); }

  /** What happened in a sign-in, and which policy asked for what. */
  async story(correlationId) { return (await this.#ask("GET", `/dev/story?${new URLSearchParams({ correlation_id: correlationId })}`)).stories; }

  /** The tenant as it was seeded, and an empty inbox; the clock stays. */
  async reset() { await this.#ask("POST", "/dev/reset"); }

  async #ask(method, path, body) {
    const answer = await fetch(`${this.baseUrl}${path}`, { method, body: body && JSON.stringify(body) });
    if (answer.status === 204) return null;
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error_description ?? `the server answered ${answer.status}`);
    return told;
  }
}

/** What arrives for one address or number, each message handed out once, in the order they came. */
export class Mailbox {
  #genkan;
  #last;

  constructor(genkan, to, last = "") {
    this.#genkan = genkan;
    this.#last = last;
    this.to = to;
  }

  /** The next message, waited for. */
  async next({ seconds = 10 } = {}) {
    const waiting = await this.#genkan.wait({ to: this.to, after: this.#last, seconds });
    if (waiting.length === 0) throw new Error(`Nothing arrived for ${this.to} within ${seconds} seconds.`);
    const message = waiting.at(-1);
    this.#last = message.id;
    return message;
  }

  /** The code of the next message. */
  async code(how) {
    const message = await this.next(how);
    if (message.code === null) throw new Error(`The message to ${this.to} holds no code: ${message.subject ?? message.text}`);
    return message.code;
  }
}
