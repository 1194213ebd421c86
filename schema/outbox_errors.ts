/**
 * Failures of the outbox: what a store refuses, and why an event was not published. The same form as
 * in `errors.ts`. What becomes of an event that was not published is its manager's to say.
 */
import * as Schema from "effect/Schema";

const Cause = Schema.optionalKey(Schema.Defect());

/** An event with this idempotency token was added already. */
export class DuplicateEvent extends Schema.TaggedError<DuplicateEvent>("@weir/weir/DuplicateEvent")(
  "DuplicateEvent",
  { token: Schema.String },
) {
  readonly code = "WEIR_DUPLICATE_EVENT";
  readonly retryable = false;
  override get message(): string {
    return `An event with the token ${
      JSON.stringify(this.token)
    } was added already, and this one ` +
      `was not. Go on: it is published once; or choose another token if it is another event.`;
  }
}

/** Whoever held an event holds it no more: its lock has lapsed, or was renewed since. */
export class EventLockLost extends Schema.TaggedError<EventLockLost>("@weir/weir/EventLockLost")(
  "EventLockLost",
  { event: Schema.String, owner: Schema.String, lock: Schema.Number },
) {
  readonly code = "WEIR_EVENT_LOCK_LOST";
  readonly retryable = false;
  override get message(): string {
    return `${this.owner} no longer holds event ${this.event} under lock ${this.lock}. ` +
      `Stop publishing it; whoever has claimed it since decides what becomes of it.`;
  }
}

/** The database refused a statement for a reason that a repetition does not change. */
export class DatabaseRefused
  extends Schema.TaggedError<DatabaseRefused>("@weir/weir/DatabaseRefused")(
    "DatabaseRefused",
    { operation: Schema.String, sqlState: Schema.String, description: Schema.String, cause: Cause },
  ) {
  readonly code = "WEIR_DATABASE_REFUSED";
  readonly retryable = false;
  override get message(): string {
    return `${this.operation} was refused by the database: ${this.description} ` +
      `(${this.sqlState}). Check the tables of the outbox and the rights on them.`;
  }
}

/** An event was not taken by whom it was published to, or it is not known whether it was. */
export class PublishFailed extends Schema.TaggedError<PublishFailed>("@weir/weir/PublishFailed")(
  "PublishFailed",
  { event: Schema.String, eventType: Schema.String, reason: Schema.String, cause: Cause },
) {
  readonly code = "WEIR_PUBLISH_FAILED";
  readonly retryable = true;
  override get message(): string {
    return `Event ${this.event} (${this.eventType}) was not published: ${this.reason}. ` +
      `Wait, since it is tried again under the same id, or look at what receives it.`;
  }
}

/** An event that cannot be published, however often it is tried. */
export class PublishRefused extends Schema.TaggedError<PublishRefused>("@weir/weir/PublishRefused")(
  "PublishRefused",
  { event: Schema.String, eventType: Schema.String, reason: Schema.String, cause: Cause },
) {
  readonly code = "WEIR_PUBLISH_REFUSED";
  readonly retryable = false;
  override get message(): string {
    return `Event ${this.event} (${this.eventType}) is refused: ${this.reason}. ` +
      `Correct what receives it and requeue the dead letter, or delete that.`;
  }
}

/** Every error of the outbox. */
export type OutboxProblem =
  | DuplicateEvent
  | EventLockLost
  | DatabaseRefused
  | PublishFailed
  | PublishRefused;
