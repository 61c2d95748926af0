/** @typedef {import("./errors.js").ClosedError} ClosedError */
/** @typedef {import("./presence.js").Presence} Presence */
/** @typedef {import("./types.js").Position} Position */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Welcome} Welcome */

/**
 * `new` until `connect`, `connecting` from opening a socket to its `welcome`, `open`, `waiting` before the
 * next attempt, `closed` for good (until `connect` is called again).
 * @typedef {"new" | "connecting" | "open" | "waiting" | "closed"} State
 */

/**
 * `bincode` says the same in about a fifth of the bytes, where the server knows it; else JSON is spoken.
 * @typedef {"json" | "bincode"} CodecName
 */

/**
 * Where a client keeps its position beyond its own life. A bot that must not miss a message while it is
 * down keeps it in a file.
 * @typedef {object} PositionStore
 * @property {() => Position | null | undefined} load
 * @property {(position: Position) => void} save called after each event was given to all listeners
 */

/**
 * @typedef {object} Options
 * @property {string} url of the gateway's WebSocket: `wss://chat.example/ws`
 * @property {string} token the user's API key
 * @property {CodecName | import("./types.js").Codec} [codec] the wanted one; `json` if not given
 * @property {Status} [presence] at the start; `active` if not given
 * @property {import("./types.js").Scope} [scope] whose presence to be told; `realm` if not given
 * @property {PositionStore} [positionStore]
 * @property {Partial<import("./environment.js").Environment>} [environment]
 */

/**
 * What a client tells, by kind.
 * @typedef {object} ClientEvents
 * @property {{state: State, retryMs: number | null, error: ClosedError | null}} state it changed;
 *   `retryMs` until the next attempt, while waiting; `error` why it is closed
 * @property {{welcome: Welcome, fresh: boolean}} welcome a session is open; `fresh`: it begins at the head,
 *   so state must be fetched
 * @property {import("./types.js").ResetMessage} reset the past can't be continued: fetch state anew
 * @property {{sequence: number, mark: number, event: import("./types.js").RealmEvent, position: Position}} event
 * @property {{message: import("./types.js").MessageEvent, sequence: number, own: boolean}} message an event
 *   of kind `message`; `own`: this user sent it, from here or from another device
 * @property {{position: Position}} position it moved
 * @property {Presence} presence something about it changed
 * @property {{key: string, users: number[]}} typing who types in the conversation of that key
 * @property {{pingMs: number | null, ackMs: number | null}} latency of the last ping, of the last send
 * @property {{error: Error}} warning the server said something odd; the connection goes on
 */

export {};
