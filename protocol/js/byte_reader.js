import { MalformedError } from "./errors.js";

/** Reads what bincode 2 writes in its standard configuration. What can't be read throws MalformedError. */
export class ByteReader {
  #bytes;
  #view;
  #at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A whole number below 2^53: larger ones, which other languages have, are not exact here. */
  number() {
    const first = this.#bytes[this.#take(1)];
    switch (first) {
      case IN_2_BYTES:
        return this.#view.getUint16(this.#take(2), true);
      case IN_4_BYTES:
        return this.#view.getUint32(this.#take(4), true);
      case IN_8_BYTES:
        return this.#wide(this.#take(8));
      default:
        if (first > IN_8_BYTES) throw new MalformedError(`${first} begins no number`);
        return first;
    }
  }

  flag() {
    const byte = this.#bytes[this.#take(1)];
    if (byte > 1) throw new MalformedError(`${byte} is no truth value`);
    return byte === 1;
  }

  text() {
    const length = this.count(1);
    const start = this.#take(length);
    try {
      return UTF_8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      throw new MalformedError("text that is not UTF-8");
    }
  }

  /**
   * How many items follow; not more than there are bytes for, so that nobody makes room for them in vain.
   * @param {number} itemBytesMin
   */
  count(itemBytesMin) {
    const count = this.number();
    const left = this.#bytes.length - this.#at;
    if (count * itemBytesMin > left) throw new MalformedError(`${count} items announced, ${left} bytes left`);
    return count;
  }

  /** Leaves the rest unread. */
  skip() {
    this.#at = this.#bytes.length;
  }

  /** Everything was read. */
  end() {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new MalformedError(`${left} bytes after the message`);
  }

  /** @param {number} at */
  #wide(at) {
    const high = this.#view.getUint32(at + 4, true);
    if (high > HIGH_MAX) throw new MalformedError("a number of 2^53 or more");
    return high * 2 ** 32 + this.#view.getUint32(at, true);
  }

  /**
   * @param {number} count of bytes
   * @returns where they begin
   */
  #take(count) {
    const start = this.#at;
    if (start + count > this.#bytes.length) throw new MalformedError("the message ends too early");
    this.#at += count;
    return start;
  }
}

/** First bytes of numbers that are no numbers themselves. */
const IN_2_BYTES = 251;
const IN_4_BYTES = 252;
const IN_8_BYTES = 253;
/** The upper half of 2^53 - 1. */
const HIGH_MAX = 2 ** 21 - 1;
// A byte order mark is a character like others: left to itself, the decoder would drop it.
const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
