const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayWithYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const number = new Intl.NumberFormat("en");

/** @param {number} ms */
export const formatTime = (ms) => time.format(ms);

/** @param {number} ms */
export const formatMoment = (ms) => full.format(ms);

/** @param {number} value */
export const formatNumber = (value) => number.format(value);

/** A day in the reader's time zone, to compare with. @param {number} ms */
export const dayOf = (ms) => new Date(ms).toDateString();

/**
 * @param {number} ms
 * @param {number} nowMs
 */
export function formatDay(ms, nowMs) {
  if (dayOf(ms) === dayOf(nowMs)) return "Today";
  if (dayOf(ms) === dayOf(nowMs - DAY_MS)) return "Yesterday";
  return nowMs - ms < 300 * DAY_MS ? day.format(ms) : dayWithYear.format(ms);
}

/**
 * How long ago somebody was heard of.
 * @param {number} ms
 * @param {number} nowMs
 */
export function formatAgo(ms, nowMs) {
  const age = Math.max(0, nowMs - ms);
  if (age < MINUTE_MS) return "just now";
  if (age < HOUR_MS) return `${Math.floor(age / MINUTE_MS)} min ago`;
  if (age < DAY_MS) return `${Math.floor(age / HOUR_MS)} h ago`;
  if (age < 2 * DAY_MS) return "yesterday";
  return age < 60 * DAY_MS ? `${Math.floor(age / DAY_MS)} days ago` : `on ${dayWithYear.format(ms)}`;
}

/**
 * How long something has lasted.
 * @param {number} ms
 */
export function formatSpan(ms) {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / 1_000))} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  return `${Math.floor(ms / HOUR_MS)} h ${Math.floor((ms % HOUR_MS) / MINUTE_MS)} min`;
}

/** @param {number | null} ms */
export function formatLatency(ms) {
  if (ms === null) return "–";
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 999_950 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
