import { h } from "./dom.js";

/** @typedef {import("/protocol/js/types.js").User} User */

/**
 * A user's picture: initials on a colour of its own.
 *
 * @param {{user_id: number, full_name: string}} user
 * @param {{large?: boolean, presence?: HTMLElement | null}} [options]
 */
export function avatar({ user_id, full_name }, { large = false, presence = null } = {}) {
  const classes = ["avatar", `tint-${user_id % TINTS}`, large ? "avatar-large" : ""];
  return h("span", { class: classes.filter(Boolean).join(" "), "aria-hidden": "true" }, initials(full_name), presence);
}

/** @param {string} name */
function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0].toUpperCase()).join("") || "?";
}

const TINTS = 8;
