/**
 * The verbs of the promise door on services that run already, wherever they run. It checks what a
 * caller gives and leaves the rest to the services.
 */
import { randomUUID } from "node:crypto";
import process from "node:process";
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import { InvalidInput } from "../schema/errors.ts";
import {
  ActorName,
  Lane,
  namedExecution,
  parse,
  shown,
  Tenant,
  WorkerInstanceId,
} from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import type { Budgets } from "../streams/budgets.ts";
import type { EngineControl } from "../streams/engine_control.ts";
import type { EventStore } from "../streams/event_store.ts";
import { ExecutionIndex } from "../streams/execution_index.ts";
import type { Families } from "../streams/families.ts";
import type { Log } from "../streams/log.ts";
import type { Mailboxes } from "../streams/mailbox.ts";
import type { Requests } from "../streams/requests.ts";
import type { ServerClock } from "../streams/server_clock.ts";
import type { Grants } from "../streams/grants.ts";
import type { Ledgers } from "../streams/ledgers.ts";
import { Sessions } from "../streams/session.ts";
import type { Subscriptions } from "../streams/subscriptions.ts";
import type { Tenants } from "../streams/tenants.ts";
import { type Actor, codeOf } from "./actor.ts";
import { makeBudgets } from "./budgets.ts";
import { definition } from "./definition.ts";
import { makeEngineControl } from "./engine_control.ts";
import { checkJson } from "./engine/to_json.ts";
import * as EngineWorker from "./engine/worker.ts";
import { makeEvents } from "./events.ts";
import { Executions } from "./executions.ts";
import type { Steering } from "./executions/steering.ts";
import { taskOptionNames, type TaskOptions } from "./executions/task.ts";
import { type FamilyReaders, makeFamilies } from "./families.ts";
import { makeGrants } from "./grants.ts";
import type { KeepOptions } from "./keep.ts";
import { makeLedgers } from "./ledgers.ts";
import { makeRun } from "./run.ts";
import { makeQueues } from "./queues.ts";
import { makeRemotes } from "./remotes.ts";
import { makeSchedule } from "./schedule.ts";
import { check } from "./standard_schema.ts";
import { makeSubscriptions } from "./subscriptions.ts";
import { makeTenants } from "./tenants.ts";
import { makeTriggers } from "./triggers.ts";
import type { InitialSignal, StartOptions, Weir, WorkerOptions } from "./weir.ts";
import { schedulesTag } from "./work/schedule.ts";

/** What does not depend on where the services run. */
export type Verbs =
  & Pick<
    Weir,
    | "budgets"
    | "emit"
    | "engine"
    | "events"
    | "start"
    | "submit"
    | "submitAll"
    | "schedule"
    | "getSchedule"
    | "get"
    | "complete"
    | "list"
    | "queues"
    | "remotes"
    | "schedules"
    | "subscriptions"
    | "tenants"
    | "triggers"
    | "grants"
    | "ledgers"
    | "workers"
  >
  & FamilyReaders;

export const makeVerbs = (
  runtime: ManagedRuntime.ManagedRuntime<
    | Budgets
    | EngineControl
    | EventStore
    | ExecutionIndex
    | Executions
    | Families
    | Grants
    | Ledgers
    | Log
    | Mailboxes
    | Requests
    | ServerClock
    | Sessions
    | Steering
    | Subscriptions
    | Tenants,
    unknown
  >,
  tenant: Tenant,
): Verbs => {
  /** Starts an execution of whatever kind. */
  const begin = <Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    input: Input,
    options: StartOptions & TaskOptions,
  ) =>
    runtime.runPromise(Effect.gen(function* () {
      yield* checkOptions("a start", options, startOptionNames);
      const { tenant: other, lane: named, signals, ...rest } = options;
      const { name, value, lane } = yield* checkedStart(actor, input, named);
      return yield* (yield* Executions).start(
        name,
        other === undefined ? tenant : yield* parse(Tenant, "tenant", other),
        value,
        { ...rest, ...lane, signals: yield* Effect.forEach(signals ?? [], checkedSignal) },
      );
    }));

  const startNow = async <Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    input: Input,
    options: StartOptions & TaskOptions = {},
  ) => {
    const started = await begin(actor, input, options);
    return {
      ...makeRun<Output, Raised>(runtime, started, actor.errors),
      created: started.created,
    };
  };

  /** What an id stands for. */
  const find = (
    actor: { readonly name: string },
    id: string,
    { tenant: other }: { readonly tenant?: string } = {},
  ) => {
    const { name } = Effect.runSync(definition("actor", actor));
    return {
      execution: Effect.runSync(namedExecution(name, id)).execution,
      tenant: other === undefined ? tenant : Effect.runSync(parse(Tenant, "tenant", other)),
    };
  };

  const list: Weir["list"] = ({ tenant: other, actor: of, limit = 50, ...rest } = {}) =>
    runtime.runPromise(Effect.gen(function* () {
      const name = typeof of === "object" ? of.name : of;
      return yield* (yield* ExecutionIndex).list({
        ...rest,
        limit,
        tenant: other === undefined ? tenant : yield* parse(Tenant, "tenant", other),
        ...(name === undefined ? {} : { actor: yield* parse(ActorName, "actor name", name) }),
      });
    }));

  return {
    ...makeFamilies(runtime, tenant),
    ...makeTriggers(runtime, tenant),
    budgets: makeBudgets(runtime, tenant),
    engine: makeEngineControl(runtime, tenant),
    events: makeEvents(runtime, tenant),
    queues: makeQueues(runtime),
    remotes: makeRemotes(runtime, tenant),
    subscriptions: makeSubscriptions(runtime),
    tenants: makeTenants(runtime),
    grants: makeGrants(runtime, tenant),
    ledgers: makeLedgers(runtime, tenant),
    start: startNow,
    submit: startNow,
    submitAll: async (tasks, { tenant: other } = {}) => {
      const started = await runtime.runPromise(Effect.gen(function* () {
        const of = other === undefined ? tenant : yield* parse(Tenant, "tenant", other);
        const requests = yield* Effect.forEach(
          tasks,
          (task) =>
            Effect.gen(function* () {
              yield* checkOptions("one of several tasks", task, taskRequestNames);
              const { actor, input, lane: named, ...options } = task;
              const { name, value, lane } = yield* checkedStart(actor, input, named);
              return { actor: name, input: value, options: { ...options, ...lane } };
            }),
        );
        return yield* (yield* Executions).startAll(of, requests);
      }));
      return started.map((each, i) => ({
        ...makeRun(runtime, each, tasks[i]!.actor.errors),
        created: each.created,
      }));
    },
    schedule: async (actor, input, options) => {
      const given: Partial<typeof options> | undefined = options;
      const type: unknown = given?.policy?.type;
      if (type === undefined || type === "once") {
        const rule = "expected the type repeat or cron; submit has a task run once";
        throw new InvalidInput({ what: "run policy", value: shown(type), rule });
      }
      // Not even from options of another type: whether one may send them is not asked here.
      if ("signals" in options && options.signals !== undefined) {
        const rule = "expected none, since a schedule is told things by verbs of its own";
        throw new InvalidInput({ what: "signals", value: "of a schedule", rule });
      }
      const started = await begin(actor, input, options);
      return {
        ...makeSchedule(runtime, started, actor.errors),
        created: started.created,
      };
    },
    getSchedule: (actor, id, options) =>
      makeSchedule(runtime, find(actor, id, options), actor.errors),
    get: (actor, id, options) => makeRun(runtime, find(actor, id, options), actor.errors),
    complete: (token, payload) =>
      runtime.runPromise(Effect.gen(function* () {
        const { complete } = yield* Executions;
        const { signalId, effect } = yield* complete(
          token,
          yield* checkJson("the payload of the token", payload),
        );
        return { signalId, effect: () => runtime.runPromise(effect) };
      })),
    list,
    schedules: { list: (query) => list({ ...query, tag: schedulesTag }) },
    workers: () => runtime.runPromise(Effect.flatMap(Sessions, (sessions) => sessions.list)),
  };
};

const startOptionNames: OptionNames<StartOptions & TaskOptions> = {
  id: true,
  tags: true,
  lane: true,
  requires: true,
  priority: true,
  delay: true,
  deadline: true,
  unserved: true,
  signals: true,
  tenant: true,
  ...taskOptionNames,
};

const { tenant: _, signals: __, ...taskNames } = startOptionNames;
const taskRequestNames = { actor: true, input: true, ...taskNames } as const;

/** What is to be started, as far as the door checks it. */
const checkedStart = Effect.fnUntraced(function* (
  // deno-lint-ignore no-explicit-any -- an actor's types are its own business here
  actor: Actor<any, any>,
  input: unknown,
  lane: string | undefined,
) {
  yield* definition("actor", actor);
  const name = yield* parse(ActorName, "actor name", actor.name);
  const what = `the input of ${actor.name}`;
  const checked = actor.input === undefined ? input : yield* check(actor.input, what, input);
  return {
    name,
    value: yield* checkJson(what, checked),
    lane: lane === undefined ? {} : { lane: yield* parse(Lane, "lane", lane) },
  };
});

const checkedSignal = ({ signal, payload, ...options }: InitialSignal) =>
  Effect.gen(function* () {
    const { name, payload: schema } = yield* definition("signal", signal);
    const what = `the payload of ${name}`;
    const checked = schema === undefined ? payload : yield* check(schema, what, payload);
    return { ...options, name, payload: yield* checkJson(what, checked) };
  });

/** What a worker is to serve. */
export const checkActors = Effect.fnUntraced(function* (
  actors: ReadonlyArray<{ readonly name: string }>,
) {
  if (!Array.isArray(actors)) {
    const rule = "expected an array of what actor() gave";
    return yield* new InvalidInput({ what: "actors", value: shown(actors), rule });
  }
  for (const actor of actors) {
    yield* parse(ActorName, "actor name", (yield* definition("actor", actor)).name);
  }
});

/** A worker of actors, until the scope ends. */
const workerOptionNames: OptionNames<WorkerOptions> = {
  identity: true,
  lanes: true,
  capabilities: true,
  concurrency: true,
  leaseTtl: true,
  residentGrace: true,
  maxReclaims: true,
  drainTimeout: true,
  keep: true,
  queues: true,
  triggers: true,
  remotes: true,
};

const keepOptionNames: OptionNames<KeepOptions> = { default: true, tenants: true };

export const makeWorker = Effect.fnUntraced(function* (
  // deno-lint-ignore no-explicit-any -- an actor's types are its own business here
  actors: ReadonlyArray<Actor<any, any>>,
  options: WorkerOptions,
) {
  yield* checkActors(actors);
  yield* checkOptions("a worker", options, workerOptionNames);
  yield* checkOptions("a worker's keep", options.keep, keepOptionNames);
  const { identity, lanes, ...rest } = options;
  return yield* EngineWorker.make({
    ...rest,
    actors: actors.map(codeOf),
    identity: yield* parse(
      WorkerInstanceId,
      "worker identity",
      identity ?? `${process.pid}-${randomUUID().slice(0, 8)}`,
    ),
    ...(lanes === undefined
      ? {}
      : { lanes: yield* Effect.forEach(lanes, (lane) => parse(Lane, "lane", lane)) }),
  });
});
