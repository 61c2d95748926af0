export { Api } from "./api.js";
export { CLOSE_CODES, closeReason, reconnectAfter } from "./close_codes.js";
export { bincodeCodec } from "./codec_bincode.js";
export { jsonCodec } from "./codec_json.js";
export { Conversation } from "./conversation.js";
export { SquallClient } from "./client.js";
export { conversationKey, directUsers, wholeDestination } from "./destination.js";
export {
  ApiError,
  ClosedError,
  MalformedError,
  OutboxFullError,
  RefusedError,
  SquallError,
  TooLargeError,
  UnsendableError,
} from "./errors.js";
export { Presence } from "./presence.js";
export { Realm } from "./realm.js";
