import { fill, h, Keyed } from "./dom.js";
import { dayOf, formatDay, formatNumber } from "./format.js";
import { icon } from "./icons.js";
import { messageRow } from "./message_row.js";

/** @typedef {import("/protocol/js/types.js").Destination} Destination */
/** @typedef {import("./message_row.js").Shown} Shown */
/** @typedef {import("./session.js").Session} Session */

/** The messages of the conversation that is open: live at the bottom, history by scrolling up. */
export class ConversationView {
  #session;
  #onRead;
  #head = h("li", { class: "list-head" });
  #list = h("ol", { class: "messages", data: { testid: "messages" } });
  #scroll;
  #toNewest;
  #newestWords = h("span", {});
  /** @type {Keyed<HTMLElement>} */
  #rows = new Keyed();
  /** The conversation whose messages are on the screen. @type {string | null} */
  #shownKey = null;
  #atBottom = true;
  /** Where unread messages began when the conversation was opened. @type {number | null} */
  #newFrom = null;

  /**
   * @param {Session} session
   * @param {{onRead: () => void}} calls
   */
  constructor(session, { onRead }) {
    this.#session = session;
    this.#onRead = onRead;
    this.#scroll = h(
      "div",
      { class: "scroll", role: "log", "aria-label": "Messages", tabindex: "0", data: { testid: "conversation" } },
      this.#list,
    );
    this.#scroll.addEventListener("scroll", () => this.#handleScroll(), { passive: true });
    this.#toNewest = h(
      "button",
      { class: "to-newest", type: "button", data: { testid: "to-newest" }, on: { click: () => this.toNewest() } },
      icon("down"),
      this.#newestWords,
    );
    this.element = h("section", { class: "conversation", "aria-label": "Conversation" }, this.#scroll, this.#toNewest);
    new ResizeObserver(() => this.#atBottom && this.#scrollToBottom()).observe(this.#scroll);
  }

  render() {
    const { to } = this.#session;
    const key = to && this.#session.ownId >= 0 ? this.#session.key(to) : null;
    const moved = key !== this.#shownKey;
    if (moved) this.#move(key);
    const anchor = moved ? null : this.#anchor();
    fill(this.#list, to && key ? this.#items(to, key) : null);
    this.#rows.sweep();
    if (this.#atBottom) this.#scrollToBottom();
    else if (anchor) this.#restore(anchor);
    this.#afterScroll();
  }

  toNewest() {
    this.#atBottom = true;
    this.#scrollToBottom();
    this.#afterScroll();
  }

  /** @param {string | null} key */
  #move(key) {
    this.#shownKey = key;
    this.#atBottom = true;
    this.#rows = new Keyed();
    this.#newFrom = key && this.#session.unread.count(key) > 0 ? this.#session.unread.readTo(key) : null;
  }

  // What is listed.

  /** @param {Destination} to @param {string} key */
  #items(to, key) {
    const shown = this.#shown(to, key);
    const nowMs = this.#session.client.serverNow();
    /** @type {HTMLElement[]} */
    const items = [this.#renderHead(to, key, shown.length === 0)];
    let day = "";
    let newIsMarked = this.#newFrom === null;
    for (const message of shown) {
      if (dayOf(message.ms) !== day)
        items.push(this.#divider(`day:${message.key}`, "day", formatDay(message.ms, nowMs)));
      day = dayOf(message.ms);
      if (!newIsMarked && message.messageId !== null && message.messageId > (this.#newFrom ?? 0)) {
        items.push(this.#divider("new", "new", "New"));
        newIsMarked = true;
      }
      items.push(this.#row(message));
    }
    return items;
  }

  /**
   * The conversation's messages, then those on their way to it.
   *
   * @param {Destination} to
   * @param {string} key
   * @returns {Shown[]}
   */
  #shown(to, key) {
    const { realm, ownId } = this.#session;
    const known = realm.conversation(to).messages.map((message) => ({
      key: message.send_id && message.sender_id === ownId ? `send:${message.send_id}` : `message:${message.message_id}`,
      messageId: message.message_id,
      sequence: message.sequence ?? null,
      sendId: message.sender_id === ownId ? (message.send_id ?? null) : null,
      senderId: message.sender_id,
      ms: message.timestamp * 1000,
      content: message.content,
      state: /** @type {const} */ ("received"),
      fault: null,
      first: false,
    }));
    const pending = realm.pending(key).map((message) => ({
      key: `send:${message.sendId}`,
      messageId: message.messageId,
      sequence: message.sequence,
      sendId: message.sendId,
      senderId: ownId,
      ms: message.createdMs,
      content: message.content,
      state: message.state,
      fault: message.error?.message ?? null,
      first: false,
    }));
    return grouped([...known, ...pending]);
  }

  /** @param {Shown} shown */
  #row(shown) {
    const calls = {
      retry: (/** @type {string} */ id) => this.#session.realm.retry(id),
      discard: (/** @type {string} */ id) => this.#session.realm.discard(id),
    };
    const sender = this.#session.user(shown.senderId);
    const row = this.#rows.get(shown.key, () => messageRow(null, shown, sender, calls));
    return messageRow(row, shown, sender, calls);
  }

  /** @param {string} key @param {string} kind @param {string} words */
  #divider(key, kind, words) {
    const divider = this.#rows.get(key, () => h("li", { class: `divider ${kind}`, role: "separator" }, h("span", {})));
    fill(/** @type {Element} */ (divider.firstElementChild), words);
    return divider;
  }

  /**
   * What stands above the oldest message: that there is more, or that it all began there.
   *
   * @param {Destination} to
   * @param {string} key
   * @param {boolean} isEmpty
   */
  #renderHead(to, key, isEmpty) {
    const { realm } = this.#session;
    const conversation = realm.conversation(to);
    const refusal = realm.refusal(key);
    if ("topic" in to && to.topic === "")
      fill(
        this.#head,
        this.#beginning(
          `A new topic in ${this.#session.stream(to.stream_id)?.name ?? "this stream"}`,
          "Give it a name below, and say the first word.",
        ),
      );
    else if (refusal && !conversation.loaded)
      fill(this.#head, this.#beginning("These messages can't be shown", refusal.message));
    else if (!conversation.loaded)
      fill(
        this.#head,
        h("div", { class: "skeleton", "aria-label": "Loading" }, ...Array.from({ length: 5 }, () => h("span", {}))),
      );
    else if (!conversation.foundOldest)
      fill(this.#head, h("div", { class: "loading-older" }, h("span", { class: "spinner" }), "Earlier messages"));
    else
      fill(
        this.#head,
        this.#beginning(this.#title(to), isEmpty ? "Nothing here yet. Say the first word." : "This is where it began."),
      );
    return this.#head;
  }

  /** @param {Destination} to */
  #title(to) {
    return "user_ids" in to ? this.#session.directTitle(to.user_ids) : to.topic;
  }

  /** @param {string} title @param {string} words */
  #beginning(title, words) {
    return h("div", { class: "beginning" }, h("h2", {}, title), h("p", {}, words));
  }

  // Scrolling.

  #handleScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    this.#atBottom = scrollHeight - clientHeight - scrollTop < BOTTOM_PX;
    this.#afterScroll();
  }

  #afterScroll() {
    const { to, realm } = this.#session;
    if (!to || this.#shownKey === null) return;
    if (this.#scroll.scrollTop < OLDER_PX && !realm.isFetching(this.#shownKey)) realm.loadOlder(to);
    if (this.#atBottom && document.visibilityState === "visible" && this.#session.unread.read(this.#shownKey))
      this.#onRead();
    const unread = this.#session.unread.count(this.#shownKey);
    this.#toNewest.classList.toggle("shown", !this.#atBottom);
    fill(this.#newestWords, unread > 0 ? `${formatNumber(unread)} new` : "Newest");
  }

  #scrollToBottom() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  /** The first row that is seen, and where. */
  #anchor() {
    const top = this.#scroll.getBoundingClientRect().top;
    for (const row of /** @type {Iterable<HTMLElement>} */ (this.#list.children)) {
      const box = row.getBoundingClientRect();
      if (box.bottom > top && row.classList.contains("message")) return { row, top: box.top };
    }
    return null;
  }

  /** @param {{row: HTMLElement, top: number}} anchor */
  #restore({ row, top }) {
    if (row.isConnected) this.#scroll.scrollTop += row.getBoundingClientRect().top - top;
  }
}

/**
 * Marks the first of several messages by one sender within a few minutes of a day.
 * @param {Shown[]} messages
 */
function grouped(messages) {
  messages.forEach((message, index) => {
    const before = messages[index - 1];
    message.first =
      !before ||
      before.senderId !== message.senderId ||
      message.ms - before.ms > GROUP_MS ||
      dayOf(before.ms) !== dayOf(message.ms);
  });
  return messages;
}

const GROUP_MS = 5 * 60_000;
const BOTTOM_PX = 60;
const OLDER_PX = 600;
