const LINK = /\bhttps?:\/\/[^\s<>"'`]+/gi;
/** What ends a sentence rather than an address. */
const TAIL = /[.,;:!?…)\]}'"*_~]+$/;

/**
 * Cuts a text into pieces that are links and pieces that are not.
 *
 * @param {string} text
 * @returns {{text: string, href: string | null}[]}
 */
export function linkPieces(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const address = withoutTail(match[0]);
    const href = safeHref(address);
    if (!href) continue;
    if (match.index > end) pieces.push({ text: text.slice(end, match.index), href: null });
    pieces.push({ text: address, href });
    end = match.index + address.length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end), href: null });
  return pieces;
}

/** @param {string} address */
function withoutTail(address) {
  const tail = TAIL.exec(address)?.[0] ?? "";
  // A bracket that was opened within the address belongs to it.
  const keep = tail.startsWith(")") && address.slice(0, -tail.length).includes("(") ? 1 : 0;
  return address.slice(0, address.length - tail.length + keep);
}

/** @param {string} address */
function safeHref(address) {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
