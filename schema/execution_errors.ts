/**
 * Failures that speak of an execution: what it refuses, how it ended, and what its code did wrong.
 * The same form as in `errors.ts`. Failures that an actor's own code raised travel as `Failure`.
 */
import * as Schema from "effect/Schema";
import { Failure } from "./failure.ts";
import { Json } from "./json.ts";

/** What a failure said, as a part of a sentence. */
const said = ({ name, message }: Failure): string => `${name}: ${message.replace(/\.$/, "")}`;

/** No such execution, or none in this tenant. */
export class ExecutionNotFound
  extends Schema.TaggedError<ExecutionNotFound>("@weir/weir/ExecutionNotFound")(
    "ExecutionNotFound",
    { execution: Schema.String },
  ) {
  readonly code = "WEIR_EXECUTION_NOT_FOUND";
  readonly retryable = false;
  override get message(): string {
    return `There is no execution ${this.execution}. Check its id and tenant, or start it.`;
  }
}

/** A verb that needs a living execution met one that has ended. */
export class ExecutionEnded extends Schema.TaggedError<ExecutionEnded>("@weir/weir/ExecutionEnded")(
  "ExecutionEnded",
  {
    execution: Schema.String,
    outcome: Schema.String,
    attempt: Schema.Number,
    epoch: Schema.Number,
  },
) {
  readonly code = "WEIR_EXECUTION_ENDED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} has ended: ${this.outcome}, in attempt ${this.attempt}. ` +
      `Read its result, or start it again with retry.`;
  }
}

/** Only what has ended can be run again. */
export class ExecutionNotEnded
  extends Schema.TaggedError<ExecutionNotEnded>("@weir/weir/ExecutionNotEnded")(
    "ExecutionNotEnded",
    { execution: Schema.String, status: Schema.String },
  ) {
  readonly code = "WEIR_EXECUTION_NOT_ENDED";
  readonly retryable = true;
  override get message(): string {
    return `${this.execution} is ${this.status}. Wait for its end, or cancel it first.`;
  }
}

/** An execution failed; `failure` is what its code raised. */
export class ExecutionFailed
  extends Schema.TaggedError<ExecutionFailed>("@weir/weir/ExecutionFailed")(
    "ExecutionFailed",
    { execution: Schema.String, failure: Failure },
  ) {
  readonly code = "WEIR_EXECUTION_FAILED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} failed with ${said(this.failure)}. ` +
      `Correct the cause and run it again with retry.`;
  }
}

/** An execution was cancelled before it had a result. */
export class ExecutionCancelled
  extends Schema.TaggedError<ExecutionCancelled>("@weir/weir/ExecutionCancelled")(
    "ExecutionCancelled",
    { execution: Schema.String, reason: Schema.optionalKey(Schema.String) },
  ) {
  readonly code = "WEIR_EXECUTION_CANCELLED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} was cancelled${
      this.reason === undefined ? "" : `: ${this.reason}`
    }. ` +
      `Leave it, or run it again with retry.`;
  }
}

/** An execution did not end before its deadline, or was skipped. */
export class ExecutionExpired
  extends Schema.TaggedError<ExecutionExpired>("@weir/weir/ExecutionExpired")(
    "ExecutionExpired",
    { execution: Schema.String, outcome: Schema.String },
  ) {
  readonly code = "WEIR_EXECUTION_EXPIRED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} ended as ${this.outcome}, without a result. ` +
      `Start it anew with a later deadline.`;
  }
}

/** Tasks that are submitted together wait for each other in a circle. */
export class DependencyCycle
  extends Schema.TaggedError<DependencyCycle>("@weir/weir/DependencyCycle")(
    "DependencyCycle",
    { executions: Schema.Array(Schema.String) },
  ) {
  readonly code = "WEIR_DEPENDENCY_CYCLE";
  readonly retryable = false;
  override get message(): string {
    const { executions } = this;
    return `${[...executions, executions[0]].join(" waits for ")}. ` +
      `Nothing was stored. Correct what they come after, and submit them again.`;
  }
}

/** Too many executions are below each other. */
export class HierarchyTooDeep
  extends Schema.TaggedError<HierarchyTooDeep>("@weir/weir/HierarchyTooDeep")(
    "HierarchyTooDeep",
    { parent: Schema.String, deepest: Schema.Number },
  ) {
  readonly code = "WEIR_HIERARCHY_TOO_DEEP";
  readonly retryable = false;
  override get message(): string {
    return `${this.parent} has ${this.deepest} executions above it already, and no more may be ` +
      `below each other. Choose a parent that is higher up.`;
  }
}

/** No worker of the namespace has ever kept queues. */
export class NobodyKeepsQueues
  extends Schema.TaggedError<NobodyKeepsQueues>("@weir/weir/NobodyKeepsQueues")(
    "NobodyKeepsQueues",
    {
      queue: Schema.String,
      /** A task was to wait in it; left out, the queue itself was to be changed. */
      of: Schema.optionalKey(Schema.Literal("task")),
    },
  ) {
  readonly code = "WEIR_NOBODY_KEEPS_QUEUES";
  readonly retryable = false;
  override get message(): string {
    return `No worker of this namespace has ever kept queues, so nobody would say whose turn it is ` +
      `in ${this.queue}. Run a worker with { queues: true } first` +
      (this.of === undefined ? "." : ", or give { unserved: true } to have the task wait for one.");
  }
}

/** Somebody has the tenant, the lane or everything drained or disabled: nothing new is accepted. */
export class IntakeClosed extends Schema.TaggedError<IntakeClosed>("@weir/weir/IntakeClosed")(
  "IntakeClosed",
  {
    execution: Schema.String,
    state: Schema.Literals(["draining", "disabled"]),
    /** Of which tenant and lane that holds; left out, of all. */
    tenant: Schema.optionalKey(Schema.String),
    lane: Schema.optionalKey(Schema.String),
    /** Since when, in milliseconds. */
    since: Schema.Number,
    reason: Schema.optionalKey(Schema.String),
    by: Schema.optionalKey(Schema.String),
  },
) {
  readonly code = "WEIR_INTAKE_CLOSED";
  readonly retryable = true;
  override get message(): string {
    const { execution, state, since, reason, by, tenant, lane } = this;
    const scope = tenant === undefined ? "allTenants: true" : `tenant: ${JSON.stringify(tenant)}`;
    const call = lane === undefined ? scope : `${scope}, lane: ${JSON.stringify(lane)}`;
    return `${execution} was not started: ${scopeText({ tenant, lane })} is ${state}` +
      `${by === undefined ? "" : ` by ${by}`} since ${new Date(since).toISOString()}` +
      `${reason === undefined ? "" : ` (${reason})`}, and nothing was stored. ` +
      `Start it again when somebody has called engine.resume({ ${call} }).`;
  }
}

/** What somebody paused, for a person. */
export const scopeText = (
  { tenant, lane }: { readonly tenant?: string | undefined; readonly lane?: string | undefined },
): string => {
  const whose = tenant === undefined ? "" : `tenant ${tenant}`;
  if (lane === undefined) return whose === "" ? "the namespace" : whose;
  return `lane ${lane}${whose === "" ? "" : ` of ${whose}`}`;
};

/** No run of a schedule succeeded. */
export class ScheduleFailed extends Schema.TaggedError<ScheduleFailed>("@weir/weir/ScheduleFailed")(
  "ScheduleFailed",
  { execution: Schema.String, created: Schema.Number },
) {
  readonly code = "WEIR_SCHEDULE_FAILED";
  readonly retryable = false;
  override get message(): string {
    return `None of the ${this.created} runs of ${this.execution} succeeded. ` +
      `Look at its runs to see how each ended.`;
  }
}

/** No worker of the namespace has ever served an actor of that name. */
export class UnknownActor extends Schema.TaggedError<UnknownActor>("@weir/weir/UnknownActor")(
  "UnknownActor",
  { actor: Schema.String },
) {
  readonly code = "WEIR_UNKNOWN_ACTOR";
  readonly retryable = false;
  override get message(): string {
    return `No worker of this namespace has ever served ${JSON.stringify(this.actor)}. ` +
      `Check the name and the namespace, run a worker that has its code first, ` +
      `or give { unserved: true } to have the start wait for such a worker.`;
  }
}

/** An execution takes no further signals. */
export class SignalLimitExceeded
  extends Schema.TaggedError<SignalLimitExceeded>("@weir/weir/SignalLimitExceeded")(
    "SignalLimitExceeded",
    { execution: Schema.String, limit: Schema.Number },
  ) {
  readonly code = "WEIR_SIGNAL_LIMIT_EXCEEDED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} has had ${this.limit} signals, which is the limit. ` +
      `Start another execution for the rest.`;
  }
}

/** An execution has been run again as often as is allowed. */
export class RetryLimitExceeded
  extends Schema.TaggedError<RetryLimitExceeded>("@weir/weir/RetryLimitExceeded")(
    "RetryLimitExceeded",
    { execution: Schema.String, limit: Schema.Number },
  ) {
  readonly code = "WEIR_RETRY_LIMIT_EXCEEDED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} has been run again ${this.limit} times, which is the limit. ` +
      `Start a new execution.`;
  }
}

/** An actor used one name for two things at once, so that chance would tell them apart. */
export class NameInUse extends Schema.TaggedError<NameInUse>("@weir/weir/NameInUse")(
  "NameInUse",
  { execution: Schema.String, step: Schema.String },
) {
  readonly code = "WEIR_NAME_IN_USE";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} uses the name ${
      JSON.stringify(this.step)
    } while it is still in use. ` +
      `Choose another name for the second one, or wait for the first.`;
  }
}

/** The history has something else under this name: the code was changed without renaming. */
export class KindMismatch extends Schema.TaggedError<KindMismatch>("@weir/weir/KindMismatch")(
  "KindMismatch",
  {
    execution: Schema.String,
    step: Schema.String,
    recorded: Schema.String,
    requested: Schema.String,
  },
) {
  readonly code = "WEIR_KIND_MISMATCH";
  readonly retryable = false;
  override get message(): string {
    return `${
      JSON.stringify(this.step)
    } of ${this.execution} is a ${this.recorded} in its history, ` +
      `and the code asks for a ${this.requested}. Choose another name for it.`;
  }
}

/** A step failed, and is not tried again. */
export class StepFailed extends Schema.TaggedError<StepFailed>("@weir/weir/StepFailed")(
  "StepFailed",
  { step: Schema.String, failure: Failure },
) {
  readonly code = "WEIR_STEP_FAILED";
  readonly retryable = false;
  override get message(): string {
    return `Step ${JSON.stringify(this.step)} failed with ${said(this.failure)}. ` +
      `Correct the cause, or handle it where the step is run.`;
  }
}

/** What a child or an awaited execution ended as, when it was not a success. */
export class ChildFailed extends Schema.TaggedError<ChildFailed>("@weir/weir/ChildFailed")(
  "ChildFailed",
  {
    execution: Schema.String,
    outcome: Schema.String,
    failure: Schema.optionalKey(Failure),
  },
) {
  readonly code = "WEIR_CHILD_FAILED";
  readonly retryable = false;
  override get message(): string {
    const because = this.failure === undefined ? "" : ` with ${said(this.failure)}`;
    return `${this.execution} ended as ${this.outcome}${because}. ` +
      `Correct the cause, or handle it where the child is called.`;
  }
}

/** Raised inside an actor, once, where it stands when its execution is cancelled. */
export class Cancelled extends Schema.TaggedError<Cancelled>("@weir/weir/Cancelled")(
  "Cancelled",
  { execution: Schema.String, reason: Schema.optionalKey(Schema.String) },
) {
  readonly code = "WEIR_CANCELLED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} is asked to stop${
      this.reason === undefined ? "" : `: ${this.reason}`
    }. ` +
      `Undo what must be undone, and leave the rest.`;
  }
}

/** An error that is not worth another try, whatever the retry policy says. */
export class NonRetryable extends Schema.TaggedError<NonRetryable>("@weir/weir/NonRetryable")(
  "NonRetryable",
  { reason: Schema.String, data: Schema.optionalKey(Json) },
) {
  readonly code = "WEIR_NON_RETRYABLE";
  readonly retryable = false;
  override get message(): string {
    return `${this.reason}. Correct the cause; it is not tried again.`;
  }
}

/** A try of a step gave out a frame after it was over. */
export class OutputClosed extends Schema.TaggedError<OutputClosed>("@weir/weir/OutputClosed")(
  "OutputClosed",
  { execution: Schema.String, output: Schema.String, step: Schema.String },
) {
  readonly code = "WEIR_OUTPUT_CLOSED";
  readonly retryable = false;
  override get message(): string {
    return `Step ${JSON.stringify(this.step)} of ${this.execution} is over, or not run here any ` +
      `more, and gives nothing more to ${JSON.stringify(this.output)}. ` +
      `Wait for each emit before the step returns.`;
  }
}

/** An actor's function returned, and had not waited for what it had begun. */
export class NotAwaited extends Schema.TaggedError<NotAwaited>("@weir/weir/NotAwaited")(
  "NotAwaited",
  { execution: Schema.String, verb: Schema.String, step: Schema.String },
) {
  readonly code = "WEIR_NOT_AWAITED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} returned without having awaited ctx.${this.verb} ` +
      `${JSON.stringify(this.step)}, whose outcome would be lost. ` +
      `Wait for it: put await before it, or give it to Promise.all or Promise.race.`;
  }
}

/** A step used the context of the actor that runs it. */
export class InsideStep extends Schema.TaggedError<InsideStep>("@weir/weir/InsideStep")(
  "InsideStep",
  { execution: Schema.String, step: Schema.String, verb: Schema.String },
) {
  readonly code = "WEIR_INSIDE_STEP";
  readonly retryable = false;
  override get message(): string {
    return `Step ${JSON.stringify(this.step)} of ${this.execution} uses ctx.${this.verb}. ` +
      `A step that is recorded is not run again, and a replay would miss that. ` +
      `Run it before the step or behind it.`;
  }
}

/** An actor's context was used when its function had ended. */
export class ContextClosed extends Schema.TaggedError<ContextClosed>("@weir/weir/ContextClosed")(
  "ContextClosed",
  { execution: Schema.String, verb: Schema.String },
) {
  readonly code = "WEIR_CONTEXT_CLOSED";
  readonly retryable = false;
  override get message(): string {
    return `ctx.${this.verb} was used when the function of ${this.execution} had ended. ` +
      `Wait in the function for everything that uses its context.`;
  }
}

/** An actor's function did something else when it ran again, on the same results. */
export class NondeterministicProgram
  extends Schema.TaggedError<NondeterministicProgram>("@weir/weir/NondeterministicProgram")(
    "NondeterministicProgram",
    {
      execution: Schema.String,
      /** The first step that differs, by its name in the first run; or `the result`. */
      step: Schema.String,
      /** What it was in the first run, and what in the second. */
      first: Schema.String,
      second: Schema.String,
    },
  ) {
  readonly code = "WEIR_NONDETERMINISTIC_PROGRAM";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} did something else when its function ran again, at ` +
      `${JSON.stringify(this.step)}: first ${this.first}, then ${this.second}. ` +
      `Read the clock with ctx.now, draw with ctx.random or ctx.uuid, and run in a step ` +
      `what has effects or depends on anything outside.`;
  }
}

/** Something that only the body of a workflow can do was done in a part of it that is recorded. */
export class OutsideBody extends Schema.TaggedError<OutsideBody>("@weir/weir/OutsideBody")(
  "OutsideBody",
  { execution: Schema.String, verb: Schema.String },
) {
  readonly code = "WEIR_OUTSIDE_BODY";
  readonly retryable = false;
  override get message(): string {
    return `${this.verb} is used in ${this.execution} where a record stands for what is done: in an ` +
      `activity, or within DurableDeferred.raceAll or into, which a replay passes over. ` +
      `Wait for it in the body of the workflow itself; takeOption has limits of its own.`;
  }
}

/** An execution is at a version of its code that this process does not have. */
export class VersionNotSupported
  extends Schema.TaggedError<VersionNotSupported>("@weir/weir/VersionNotSupported")(
    "VersionNotSupported",
    {
      execution: Schema.String,
      change: Schema.String,
      version: Schema.Number,
      min: Schema.Number,
      max: Schema.Number,
    },
  ) {
  readonly code = "WEIR_VERSION_NOT_SUPPORTED";
  readonly retryable = false;
  override get message(): string {
    return `${this.execution} has version ${this.version} of ${JSON.stringify(this.change)}, and ` +
      `this code knows ${this.min} to ${this.max}. Run it with code that knows that version, and ` +
      `take a version out only when no execution has it.`;
  }
}

/** A budget that the execution is bound to has nothing left, or too little. */
export class BudgetExhausted
  extends Schema.TaggedError<BudgetExhausted>("@weir/weir/BudgetExhausted")(
    "BudgetExhausted",
    { execution: Schema.String, budget: Schema.String, dimension: Schema.String },
  ) {
  readonly code = "WEIR_BUDGET_EXHAUSTED";
  readonly retryable = true;
  override get message(): string {
    return `${this.execution} is bound to the budget ${
      JSON.stringify(this.budget)
    }, of which too ` +
      `little ${this.dimension} is left. Replenish it, or wait for the end of its interval.`;
  }
}

/** Every error that speaks of an execution. */
export type ExecutionProblem =
  | ExecutionNotFound
  | ExecutionEnded
  | ExecutionNotEnded
  | ExecutionFailed
  | ExecutionCancelled
  | ExecutionExpired
  | DependencyCycle
  | HierarchyTooDeep
  | NobodyKeepsQueues
  | IntakeClosed
  | ScheduleFailed
  | UnknownActor
  | SignalLimitExceeded
  | RetryLimitExceeded
  | NameInUse
  | KindMismatch
  | StepFailed
  | ChildFailed
  | Cancelled
  | BudgetExhausted
  | NonRetryable
  | OutputClosed
  | NotAwaited
  | InsideStep
  | ContextClosed
  | OutsideBody
  | VersionNotSupported
  | NondeterministicProgram;
