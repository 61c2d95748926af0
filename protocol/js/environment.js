/**
 * What the client takes from its surroundings; tests give their own.
 *
 * @typedef {object} Environment
 * @property {new (url: string, subprotocols: string[]) => SocketLike} WebSocket
 * @property {(call: () => void, delayMs: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} now milliseconds since the Unix epoch, by this machine's clock
 * @property {() => number} random at least 0, below 1
 * @property {(bytes: Uint8Array) => Uint8Array} randomBytes fills it
 * @property {typeof globalThis.fetch} fetch
 * @property {EventTarget | null} network tells `online`
 * @property {(EventTarget & {visibilityState?: string}) | null} page tells `visibilitychange`
 *
 * @typedef {object} SocketLike the part of a WebSocket that is used
 * @property {string} binaryType
 * @property {string} [protocol] the subprotocol that the server took, once open
 * @property {((event: any) => void) | null} onopen
 * @property {((event: {data: any}) => void) | null} onmessage
 * @property {((event: {code: number, reason: string}) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(data: any) => void} send
 * @property {(code?: number, reason?: string) => void} close
 */

/**
 * The surroundings as they are, but for what `given` names. Node before 22 has no WebSocket of its own:
 * give that of the package `ws`.
 *
 * @param {Partial<Environment>} given
 * @returns {Environment}
 */
export function environment(given = {}) {
  const host = /** @type {any} */ (globalThis);
  const found = {
    WebSocket: host.WebSocket,
    setTimeout: (/** @type {() => void} */ call, /** @type {number} */ delayMs) => host.setTimeout(call, delayMs),
    clearTimeout: (/** @type {any} */ timer) => host.clearTimeout(timer),
    now: () => Date.now(),
    random: () => Math.random(),
    randomBytes: (/** @type {Uint8Array} */ bytes) => host.crypto.getRandomValues(bytes),
    fetch: (/** @type {any} */ input, /** @type {any} */ init) => host.fetch(input, init),
    network: typeof host.window?.addEventListener === "function" ? host.window : null,
    page: typeof host.document?.addEventListener === "function" ? host.document : null,
    ...given,
  };
  if (!found.WebSocket) throw new TypeError("no WebSocket here: pass one in options.environment.WebSocket");
  return found;
}
