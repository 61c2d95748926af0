import { fill, h, setData } from "./dom.js";
import { formatNumber } from "./format.js";
import { icon } from "./icons.js";

/** @typedef {import("/protocol/js/types.js").Destination} Destination */
/** @typedef {import("./session.js").Session} Session */

/** Where one writes. Enter sends, Shift and Enter begin a line. */
export class Composer {
  #session;
  #options;
  #typing = h("div", { class: "typing", "aria-live": "polite", data: { testid: "typing" } });
  #to = h("span", { class: "composer-stream" });
  #topic;
  #topicLine;
  #text;
  #send;
  #count = h("span", { class: "count" });
  #form;
  #join;
  /** What was begun and not sent, by conversation. @type {Map<string, string>} */
  #drafts = new Map();
  /** @type {string | null} */
  #key = null;

  /**
   * @param {Session} session
   * @param {{open: (to: Destination) => void, onSent: () => void}} options
   */
  constructor(session, options) {
    this.#session = session;
    this.#options = options;
    this.#topic = h("input", {
      class: "topic-input",
      type: "text",
      maxlength: "60",
      placeholder: "topic",
      "aria-label": "Topic",
      autocomplete: "off",
      data: { testid: "topic-input" },
    });
    this.#topicLine = h("div", { class: "topic-line" }, this.#to, icon("chevron"), this.#topic);
    this.#text = h("textarea", {
      rows: "1",
      "aria-label": "Message",
      enterkeyhint: "send",
      data: { testid: "composer" },
    });
    this.#send = h(
      "button",
      { class: "send", type: "submit", "aria-label": "Send", data: { testid: "send" } },
      icon("send"),
    );
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#submit();
    };
    this.#form = h(
      "form",
      { class: "composer-box", on: { submit } },
      this.#topicLine,
      h("div", { class: "text-line" }, this.#text, this.#count, this.#send),
    );
    this.#join = h(
      "div",
      { class: "join-bar" },
      h("span", {}, "You are not a member of this stream."),
      h(
        "button",
        {
          class: "button primary",
          type: "button",
          data: { testid: "join-here" },
          on: { click: () => this.#joinHere() },
        },
        "Join",
      ),
    );
    this.element = h("footer", { class: "composer" }, this.#typing, this.#form, this.#join);
    this.#text.addEventListener("input", () => this.#handleInput());
    this.#text.addEventListener("keydown", (event) => this.#handleKey(event));
    this.#topic.addEventListener("keydown", (event) => this.#handleTopicKey(event));
  }

  /** Another conversation was opened: its own draft, its topic. */
  handleMove() {
    if (this.#key !== null) this.#drafts.set(this.#key, this.#text.value);
    this.#session.client.stopTyping();
    const { to } = this.#session;
    this.#key = to ? this.#session.key(to) : null;
    this.#text.value = this.#drafts.get(this.#key ?? "") ?? "";
    this.#topic.value = to && "topic" in to ? to.topic : "";
    this.#grow();
    this.render();
  }

  /** @param {number} streamId */
  newTopic(streamId) {
    this.#options.open({ stream_id: streamId, topic: "" });
    this.#topic.focus();
  }

  focus() {
    // On a phone the keyboard would cover what one came to read.
    if (!matchMedia("(pointer: coarse)").matches) (this.#needsTopic() ? this.#topic : this.#text).focus();
  }

  render() {
    const { to } = this.#session;
    if (to && this.#key === null && this.#session.ownId >= 0) this.handleMove();
    const isReady = this.#session.realm.status === "ready" || this.#session.realm.users.size > 0;
    const isMember = !to || !isReady || this.#session.isMember(to);
    this.#form.hidden = !to || !isMember;
    this.#join.hidden = isMember;
    this.#topicLine.hidden = !to || "user_ids" in to;
    if (to && "stream_id" in to) {
      const stream = this.#session.stream(to.stream_id);
      fill(this.#to, icon(stream?.invite_only ? "lock" : "hash"), stream?.name ?? "");
    }
    this.#text.placeholder = to ? this.#placeholder(to) : "";
    this.#renderCount();
    this.renderTyping();
  }

  renderTyping() {
    const { to, client } = this.#session;
    const names =
      to && this.#session.ownId >= 0
        ? client.typists(this.#session.key(to)).map((userId) => this.#session.user(userId).full_name)
        : [];
    setData(this.#typing, { count: names.length });
    if (names.length === 0) return fill(this.#typing);
    const words =
      names.length > 3 ? "Several people are typing" : `${list(names)} ${names.length > 1 ? "are" : "is"} typing`;
    fill(this.#typing, h("span", { class: "typing-dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), words);
  }

  /** @param {Destination} to */
  #placeholder(to) {
    if ("user_ids" in to) return `Message ${this.#session.directTitle(to.user_ids)}`;
    return to.topic ? `Message ${to.topic}` : "Message";
  }

  #renderCount() {
    const max = this.#session.client.welcome?.content_chars_max ?? CONTENT_CHARS_MAX;
    const left = max - [...this.#text.value].length;
    fill(this.#count, left < COUNT_FROM ? formatNumber(left) : null);
    this.#count.classList.toggle("over", left < 0);
    this.#send.disabled = left < 0 || this.#text.value.trim() === "";
  }

  // Writing.

  #handleInput() {
    this.#grow();
    this.#renderCount();
    const to = this.#destination();
    if (to && this.#text.value.trim() !== "") this.#session.client.typing(to);
    else this.#session.client.stopTyping();
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#submit();
  }

  /** @param {KeyboardEvent} event */
  #handleTopicKey(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    this.#text.focus();
  }

  #submit() {
    if (this.#needsTopic()) return this.#topic.focus();
    const to = this.#destination();
    const content = this.#text.value.trimEnd();
    if (!to || content.trim() === "" || this.#send.disabled) return;
    this.#text.value = "";
    this.#drafts.delete(this.#key ?? "");
    this.#grow();
    this.#session.realm.send(to, content);
    if (this.#session.key(to) !== this.#key) this.#options.open(to);
    this.#renderCount();
    this.#options.onSent();
  }

  /** Where the message would go: the topic may have been changed. @returns {Destination | null} */
  #destination() {
    const { to } = this.#session;
    if (!to || "user_ids" in to) return to;
    const topic = this.#topic.value.trim();
    return topic ? { stream_id: to.stream_id, topic } : null;
  }

  #needsTopic() {
    const { to } = this.#session;
    return to !== null && "topic" in to && this.#topic.value.trim() === "";
  }

  #grow() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight, innerHeight * 0.4)}px`;
  }

  #joinHere() {
    const { to, client } = this.#session;
    if (to && "stream_id" in to) client.subscribe(to.stream_id).catch(() => {}); // the bar stays
  }
}

/** @param {string[]} names */
function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

const CONTENT_CHARS_MAX = 10_000;
const COUNT_FROM = 500;
