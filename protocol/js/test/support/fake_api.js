/** An API whose answers a test gives one by one, when it likes. */
export class FakeApi {
  /** Calls without an answer. */
  waiting = [];
  /** Names of all calls. */
  calls = [];

  users = (signal) => this.#ask("users", [], signal);
  streams = (signal) => this.#ask("streams", [], signal);
  subscriptions = (signal) => this.#ask("subscriptions", [], signal);
  topics = (streamId, signal) => this.#ask("topics", [streamId], signal);
  messages = (narrow, page, signal) => this.#ask("messages", [narrow, page], signal);

  #ask(name, parameters, signal) {
    this.calls.push(name);
    return new Promise((resolve, reject) => {
      const call = { name, parameters, resolve, reject };
      this.waiting.push(call);
      signal?.addEventListener("abort", () => {
        this.waiting = this.waiting.filter((other) => other !== call);
        reject(signal.reason);
      });
    });
  }

  /** The first call of that name that waits, if `is` holds for its parameters. */
  take(name, is = () => true) {
    const index = this.waiting.findIndex((call) => call.name === name && is(...call.parameters));
    if (index < 0)
      throw new Error(`no ${name} waits, only ${this.waiting.map((call) => call.name).join(", ") || "nothing"}`);
    return this.waiting.splice(index, 1)[0];
  }
}
