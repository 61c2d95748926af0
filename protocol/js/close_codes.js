/**
 * What a client does after a close:
 * `resume`: reconnect at once, with jitter; `delay`: reconnect after a longer delay;
 * `resync`: as `resume`, a reset may follow; `never`: not before something was mended.
 *
 * @typedef {"resume" | "delay" | "resync" | "never"} Reconnect
 * @typedef {{code: number, reason: string, reconnect: Reconnect}} CloseCode
 */

/**
 * The table of SPEC.md, section 8.
 * @type {readonly CloseCode[]}
 */
export const CLOSE_CODES = Object.freeze([
  { code: 1000, reason: "normal", reconnect: "never" },
  { code: 1002, reason: "not the WebSocket protocol", reconnect: "never" },
  { code: 1003, reason: "a frame of the other subprotocol's kind", reconnect: "never" },
  { code: 1007, reason: "text that is not UTF-8", reconnect: "never" },
  { code: 1009, reason: "message too big", reconnect: "never" },
  { code: 4000, reason: "going away", reconnect: "resume" },
  { code: 4001, reason: "heartbeat time-out", reconnect: "resume" },
  { code: 4100, reason: "unavailable, try later", reconnect: "delay" },
  { code: 4101, reason: "no hello in time", reconnect: "delay" },
  { code: 4102, reason: "too many sessions of this user", reconnect: "delay" },
  { code: 4200, reason: "reading too slowly", reconnect: "resync" },
  { code: 4400, reason: "malformed message", reconnect: "never" },
  { code: 4401, reason: "unknown token", reconnect: "never" },
  { code: 4402, reason: "hello is the first message, once", reconnect: "never" },
  { code: 4403, reason: "credential withdrawn", reconnect: "never" },
]);

/** @type {ReadonlyMap<number, CloseCode>} */
const BY_CODE = new Map(CLOSE_CODES.map((row) => [row.code, row]));

/**
 * What to do after a connection ended with `code`. A code of the 4000s that is not in the table goes by
 * its hundred; any other unknown code (a lost line, a proxy's) is one to resume.
 *
 * @param {number} code
 * @returns {Reconnect}
 */
export function reconnectAfter(code) {
  const row = BY_CODE.get(code);
  if (row) return row.reconnect;
  if (code >= 4100 && code < 4200) return "delay";
  if (code >= 4200 && code < 4300) return "resync";
  if (code >= 4400 && code < 4500) return "never";
  return "resume";
}

/**
 * The words for `code`, for people.
 * @param {number} code
 */
export function closeReason(code) {
  return BY_CODE.get(code)?.reason ?? "the connection was lost";
}
