import assert from "node:assert/strict";
import { test } from "node:test";

import { formatAgo, formatBytes, formatDay, formatLatency, formatSpan } from "../format.js";
import { formatRoute, parseRoute } from "../route.js";

const NOW = new Date(2026, 5, 17, 12, 0).getTime();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test("last seen", () => {
  const words = [-5_000, 30_000, 5 * MINUTE, 59 * MINUTE, 3 * HOUR, 30 * HOUR, 9 * DAY].map((age) =>
    formatAgo(NOW - age, NOW),
  );
  assert.deepEqual(words, ["just now", "just now", "5 min ago", "59 min ago", "3 h ago", "yesterday", "9 days ago"]);
  assert.match(formatAgo(NOW - 400 * DAY, NOW), /^on .*2025/);
});

test("days are those of the calendar", () => {
  assert.equal(formatDay(NOW - 11 * HOUR, NOW), "Today");
  assert.equal(formatDay(NOW - 13 * HOUR, NOW), "Yesterday");
  assert.match(formatDay(NOW - 3 * DAY, NOW), /Sunday/);
  assert.match(formatDay(NOW - 400 * DAY, NOW), /2025/);
});

test("latencies and spans", () => {
  assert.deepEqual([null, 0.4, 12.6, 1_540].map(formatLatency), ["–", "0 ms", "13 ms", "1.5 s"]);
  assert.deepEqual([-5, 59_999, 61_000, 2 * HOUR + 5 * MINUTE].map(formatSpan), ["0 s", "59 s", "1 min", "2 h 5 min"]);
});

test("bytes", () => {
  const sizes = [0, 999, 1_000, 84_917, 999_949, 999_950, 12_345_678];
  assert.deepEqual(sizes.map(formatBytes), ["0 B", "999 B", "1.0 kB", "84.9 kB", "999.9 kB", "1.0 MB", "12.3 MB"]);
});

test("an address names a user and a conversation, and nothing else gets in", () => {
  for (const route of [
    { user: null, to: null, codec: null },
    { user: "ada", to: null, codec: "json" },
    { user: "ada@demo.example", to: { stream_id: 1, topic: "50 % & more = #1" }, codec: null },
    { user: "ada", to: { stream_id: 1, topic: "" }, codec: "bincode" },
    { user: "ada", to: { user_ids: [3, 5] }, codec: null },
  ]) {
    assert.deepEqual(parseRoute(formatRoute(route)), route);
  }
  for (const hash of [
    "#user=ada&stream=x",
    "#user=ada&stream=-1",
    "#user=ada&direct=3,x",
    "#user=ada&direct=",
    "#user=ada&codec=xml",
  ]) {
    assert.deepEqual(parseRoute(hash), { user: "ada", to: null, codec: null });
  }
});
