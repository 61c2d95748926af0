/** @typedef {import("/protocol/js/client_types.js").CodecName} CodecName */
/** @typedef {import("/protocol/js/types.js").Destination} Destination */

/**
 * What the address says: `#user=ada&stream=1&topic=lunch`, `#user=ada&direct=3,5&codec=bincode`.
 * An address without a codec leaves it as it is.
 * @typedef {{user: string | null, to: Destination | null, codec: CodecName | null}} Route
 */

/**
 * @param {string} hash
 * @returns {Route}
 */
export function parseRoute(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const codec = fields.get("codec");
  return {
    user: fields.get("user"),
    to: destination(fields),
    codec: codec === "json" || codec === "bincode" ? codec : null,
  };
}

/**
 * @param {Route} route
 * @returns {string}
 */
export function formatRoute({ user, to, codec }) {
  const fields = new URLSearchParams();
  if (user !== null) fields.set("user", user);
  if (to && "user_ids" in to) fields.set("direct", to.user_ids.join(","));
  else if (to) {
    fields.set("stream", String(to.stream_id));
    fields.set("topic", to.topic);
  }
  if (codec !== null) fields.set("codec", codec);
  return `#${fields}`;
}

/**
 * @param {URLSearchParams} fields
 * @returns {Destination | null}
 */
function destination(fields) {
  const direct = fields.get("direct");
  if (direct !== null) {
    const userIds = direct.split(",").map(Number);
    return userIds.every(isId) ? { user_ids: userIds } : null;
  }
  const streamId = Number(fields.get("stream"));
  return isId(streamId) ? { stream_id: streamId, topic: fields.get("topic") ?? "" } : null;
}

/** @param {number} value */
const isId = (value) => Number.isSafeInteger(value) && value > 0;
