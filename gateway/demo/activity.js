/**
 * Tells whether the user is doing something here: the page is seen, and was touched lately.
 */
export class Activity {
  #onChange;
  #touchedAt = Date.now();
  /** @type {"active" | "idle"} */
  #status = document.visibilityState === "visible" ? "active" : "idle";

  #end = new AbortController();

  /** @param {(status: "active" | "idle") => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  get status() {
    return this.#status;
  }

  start() {
    const { signal } = this.#end;
    const touch = () => {
      this.#touchedAt = Date.now();
      if (this.#status === "idle") this.#judge();
    };
    for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
      document.addEventListener(kind, touch, { passive: true, capture: true, signal });
    }
    document.addEventListener("visibilitychange", () => this.#judge(), { signal });
    const timer = setInterval(() => this.#judge(), JUDGE_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  stop() {
    this.#end.abort();
  }

  #judge() {
    const isHere = document.visibilityState === "visible" && Date.now() - this.#touchedAt < QUIET_MS_MAX;
    const status = isHere ? "active" : "idle";
    if (status === this.#status) return;
    this.#status = status;
    this.#onChange(status);
  }
}

/** Reading takes a while: hands off this long is still there. */
const QUIET_MS_MAX = 90_000;
const JUDGE_MS = 5_000;
