/** @typedef {import("./types.js").Destination} Destination */

/**
 * Half a surrogate pair is no text for the server, which would end the connection over it.
 * @param {string} text
 */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}

/**
 * @param {Destination} to
 * @returns {Destination}
 */
export function wellFormedDestination(to) {
  return "user_ids" in to ? { user_ids: to.user_ids } : { stream_id: to.stream_id, topic: wellFormed(to.topic) };
}
