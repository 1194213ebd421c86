/**
 * The storages that the servers of Effect's `effect/eventlog` ask for, in the log of a namespace:
 * nothing but NATS is needed. Each is a layer on `Log` and `ServerClock`, which the layers of
 * `@weir/weir/effect` give.
 *
 * @module
 */
import "./schema/effect_version.ts";

export { layer as layerEncryptedStorage } from "./streams/event_log/encrypted_storage.ts";
export { layer as layerUnencryptedStorage } from "./streams/event_log/unencrypted_storage.ts";
