import { avatar } from "./avatar.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {import("/protocol/js/types.js").Destination} Destination */
/** @typedef {import("/protocol/js/types.js").Stream} Stream */
/** @typedef {import("./session.js").Session} Session */

/** The dialogs about streams: find one, join or leave it, make one, add people to it. */
export class StreamDialogs {
  #session;
  #open;
  #body = h("div", { class: "dialog-body" });
  #title = h("h2", { id: "dialog-title" });
  /** Draws the open dialog anew. @type {(() => void) | null} */
  #redraw = null;

  /**
   * @param {Session} session
   * @param {(to: Destination) => void} open
   */
  constructor(session, open) {
    this.#session = session;
    this.#open = open;
    const close = h(
      "button",
      {
        class: "tool",
        type: "button",
        "aria-label": "Close",
        data: { testid: "dialog-close" },
        on: { click: () => this.close() },
      },
      icon("close"),
    );
    this.element = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "dialog-title" },
      h("div", { class: "dialog-head" }, this.#title, close),
      this.#body,
    );
    this.element.addEventListener("click", (event) => event.target === this.element && this.close());
    this.element.addEventListener("close", () => (this.#redraw = null));
    session.realm.on("change", ({ what }) => what !== "conversation" && what !== "topics" && this.#redraw?.());
  }

  close() {
    this.element.close();
  }

  /** Streams to join or leave, and a new one. */
  showBrowse() {
    const list = h("ul", { class: "browse" });
    const create = h(
      "button",
      {
        class: "button primary wide",
        type: "button",
        data: { testid: "create-stream" },
        on: { click: () => this.#showCreate() },
      },
      icon("plus"),
      "New stream",
    );
    const redraw = () => {
      const streams = [...this.#session.realm.streams.values()].sort((a, b) => a.name.localeCompare(b.name));
      fill(
        list,
        streams.map((stream) => this.#browseRow(stream)),
      );
    };
    this.#show("Streams", redraw, list, create);
  }

  /** @param {number} streamId */
  async showInvite(streamId) {
    // Without the list all are offered: adding a member again changes nothing.
    const members = await this.#session.api.members(streamId).catch(() => []);
    const fault = h("p", { class: "fault", role: "alert" });
    const choice = new PeopleChoice(this.#session, members);
    const add = h("button", { class: "button primary wide", type: "button", data: { testid: "invite-submit" } }, "Add");
    const run = async () => {
      if (choice.userIds.length === 0) return;
      await this.#session.client.subscribe(streamId, { userIds: choice.userIds });
      this.close();
    };
    add.addEventListener("click", () => this.#attempt(add, fault, run));
    this.#show(
      `Add people to ${this.#session.stream(streamId)?.name ?? "the stream"}`,
      null,
      choice.element,
      fault,
      add,
    );
  }

  /** @param {number} streamId */
  leave(streamId) {
    const stream = this.#session.stream(streamId);
    const fault = h("p", { class: "fault", role: "alert" });
    const leave = h(
      "button",
      { class: "button danger wide", type: "button", data: { testid: "leave-confirm" } },
      "Leave",
    );
    const run = async () => {
      await this.#session.client.unsubscribe(streamId);
      this.close();
    };
    leave.addEventListener("click", () => this.#attempt(leave, fault, run));
    const words = stream?.invite_only
      ? "Its messages are no longer shown to you, and only a member can let you in again."
      : "You can join again at any time.";
    this.#show(`Leave ${stream?.name ?? "this stream"}?`, null, h("p", {}, words), fault, leave);
  }

  #showCreate() {
    const name = h("input", {
      type: "text",
      required: true,
      maxlength: "60",
      autocomplete: "off",
      data: { testid: "stream-name" },
    });
    const description = h("input", { type: "text", autocomplete: "off", data: { testid: "stream-description" } });
    const inviteOnly = h("input", { type: "checkbox", data: { testid: "stream-invite-only" } });
    const choice = new PeopleChoice(this.#session, []);
    const fault = h("p", { class: "fault", role: "alert" });
    const create = h(
      "button",
      { class: "button primary wide", type: "submit", data: { testid: "stream-submit" } },
      "Create",
    );
    const run = async () => {
      const userEmails = choice.userIds.map((userId) => this.#session.user(userId).email);
      const options = {
        name: name.value.trim(),
        description: description.value.trim(),
        inviteOnly: inviteOnly.checked,
        userEmails,
      };
      await this.#session.api.createStream(options);
      this.close();
      this.#openWhenKnown(options.name);
    };
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#attempt(create, fault, run);
    };
    this.#show(
      "New stream",
      null,
      h(
        "form",
        { class: "stack", on: { submit } },
        h("label", {}, "Name", name),
        h("label", {}, "What is it for?", description),
        h(
          "label",
          { class: "check" },
          inviteOnly,
          h("span", {}, icon("lock"), "Invite only: nobody else sees it or its messages"),
        ),
        h("fieldset", {}, h("legend", {}, "Members"), choice.element),
        fault,
        create,
      ),
    );
    name.focus();
  }

  /** @param {Stream} stream */
  #browseRow(stream) {
    const isMember = this.#session.realm.subscriptions.has(stream.stream_id);
    const { client } = this.#session;
    const fault = h("span", { class: "fault", role: "alert" });
    const button = h(
      "button",
      {
        class: isMember ? "button quiet" : "button primary",
        type: "button",
        data: { testid: `${isMember ? "leave" : "join"}-${stream.name}` },
      },
      isMember ? "Leave" : "Join",
    );
    const run = () => (isMember ? client.unsubscribe(stream.stream_id) : client.subscribe(stream.stream_id));
    button.addEventListener("click", () => this.#attempt(button, fault, run));
    const label = `Add people to ${stream.name}`;
    const invite = h(
      "button",
      {
        class: "tool",
        type: "button",
        "aria-label": label,
        title: label,
        data: { testid: `invite-${stream.name}` },
        on: { click: () => this.showInvite(stream.stream_id) },
      },
      icon("invite"),
    );
    return h(
      "li",
      {},
      icon(stream.invite_only ? "lock" : "hash"),
      h("span", { class: "browse-text" }, h("strong", {}, stream.name), h("span", {}, stream.description), fault),
      isMember ? invite : null,
      button,
    );
  }

  /**
   * @param {string} title
   * @param {(() => void) | null} redraw brings it up to date when the realm changes
   * @param {...import("./dom.js").Child} children
   */
  #show(title, redraw, ...children) {
    this.#redraw = redraw;
    fill(this.#title, title);
    fill(this.#body, ...children);
    redraw?.();
    if (!this.element.open) this.element.showModal();
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {HTMLElement} fault
   * @param {() => Promise<unknown>} run
   */
  async #attempt(button, fault, run) {
    button.disabled = true;
    fault.textContent = "";
    try {
      await run();
    } catch (error) {
      fault.textContent = /** @type {Error} */ (error).message;
    } finally {
      button.disabled = false;
    }
  }

  /** The stream's id comes with its event. @param {string} name */
  #openWhenKnown(name) {
    const { realm } = this.#session;
    const find = () => [...realm.subscriptions.values()].find((stream) => stream.name === name);
    const known = find();
    if (known) return this.#open({ stream_id: known.stream_id, topic: "" });
    const off = realm.on("change", () => {
      const stream = find();
      if (!stream) return;
      off();
      this.#open({ stream_id: stream.stream_id, topic: "" });
    });
  }
}

/** A list of people with a box each. */
class PeopleChoice {
  /** @type {Map<number, HTMLInputElement>} */
  #boxes;

  /**
   * @param {Session} session
   * @param {number[]} without not offered; nor is the user itself
   */
  constructor(session, without) {
    const offered = [...session.realm.users.values()].filter(
      ({ user_id, is_active }) => is_active && user_id !== session.ownId && !without.includes(user_id),
    );
    this.#boxes = new Map(
      offered.map((user) => [
        user.user_id,
        h("input", { type: "checkbox", data: { testid: `choose-${session.slug(user)}` } }),
      ]),
    );
    const rows = offered.map((user) =>
      h(
        "li",
        {},
        h("label", { class: "check" }, this.#boxes.get(user.user_id), avatar(user), h("span", {}, user.full_name)),
      ),
    );
    this.element = h(
      "ul",
      { class: "choice" },
      rows.length > 0 ? rows : h("li", { class: "hint" }, "Everybody is in it already."),
    );
  }

  /** Those whose boxes are ticked. */
  get userIds() {
    return [...this.#boxes].filter(([, box]) => box.checked).map(([userId]) => userId);
  }
}
