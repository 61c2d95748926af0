/**
 * How long a frame's payload is on the line.
 * @param {string | ArrayBuffer | Uint8Array} data
 */
export function frameBytes(data) {
  return typeof data === "string" ? new TextEncoder().encode(data).length : data.byteLength;
}
