/**
 * A fresh send id: 128 random bits in hexadecimal.
 *
 * @param {(bytes: Uint8Array) => Uint8Array} randomBytes
 * @returns {string}
 */
export function freshSendId(randomBytes) {
  const bytes = randomBytes(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
