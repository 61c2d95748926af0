import { h, setData } from "./dom.js";
import { formatAgo } from "./format.js";

/** @typedef {import("/protocol/js/presence.js").PresenceView} PresenceView */

/**
 * A dot in the colour of a user's presence.
 * @param {PresenceView} view
 */
export function presenceDot(view) {
  return updateDot(h("span", { class: "dot" }), view);
}

/**
 * @param {HTMLElement} dot
 * @param {PresenceView} view
 */
export function updateDot(dot, { status }) {
  setData(dot, { status });
  return dot;
}

/**
 * @param {PresenceView} view
 * @param {number} nowMs by the server's clock
 */
export function presenceWords({ status, lastHeardMs }, nowMs) {
  if (status === "active") return "active";
  if (status === "idle") return "idle";
  return lastHeardMs === null ? "not seen yet" : `last seen ${formatAgo(lastHeardMs, nowMs)}`;
}
