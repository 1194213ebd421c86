/**
 * What anybody may ask of queues: what they allow, who waits and who runs, and why somebody waits. A
 * queue comes to be with the first that waits in it, and needs no more than a worker that keeps queues.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import type { Cursor } from "../schema/cursor.ts";
import { InvalidInput } from "../schema/errors.ts";
import { NobodyKeepsQueues } from "../schema/execution_errors.ts";
import { type ActorName, ExecutionId, executionIdentity, parse, Tenant } from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import {
  changed,
  QueueChange,
  type QueueLimits,
  type QueueMessage,
  QueueName,
} from "../schema/queue_limits.ts";
import type { SeatRecord } from "../schema/seat_record.ts";
import { ExecutionIndex } from "../streams/execution_index.ts";
import { Log } from "../streams/log.ts";
import * as Seats from "../streams/seats.ts";
import { type Description, Executions, type Named } from "./executions.ts";
import { Steering } from "./executions/steering.ts";
import type { Run } from "./run.ts";
import { Admission } from "./work/queue/admission.ts";
import { limitsOf, limitsSignal, seatOf } from "./work/queue/keeper.ts";

/** So many in so much time. */
export interface RateOptions {
  readonly count: number;
  readonly per: Duration.Input;
}

/** What a queue is to allow from now on; what is left out stays as it is. */
export interface QueueOptions {
  /** How many may run at once; 100 at first. */
  readonly concurrency?: number;
  /** How many of one key of a tenant may run at once; 1 at first. */
  readonly perKey?: number;
  /** How many of a tenant may run at once; `null` for as many as like, as at first. */
  readonly perTenant?: number | null;
  /** How many may begin in a time: of all, of a tenant, of a key; `null` for no limit, as at first. */
  readonly rate?: RateOptions | null;
  readonly tenantRate?: RateOptions | null;
  readonly keyRate?: RateOptions | null;
  /** How much of the queue tenants get while others wait as well; 1 for those not named. */
  readonly weights?: Readonly<Record<string, number>>;
  /** Who has waited for so long comes before who has a priority more by one; a minute at first. */
  readonly ageing?: Duration.Input;
  /** Whether nobody is let in; who runs goes on. */
  readonly paused?: boolean;
  /** The tenants of which nobody is let in. */
  readonly pausedTenants?: ReadonlyArray<string>;
}

/** A queue as it stands. */
export interface QueueDescription {
  readonly name: string;
  readonly limits: QueueLimits;
  readonly waiting: number;
  readonly running: number;
  readonly tenants: Readonly<
    Record<string, { readonly waiting: number; readonly running: number }>
  >;
}

export interface Queues {
  /** Changes what a queue allows, for good, and as soon as its keeper hears of it. */
  configure(name: string, options: QueueOptions): Promise<QueueLimits>;
  /** Who waits and who runs, as the log has it now. */
  describe(name: string): Promise<QueueDescription>;
  /** The names of the queues; it lags behind by what the list of executions does. */
  list(): Promise<ReadonlyArray<string>>;
  /** Why an execution waits in its queue; nothing if it does not. */
  why(run: Pick<Run, "id" | "tenant" | "describe">): Promise<string | undefined>;
}

const queueOptionNames: OptionNames<QueueOptions> = {
  concurrency: true,
  perKey: true,
  perTenant: true,
  rate: true,
  tenantRate: true,
  keyRate: true,
  weights: true,
  ageing: true,
  paused: true,
  pausedTenants: true,
};

const rateOf = (what: string, options: RateOptions | null | undefined) =>
  Effect.gen(function* () {
    if (options === undefined || options === null) return options;
    const perMs = Option.match(Duration.fromInput(options.per), {
      onNone: () => NaN,
      onSome: (duration) => Math.round(Duration.toMillis(duration)),
    });
    if (!(perMs >= 1) || !Number.isFinite(perMs)) {
      return yield* new InvalidInput({
        what,
        value: String(options.per),
        rule: "expected a duration of at least 1 ms, like 1 minute",
      });
    }
    return { count: options.count, perMs };
  });

/** What is to change, as it is told to whoever keeps the queue. */
const changeOf = Effect.fnUntraced(function* (options: QueueOptions) {
  yield* checkOptions("a queue", options, queueOptionNames);
  const { ageing, rate, tenantRate, keyRate, ...rest } = options;
  const given: Record<string, unknown> = {
    ...rest,
    rate: yield* rateOf("rate", rate),
    tenantRate: yield* rateOf("rate of a tenant", tenantRate),
    keyRate: yield* rateOf("rate of a key", keyRate),
    ...(ageing === undefined ? {} : {
      ageingMs: Option.match(Duration.fromInput(ageing), {
        onNone: () => String(ageing),
        onSome: (duration) => Math.round(Duration.toMillis(duration)),
      }),
    }),
  };
  const said = Object.entries(given).filter(([, value]) => value !== undefined);
  return yield* parse(QueueChange, "queue limits", Object.fromEntries(said));
});

const named = (queue: string): Named => ({
  execution: Seats.queueExecution(queue),
  tenant: Seats.queueTenant,
});

/** What a queue allows, as its keeper last said; what one allows that nobody has kept yet. */
const limitsNow = (queue: string) =>
  Effect.flatMap(Executions, (executions) => executions.describe(named(queue))).pipe(
    Effect.map(({ cells }) => limitsOf(cells["limits"] as Schema.Json | undefined)),
    Effect.catchTag("ExecutionNotFound", () => Effect.succeed(limitsOf(undefined))),
  );

/** What a queue allows, and its seats. */
const standing = (queue: string) =>
  Effect.all([
    limitsNow(queue),
    Effect.flatMap(Log, (log) => Seats.make(log).taken(queue)),
  ], { concurrency: 2 });

/** Tells whoever keeps a queue, and gives what it is to allow then. */
const tell = Effect.fnUntraced(function* (name: string, message: QueueMessage) {
  const queue = yield* parse(QueueName, "queue name", name);
  const executions = yield* Executions;
  yield* executions.start(Seats.queueActor as ActorName, Seats.queueTenant, undefined, {
    id: queue,
  }).pipe(Effect.catchTag("UnknownActor", () => Effect.fail(new NobodyKeepsQueues({ queue }))));
  const before = yield* limitsNow(queue);
  // Who keeps it applies what is said to what it has then: nobody undoes what another said.
  yield* (yield* Steering).signal(named(queue), limitsSignal, message as Schema.Json);
  return changed(before, message);
});

export const configure = (name: string, options: QueueOptions) =>
  Effect.flatMap(changeOf(options), (change) => tell(name, change));

/** Pauses tenants in a queue, or has them go on, whoever else is paused. */
export const steerTenants = Effect.fnUntraced(function* (
  name: string,
  verb: "pause" | "resume",
  tenants: ReadonlyArray<string>,
) {
  const checked = yield* Effect.forEach(tenants, (tenant) => parse(Tenant, "tenant", tenant));
  return yield* tell(name, { [`${verb}Tenants` as const]: checked });
});

export const describe = Effect.fnUntraced(function* (name: string) {
  const queue = yield* parse(QueueName, "queue name", name);
  const [limits, taken] = yield* standing(queue);
  const tenants: Record<string, { waiting: number; running: number }> = {};
  for (const { tenant, state } of taken) {
    const counts = tenants[tenant] ??= { waiting: 0, running: 0 };
    counts[state === "waiting" ? "waiting" : "running"]++;
  }
  const running = taken.filter(({ state }) => state === "admitted").length;
  return { name, limits, waiting: taken.length - running, running, tenants };
});

/** Why an execution waits in its queue, of what is known of it; nothing if it does not. */
export const why = Effect.fnUntraced(function* (
  { execution, tenant, life, reason, queue }: Pick<
    Description,
    "execution" | "tenant" | "life" | "reason" | "queue"
  >,
) {
  if (reason !== "queue" || queue === undefined) return undefined;
  const [limits, taken] = yield* standing(queue);
  const admission = new Admission(limits);
  // The ids are shown to people.
  const idOf = (seat: SeatRecord): string => `${seat.tenant} ${seat.execution}`;
  for (const seat of taken) {
    const known = { ...seatOf(seat), id: idOf(seat) };
    if (seat.state === "waiting") admission.enter(known);
    else admission.resume(known);
  }
  const own = taken.find((seat) =>
    seat.execution === execution && seat.tenant === tenant && seat.life === life &&
    seat.state === "waiting"
  );
  if (own === undefined) return "it is about to take its seat, or to hear that it is its turn";
  const said = admission.why(idOf(own));
  const isNext = admission.admit(0)?.id === idOf(own);
  return isNext ? "it is next, as soon as the rate limits allow it" : said;
});

/** The names of the queues that anybody has waited in, or has configured. */
export const list = Effect.gen(function* () {
  const index = yield* ExecutionIndex;
  const names = new Set<string>();
  let from: Cursor | undefined;
  do {
    const page = yield* index.list({
      tenant: Seats.queueTenant,
      actor: Seats.queueActor as ActorName,
      limit: 1_000,
      ...(from === undefined ? {} : { from }),
    });
    for (const { execution } of page.executions) names.add(executionIdentity(execution).name);
    from = page.next;
  } while (from !== undefined);
  return [...names].sort();
});

export const makeQueues = (
  runtime: ManagedRuntime.ManagedRuntime<ExecutionIndex | Executions | Log | Steering, unknown>,
): Queues => ({
  configure: (name, options) => runtime.runPromise(configure(name, options)),
  describe: (name) => runtime.runPromise(describe(name)),
  list: () => runtime.runPromise(list),
  why: (run) =>
    runtime.runPromise(Effect.gen(function* () {
      const tenant = yield* parse(Tenant, "tenant", run.tenant);
      const execution = yield* parse(ExecutionId, "execution id", run.id);
      const description = yield* Effect.promise(() => run.describe());
      return yield* why({ ...description, execution, tenant });
    })),
});
