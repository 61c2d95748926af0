import { avatar } from "./avatar.js";
import { fill, h, setData } from "./dom.js";
import { formatMoment, formatTime } from "./format.js";
import { icon } from "./icons.js";
import { linkPieces } from "./linkify.js";

/** @typedef {import("/protocol/js/types.js").User} User */

/**
 * A message as it is shown: one of the conversation, or one on its way there.
 *
 * @typedef {object} Shown
 * @property {string} key stays from the local echo to the message itself
 * @property {number | null} messageId
 * @property {number | null} sequence
 * @property {string | null} sendId of this page's own
 * @property {number} senderId
 * @property {number} ms when, by the server's clock
 * @property {string} content
 * @property {"received" | "sending" | "stored" | "failed"} state
 * @property {string | null} fault why it failed
 * @property {boolean} first of several by one sender in a row
 */

/** What each row shows: one that shows it already is left alone. @type {WeakMap<HTMLElement, string>} */
const signatures = new WeakMap();

/**
 * Makes the row of a message, or brings it up to date.
 *
 * @param {HTMLElement | null} known
 * @param {Shown} shown
 * @param {User} sender
 * @param {{retry: (sendId: string) => void, discard: (sendId: string) => void}} calls
 */
export function messageRow(known, shown, sender, calls) {
  const row = known ?? h("li", { class: "message", data: { testid: "message" } });
  const signature = [shown.messageId, shown.sequence, shown.state, shown.fault, shown.first, sender.full_name].join(
    "|",
  );
  if (signatures.get(row) === signature) return row;
  signatures.set(row, signature);
  setData(row, {
    messageId: shown.messageId,
    sequence: shown.sequence,
    sendId: shown.sendId,
    senderId: shown.senderId,
    state: shown.state,
  });
  row.classList.toggle("first", shown.first);
  const time = h(
    "time",
    { datetime: new Date(shown.ms).toISOString(), title: formatMoment(shown.ms) },
    formatTime(shown.ms),
  );
  fill(
    row,
    h("div", { class: "gutter" }, shown.first ? avatar(sender) : time),
    h(
      "div",
      { class: "body" },
      shown.first
        ? h(
            "div",
            { class: "by" },
            h("span", { class: "sender" }, sender.full_name),
            sender.is_bot ? h("span", { class: "tag" }, "bot") : null,
            time,
          )
        : null,
      h("div", { class: "content", data: { testid: "content" } }, content(shown.content)),
      shown.state === "failed" ? failure(shown, calls) : null,
    ),
    mark(shown),
  );
  return row;
}

/** @param {string} text */
function content(text) {
  return linkPieces(text).map((piece) =>
    piece.href
      ? h("a", { href: piece.href, target: "_blank", rel: "noopener noreferrer nofollow" }, piece.text)
      : piece.text,
  );
}

/** @param {Shown} shown */
function mark({ state }) {
  if (state === "received") return null;
  const words = { sending: "Sending", stored: "Sent", failed: "Not sent" }[state];
  const name = /** @type {const} */ ({ sending: "clock", stored: "check", failed: "alert" })[state];
  return h("span", { class: "mark", title: words, role: "img", "aria-label": words }, icon(name));
}

/**
 * @param {Shown} shown
 * @param {{retry: (sendId: string) => void, discard: (sendId: string) => void}} calls
 */
function failure({ sendId, fault }, { retry, discard }) {
  const button = (
    /** @type {string} */ words,
    /** @type {string} */ testid,
    /** @type {(sendId: string) => void} */ call,
  ) =>
    h(
      "button",
      { class: "link", type: "button", data: { testid }, on: { click: () => sendId && call(sendId) } },
      words,
    );
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("span", { data: { testid: "failure" } }, `Not sent: ${fault}`),
    button("Try again", "retry", retry),
    button("Discard", "discard", discard),
  );
}
