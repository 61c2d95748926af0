import { avatar } from "./avatar.js";
import { fill, h, Keyed, setData } from "./dom.js";
import { icon, logo } from "./icons.js";
import { presenceDot } from "./presence_dot.js";

/** @typedef {import("/protocol/js/types.js").Destination} Destination */
/** @typedef {import("/protocol/js/types.js").Stream} Stream */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./stream_dialogs.js").StreamDialogs} StreamDialogs */

/** Streams with their topics, direct messages, and whose page this is. */
export class Sidebar {
  #session;
  #options;
  #streams = h("ul", { class: "streams" });
  #directs = h("ul", { class: "directs" });
  #own = h("div", { class: "own" });
  /** @type {Keyed<HTMLElement>} */
  #rows = new Keyed();
  /** Streams that the user folded or unfolded. @type {Map<number, boolean>} */
  #unfolded = new Map();
  /** Streams of which all topics are listed. @type {Set<number>} */
  #whole = new Set();
  #unreadTotal = 0;

  /**
   * @param {Session} session
   * @param {{open: (to: Destination) => void, onNewTopic: (streamId: number) => void, onLeave: () => void,
   *   dialogs: StreamDialogs}} options
   */
  constructor(session, options) {
    this.#session = session;
    this.#options = options;
    const browse = h(
      "button",
      {
        class: "tool",
        type: "button",
        "aria-label": "Browse and create streams",
        title: "Browse and create streams",
        data: { testid: "browse-streams" },
        on: { click: () => options.dialogs.showBrowse() },
      },
      icon("plus"),
    );
    this.element = h(
      "nav",
      { class: "sidebar", "aria-label": "Conversations" },
      h("div", { class: "brand" }, logo(), h("span", { class: "brand-name" }, "Squall")),
      h(
        "div",
        { class: "sidebar-scroll" },
        h("section", {}, h("div", { class: "section-head" }, h("h2", {}, "Streams"), browse), this.#streams),
        h("section", {}, h("div", { class: "section-head" }, h("h2", {}, "Direct messages")), this.#directs),
      ),
      this.#own,
    );
  }

  /** Messages not read, as far as they are known here. */
  get unreadTotal() {
    return this.#unreadTotal;
  }

  render() {
    this.#unreadTotal = 0;
    fill(
      this.#streams,
      this.#session.subscriptions().map((stream) => this.#stream(stream)),
    );
    const directs = this.#session.directs().map(({ to }) => this.#direct(to));
    fill(
      this.#directs,
      directs.length > 0 ? directs : h("li", { class: "hint" }, "Choose somebody from the people list to begin."),
    );
    this.#renderOwn();
    this.#rows.sweep();
  }

  /** @param {Stream} stream */
  #stream(stream) {
    const { stream_id, name } = stream;
    const isHere = this.#isHere((to) => "stream_id" in to && to.stream_id === stream_id);
    const topics = this.#session.topics(stream_id);
    const unread = topics.reduce((sum, topic) => sum + this.#unread({ stream_id, topic: topic.name }), 0);
    this.#unreadTotal += unread;
    const isUnfolded = this.#unfolded.get(stream_id) ?? true;
    const item = this.#rows.get(`stream:${stream_id}`, () => this.#makeStream(stream));
    const [row, list] = /** @type {[HTMLElement, HTMLElement]} */ (/** @type {unknown} */ (item.children));
    const button = /** @type {HTMLElement} */ (row.firstElementChild);
    setData(button, { unread: unread || null });
    button.setAttribute("aria-expanded", String(isUnfolded));
    button.classList.toggle("here", isHere);
    fill(
      button,
      icon(stream.invite_only ? "lock" : "hash"),
      h("span", { class: "row-name" }, name),
      isUnfolded ? null : badge(unread),
    );
    list.hidden = !isUnfolded;
    fill(list, isUnfolded ? this.#topics(stream_id, topics) : null);
    return item;
  }

  /** @param {Stream} stream */
  #makeStream({ stream_id, name, invite_only }) {
    const open = () => this.#clickStream(stream_id);
    const add = () => this.#options.onNewTopic(stream_id);
    return h(
      "li",
      { class: "stream", data: { streamId: stream_id, inviteOnly: String(invite_only) } },
      h(
        "div",
        { class: "row-line" },
        h("button", {
          class: "row stream-row",
          type: "button",
          data: { testid: `stream-${name}` },
          on: { click: open },
        }),
        h(
          "button",
          {
            class: "tool row-tool",
            type: "button",
            "aria-label": `New topic in ${name}`,
            title: "New topic",
            data: { testid: `new-topic-${name}` },
            on: { click: add },
          },
          icon("plus"),
        ),
      ),
      h("ul", { class: "topics" }),
    );
  }

  /**
   * @param {number} streamId
   * @param {{name: string, maxId: number}[]} topics
   */
  #topics(streamId, topics) {
    const isWhole = this.#whole.has(streamId);
    const rows = topics
      .filter(
        (topic, index) =>
          isWhole ||
          index < TOPICS_MAX ||
          this.#unread({ stream_id: streamId, topic: topic.name }) > 0 ||
          this.#isTopicHere(streamId, topic.name),
      )
      .map(({ name }) => this.#topic({ stream_id: streamId, topic: name }));
    const more = topics.length - rows.length;
    return [...rows, more > 0 ? this.#more(streamId, more) : null];
  }

  /** @param {number} streamId @param {number} count */
  #more(streamId, count) {
    const show = () => {
      this.#whole.add(streamId);
      this.render();
    };
    const item = this.#rows.get(`more:${streamId}`, () =>
      h("li", {}, h("button", { class: "row topic-row more", type: "button", on: { click: show } })),
    );
    fill(/** @type {Element} */ (item.firstElementChild), `${count} more`);
    return item;
  }

  /** @param {{stream_id: number, topic: string}} to */
  #topic(to) {
    const make = () =>
      h(
        "li",
        {},
        h("button", {
          class: "row topic-row",
          type: "button",
          data: { testid: `topic-${to.topic}` },
          on: { click: () => this.#options.open(to) },
        }),
      );
    const item = this.#rows.get(this.#session.key(to), make);
    this.#mark(item, to, [h("span", { class: "row-name" }, to.topic)]);
    return item;
  }

  /** @param {Destination} to */
  #direct(to) {
    if (!("user_ids" in to)) return null;
    const others = this.#session.others(to.user_ids);
    const make = () => {
      const testid = `direct-${others.map((userId) => this.#session.slug(this.#session.user(userId))).join("-")}`;
      return h(
        "li",
        {},
        h("button", {
          class: "row direct-row",
          type: "button",
          data: { testid },
          on: { click: () => this.#options.open(to) },
        }),
      );
    };
    const item = this.#rows.get(this.#session.key(to), make);
    const picture =
      others.length === 1
        ? avatar(this.#session.user(others[0]), { presence: presenceDot(this.#session.client.presenceOf(others[0])) })
        : h("span", { class: "avatar group", "aria-hidden": "true" }, String(others.length + 1));
    this.#unreadTotal += this.#unread(to);
    this.#mark(item, to, [picture, h("span", { class: "row-name" }, this.#session.directTitle(to.user_ids))]);
    return item;
  }

  /**
   * @param {HTMLElement} item
   * @param {Destination} to
   * @param {import("./dom.js").Child[]} children
   */
  #mark(item, to, children) {
    const button = /** @type {HTMLElement} */ (item.firstElementChild);
    const unread = this.#unread(to);
    const isHere = this.#isHere((here) => this.#session.key(here) === this.#session.key(to));
    setData(button, { unread: unread || null });
    button.classList.toggle("here", isHere);
    if (isHere) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
    fill(button, children, badge(unread));
  }

  #renderOwn() {
    const { account, client, realm } = this.#session;
    const own = realm.users.get(this.#session.ownId) ?? { user_id: this.#session.ownId, full_name: account.full_name };
    const change = this.#rows.get("leave", () =>
      h(
        "button",
        {
          class: "button quiet",
          type: "button",
          data: { testid: "switch-user" },
          on: { click: this.#options.onLeave },
        },
        "Switch",
      ),
    );
    fill(
      this.#own,
      avatar(own, { presence: presenceDot(client.presenceOf(own.user_id)) }),
      h(
        "span",
        { class: "own-text" },
        h("span", { class: "own-name" }, own.full_name),
        h("span", { class: "own-email" }, account.email),
      ),
      change,
    );
  }

  /** @param {number} streamId */
  #clickStream(streamId) {
    const isHere = this.#isHere((to) => "stream_id" in to && to.stream_id === streamId);
    const isUnfolded = this.#unfolded.get(streamId) ?? true;
    this.#unfolded.set(streamId, !(isHere && isUnfolded));
    if (isHere) return this.render();
    this.#options.open({ stream_id: streamId, topic: this.#session.topics(streamId)[0]?.name ?? "" });
  }

  /** @param {Destination} to */
  #unread(to) {
    return this.#session.unread.count(this.#session.key(to));
  }

  /** @param {(to: Destination) => boolean} is */
  #isHere(is) {
    return this.#session.to !== null && is(this.#session.to);
  }

  /** @param {number} streamId @param {string} topic */
  #isTopicHere(streamId, topic) {
    return this.#isHere((to) => "stream_id" in to && to.stream_id === streamId && to.topic === topic);
  }
}

/** @param {number} unread */
function badge(unread) {
  return unread > 0
    ? h("span", { class: "badge", "aria-label": `${unread} unread` }, unread > 99 ? "99+" : String(unread))
    : null;
}

const TOPICS_MAX = 6;
