import { avatar } from "./avatar.js";
import { fill, h, Keyed, setData } from "./dom.js";
import { presenceDot, presenceWords, updateDot } from "./presence_dot.js";

/** @typedef {import("/protocol/js/types.js").Destination} Destination */
/** @typedef {import("/protocol/js/types.js").User} User */
/** @typedef {import("./session.js").Session} Session */

/** Everybody of the realm, those who are there first. A click begins a direct conversation. */
export class People {
  #session;
  #open;
  #list = h("ul", { class: "people" });
  #count = h("span", { class: "section-count" });
  /** @type {Keyed<HTMLElement>} */
  #rows = new Keyed();

  /**
   * @param {Session} session
   * @param {{open: (to: Destination) => void}} options
   */
  constructor(session, { open }) {
    this.#session = session;
    this.#open = open;
    this.element = h(
      "section",
      { class: "people-panel" },
      h("div", { class: "section-head" }, h("h2", {}, "People"), this.#count),
      this.#list,
    );
  }

  render() {
    const { realm, client } = this.#session;
    const nowMs = client.serverNow();
    const people = [...realm.users.values()]
      .filter((user) => user.is_active)
      .map((user) => ({ user, view: client.presenceOf(user.user_id) }));
    people.sort(
      (a, b) => RANK[a.view.status] - RANK[b.view.status] || a.user.full_name.localeCompare(b.user.full_name),
    );
    const there = people.filter(({ view }) => view.status === "active" || view.status === "idle").length;
    fill(this.#count, people.length > 0 ? `${there} of ${people.length} here` : null);
    fill(
      this.#list,
      people.map(({ user, view }) => this.#person(user, view, nowMs)),
    );
    this.#rows.sweep();
  }

  /**
   * @param {User} user
   * @param {import("/protocol/js/presence.js").PresenceView} view
   * @param {number} nowMs
   */
  #person(user, view, nowMs) {
    const item = this.#rows.get(`${user.user_id}:${user.full_name}`, () => this.#make(user, view));
    const button = /** @type {HTMLElement} */ (item.firstElementChild);
    setData(button, { status: view.status });
    updateDot(/** @type {HTMLElement} */ (button.querySelector(".dot")), view);
    const words = user.is_bot ? "bot" : presenceWords(view, nowMs);
    const place = /** @type {HTMLElement} */ (button.querySelector(".person-words"));
    if (place.textContent !== words) place.textContent = words;
    return item;
  }

  /**
   * @param {User} user
   * @param {import("/protocol/js/presence.js").PresenceView} view
   */
  #make(user, view) {
    const isOwn = user.user_id === this.#session.ownId;
    return h(
      "li",
      {},
      h(
        "button",
        {
          class: "row person",
          type: "button",
          title: user.email,
          data: { testid: `person-${this.#session.slug(user)}`, userId: user.user_id },
          on: { click: () => this.#open({ user_ids: [user.user_id] }) },
        },
        avatar(user, { presence: presenceDot(view) }),
        h(
          "span",
          { class: "person-text" },
          h("span", { class: "person-name" }, user.full_name, isOwn ? h("span", { class: "you" }, "you") : null),
          h("span", { class: "person-words" }),
        ),
      ),
    );
  }
}

const RANK = { active: 0, idle: 1, offline: 2, unknown: 3 };
