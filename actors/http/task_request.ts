/**
 * What a client says of a task: the options of `submit` and `schedule` as JSON, with durations as
 * texts. Its shape is checked here, and what the values mean by the verbs themselves.
 */
import * as Schema from "effect/Schema";
import { Json } from "../../schema/json.ts";
import { Overlap } from "../../schema/overlap.ts";
import { BoundInput, QueuedInput, Safety } from "../../schema/task.ts";

const optional = Schema.optionalKey;

const duration = (description: string) =>
  optional(Schema.String.annotate({ description, examples: ["5 minutes"] }));

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1));

export const RunPolicyRequest = Schema.Union([
  Schema.Struct({ type: Schema.Literal("once") }),
  Schema.Struct({
    type: Schema.Literal("repeat"),
    count: Count,
    interval: Schema.String.annotate({ description: "A duration", examples: ["1 hour"] }),
  }),
  Schema.Struct({
    type: Schema.Literal("cron"),
    expression: Schema.String,
    timeZone: optional(Schema.String.annotate({ description: "UTC, if left out" })),
    maxOccurrences: optional(Count),
  }),
]).annotate({ identifier: "RunPolicy", description: "How often a task runs" });

const MisfireType = Schema.Literals(["fire-all", "fire-once", "skip"]);

export const MisfireRequest = Schema.Union([
  MisfireType,
  Schema.Struct({ type: MisfireType, limit: optional(Count) }),
]).annotate({
  identifier: "Misfire",
  description: "What becomes of runs whose time passed while nobody was there",
});

const RetryRequest = Schema.Struct({
  attempts: optional(Count),
  backoff: optional(Schema.Literals(["fixed", "exponential"])),
  delay: duration("The first pause"),
  factor: optional(Schema.Finite),
  maxDelay: duration("The longest pause"),
  jitter: optional(Schema.Boolean),
}).annotate({ identifier: "Retry", description: "How often the whole is tried" });

const QueueRequest = QueuedInput.annotate({ identifier: "PlaceInQueue" });

const BoundRequest = BoundInput.annotate({ identifier: "BoundBudget" });

const fields = {
  actor: Schema.String.annotate({ description: "Whose code it runs" }),
  input: optional(Json.annotate({ description: "What the code is given" })),
  id: optional(Schema.String.annotate({
    description:
      "Its name within the actor, by which it is there once; drawn at random, if left out",
  })),
  after: optional(
    Schema.Array(Schema.String).annotate({
      description: "Ids of executions that must have succeeded before",
    }),
  ),
  parent: optional(Schema.String.annotate({
    description: "Id of the execution under way below which it is, and with which it ends",
  })),
  retry: optional(RetryRequest),
  timeout: duration("How long one attempt may take"),
  queue: optional(
    Schema.Union([Schema.String, QueueRequest]).annotate({
      description: "The queue in which it waits for its turn, by its name or with a key in it",
    }),
  ),
  budgets: optional(
    Schema.Array(Schema.Union([Schema.String, BoundRequest])).annotate({
      description: "The budgets that it is bound to: it begins while all have something left",
    }),
  ),
  delay: duration("When it is to begin"),
  deadline: duration("How long it may take in all"),
  tags: optional(Schema.Record(Schema.String, Schema.String)),
  lane: optional(Schema.String),
  requires: optional(Schema.Array(Schema.String)),
  priority: optional(Schema.Int),
  safety: optional(Safety),
  description: optional(Schema.String),
  unserved: optional(Schema.Boolean.annotate({
    description: "Start it even if no worker has ever served its actor",
  })),
};

export const grace = duration("How late a run may begin and yet be on time; a minute, if left out");

/** One of several tasks, which all run once. */
export const BulkTask = Schema.Struct(fields).annotate({ identifier: "BulkTask" });

/** A task by itself: it runs once, or as its policy says. */
export const SingleTask = Schema.Struct({
  ...fields,
  policy: optional(RunPolicyRequest),
  misfire: optional(MisfireRequest),
  overlap: optional(Overlap),
  grace,
}).annotate({ identifier: "Task" });

/** So many are taken at once. */
export const mostTasks = 1_000;

export const BulkTasks = Schema.Array(BulkTask).check(
  Schema.isMinLength(1),
  Schema.isMaxLength(mostTasks),
).annotate({ identifier: "BulkTasks" });

export const TasksRequest = Schema.Union([SingleTask, BulkTasks]);
