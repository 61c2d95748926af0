/** @typedef {import("./close_codes.js").CloseCode} CloseCode */

/** What every error of this package is. */
export class SquallError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** The server did not do a send or a membership change, and will not: trying again changes nothing. */
export class RefusedError extends SquallError {
  /**
   * @param {string} code for programs: SPEC.md, section 4
   * @param {string} message for people
   * @param {string} sendId which send
   */
  constructor(code, message, sendId) {
    super(message);
    this.code = code;
    this.sendId = sendId;
  }
}

/**
 * The connection ended for good. A send that was waiting may or may not have been stored: sent again
 * with the same id it is stored once at most.
 */
export class ClosedError extends SquallError {
  /**
   * @param {number} code the WebSocket close code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** A message longer than the server takes; it was not sent. */
export class TooLargeError extends SquallError {
  /**
   * @param {number} bytes
   * @param {number} bytesMax
   */
  constructor(bytes, bytesMax) {
    super(`the message has ${bytes} bytes, the limit is ${bytesMax}`);
    this.bytes = bytes;
    this.bytesMax = bytesMax;
  }
}

/** A message with a value that the protocol has no form for, such as -1 for an id; it was not sent. */
export class UnsendableError extends SquallError {}

/** More unanswered sends than the outbox holds; this one was not taken. */
export class OutboxFullError extends SquallError {
  /** @param {number} sizeMax */
  constructor(sizeMax) {
    super(`${sizeMax} messages are waiting to be sent already`);
    this.sizeMax = sizeMax;
  }
}

/** Bytes from the server that are no message of the protocol. */
export class MalformedError extends SquallError {}

/** An answer of the HTTP API that is not a success. */
export class ApiError extends SquallError {
  /**
   * @param {number} status the HTTP status; 0 if there was no answer
   * @param {string} code for programs
   * @param {string} message for people
   * @param {number | null} retryAfterMs when the server said so
   */
  constructor(status, code, message, retryAfterMs = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may succeed later. */
  get retryable() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}
