import { Api } from "/protocol/js/api.js";
import { SquallClient } from "/protocol/js/client.js";
import { conversationKey, directUsers } from "/protocol/js/destination.js";
import { Realm } from "/protocol/js/realm.js";
import { Unread } from "./unread.js";

/** @typedef {import("/protocol/js/client_types.js").CodecName} CodecName */
/** @typedef {import("/protocol/js/types.js").Destination} Destination */
/** @typedef {import("/protocol/js/types.js").User} User */
/** @typedef {import("./sign_in.js").Account} Account */

/** A user at this page: the connection, the realm as it sees it, and words for what is in it. */
export class Session {
  /** The conversation that is shown. @type {Destination | null} */
  to = null;

  /**
   * @param {Account} account
   * @param {CodecName} codec
   */
  constructor(account, codec) {
    this.account = account;
    /** The codec that is asked for. */
    this.codec = codec;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const presence = document.visibilityState === "visible" ? "active" : "idle";
    const url = `${scheme}//${location.host}/ws`;
    this.client = new SquallClient({ url, token: account.key, presence, codec });
    this.api = new Api({ base: "/api/v1", email: account.email, key: account.key });
    this.realm = new Realm(this.client, this.api);
    this.unread = new Unread(this.realm, () => this.client.userId);
  }

  /**
   * Goes on in another codec, where the line is.
   * @param {CodecName} codec
   */
  useCodec(codec) {
    this.codec = codec;
    this.client.useCodec(codec);
    this.client.reconnect();
  }

  get ownId() {
    return this.client.userId ?? -1;
  }

  /** @param {Destination} to */
  key(to) {
    return conversationKey(to, this.ownId);
  }

  /**
   * @param {number} userId
   * @returns {User} also of one that is not known
   */
  user(userId) {
    const unknown = {
      user_id: userId,
      email: "",
      full_name: `User ${userId}`,
      role: /** @type {const} */ ("member"),
      is_bot: false,
      is_active: true,
    };
    return this.realm.users.get(userId) ?? unknown;
  }

  /**
   * A short name for test ids and mentions: the e-mail's first part.
   * @param {User} user
   */
  slug(user) {
    return user.email.split("@")[0] || String(user.user_id);
  }

  /**
   * The others of a direct conversation; oneself, in a conversation with oneself.
   * @param {number[]} userIds
   */
  others(userIds) {
    const others = directUsers(userIds, this.ownId).filter((userId) => userId !== this.ownId);
    return others.length > 0 ? others : [this.ownId];
  }

  /** @param {number[]} userIds */
  directTitle(userIds) {
    return this.others(userIds)
      .map((userId) => this.user(userId).full_name + (userId === this.ownId ? " (you)" : ""))
      .join(", ");
  }

  /** @param {number} streamId */
  stream(streamId) {
    return this.realm.subscriptions.get(streamId) ?? this.realm.streams.get(streamId) ?? null;
  }

  /** Whether this user can write there. @param {Destination} to */
  isMember(to) {
    return "user_ids" in to || this.realm.subscriptions.has(to.stream_id);
  }

  /**
   * A stream's topics, the newest first.
   * @param {number} streamId
   */
  topics(streamId) {
    return [...(this.realm.topics(streamId) ?? [])]
      .sort(([, a], [, b]) => b - a)
      .map(([name, maxId]) => ({ name, maxId }));
  }

  /** The streams this user is in, by name. */
  subscriptions() {
    return [...this.realm.subscriptions.values()].sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Direct conversations, the newest first. */
  directs() {
    return [...this.realm.directs.values()].sort((a, b) => b.maxId - a.maxId);
  }
}
