import { ApiError } from "./errors.js";

/** @typedef {import("./types.js").Destination} Destination */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Position} Position */
/** @typedef {import("./types.js").Stream} Stream */
/** @typedef {import("./types.js").User} User */

/** @typedef {{as_of: Position, users: User[]}} UsersAnswer */
/** @typedef {{as_of: Position, streams: Stream[]}} StreamsAnswer */
/** @typedef {{as_of: Position, topics: {name: string, max_id: number}[]}} TopicsAnswer */
/** @typedef {{as_of: Position, messages: Message[], foundOldest: boolean, foundNewest: boolean}} MessagesAnswer */

/**
 * Which messages: of a conversation, of a stream, or all direct ones.
 * @typedef {Destination | {stream_id: number} | "direct"} Narrow
 */

/** The HTTP API beside the WebSocket: state and history. Its answers are told in the protocol's words. */
export class Api {
  #email;
  #base;
  #authorization;
  #fetch;

  /**
   * @param {object} options
   * @param {string} options.base `https://chat.example/api/v1`, as `welcome.api` tells it
   * @param {string} options.email
   * @param {string} options.key the API key
   * @param {typeof globalThis.fetch} [options.fetch]
   */
  constructor({ base, email, key, fetch = (input, init) => globalThis.fetch(input, init) }) {
    this.#email = email;
    this.#base = base.replace(/\/+$/, "");
    this.#authorization = `Basic ${base64(`${email}:${key}`)}`;
    this.#fetch = fetch;
  }

  /**
   * Whose key it is.
   * @param {AbortSignal} [signal]
   * @returns {Promise<User>}
   */
  async me(signal) {
    return user(await this.request("GET", "users/me", {}, signal));
  }

  /**
   * @param {AbortSignal} [signal]
   * @returns {Promise<UsersAnswer>}
   */
  async users(signal) {
    const answer = await this.request("GET", "users", {}, signal);
    return { as_of: asOf(answer), users: list(answer, "members").map(user) };
  }

  /**
   * The streams this user is a member of.
   * @param {AbortSignal} [signal]
   * @returns {Promise<StreamsAnswer>}
   */
  async subscriptions(signal) {
    const answer = await this.request("GET", "users/me/subscriptions", {}, signal);
    return { as_of: asOf(answer), streams: list(answer, "subscriptions").map(stream) };
  }

  /**
   * The streams this user may know of.
   * @param {AbortSignal} [signal]
   * @returns {Promise<StreamsAnswer>}
   */
  async streams(signal) {
    const answer = await this.request("GET", "streams", {}, signal);
    return { as_of: asOf(answer), streams: list(answer, "streams").map(stream) };
  }

  /**
   * @param {number} streamId
   * @param {AbortSignal} [signal]
   * @returns {Promise<TopicsAnswer>}
   */
  async topics(streamId, signal) {
    const answer = await this.request("GET", `users/me/${streamId}/topics`, {}, signal);
    const topics = list(answer, "topics").map(({ name, max_id }) => ({ name: String(name), max_id: Number(max_id) }));
    return { as_of: asOf(answer), topics };
  }

  /**
   * A page of messages, ascending, that ends before `before` or with the newest.
   *
   * @param {Narrow} narrow
   * @param {{before?: number | null, count: number}} page `before`: a message id
   * @param {AbortSignal} [signal]
   * @returns {Promise<MessagesAnswer>}
   */
  async messages(narrow, { before = null, count }, signal) {
    const parameters = {
      anchor: before ?? "newest",
      include_anchor: before === null,
      num_before: count,
      num_after: 0,
      narrow: operators(narrow),
      apply_markdown: false,
    };
    const answer = await this.request("GET", "messages", parameters, signal);
    const messages = list(answer, "messages").map(message);
    return {
      as_of: asOf(answer),
      messages: before === null ? messages : messages.filter(({ message_id }) => message_id < before),
      foundOldest: answer.found_oldest === true,
      foundNewest: answer.found_newest === true,
    };
  }

  /**
   * The ids of a stream's members.
   * @param {number} streamId
   * @param {AbortSignal} [signal]
   * @returns {Promise<number[]>}
   */
  async members(streamId, signal) {
    return list(await this.request("GET", `streams/${streamId}/members`, {}, signal), "subscribers");
  }

  /**
   * Makes a stream, this user and those named its members. An existing one of that name is joined.
   *
   * @param {{name: string, description?: string, inviteOnly?: boolean, userEmails?: string[]}} options
   * @param {AbortSignal} [signal]
   */
  async createStream({ name, description = "", inviteOnly = false, userEmails = [] }, signal) {
    const parameters = {
      subscriptions: [{ name, description }],
      invite_only: inviteOnly,
      // Named users are made members instead of the caller, so the caller names itself too.
      ...(userEmails.length > 0 ? { principals: [...new Set([this.#email, ...userEmails])] } : {}),
    };
    return this.request("POST", "users/me/subscriptions", parameters, signal);
  }

  /**
   * Any call: strings go as they are, everything else as JSON.
   *
   * @param {"GET" | "POST" | "PATCH" | "DELETE"} method
   * @param {string} path below the base address
   * @param {Record<string, unknown>} parameters
   * @param {AbortSignal} [signal]
   * @returns {Promise<Record<string, any>>}
   * @throws {ApiError}
   */
  async request(method, path, parameters = {}, signal) {
    const form = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      form.set(name, typeof value === "string" ? value : JSON.stringify(value));
    }
    const query = method === "GET" && form.size > 0 ? `?${form}` : "";
    const response = await this.#answer(`${this.#base}/${path}${query}`, {
      method,
      headers: { Authorization: this.#authorization },
      signal,
      cache: "no-store",
      ...(method === "GET" ? {} : { body: form }),
    });
    const body = await read(response);
    if (response.ok && body.result !== "error") return body;
    const message = typeof body.msg === "string" && body.msg ? body.msg : `HTTP status ${response.status}`;
    throw new ApiError(response.status, String(body.code ?? "UNKNOWN"), message, retryAfterMs(response, body));
  }

  /**
   * @param {string} url
   * @param {RequestInit} init
   */
  async #answer(url, init) {
    try {
      return await this.#fetch(url, init);
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new ApiError(0, "UNREACHABLE", "the server can't be reached");
    }
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Record<string, any>>}
 */
async function read(response) {
  try {
    const body = await response.json();
    if (typeof body === "object" && body !== null) return body;
  } catch {
    // An answer cut off or of a proxy: told by its status below.
  }
  const words = `an answer that is not the API's (status ${response.status})`;
  throw new ApiError(response.ok ? 0 : response.status, "BAD_ANSWER", words, retryAfterMs(response, {}));
}

/**
 * @param {Response} response
 * @param {Record<string, any>} body
 */
function retryAfterMs(response, body) {
  const seconds = Number(body["retry-after"] ?? response.headers?.get("Retry-After") ?? NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}

/**
 * @param {Record<string, any>} answer
 * @returns {Position}
 */
function asOf({ as_of }) {
  const whole = [as_of?.epoch, as_of?.sequence].every((number) => Number.isSafeInteger(number));
  if (!whole) throw new ApiError(200, "BAD_ANSWER", "an answer without as_of");
  return as_of;
}

/**
 * @param {Record<string, any>} answer
 * @param {string} name
 * @returns {any[]}
 */
function list(answer, name) {
  if (!Array.isArray(answer[name])) throw new ApiError(200, "BAD_ANSWER", `an answer without ${name}`);
  return answer[name];
}

/** @param {Record<string, any>} row @returns {User} */
function user(row) {
  return {
    user_id: row.user_id,
    email: row.email,
    full_name: row.full_name,
    role: row.is_guest ? "guest" : row.is_admin ? "admin" : "member",
    is_bot: row.is_bot === true,
    is_active: row.is_active !== false,
  };
}

/** @param {Record<string, any>} row @returns {Stream} */
function stream(row) {
  return {
    stream_id: row.stream_id,
    name: row.name,
    description: row.description ?? "",
    invite_only: row.invite_only === true,
  };
}

/** @param {Record<string, any>} row @returns {Message} */
function message(row) {
  return {
    message_id: row.id,
    sender_id: row.sender_id,
    timestamp: row.timestamp,
    to:
      row.type === "stream" || row.type === "channel"
        ? { stream_id: row.stream_id, topic: row.subject }
        : {
            user_ids: row.display_recipient
              .map((/** @type {{id: number}} */ { id }) => id)
              .sort((/** @type {number} */ a, /** @type {number} */ b) => a - b),
          },
    content: row.content,
    ...(typeof row.send_id === "string" ? { send_id: row.send_id } : {}),
    ...(Number.isSafeInteger(row.sequence) ? { sequence: row.sequence } : {}),
  };
}

/** @param {Narrow} narrow */
function operators(narrow) {
  if (narrow === "direct") return [["is", "dm"]];
  if ("user_ids" in narrow) return [["dm", narrow.user_ids]];
  const stream = ["stream", narrow.stream_id];
  return "topic" in narrow ? [stream, ["topic", narrow.topic]] : [stream];
}

/** @param {string} text in UTF-8, as HTTP Basic has it */
function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
