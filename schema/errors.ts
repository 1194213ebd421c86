/**
 * Every failure that Weir reports: one class per cause, each with a stable `code`, whether a retry
 * can help, and a message that names the offending value and the next thing to do. Codes are
 * documented in `docs/errors.md` and never change their meaning. Nothing here knows JetStream.
 */
import * as Schema from "effect/Schema";

const Cause = Schema.optionalKey(Schema.Defect());

/** Whether a refused or unanswered append may nevertheless be in the log. */
export const Landed = Schema.Literals(["no", "unknown"]);
export type Landed = typeof Landed.Type;

/** An id, name, option or payload that breaks the rules, refused before it reaches the log. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>("@weir/weir/InvalidInput")(
  "InvalidInput",
  { what: Schema.String, value: Schema.String, rule: Schema.String },
) {
  readonly code = "WEIR_INVALID_INPUT";
  readonly retryable = false;
  override get message(): string {
    return `${this.what} ${JSON.stringify(this.value)} is refused: ${this.rule}.`;
  }
}

/** The server refused an owner's write because its lease has moved on. */
export class StaleFence extends Schema.TaggedError<StaleFence>("@weir/weir/StaleFence")(
  "StaleFence",
  { execution: Schema.String, revision: Schema.Number, landed: Landed },
) {
  readonly code = "WEIR_STALE_FENCE";
  readonly retryable = false;
  override get message(): string {
    return `The lease of ${this.execution} is no longer at revision ${this.revision}: another owner ` +
      `took over, or it was released, revoked or recorded as expired. Stop writing for it` +
      (this.landed === "unknown"
        ? "; the next owner's read decides whether this record landed."
        : ".");
  }
}

/** A create-once append met a subject that already holds a record. */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>("@weir/weir/AlreadyExists")(
  "AlreadyExists",
  { subject: Schema.String, sequence: Schema.Number },
) {
  readonly code = "WEIR_ALREADY_EXISTS";
  readonly retryable = false;
  override get message(): string {
    return `${this.subject} already exists (sequence ${this.sequence}). Read it, or choose another id.`;
  }
}

/** An append that named the record it follows met a newer one. */
export class SequenceConflict
  extends Schema.TaggedError<SequenceConflict>("@weir/weir/SequenceConflict")(
    "SequenceConflict",
    { subject: Schema.String, expected: Schema.Number, actual: Schema.Number },
  ) {
  readonly code = "WEIR_SEQUENCE_CONFLICT";
  readonly retryable = false;
  override get message(): string {
    return `${this.subject} is at ${this.actual}, not at ${this.expected}: someone else wrote first. ` +
      `Read what is new, decide again, and append on ${this.actual}.`;
  }
}

/** A payload above the limit of this connection, or above one that no option of it raises. */
export class PayloadTooLarge
  extends Schema.TaggedError<PayloadTooLarge>("@weir/weir/PayloadTooLarge")(
    "PayloadTooLarge",
    {
      sizeBytes: Schema.Number,
      limitBytes: Schema.Number,
      /** It is that of the server's messages, or of what the payload is for. */
      isFixed: Schema.optionalKey(Schema.Boolean),
    },
  ) {
  readonly code = "WEIR_PAYLOAD_TOO_LARGE";
  readonly retryable = false;
  override get message(): string {
    return `A payload of ${this.sizeBytes} bytes exceeds the limit of ${this.limitBytes}. ` +
      (this.isFixed === true
        ? "Store it elsewhere and hand on a reference; maxPayloadBytes does not raise this limit."
        : "Store it elsewhere and append a reference, or raise maxPayloadBytes.");
  }
}

/** A batch that is empty, or larger than the server commits at once. */
export class InvalidBatch extends Schema.TaggedError<InvalidBatch>("@weir/weir/InvalidBatch")(
  "InvalidBatch",
  { size: Schema.Number, limit: Schema.Number },
) {
  readonly code = "WEIR_INVALID_BATCH";
  readonly retryable = false;
  override get message(): string {
    return `A batch holds 1 to ${this.limit} records, not ${this.size}. ` +
      (this.size === 0 ? "Leave the call out." : "Split it; each part is atomic by itself.");
  }
}

/** The server could not be asked, or did not answer, in time. */
export class Unavailable extends Schema.TaggedError<Unavailable>("@weir/weir/Unavailable")(
  "Unavailable",
  { operation: Schema.String, reason: Schema.String, landed: Landed, cause: Cause },
) {
  readonly code = "WEIR_UNAVAILABLE";
  readonly retryable = true;
  override get message(): string {
    return `${this.operation} got no answer: ${this.reason}. ` +
      (this.landed === "no"
        ? "Nothing was written; try again."
        : "It may have been written; repeat it with the same id, or read before you go on.");
  }
}

/** The server has no room left. Nothing already acknowledged is lost. */
export class NoSpace extends Schema.TaggedError<NoSpace>("@weir/weir/NoSpace")(
  "NoSpace",
  { stream: Schema.String, reason: Schema.String },
) {
  readonly code = "WEIR_NO_SPACE";
  readonly retryable = true;
  override get message(): string {
    return `${this.stream} has no space left (${this.reason}). ` +
      `Free disk space or raise the server's JetStream limits; what was acknowledged is safe.`;
  }
}

/** The server refused a request for a reason that no retry and no other error here covers. */
export class ServerRefused extends Schema.TaggedError<ServerRefused>("@weir/weir/ServerRefused")(
  "ServerRefused",
  { operation: Schema.String, errorCode: Schema.Number, description: Schema.String },
) {
  readonly code = "WEIR_SERVER_REFUSED";
  readonly retryable = false;
  override get message(): string {
    return `${this.operation} was refused by the server: ${this.description} (${this.errorCode}). ` +
      `Check the account's permissions and limits.`;
  }
}

/** The execution is owned by someone whose lease has not lapsed. */
export class LeaseHeld extends Schema.TaggedError<LeaseHeld>("@weir/weir/LeaseHeld")(
  "LeaseHeld",
  { execution: Schema.String, owner: Schema.String, expiresAt: Schema.Number },
) {
  readonly code = "WEIR_LEASE_HELD";
  readonly retryable = true;
  override get message(): string {
    return `${this.execution} is leased to ${this.owner} until ` +
      `${new Date(this.expiresAt).toISOString()}. Hand the work over, wait, or revoke the lease.`;
  }
}

/** A lease verb that needs a holder met an execution that nobody holds. */
export class LeaseNotHeld extends Schema.TaggedError<LeaseNotHeld>("@weir/weir/LeaseNotHeld")(
  "LeaseNotHeld",
  { execution: Schema.String },
) {
  readonly code = "WEIR_LEASE_NOT_HELD";
  readonly retryable = false;
  override get message(): string {
    return `Nobody holds the lease of ${this.execution}. Go on: there is nothing to revoke or expire.`;
  }
}

/** A stored record that cannot be what its subject says. */
export class CorruptRecord extends Schema.TaggedError<CorruptRecord>("@weir/weir/CorruptRecord")(
  "CorruptRecord",
  { subject: Schema.String, sequence: Schema.Number, reason: Schema.String },
) {
  readonly code = "WEIR_CORRUPT_RECORD";
  readonly retryable = false;
  override get message(): string {
    return `The record at ${this.subject} (sequence ${this.sequence}) cannot be read: ${this.reason}. ` +
      `Look at it with \`nats stream get\`; only Weir should publish to this subject.`;
  }
}

/** A stored record of a version that this release does not know, or sealed with a key that it lacks. */
export class UnsupportedRecordVersion
  extends Schema.TaggedError<UnsupportedRecordVersion>("@weir/weir/UnsupportedRecordVersion")(
    "UnsupportedRecordVersion",
    {
      kind: Schema.String,
      version: Schema.Number,
      supported: Schema.Number,
      /** With which it was sealed. */
      key: Schema.optional(Schema.String),
    },
  ) {
  readonly code = "WEIR_UNSUPPORTED_RECORD_VERSION";
  readonly retryable = false;
  override get message(): string {
    if (this.key !== undefined) {
      return `A ${this.kind} record is sealed with the key ${this.key}, which this process has not. ` +
        `Connect with a cipher of that id, or set WEIR_PAYLOAD_KEYS, as the process that wrote it.`;
    }
    return `A ${this.kind} record has version ${this.version}; this release reads up to ` +
      `${this.supported}. Upgrade this process before it touches the namespace.`;
  }
}

/** An event of a kind that this release does not know, met by who must act on every one. */
export class UnknownRecordKind
  extends Schema.TaggedError<UnknownRecordKind>("@weir/weir/UnknownRecordKind")(
    "UnknownRecordKind",
    { kind: Schema.String, subject: Schema.String, sequence: Schema.Number },
  ) {
  readonly code = "WEIR_UNKNOWN_RECORD_KIND";
  readonly retryable = false;
  override get message(): string {
    return `Record ${this.sequence} of ${this.subject} is of the kind ${
      JSON.stringify(this.kind)
    }, which this release does not know. Upgrade this process, or read it as RecordedWorkEvent.`;
  }
}

/** A cursor that this stream did not issue, or cannot honour. */
export class InvalidCursor extends Schema.TaggedError<InvalidCursor>("@weir/weir/InvalidCursor")(
  "InvalidCursor",
  {
    reason: Schema.Literals([
      "malformed",
      "foreign",
      "newer-layout",
      "other-incarnation",
      "shard-mismatch",
      "newer-than-tail",
      "reissued",
    ]),
    detail: Schema.String,
    /** Where the next page of a list was to begin; left out, where a reader was to. */
    of: Schema.optionalKey(Schema.Literal("list")),
  },
) {
  readonly code = "WEIR_INVALID_CURSOR";
  readonly retryable = false;
  override get message(): string {
    return `The cursor is refused (${this.reason}): ${this.detail}. ` +
      (this.of === "list"
        ? "Leave `from` out to begin with the newest."
        : `Start again from "earliest" or "now".`);
  }
}

/** Events behind the cursor are gone, since what they were about was removed. */
export class CursorGap extends Schema.TaggedError<CursorGap>("@weir/weir/CursorGap")(
  "CursorGap",
  {
    /** Where reading was to begin. */
    requested: Schema.String,
    /** From where on nothing is missing. */
    earliest: Schema.String,
  },
) {
  readonly code = "WEIR_CURSOR_GAP";
  readonly retryable = false;
  override get message(): string {
    return `Events behind the cursor ${this.requested} were removed with their executions. ` +
      `Read what you follow anew, then go on from ${this.earliest}.`;
  }
}

/** A reader lost its connection; what it has seen, the cursor says. */
export class StreamDisconnected
  extends Schema.TaggedError<StreamDisconnected>("@weir/weir/StreamDisconnected")(
    "StreamDisconnected",
    {
      /** Of the last event that was given, or where reading was to begin. */
      cursor: Schema.String,
      reason: Schema.String,
      cause: Cause,
    },
  ) {
  readonly code = "WEIR_STREAM_DISCONNECTED";
  readonly retryable = true;
  override get message(): string {
    return `The stream has ended: ${this.reason}. Read on from ${this.cursor}.`;
  }
}

/** A durable subscription exists under this name with another filter. */
export class SubscriptionConflict
  extends Schema.TaggedError<SubscriptionConflict>("@weir/weir/SubscriptionConflict")(
    "SubscriptionConflict",
    {
      family: Schema.String,
      subscription: Schema.String,
      /** The filters as JSON. */
      requested: Schema.String,
      stored: Schema.String,
    },
  ) {
  readonly code = "WEIR_SUBSCRIPTION_CONFLICT";
  readonly retryable = false;
  override get message(): string {
    return `The subscription ${this.subscription} of ${this.family} has the filter ${this.stored}, ` +
      `not ${this.requested}. Choose another name, or delete it and start again.`;
  }
}

/** There is no durable subscription of that name, or it was deleted while it was read. */
export class SubscriptionNotFound
  extends Schema.TaggedError<SubscriptionNotFound>("@weir/weir/SubscriptionNotFound")(
    "SubscriptionNotFound",
    { family: Schema.String, subscription: Schema.String },
  ) {
  readonly code = "WEIR_SUBSCRIPTION_NOT_FOUND";
  readonly retryable = false;
  override get message(): string {
    return `${this.family} has no subscription ${this.subscription}. ` +
      `Check name and family, or read with \`durable\` to create it.`;
  }
}

/** The connected nats-server lacks something that Weir is built on. */
export class ServerTooOld extends Schema.TaggedError<ServerTooOld>("@weir/weir/ServerTooOld")(
  "ServerTooOld",
  { version: Schema.String, required: Schema.String, missing: Schema.Array(Schema.String) },
) {
  readonly code = "WEIR_SERVER_TOO_OLD";
  readonly retryable = false;
  override get message(): string {
    return `nats-server ${this.version} lacks ${this.missing.join(", ")}. ` +
      `Connect to ${this.required} or later with JetStream enabled, or let Weir start its own.`;
  }
}

/** The namespace exists with settings that differ from those asked for. */
export class TopologyDrift extends Schema.TaggedError<TopologyDrift>("@weir/weir/TopologyDrift")(
  "TopologyDrift",
  {
    stream: Schema.String,
    differences: Schema.Array(
      Schema.Struct({ field: Schema.String, expected: Schema.String, actual: Schema.String }),
    ),
  },
) {
  readonly code = "WEIR_TOPOLOGY_DRIFT";
  readonly retryable = false;
  override get message(): string {
    const list = this.differences.map((d) => `${d.field} is ${d.actual}, expected ${d.expected}`);
    return `${this.stream} differs from what this process expects: ${list.join("; ")}. ` +
      `Connect with the stored settings, use another namespace, or edit the stream with the NATS CLI; ` +
      `Weir never alters it by itself.`;
  }
}

/** Who only looks met no namespace of that name. */
export class NamespaceNotFound
  extends Schema.TaggedError<NamespaceNotFound>("@weir/weir/NamespaceNotFound")(
    "NamespaceNotFound",
    { namespace: Schema.String },
  ) {
  readonly code = "WEIR_NAMESPACE_NOT_FOUND";
  readonly retryable = false;
  override get message(): string {
    return `There is no namespace ${this.namespace} on this server, and who only looks creates none. ` +
      `Check the server and the name, or start the first program of the namespace, which creates it.`;
  }
}

/** The namespace holds what this process could not read. */
export class CipherMissing extends Schema.TaggedError<CipherMissing>("@weir/weir/CipherMissing")(
  "CipherMissing",
  { namespace: Schema.String, key: Schema.String },
) {
  readonly code = "WEIR_CIPHER_MISSING";
  readonly retryable = false;
  override get message(): string {
    return `The namespace ${this.namespace} is sealed with the key ${this.key}, of which this process ` +
      `has not the secret. Connect with that cipher, or set WEIR_PAYLOAD_KEYS; if nothing is left ` +
      `that it sealed, remove its mark: nats kv del ${this.namespace} cipher.${this.key}.`;
  }
}

/** No server answered at the given addresses. */
export class ConnectionFailed
  extends Schema.TaggedError<ConnectionFailed>("@weir/weir/ConnectionFailed")(
    "ConnectionFailed",
    { servers: Schema.Array(Schema.String), reason: Schema.String, cause: Cause },
  ) {
  readonly code = "WEIR_CONNECTION_FAILED";
  /** Who is refused is refused again. */
  get retryable(): boolean {
    return !/^(authorization violation|(account|user) authentication expired)/i.test(this.reason);
  }
  override get message(): string {
    return `Cannot connect to ${this.servers.join(", ")}: ${this.reason}. ` +
      `Check the address and credentials, or leave NATS_URL unset for the embedded server.`;
  }
}

/** A verb was used on a connection that its process has closed, or closed meanwhile. */
export class ConnectionClosed
  extends Schema.TaggedError<ConnectionClosed>("@weir/weir/ConnectionClosed")(
    "ConnectionClosed",
    { landed: Landed },
  ) {
  readonly code = "WEIR_CONNECTION_CLOSED";
  readonly retryable = false;
  override get message(): string {
    return this.landed === "no"
      ? "This connection was closed by its own process before it was asked. Connect anew."
      : "This connection was closed by its own process while this was under way. What it was to " +
        "write may be there; connect anew, and repeat it with the same id, or read before you go on.";
  }
}

/** None of the places that may provide a nats-server binary did. */
export class ServerNotFound extends Schema.TaggedError<ServerNotFound>("@weir/weir/ServerNotFound")(
  "ServerNotFound",
  { refusals: Schema.Array(Schema.Struct({ source: Schema.String, reason: Schema.String })) },
) {
  readonly code = "WEIR_SERVER_NOT_FOUND";
  readonly retryable = true;
  override get message(): string {
    const list = this.refusals.map((r) => `  ${r.source}: ${r.reason}`).join("\n");
    return `No usable nats-server was found:\n${list}\n` +
      `Install nats-server 2.14 or later, set WEIR_NATS_SERVER to its path, or set NATS_URL.`;
  }
}

/** The embedded nats-server did not come up. */
export class ServerFailed extends Schema.TaggedError<ServerFailed>("@weir/weir/ServerFailed")(
  "ServerFailed",
  { store: Schema.String, reason: Schema.String, logTail: Schema.String },
) {
  readonly code = "WEIR_SERVER_FAILED";
  readonly retryable = true;
  override get message(): string {
    return `The embedded nats-server on ${this.store} failed: ${this.reason}.` +
      (this.logTail === "" ? "" : `\nIts log ends with:\n${this.logTail}`) +
      `\nCorrect that and connect again, or set NATS_URL to use another server.`;
  }
}

/** Every error that Weir raises. */
export type WeirError =
  | InvalidInput
  | StaleFence
  | AlreadyExists
  | SequenceConflict
  | PayloadTooLarge
  | InvalidBatch
  | Unavailable
  | NoSpace
  | ServerRefused
  | LeaseHeld
  | LeaseNotHeld
  | CorruptRecord
  | UnknownRecordKind
  | UnsupportedRecordVersion
  | CursorGap
  | InvalidCursor
  | StreamDisconnected
  | SubscriptionConflict
  | SubscriptionNotFound
  | ServerTooOld
  | TopologyDrift
  | NamespaceNotFound
  | CipherMissing
  | ConnectionFailed
  | ConnectionClosed
  | ServerNotFound
  | ServerFailed;
