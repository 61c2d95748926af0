/**
 * The shapes of the protocol, for editors and the type checker. SPEC.md explains each.
 *
 * @typedef {{epoch: number, sequence: number, mark: number}} Position a place in a realm's log
 * @typedef {{stream_id: number, topic: string} | {user_ids: number[]}} Destination
 * @typedef {"active" | "idle"} Status
 * @typedef {"realm" | "none"} Scope
 *
 * @typedef {object} User
 * @property {number} user_id
 * @property {string} email
 * @property {string} full_name
 * @property {"admin" | "member" | "guest"} role
 * @property {boolean} is_bot
 * @property {boolean} is_active
 *
 * @typedef {object} Stream
 * @property {number} stream_id
 * @property {string} name
 * @property {string} description
 * @property {boolean} invite_only
 *
 * @typedef {object} Message
 * @property {number} message_id
 * @property {number} sender_id
 * @property {number} timestamp seconds since the Unix epoch, by the server's clock
 * @property {Destination} to
 * @property {string} content Markdown source
 * @property {string} [send_id] the sender's id of it
 * @property {number} [sequence] its place in the log
 *
 * @typedef {{kind: "message"} & Message} MessageEvent
 * @typedef {{kind: "stream_created", stream: Stream}} StreamCreated
 * @typedef {{kind: "members_added", stream: Stream, user_ids: number[], actor_id: number}} MembersAdded
 * @typedef {{kind: "members_removed", stream_id: number, user_ids: number[], actor_id: number}} MembersRemoved
 * @typedef {{kind: "user_added", user: User}} UserAdded
 * @typedef {{kind: "user_updated", user: User, previous: User}} UserUpdated
 * @typedef {{kind: "credential_changed", user_id: number}} CredentialChanged
 * @typedef {{kind: "message_edited", message_id: number, actor_id: number, timestamp: number, to: Destination,
 *   content: string}} MessageEdited
 * @typedef {{kind: "messages_moved", message_ids: number[], actor_id: number, timestamp: number,
 *   stream_id: number, topic_before: string, topic: string}} MessagesMoved
 * @typedef {{kind: "messages_deleted", message_ids: number[], actor_id: number, to: Destination}} MessagesDeleted
 * @typedef {{kind: "reaction_added" | "reaction_removed", message_id: number, user_id: number,
 *   emoji_name: string, emoji_code: string, reaction_type: string, to: Destination}} ReactionChanged
 * @typedef {{kind: "flags_added" | "flags_removed", user_id: number, flag: "read" | "starred",
 *   message_ids: number[]}} FlagsChanged
 * @typedef {{kind: "stream_updated", stream: Stream, previous: Stream}} StreamUpdated
 * @typedef {{kind: "topic_policy_set", user_id: number, stream_id: number, topic: string, policy: number,
 *   timestamp: number}} TopicPolicySet
 * @typedef {{kind: "subscription_set", user_id: number, stream_id: number, name: string,
 *   value: string}} SubscriptionSet value in JSON
 * @typedef {{kind: "setting_set", user_id: number, name: string, value: string}} SettingSet value in JSON
 * @typedef {MessageEvent | StreamCreated | MembersAdded | MembersRemoved | UserAdded | UserUpdated
 *   | CredentialChanged | MessageEdited | MessagesMoved | MessagesDeleted | ReactionChanged | FlagsChanged
 *   | StreamUpdated | TopicPolicySet | SubscriptionSet | SettingSet} RealmEvent
 *
 * @typedef {{sequence: number, event: RealmEvent}} EventRecord one event at its place in the log
 *
 * @typedef {object} Welcome
 * @property {"welcome"} type
 * @property {number} session_id
 * @property {number} realm_id
 * @property {number} user_id
 * @property {Position} position
 * @property {string} api
 * @property {number} time_ms
 * @property {number} heartbeat_ms
 * @property {number} timeout_ms
 * @property {number} [resume_window_s]
 * @property {number} [presence_error_max_ms]
 * @property {number} [frame_bytes_max]
 * @property {number} [content_chars_max]
 * @property {number} [sends_in_flight_max]
 *
 * @typedef {{type: "event", sequence: number, mark: number, event: RealmEvent}} EventMessage
 * @typedef {{type: "position"} & Position} PositionMessage
 * @typedef {"expired" | "epoch" | "future"} ResetReason
 * @typedef {{type: "reset", reason: ResetReason, position: Position, after_ms: number}} ResetMessage
 * @typedef {{type: "sent", send_id: string, message_id: number, sequence: number}} SentMessage
 * @typedef {{type: "done", send_id: string, sequence: number}} DoneMessage
 * @typedef {{type: "refused", send_id: string, code: string, message: string,
 *   retry_after_ms?: number}} RefusedMessage
 * @typedef {{type: "presence_snapshot", as_of_ms: number, change: number, active: number[],
 *   idle: number[], offline: [number, number][]}} PresenceSnapshot
 * @typedef {{type: "presence", as_of_ms: number, from: number, to: number, active?: number[],
 *   idle?: number[], offline?: [number, number][]}} PresenceDiff
 * @typedef {{type: "typing", op: "start" | "stop", sender_id: number, to: Destination}} TypingMessage
 * @typedef {{type: "ping", time_ms: number}} PingMessage
 * @typedef {{type: "pong", time_ms: number}} PongMessage
 * @typedef {{type: "goaway", after_ms: number}} GoawayMessage
 * @typedef {{type: "error", code: string, message: string}} ErrorMessage
 * @typedef {Welcome | EventMessage | PositionMessage | ResetMessage | SentMessage | DoneMessage
 *   | RefusedMessage | PresenceSnapshot | PresenceDiff | TypingMessage | PingMessage | PongMessage
 *   | GoawayMessage | ErrorMessage} ServerMessage
 *
 * @typedef {{type: "send", send_id: string, to: Destination, content: string}} SendMessage
 * @typedef {{type: "subscribe" | "unsubscribe", send_id: string, stream_id: number,
 *   user_ids?: number[]}} MembershipMessage
 * @typedef {SendMessage | MembershipMessage} WriteMessage what is answered by `sent`, `done` or `refused`
 * @typedef {{type: string, [field: string]: unknown}} ClientMessage
 *
 * @typedef {object} Codec how messages become WebSocket frames
 * @property {string} subprotocol its name in Sec-WebSocket-Protocol
 * @property {(message: ClientMessage | WriteMessage) => string | Uint8Array} encode throws UnsendableError
 * @property {(data: string | ArrayBuffer) => ServerMessage | null} decode null for a kind that this
 *   client does not know; throws MalformedError
 */

export {};
