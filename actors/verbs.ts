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
  ExecutionId,
  executionIdentity,
  executionText,
  Lane,
  parse,
  Tenant,
  WorkerInstanceId,
} from "../schema/ids.ts";
import type { Budgets } from "../streams/budgets.ts";
import type { EventStore } from "../streams/event_store.ts";
import { ExecutionIndex } from "../streams/execution_index.ts";
import type { Families } from "../streams/families.ts";
import { Sessions } from "../streams/session.ts";
import type { Subscriptions } from "../streams/subscriptions.ts";
import { type Actor, codeOf } from "./actor.ts";
import { makeBudgets } from "./budgets.ts";
import { checkJson } from "./engine/to_json.ts";
import * as EngineWorker from "./engine/worker.ts";
import { makeEvents } from "./events.ts";
import { Executions } from "./executions.ts";
import { type FamilyReaders, makeFamilies } from "./families.ts";
import { makeRun } from "./run.ts";
import { check } from "./standard_schema.ts";
import { makeSubscriptions } from "./subscriptions.ts";
import type { InitialSignal, StartOptions, Weir, WorkerOptions } from "./weir.ts";

/** What does not depend on where the services run. */
export type Verbs =
  & Pick<Weir, "budgets" | "events" | "start" | "get" | "list" | "subscriptions" | "workers">
  & FamilyReaders;

export const makeVerbs = (
  runtime: ManagedRuntime.ManagedRuntime<
    Budgets | EventStore | ExecutionIndex | Executions | Families | Sessions | Subscriptions,
    unknown
  >,
  tenant: Tenant,
): Verbs => ({
  ...makeFamilies(runtime, tenant),
  budgets: makeBudgets(runtime, tenant),
  events: makeEvents(runtime, tenant),
  subscriptions: makeSubscriptions(runtime),
  start: async <Input, Output, Raised>(
    actor: Actor<Input, Output, Raised>,
    input: Input,
    { tenant: other, lane, signals, ...rest }: StartOptions = {},
  ) => {
    const started = await runtime.runPromise(Effect.gen(function* () {
      const name = yield* parse(ActorName, "actor name", actor.name);
      const checked = actor.input === undefined
        ? input
        : yield* check(actor.input, `the input of ${actor.name}`, input);
      return yield* (yield* Executions).start(
        name,
        other === undefined ? tenant : yield* parse(Tenant, "tenant", other),
        yield* checkJson(`the input of ${actor.name}`, checked),
        {
          ...rest,
          ...(lane === undefined ? {} : { lane: yield* parse(Lane, "lane", lane) }),
          signals: yield* Effect.forEach(signals ?? [], checkedSignal),
        },
      );
    }));
    return {
      ...makeRun<Output, Raised>(runtime, started, actor.errors),
      created: started.created,
    };
  },
  get: <Input, Output, Raised>(
    { name, errors }: Actor<Input, Output, Raised>,
    id: string,
    { tenant: other }: { readonly tenant?: string } = {},
  ) => {
    const execution = Effect.runSync(
      parse(ExecutionId, "execution id", executionText(name, id)),
    );
    if (executionIdentity(execution).actor !== name) {
      throw new InvalidInput({ what: "actor name", value: name, rule: "it is not one" });
    }
    const of = other === undefined ? tenant : Effect.runSync(parse(Tenant, "tenant", other));
    return makeRun<Output, Raised>(runtime, { execution, tenant: of }, errors);
  },
  list: ({ tenant: other, actor: of, limit = 50, ...rest } = {}) =>
    runtime.runPromise(Effect.gen(function* () {
      const name = typeof of === "object" ? of.name : of;
      return yield* (yield* ExecutionIndex).list({
        ...rest,
        limit,
        tenant: other === undefined ? tenant : yield* parse(Tenant, "tenant", other),
        ...(name === undefined ? {} : { actor: yield* parse(ActorName, "actor name", name) }),
      });
    })),
  workers: () => runtime.runPromise(Effect.flatMap(Sessions, (sessions) => sessions.list)),
});

const checkedSignal = (
  { signal: { name, payload: schema }, payload, ...options }: InitialSignal,
) =>
  Effect.gen(function* () {
    const what = `the payload of ${name}`;
    const checked = schema === undefined ? payload : yield* check(schema, what, payload);
    return { ...options, name, payload: yield* checkJson(what, checked) };
  });

/** A worker of actors, until the scope ends. */
export const makeWorker = Effect.fnUntraced(function* (
  // deno-lint-ignore no-explicit-any -- an actor's types are its own business here
  actors: ReadonlyArray<Actor<any, any>>,
  { identity, lanes, ...rest }: WorkerOptions,
) {
  for (const { name } of actors) yield* parse(ActorName, "actor name", name);
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
