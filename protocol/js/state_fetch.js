import { ApiError } from "./errors.js";

/** @typedef {import("./environment.js").Environment} Environment */
/** @typedef {import("./types.js").Position} Position */

/**
 * Fetches a part of the state until the answer is of the log's present life and not older than `floor`.
 * Answers that fail for now are tried again without end: only `signal` or a final refusal ends it.
 *
 * @template {{as_of: Position}} Answer
 * @param {(signal: AbortSignal) => Promise<Answer>} request
 * @param {object} options
 * @param {Position} options.floor
 * @param {Environment} options.environment
 * @param {AbortSignal} options.signal
 * @param {() => void} options.onForeignEpoch the log was set back: connect anew
 * @returns {Promise<Answer>} rejects with ApiError, or with the signal's reason
 */
export async function fetchState(request, { floor, environment, signal, onForeignEpoch }) {
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted();
    let waitMs = environment.random() * Math.min(WAIT_MS_MAX, WAIT_MS_FIRST * 2 ** Math.min(failures, DOUBLINGS_MAX));
    try {
      const answer = await request(signal);
      signal.throwIfAborted();
      if (answer.as_of.epoch !== floor.epoch) onForeignEpoch();
      else if (answer.as_of.sequence >= floor.sequence) return answer;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ApiError) || !error.retryable) throw error;
      waitMs = Math.max(waitMs, error.retryAfterMs ?? 0);
    }
    await sleep(waitMs, environment, signal);
  }
}

/**
 * @param {number} delayMs
 * @param {Environment} environment
 * @param {AbortSignal} signal
 * @returns {Promise<void>} rejects with the signal's reason
 */
export function sleep(delayMs, environment, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = () => {
      environment.clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = environment.setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

const WAIT_MS_FIRST = 200;
const WAIT_MS_MAX = 20_000;
const DOUBLINGS_MAX = 10;
