import { Api } from "/protocol/js/api.js";
import { avatar } from "./avatar.js";
import { fill, h } from "./dom.js";
import { logo } from "./icons.js";

/**
 * Who uses this page. `name` is what the address calls the user.
 * @typedef {{name: string, email: string, key: string, full_name: string}} Account
 */

/** The first screen: the demo's users to choose from or, where there are none, a form. */
export class SignIn {
  #root;
  #onAccount;
  /** @type {Promise<Account[] | null> | null} */
  #demoUsers = null;

  /**
   * @param {HTMLElement} root
   * @param {(account: Account) => void} onAccount
   */
  constructor(root, onAccount) {
    this.#root = root;
    this.#onAccount = onAccount;
  }

  /**
   * The account that the address names, if it is known here.
   * @param {string | null} name
   */
  async account(name) {
    if (name === null) return null;
    const users = await this.#users();
    return users?.find((user) => user.name === name) ?? remembered(name);
  }

  async show() {
    document.title = "Squall";
    const users = await this.#users();
    fill(this.#root, h("main", { class: "welcome" }, users ? this.#cards(users) : this.#form()));
  }

  /** Back to the first screen. */
  leave() {
    sessionStorage.removeItem(STORED);
    location.hash = "";
  }

  /** @returns {Promise<Account[] | null>} null where the server has no demo */
  #users() {
    this.#demoUsers ??= fetch("/demo/users.json", { cache: "no-store" })
      .then((response) => (response.ok ? response.json() : null))
      .catch(() => {
        this.#demoUsers = null; // the server is away: ask again the next time
        return null;
      });
    return this.#demoUsers;
  }

  /** @param {Account[]} users */
  #cards(users) {
    return [
      this.#head(
        "Who would you like to be?",
        "Open a second window as somebody else, side by side, and talk to yourself.",
      ),
      h(
        "ul",
        { class: "cards" },
        users.map((user, index) => h("li", {}, this.#card(user, index))),
      ),
      h("p", { class: "welcome-foot" }, "A demonstration realm on this machine. Nothing you write leaves it."),
    ];
  }

  /** @param {Account} user @param {number} index */
  #card(user, index) {
    return h(
      "button",
      {
        class: "card",
        type: "button",
        data: { testid: `user-card-${user.name}` },
        on: { click: () => this.#onAccount(user) },
      },
      avatar({ user_id: index + 1, full_name: user.full_name }, { large: true }),
      h(
        "span",
        { class: "card-text" },
        h("span", { class: "card-name" }, user.full_name),
        h("span", { class: "card-email" }, user.email),
      ),
    );
  }

  #form() {
    const email = h("input", {
      type: "email",
      name: "email",
      required: true,
      autocomplete: "username",
      data: { testid: "sign-in-email" },
    });
    const key = h("input", {
      type: "password",
      name: "key",
      required: true,
      autocomplete: "current-password",
      data: { testid: "sign-in-key" },
    });
    const fault = h("p", { class: "fault", role: "alert" });
    const submit = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      fault.textContent = "";
      try {
        this.#onAccount(await signIn(email.value.trim(), key.value.trim()));
      } catch (error) {
        fault.textContent = /** @type {Error} */ (error).message;
      }
    };
    return [
      this.#head("Sign in", "With the e-mail address and API key of your account."),
      h(
        "form",
        { class: "sign-in", on: { submit } },
        h("label", {}, "E-mail", email),
        h("label", {}, "API key", key),
        fault,
        h("button", { class: "button primary", type: "submit", data: { testid: "sign-in-submit" } }, "Sign in"),
      ),
    ];
  }

  /** @param {string} title @param {string} words */
  #head(title, words) {
    return [
      h("div", { class: "brand-line" }, logo(), h("span", { class: "brand-name" }, "Squall")),
      h("h1", {}, title),
      h("p", { class: "lead" }, words),
    ];
  }
}

/**
 * @param {string} email
 * @param {string} key
 * @returns {Promise<Account>}
 */
async function signIn(email, key) {
  const { full_name } = await new Api({ base: "/api/v1", email, key }).me();
  const account = { name: email, email, key, full_name };
  sessionStorage.setItem(STORED, JSON.stringify(account));
  return account;
}

/**
 * Who signed in in this tab: for a page that is loaded again.
 * @param {string} name
 * @returns {Account | null}
 */
function remembered(name) {
  try {
    const account = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    return account?.name === name ? account : null;
  } catch {
    return null;
  }
}

const STORED = "squall-account";
