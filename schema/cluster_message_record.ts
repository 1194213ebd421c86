/**
 * The messages of Effect's cluster: what an entity is asked, and what it replies. Envelopes and
 * replies are as Effect encodes them and opaque here; what they belong to is in the fields beside.
 */
import * as Schema from "effect/Schema";
import { Timestamp } from "./ids.ts";
import { record } from "./record.ts";

const RequestId = Schema.NonEmptyString;

export const ClusterCallRecord = Schema.Union([
  Schema.Struct({
    kind: Schema.tag("request"),
    requestId: RequestId,
    envelope: Schema.Json,
    /** It is handed to nobody before. */
    deliverAt: Schema.optionalKey(Timestamp),
  }),
  /** That the client has a chunk, or wants no more. The last of each counts. */
  Schema.Struct({
    kind: Schema.Literals(["ack", "interrupt"]),
    requestId: RequestId,
    envelope: Schema.Json,
  }),
  /** That the replies of a request were cleared, so that it is to be processed again. */
  Schema.Struct({
    kind: Schema.tag("reset"),
    requestId: RequestId,
    /** The sequence of the request. */
    request: Schema.Natural,
  }),
  /** That all which an entity was asked before is gone. */
  Schema.Struct({ kind: Schema.tag("cleared") }),
]);
export type ClusterCallRecord = typeof ClusterCallRecord.Type;

/** The body of a message on a subject `call`. */
export const clusterCallRecord = record(1, ClusterCallRecord);

export const ClusterReplyRecord = Schema.Union([
  Schema.Struct({
    kind: Schema.Literals(["chunk", "exit"]),
    /** The sequence of the request. */
    request: Schema.Natural,
    reply: Schema.Json,
  }),
  /** That there is no reply any more, and the request is to be processed again. */
  Schema.Struct({ kind: Schema.tag("cleared"), request: Schema.Natural }),
  /** That the request had an exit, and is about to be removed. */
  Schema.Struct({ kind: Schema.tag("retired"), request: Schema.Natural }),
]);
export type ClusterReplyRecord = typeof ClusterReplyRecord.Type;

/** The body of a message on a subject `reply`. */
export const clusterReplyRecord = record(1, ClusterReplyRecord);
