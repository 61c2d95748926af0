import assert from "node:assert/strict";
import { test } from "node:test";

import { linkPieces } from "../linkify.js";

const links = (text) =>
  linkPieces(text)
    .filter(({ href }) => href)
    .map(({ href }) => href);

test("addresses become links, the rest stays as it was", () => {
  assert.deepEqual(linkPieces("see https://a.example/x?y=1#z, or not"), [
    { text: "see ", href: null },
    { text: "https://a.example/x?y=1#z", href: "https://a.example/x?y=1#z" },
    { text: ", or not", href: null },
  ]);
  assert.deepEqual(links("http://a.example HTTPS://B.example/"), ["http://a.example/", "https://b.example/"]);
});

test("nothing is lost or added", () => {
  for (const text of [
    "",
    "plain",
    "https://",
    "https://a.example",
    "x https://a.example/(b). y http://c.example!?",
    "https://[bad",
  ]) {
    assert.equal(
      linkPieces(text)
        .map((piece) => piece.text)
        .join(""),
      text,
    );
  }
});

test("what ends a sentence is no part of an address, a bracket of its own is", () => {
  assert.deepEqual(links("(https://a.example/b)."), ["https://a.example/b"]);
  assert.deepEqual(links("https://a.example/b_(c)."), ["https://a.example/b_(c)"]);
  assert.deepEqual(links("**https://a.example/**"), ["https://a.example/"]);
});

test("only the web's own schemes are links", () => {
  assert.deepEqual(links("javascript:alert(1) data:text/html,x file:///etc/passwd vbscript:x ftp://a.example"), []);
  assert.deepEqual(links("javascript:https://a.example/%0aalert(1)"), ["https://a.example/%0aalert(1)"]);
  assert.deepEqual(links('<a href="https://a.example/"onclick=x>'), ["https://a.example/"]);
});
