import { UnsendableError } from "./errors.js";

/** Writes what bincode 2 reads in its standard configuration. What has no form there throws UnsendableError. */
export class ByteWriter {
  #bytes = new Uint8Array(START_BYTES);
  #at = 0;

  /** @param {unknown} value a whole number from 0 below 2^53 */
  number(value) {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
      throw new UnsendableError(`${String(value)} is no whole number from 0 below 2^53`);
    if (value < 251) this.#byte(value);
    else if (value < 2 ** 16) this.#tagged(251, 2, value);
    else if (value < 2 ** 32) this.#tagged(252, 4, value);
    else this.#tagged(253, 8, value);
  }

  /** @param {unknown} value */
  flag(value) {
    if (typeof value !== "boolean") throw new UnsendableError(`${String(value)} is no truth value`);
    this.#byte(Number(value));
  }

  /** @param {unknown} value */
  text(value) {
    if (typeof value !== "string") throw new UnsendableError(`${String(value)} is no text`);
    const utf8 = new TextEncoder().encode(value);
    this.number(utf8.length);
    const at = this.#take(utf8.length);
    this.#bytes.set(utf8, at);
  }

  /** All that was written. */
  bytes() {
    return this.#bytes.slice(0, this.#at);
  }

  /** @param {number} value */
  #byte(value) {
    const at = this.#take(1);
    this.#bytes[at] = value;
  }

  /**
   * @param {number} tag says the count
   * @param {number} count of bytes of the value
   * @param {number} value
   */
  #tagged(tag, count, value) {
    this.#byte(tag);
    let rest = value;
    for (let at = this.#take(count), end = at + count; at < end; at += 1) {
      this.#bytes[at] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }

  /**
   * Makes room; what holds the bytes may be another array afterwards.
   * @param {number} count of bytes
   * @returns where they begin
   */
  #take(count) {
    const start = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) this.#grow();
    return start;
  }

  #grow() {
    const grown = new Uint8Array(Math.max(this.#at, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

const START_BYTES = 256;
