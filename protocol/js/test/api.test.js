import assert from "node:assert/strict";
import { test } from "node:test";

import { Api } from "../api.js";
import { ApiError } from "../errors.js";

const AS_OF = { epoch: 1, sequence: 42, mark: 7 };

/** An API whose server gives these answers, and the requests it got. */
function start(...answers) {
  const requests = [];
  const fetch = async (url, init) => {
    requests.push({
      url,
      method: init.method,
      authorization: init.headers.Authorization,
      form: init.body && Object.fromEntries(init.body),
    });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    const { status = 200, headers = {}, body } = answer;
    return new Response(typeof body === "string" ? body : JSON.stringify({ result: "success", msg: "", ...body }), {
      status,
      headers,
    });
  };
  return { requests, api: new Api({ base: "http://chat.example/api/v1/", email: "ada@x", key: "schlüssel", fetch }) };
}

const refusedWith = (fields) => (error) => {
  assert.ok(error instanceof ApiError);
  for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value, name);
  return true;
};

test("asks with HTTP Basic, in UTF-8", async () => {
  const { api, requests } = start({ body: { as_of: AS_OF, members: [] } });
  await api.users();
  assert.equal(requests[0].url, "http://chat.example/api/v1/users");
  assert.equal(Buffer.from(requests[0].authorization.slice(6), "base64").toString("utf8"), "ada@x:schlüssel");
});

test("users, streams and topics are told in the protocol's words", async () => {
  const { api } = start(
    {
      body: {
        as_of: AS_OF,
        members: [
          { user_id: 1, email: "a@x", full_name: "A", is_admin: true, extra: 1 },
          { user_id: 2, email: "b@x", full_name: "B", is_guest: true, is_bot: true, is_active: false },
        ],
      },
    },
    {
      body: { as_of: AS_OF, streams: [{ stream_id: 4, name: "s", description: "d", invite_only: true, color: "red" }] },
    },
    { body: { as_of: AS_OF, topics: [{ name: "t", max_id: 9 }] } },
  );
  assert.deepEqual(await api.users(), {
    as_of: AS_OF,
    users: [
      { user_id: 1, email: "a@x", full_name: "A", role: "admin", is_bot: false, is_active: true },
      { user_id: 2, email: "b@x", full_name: "B", role: "guest", is_bot: true, is_active: false },
    ],
  });
  assert.deepEqual((await api.streams()).streams, [{ stream_id: 4, name: "s", description: "d", invite_only: true }]);
  assert.deepEqual((await api.topics(4)).topics, [{ name: "t", max_id: 9 }]);
});

test("a page of messages: its parameters and its rows", async () => {
  const rows = [
    {
      id: 7,
      sender_id: 1,
      timestamp: 5,
      type: "stream",
      stream_id: 4,
      subject: "t",
      content: "c",
      send_id: "s",
      sequence: 40,
    },
    { id: 8, sender_id: 1, timestamp: 6, type: "private", display_recipient: [{ id: 3 }, { id: 1 }], content: "d" },
  ];
  const { api, requests } = start(
    { body: { as_of: AS_OF, messages: rows, found_oldest: true, found_newest: true } },
    { body: { as_of: AS_OF, messages: rows, found_oldest: false } },
  );
  const newest = await api.messages({ stream_id: 4, topic: "t" }, { count: 50 });
  assert.deepEqual(newest, {
    as_of: AS_OF,
    messages: [
      {
        message_id: 7,
        sender_id: 1,
        timestamp: 5,
        to: { stream_id: 4, topic: "t" },
        content: "c",
        send_id: "s",
        sequence: 40,
      },
      { message_id: 8, sender_id: 1, timestamp: 6, to: { user_ids: [1, 3] }, content: "d" },
    ],
    foundOldest: true,
    foundNewest: true,
  });
  const asked = (request) => Object.fromEntries(new URL(request.url).searchParams);
  assert.deepEqual(asked(requests[0]), {
    anchor: "newest",
    include_anchor: "true",
    num_before: "50",
    num_after: "0",
    narrow: '[["stream",4],["topic","t"]]',
    apply_markdown: "false",
  });
  const older = await api.messages({ user_ids: [1, 3] }, { before: 8, count: 50 });
  assert.deepEqual(
    older.messages.map(({ message_id }) => message_id),
    [7],
  ); // though the server gave the anchor too
  assert.equal(asked(requests[1]).anchor, "8");
  assert.equal(asked(requests[1]).narrow, '[["dm",[1,3]]]');
});

test("a new stream has its maker among those named", async () => {
  const { api, requests } = start({ body: {} }, { body: {} });
  await api.createStream({ name: "vault", inviteOnly: true, userEmails: ["b@x"] });
  assert.deepEqual(requests[0].form, {
    subscriptions: '[{"name":"vault","description":""}]',
    invite_only: "true",
    principals: '["ada@x","b@x"]',
  });
  await api.createStream({ name: "open" });
  assert.equal(requests[1].form.principals, undefined);
});

test("what is no success is an ApiError that knows whether to try again", async () => {
  const { api } = start(
    { status: 429, body: { result: "error", code: "RATE_LIMIT_HIT", msg: "slow down", "retry-after": 1.5 } },
    { status: 400, body: { result: "error", code: "BAD_REQUEST", msg: "no" } },
    { status: 503, headers: { "Retry-After": "2" }, body: "<html>proxy</html>" },
    { body: "not JSON" },
    new TypeError("fetch failed"),
    { body: { members: [] } },
    { body: { as_of: AS_OF } },
  );
  await assert.rejects(
    api.users(),
    refusedWith({ status: 429, code: "RATE_LIMIT_HIT", message: "slow down", retryAfterMs: 1_500, retryable: true }),
  );
  await assert.rejects(api.users(), refusedWith({ status: 400, message: "no", retryable: false }));
  await assert.rejects(api.users(), refusedWith({ status: 503, retryAfterMs: 2_000, retryable: true }));
  await assert.rejects(api.users(), refusedWith({ status: 0, retryable: true }));
  await assert.rejects(api.users(), refusedWith({ code: "UNREACHABLE", retryable: true }));
  await assert.rejects(api.users(), refusedWith({ message: "an answer without as_of", retryable: false }));
  await assert.rejects(api.users(), refusedWith({ message: "an answer without members", retryable: false }));
});

test("an aborted call ends with the reason of its signal", async () => {
  const abort = new AbortController();
  abort.abort(new Error("enough"));
  const { api } = start(new Error("enough"));
  await assert.rejects(api.users(abort.signal), /enough/);
});
