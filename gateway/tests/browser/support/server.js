import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** @typedef {{email: string, key: string, site: string}} Zuliprc */

/** The product as a process with a data directory of its own: started, killed, started again. */
export class Server {
  #process = null;
  #exited = null;
  #options;
  #port = 0;
  #adminPort = 0;

  /** @param {string} data @param {string[]} options */
  constructor(data, options) {
    this.data = data;
    this.#options = options;
  }

  /** A fresh one with the demo realm and no rate limit. @param {string[]} [options] */
  static async start(options = []) {
    const server = new Server(await mkdtemp(join(tmpdir(), "squall-browser-")), options);
    await server.restart();
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  get port() {
    return this.#port;
  }

  /** Starts the process, on the port it had before. */
  async restart() {
    const binary = process.env.SQUALL_GATEWAY;
    if (!binary) throw new Error("SQUALL_GATEWAY must name the gateway's binary: run `make test-browser`");
    await access(binary);
    const listen = ["--listen", `127.0.0.1:${this.#port}`, "--admin-listen", `127.0.0.1:${this.#adminPort}`];
    const args = [...listen, "--data-dir", this.data, "--log", "warn", "--rate-limit", "0", ...this.#options];
    this.#process = spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#exited = once(this.#process, "exit");
    for await (const line of createInterface({ input: this.#process.stdout })) {
      this.#port = portAfter(line, "listening on http://") ?? this.#port;
      this.#adminPort = portAfter(line, "admin on http://") ?? this.#adminPort;
      if (this.#port && this.#adminPort && (await this.#answers())) break;
    }
    if (!(await this.#answers())) throw new Error("the server ended before it listened");
    this.#process.stdout.resume();
  }

  /** Ends the process as a power cut would; its data directory stays. */
  async kill9() {
    this.#process.kill("SIGKILL");
    await this.#exited;
  }

  /** Ends the process and takes its data directory away. */
  async stop() {
    await this.kill9();
    await rm(this.data, { recursive: true, force: true });
  }

  zuliprcPath(name) {
    return join(this.data, "demo", `${name}.zuliprc`);
  }

  /** @param {string} name @returns {Promise<Zuliprc>} */
  async zuliprc(name) {
    const text = await readFile(this.zuliprcPath(name), "utf8");
    const fields = text.split("\n").map((line) => line.split("=")).filter((pair) => pair.length === 2);
    return Object.fromEntries(fields.map((pair) => pair.map((part) => part.trim())));
  }

  /** `GET` of the HTTP API as a demo user. @param {string} name @param {string} path @param {Record<string, unknown>} [parameters] */
  async get(name, path, parameters = {}) {
    const { email, key } = await this.zuliprc(name);
    const query = new URLSearchParams();
    for (const [field, value] of Object.entries(parameters)) query.set(field, typeof value === "string" ? value : JSON.stringify(value));
    const headers = { authorization: `Basic ${btoa(`${email}:${key}`)}` };
    const response = await fetch(`${this.url}/api/v1/${path}?${query}`, { headers });
    return { status: response.status, text: await response.text() };
  }

  /** The contents of all messages of `narrow` that a demo user may read, oldest first. */
  async contents(name, narrow) {
    const page = { anchor: "newest", num_before: 1000, num_after: 0, narrow, apply_markdown: false };
    const { text } = await this.get(name, "messages", page);
    return JSON.parse(text).messages.map((message) => message.content);
  }

  /** The id of a stream that ada can see. @param {string} stream */
  async streamId(stream) {
    return JSON.parse((await this.get("ada", "get_stream_id", { stream })).text).stream_id;
  }

  async #answers() {
    return fetch(this.url).then((response) => response.ok, () => false);
  }
}

function portAfter(line, words) {
  const [, port] = line.split(words)[1]?.match(/:(\d+)/) ?? [];
  return port ? Number(port) : null;
}
