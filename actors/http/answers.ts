/**
 * What answers look like, with the names of the public API. They promise what clients may rely on;
 * an answer may say more than its schema does.
 */
import * as Schema from "effect/Schema";
import { EngineState } from "../../schema/control_record.ts";
import { Failure } from "../../schema/failure.ts";
import { OutcomeRecord } from "../../schema/outcome_record.ts";
import { QueueLimits } from "../../schema/queue_limits.ts";
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

const standing = {
  tenant: optional(Schema.String.annotate({ description: "All tenants, if left out" })),
  lane: optional(Schema.String.annotate({ description: "All lanes, if left out" })),
  since: Time,
  reason: optional(Schema.String),
  by: optional(Schema.String),
};

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
  queue: optional(Schema.String),
  heldBy: optional(Schema.Struct({
    ...standing,
    state: Schema.Literals(["paused", "disabled", "draining"]),
  })),
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
    lastFailure: optional(Schema.Struct({
      execution: Schema.String,
      name: Schema.String,
      message: Schema.String,
    })),
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

const EngineScope = Schema.Struct({
  ...standing,
  allTenants: optional(Schema.Boolean),
  state: EngineState,
}).annotate({ identifier: "EngineStanding" });

export const EngineStatus = Schema.Struct({
  scopes: Schema.Array(EngineScope),
  next: optional(Schema.String.annotate({ description: "`from` of the next page" })),
}).annotate({ identifier: "EngineStatus" });

export const EngineChanged = Schema.Struct({ ...EngineScope.fields, changed: Schema.Boolean })
  .annotate({ identifier: "EngineChanged" });

export const WorkEvents = Schema.Struct({
  events: Schema.Array(Schema.Struct({ kind: Schema.String, sequence: Schema.Number, at: Time })),
}).annotate({ identifier: "WorkEvents" });

export const QueueNames = Schema.Struct({ queues: Texts }).annotate({ identifier: "QueueNames" });

const Counts = { waiting: Schema.Number, running: Schema.Number };

export const Queue = Schema.Struct({
  name: Schema.String,
  limits: QueueLimits,
  ...Counts,
  tenants: Schema.Record(Schema.String, Schema.Struct(Counts)),
}).annotate({ identifier: "Queue" });

export const QueueConfigured = Schema.Struct({ name: Schema.String, limits: QueueLimits })
  .annotate({ identifier: "QueueConfigured" });

export const Budget = Schema.Struct({
  name: Schema.String,
  dimensions: Schema.Record(
    Schema.String,
    Schema.Struct({
      hard: optional(Schema.Number),
      soft: optional(Schema.Number),
      used: Schema.Number,
      left: optional(Schema.Number),
      exhausted: Schema.Boolean,
    }),
  ),
  exhausted: Schema.Boolean,
  resetEveryMs: optional(Schema.Number),
  resetsAt: optional(Time),
}).annotate({ identifier: "Budget" });

export const Budgets = Schema.Struct({ budgets: Schema.Array(Budget) }).annotate({
  identifier: "Budgets",
});

/** What a verb of budgets gives, which says more the more came of it. */
export const BudgetOutcome = Schema.Struct({ outcome: Schema.String }).annotate({
  identifier: "BudgetOutcome",
});

export const Deleted = Schema.Struct({ deleted: Schema.Boolean }).annotate({
  identifier: "Deleted",
});

export const Subscriptions = Schema.Struct({
  subscriptions: Schema.Array(Schema.Struct({
    family: Schema.String,
    name: Schema.String,
    lag: Schema.Number,
    pending: Schema.Number,
    unacknowledged: Schema.Number,
    waiting: Schema.Number,
    lastActiveAt: optional(Time),
    cursor: Schema.String,
  })),
}).annotate({ identifier: "Subscriptions" });

export const Done = Schema.Struct({ asked: Schema.String }).annotate({ identifier: "Done" });

export const Waitpoints = Schema.Struct({ ...named, waitingFor: Schema.Array(Awaited) }).annotate({
  identifier: "Waitpoints",
});

export const Tenant = Schema.Struct({
  tenant: Schema.String,
  name: Schema.String,
  by: optional(Schema.String),
  createdAt: Time,
  created: optional(Schema.Boolean),
}).annotate({ identifier: "Tenant" });

export const Tenants = Schema.Struct({ tenants: Schema.Array(Tenant) }).annotate({
  identifier: "Tenants",
});

const Event = Schema.Struct({ type: Schema.String, sequence: Schema.Number, at: Time });

export const TenantHistory = Schema.Struct({ events: Schema.Array(Event) }).annotate({
  identifier: "TenantHistory",
});

const Role = Schema.Struct({ name: Schema.String, capabilities: Texts });

export const Grants = Schema.Struct({
  grants: Schema.Array(Schema.Struct({
    principal: Schema.String,
    tenant: optional(Schema.String),
    roles: Schema.Array(Role),
    granted: Texts,
    revoked: Texts,
    at: Time,
  })),
}).annotate({ identifier: "Grants" });

export const Rights = Schema.Struct({
  principal: Schema.String,
  tenant: optional(Schema.String.annotate({ description: "All tenants, if left out" })),
  roles: Texts,
  capabilities: Texts,
}).annotate({ identifier: "Rights" });

export const LedgerKeys = Schema.Struct({ keys: Texts }).annotate({ identifier: "LedgerKeys" });

export const Ledger = Schema.Struct({
  entries: Schema.Array(Schema.Struct({
    sequence: Schema.Number,
    at: Time,
    key: Schema.String,
    id: Schema.String,
    kind: Schema.String,
    by: optional(Schema.String),
    payload: Schema.Unknown,
  })),
  next: optional(Schema.Number.annotate({ description: "`from` of the next page" })),
}).annotate({ identifier: "Ledger" });

export const LedgerAppended = Schema.Struct({
  id: Schema.String,
  sequence: Schema.Number,
  appended: Schema.Boolean,
}).annotate({ identifier: "LedgerAppended" });

export const RemoteWorkers = Schema.Struct({
  actors: Schema.Array(Schema.Struct({
    identity: Schema.String,
    tenant: Schema.String,
    capabilities: Texts,
    department: optional(Schema.String),
    heartbeatMs: Schema.Number,
    registeredAt: Time,
    aliveAt: Time,
  })),
}).annotate({ identifier: "RemoteWorkers" });

export const Deregistered = Schema.Struct({ deregistered: Schema.Boolean }).annotate({
  identifier: "Deregistered",
});

const Firing = Schema.Struct({
  shard: Schema.Number,
  sequence: Schema.Number,
  at: Time,
  what: optional(Schema.Unknown),
  failure: optional(Schema.Unknown),
}).annotate({ identifier: "TriggerFiring" });

const triggerFields = {
  id: Schema.String,
  tenant: Schema.String,
  when: Schema.Unknown,
  then: Schema.Unknown,
  standing: Schema.Boolean,
  state: Schema.String,
  fired: Schema.Number.annotate({ description: "How often" }),
  last: optional(Firing),
  acting: optional(Firing),
  refused: optional(Firing),
  createdAt: Time,
  endedAt: optional(Time),
  by: optional(Schema.String),
};

export const Trigger = Schema.Struct(triggerFields).annotate({ identifier: "Trigger" });

export const TriggerCreated = Schema.Struct({ ...triggerFields, created: Schema.Boolean }).annotate(
  {
    identifier: "TriggerCreated",
  },
);

export const Triggers = Schema.Struct({ triggers: Schema.Array(Trigger) }).annotate({
  identifier: "Triggers",
});

export const Emitted = Schema.Struct({
  sequence: Schema.Number.annotate({ description: "Where in the log of its shard it stands" }),
  emitted: Schema.Boolean,
}).annotate({ identifier: "Emitted" });
