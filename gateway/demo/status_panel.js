import { closeReason } from "/protocol/js/close_codes.js";
import { CodecSwitch } from "./codec_switch.js";
import { fill, h, setData } from "./dom.js";
import { formatBytes, formatLatency, formatNumber, formatSpan } from "./format.js";
import { icon } from "./icons.js";

/** @typedef {import("/protocol/js/client_types.js").CodecName} CodecName */
/** @typedef {import("./session.js").Session} Session */

/** What the line is doing: for those who want to see it work. */
export class StatusPanel {
  #session;
  #lamp = h("span", { class: "lamp" });
  #state = h("span", { class: "status-words" });
  #values;
  #codec;
  #cut;
  /** When the next attempt is due. @type {number | null} */
  #retryAt = null;
  #openedAt = 0;
  /** @type {Error | null} */
  #closedBy = null;

  /**
   * @param {Session} session
   * @param {(codec: CodecName) => void} onCodec
   */
  constructor(session, onCodec) {
    this.#session = session;
    this.#codec = new CodecSwitch(session, onCodec);
    const row = (/** @type {string} */ name, /** @type {string} */ label) => {
      const value = h("dd", { data: { testid: `stat-${name}` } });
      return { name, value, element: h("div", {}, h("dt", {}, label), value) };
    };
    const rows = [
      row("epoch", "Epoch"),
      row("sequence", "Sequence"),
      row("mark", "Mark"),
      row("ping", "Round trip"),
      row("ack", "Send to stored"),
      row("events", "Events"),
      row("received", "Received"),
      row("resumes", "Resumes"),
      row("resets", "Resets"),
      row("attempts", "Reconnects tried"),
      row("unanswered", "Waiting to be stored"),
    ];
    this.#values = new Map(rows.map(({ name, value }) => [name, value]));
    this.#cut = h("button", {
      class: "button quiet",
      type: "button",
      data: { testid: "cut-line" },
      on: { click: () => this.#act() },
    });
    this.element = h(
      "section",
      { class: "status", data: { testid: "status-panel" } },
      h("div", { class: "section-head" }, h("h2", {}, "Connection"), this.#cut),
      h("p", { class: "status-line" }, this.#lamp, this.#state),
      h(
        "dl",
        {},
        h("div", {}, h("dt", {}, "Codec"), h("dd", {}, this.#codec.element)),
        rows.map(({ element }) => element),
      ),
    );
    session.client.on("state", ({ state, retryMs, error }) => {
      if (state === "open") this.#openedAt = Date.now();
      this.#retryAt = retryMs === null ? null : Date.now() + retryMs;
      this.#closedBy = error;
    });
  }

  render() {
    const { client, realm } = this.#session;
    const { stats, position } = client;
    setData(this.element, { state: client.state });
    fill(this.#state, this.#words());
    fill(
      this.#cut,
      client.state === "closed" ? "Connect" : client.state === "waiting" ? "Try now" : [icon("cut"), "Cut line"],
    );
    this.#cut.title = client.state === "open" ? "Drop the connection to see it come back" : "Connect now";
    this.#cut.disabled = client.state === "connecting" || client.state === "new";
    this.#codec.render();
    this.#put("epoch", position ? String(position.epoch) : "–");
    this.#put("sequence", position ? formatNumber(position.sequence) : "–");
    this.#put("mark", position ? position.mark.toString(16).padStart(8, "0") : "–");
    this.#put("ping", formatLatency(client.state === "open" ? client.latency.pingMs : null));
    this.#put("ack", formatLatency(client.latency.ackMs));
    this.#put("events", formatNumber(stats.events));
    this.#put("received", formatBytes(stats.receivedBytes));
    this.#put("resumes", formatNumber(stats.resumes));
    this.#put("resets", formatNumber(stats.resets));
    this.#put("attempts", formatNumber(stats.reconnectAttempts));
    this.#put("unanswered", formatNumber(client.unanswered));
    setData(this.element, { realm: realm.status });
  }

  #words() {
    const { client, realm } = this.#session;
    if (client.state === "open" && realm.status === "failed") return `No state: ${realm.error?.message}`;
    if (client.state === "open")
      return realm.status === "loading" ? "Catching up" : `Connected for ${formatSpan(Date.now() - this.#openedAt)}`;
    if (client.state === "waiting")
      return `Next try in ${Math.max(0, Math.ceil(((this.#retryAt ?? 0) - Date.now()) / 1000))} s`;
    if (client.state === "closed") return this.#closedBy?.message || closeReason(1006);
    return "Connecting";
  }

  #act() {
    const { client } = this.#session;
    if (client.state === "open") client.reconnect({ wait: true });
    else if (client.state === "waiting") client.wake();
    else client.connect().catch(() => {}); // told by `state`
  }

  /** @param {string} name @param {string} text */
  #put(name, text) {
    const value = this.#values.get(name);
    if (value && value.textContent !== text) value.textContent = text;
  }
}
