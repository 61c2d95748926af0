/** Tells when the network or the page is back. Where there is neither (Node), it never does. */
export class Wakeups {
  #network;
  #page;
  #onOnline;
  #onVisibility;

  /**
   * @param {import("./environment.js").Environment} environment
   * @param {() => void} onWake
   */
  constructor({ network, page }, onWake) {
    this.#network = network;
    this.#page = page;
    this.#onOnline = () => onWake();
    this.#onVisibility = () => {
      if (page?.visibilityState === "visible") onWake();
    };
  }

  start() {
    this.#network?.addEventListener("online", this.#onOnline);
    this.#page?.addEventListener("visibilitychange", this.#onVisibility);
  }

  stop() {
    this.#network?.removeEventListener("online", this.#onOnline);
    this.#page?.removeEventListener("visibilitychange", this.#onVisibility);
  }
}
