import { fill, h, setData } from "./dom.js";
import { formatLatency } from "./format.js";
import { icon } from "./icons.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./stream_dialogs.js").StreamDialogs} StreamDialogs */

/** Above the conversation: where one is, and whether one is connected. */
export class Header {
  #session;
  #dialogs;
  #title = h("div", { class: "where" });
  #actions = h("div", { class: "actions" });
  #connection;

  /**
   * @param {Session} session
   * @param {{onMenu: () => void, onPeople: () => void, dialogs: StreamDialogs}} options
   */
  constructor(session, { onMenu, onPeople, dialogs }) {
    this.#session = session;
    this.#dialogs = dialogs;
    this.#connection = h("button", {
      class: "connection",
      type: "button",
      data: { testid: "connection-state" },
      title: "Connection details",
      on: { click: onPeople },
    });
    this.element = h(
      "header",
      { class: "header" },
      h(
        "button",
        {
          class: "tool narrow-only",
          type: "button",
          "aria-label": "Streams and direct messages",
          data: { testid: "menu" },
          on: { click: onMenu },
        },
        icon("menu"),
      ),
      this.#title,
      this.#actions,
      this.#connection,
      h(
        "button",
        {
          class: "tool medium-only",
          type: "button",
          "aria-label": "People",
          data: { testid: "people-toggle" },
          on: { click: onPeople },
        },
        icon("people"),
      ),
    );
  }

  render() {
    this.renderConnection();
    const { to } = this.#session;
    fill(this.#title, !to ? h("h1", {}, "Squall") : "user_ids" in to ? this.#direct(to.user_ids) : this.#stream(to));
    fill(this.#actions, to && "stream_id" in to ? this.#streamActions(to.stream_id) : null);
  }

  renderConnection() {
    const { client, realm } = this.#session;
    const words = client.state === "open" && realm.status === "loading" ? "Catching up" : CONNECTION[client.state];
    const latency =
      client.state === "open" && client.latency.pingMs !== null ? formatLatency(client.latency.pingMs) : null;
    setData(this.#connection, { state: client.state, realm: realm.status });
    fill(
      this.#connection,
      h("span", { class: "lamp" }),
      h("span", { class: "connection-words" }, words),
      latency && h("span", { class: "connection-latency" }, latency),
    );
  }

  /** @param {{stream_id: number, topic: string}} to */
  #stream({ stream_id, topic }) {
    const stream = this.#session.stream(stream_id);
    return [
      h(
        "h1",
        {},
        h("span", { class: "where-stream" }, icon(stream?.invite_only ? "lock" : "hash"), stream?.name ?? ""),
        h("span", { class: "where-topic" }, topic || "New topic"),
      ),
      stream?.description ? h("p", { class: "where-words" }, stream.description) : null,
    ];
  }

  /** @param {number[]} userIds */
  #direct(userIds) {
    const [first, ...more] = this.#session.others(userIds);
    const words = more.length > 0 ? `${more.length + 2} people` : this.#session.user(first).email;
    return [
      h("h1", {}, h("span", { class: "where-stream" }, this.#session.directTitle(userIds))),
      h("p", { class: "where-words" }, words),
    ];
  }

  /** @param {number} streamId */
  #streamActions(streamId) {
    if (!this.#session.realm.subscriptions.has(streamId)) return null;
    const tool = (
      /** @type {any} */ name,
      /** @type {string} */ label,
      /** @type {string} */ testid,
      /** @type {() => void} */ click,
    ) =>
      h(
        "button",
        { class: "tool", type: "button", "aria-label": label, title: label, data: { testid }, on: { click } },
        icon(name),
      );
    return [
      tool("invite", "Add people", "add-people", () => this.#dialogs.showInvite(streamId)),
      tool("leave", "Leave this stream", "leave-stream", () => this.#dialogs.leave(streamId)),
    ];
  }
}

const CONNECTION = {
  new: "Starting",
  connecting: "Connecting",
  open: "Connected",
  waiting: "Reconnecting",
  closed: "Disconnected",
};
