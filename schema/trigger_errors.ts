/** Failures of triggers: one that is not there, and nobody to keep them. The same form as in `errors.ts`. */
import * as Schema from "effect/Schema";

/** The tenant has no trigger of this id. */
export class TriggerNotFound
  extends Schema.TaggedError<TriggerNotFound>("@weir/weir/TriggerNotFound")(
    "TriggerNotFound",
    { trigger: Schema.String },
  ) {
  readonly code = "WEIR_TRIGGER_NOT_FOUND";
  readonly retryable = false;
  override get message(): string {
    return `There is no trigger ${JSON.stringify(this.trigger)}, or it has ended more than seven ` +
      `days ago. Check id and tenant, or create it.`;
  }
}

/** No worker of the namespace has ever kept triggers. */
export class NobodyKeepsTriggers
  extends Schema.TaggedError<NobodyKeepsTriggers>("@weir/weir/NobodyKeepsTriggers")(
    "NobodyKeepsTriggers",
    { trigger: Schema.String },
  ) {
  readonly code = "WEIR_NOBODY_KEEPS_TRIGGERS";
  readonly retryable = false;
  override get message(): string {
    return `No worker of this namespace has ever kept triggers, so ` +
      `${JSON.stringify(this.trigger)} would never fire, and it was not created. ` +
      `Run a worker with { triggers: true } first, or give { unserved: true } to wait for one.`;
  }
}

/** Every error that speaks of a trigger. */
export type TriggerProblem = TriggerNotFound | NobodyKeepsTriggers;
