/** @typedef {import("./types.js").Destination} Destination */

/**
 * A text that names a conversation: the same for a stream's topic, or for a set of users however they
 * are listed and whether or not `ownId` is among them.
 *
 * @param {Destination} to
 * @param {number} ownId the user of this client
 * @returns {string}
 */
export function conversationKey(to, ownId) {
  return "user_ids" in to
    ? `direct:${directUsers(to.user_ids, ownId).join(",")}`
    : `stream:${to.stream_id}:${to.topic}`;
}

/**
 * All users of a direct conversation, ascending, each once, `ownId` among them.
 *
 * @param {number[]} userIds
 * @param {number} ownId
 */
export function directUsers(userIds, ownId) {
  return [...new Set([...userIds, ownId])].sort((a, b) => a - b);
}

/**
 * `to` with every user of a direct conversation named.
 *
 * @param {Destination} to
 * @param {number} ownId
 * @returns {Destination}
 */
export function wholeDestination(to, ownId) {
  return "user_ids" in to
    ? { user_ids: directUsers(to.user_ids, ownId) }
    : { stream_id: to.stream_id, topic: to.topic };
}
