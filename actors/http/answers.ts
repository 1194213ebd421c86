/**
 * What answers look like, with the names of the public API. They promise what clients may rely on;
 * an answer may say more than its schema does.
 */
import * as Schema from "effect/Schema";
import { Failure } from "../../schema/failure.ts";
import { OutcomeRecord } from "../../schema/outcome_record.ts";
import { WorkerLoad } from "../../schema/session_record.ts";
import { ExecutionStatus } from "../../streams/execution_index/status.ts";

const optional = Schema.optionalKey;
const Time = Schema.Number.annotate({ description: "Milliseconds since 1970" });
const Tags = Schema.Record(Schema.String, Schema.String);
const Texts = Schema.Array(Schema.String);

const named = { id: Schema.String, tenant: Schema.String };

export const ProblemAnswer = Schema.Struct({
  error: Schema.Struct({
    code: Schema.String,
    message: Schema.String,
    retryable: Schema.Boolean,
    details: optional(Schema.Record(Schema.String, Schema.Unknown)),
  }),
}).annotate({ identifier: "Problem" });

export const Submitted = Schema.Struct({
  ...named,
  created: Schema.Boolean,
  /** Whether it is one execution, or a schedule that starts them. */
  kind: Schema.Literals(["run", "schedule"]),
}).annotate({ identifier: "Submitted" });

export const SubmittedAll = Schema.Struct({ tasks: Schema.Array(Submitted) }).annotate({
  identifier: "SubmittedAll",
});

export const Listed = Schema.Struct({
  execution: Schema.String,
  tenant: Schema.String,
  life: Schema.Number,
  status: ExecutionStatus,
  startedAt: Time,
  endedAt: optional(Time),
  actor: optional(Schema.String),
  tags: Tags,
}).annotate({ identifier: "ListedExecution" });

export const Page = Schema.Struct({
  executions: Schema.Array(Listed),
  next: optional(Schema.String.annotate({ description: "`from` of the next page" })),
  asOf: Time,
}).annotate({ identifier: "ExecutionPage" });

const Awaited = Schema.Struct({
  key: Schema.String,
  since: Time,
  kind: Schema.Literals(["run", "sleep", "wait", "call", "end"]),
  due: optional(Time),
  signal: optional(Schema.String),
  execution: optional(Schema.String),
  tenant: optional(Schema.String),
  failure: optional(Failure),
});

const described = {
  execution: Schema.String,
  tenant: Schema.String,
  life: Schema.Number,
  status: ExecutionStatus,
  reason: Schema.String,
  why: Schema.String,
  owner: optional(Schema.String),
  leaseExpiresAt: optional(Time),
  lane: optional(Schema.String),
  requires: optional(Texts),
  deadline: optional(Time),
  startedAt: Time,
  attempt: Schema.Number,
  epoch: Schema.Number,
  reclaims: Schema.Number,
  replays: Schema.Number,
  waitingFor: Schema.Array(Awaited),
  retryAt: optional(Time),
  paused: optional(Schema.Struct({ reason: optional(Schema.String) })),
  cancel: optional(Schema.Struct({ force: Schema.Boolean, reason: optional(Schema.String) })),
  expired: Schema.Boolean,
  steps: Schema.Record(Schema.String, Schema.Unknown),
  tags: Tags,
  cells: Schema.Record(Schema.String, Schema.Unknown),
  buffered: Schema.Array(Schema.Struct({ signalId: Schema.String, name: Schema.String })),
  signals: Schema.Number,
  outcome: optional(OutcomeRecord),
};

export const Description = Schema.Struct(described).annotate({ identifier: "Description" });

export const ScheduleDescription = Schema.Struct({
  ...described,
  schedule: optional(Schema.Struct({
    next: optional(Schema.String),
    created: Schema.Number,
    running: Schema.Number,
    completed: Schema.Number,
    failed: Schema.Number,
    cancelled: Schema.Number,
    skipped: Schema.Number,
    paused: optional(Schema.Boolean),
  })),
}).annotate({ identifier: "ScheduleDescription" });

export const Ended = Schema.Struct({
  ...named,
  status: ExecutionStatus,
  outcome: OutcomeRecord,
}).annotate({ identifier: "Ended" });

export const NotEnded = Schema.Struct({
  ...named,
  status: ExecutionStatus,
  reason: Schema.String,
  why: Schema.String,
}).annotate({ identifier: "NotEnded" });

export const History = Schema.Struct({
  entries: Schema.Array(Schema.Struct({
    sequence: Schema.Number,
    at: Time,
    record: Schema.Struct({ kind: Schema.String }),
  })),
  next: optional(Schema.Number.annotate({ description: "`from` of the next page" })),
}).annotate({ identifier: "History" });

export const Cancelled = Schema.Struct({
  ...named,
  status: Schema.Literals(["canceled", "already_canceled", "already_terminal"]),
}).annotate({ identifier: "Cancellation" });

export const Asked = Schema.Struct({ ...named, asked: Schema.String }).annotate({
  identifier: "Asked",
});

export const Sent = Schema.Struct({ ...named, signalId: Schema.String }).annotate({
  identifier: "SentSignal",
});

export const Completed = Schema.Struct({ signalId: Schema.String }).annotate({
  identifier: "CompletedToken",
});

export const Workers = Schema.Struct({
  workers: Schema.Array(Schema.Struct({
    worker: Schema.String,
    at: Time,
    ttlMs: Schema.Number,
    actors: optional(Texts),
    lanes: optional(Texts),
    capabilities: optional(Texts),
    startedAt: optional(Time),
    host: optional(Schema.String),
    pid: optional(Schema.Number),
    version: optional(Schema.String),
    load: optional(WorkerLoad),
  })),
}).annotate({ identifier: "Workers" });

export const Stats = Schema.Struct({
  tenant: Schema.String,
  asOf: Time,
  runs: Schema.Record(ExecutionStatus, Schema.Number),
  capped: Schema.Array(ExecutionStatus).annotate({
    description: "Those of which there are more than the number says",
  }),
}).annotate({ identifier: "Stats" });

export const Health = Schema.Struct({ status: Schema.Literals(["ok", "ready"]) }).annotate({
  identifier: "Health",
});
