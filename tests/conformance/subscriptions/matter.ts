/** Ends of executions for subscriptions to hand out, and readers that take them one by one. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { CompletionEvent } from "../../../schema/completion.ts";
import { ExecutionId, SubscriptionName, type Tenant } from "../../../schema/ids.ts";
import type { Tags } from "../../../schema/mail_record.ts";
import type { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import { type SubscribeOptions, Subscriptions } from "../../../streams/subscriptions.ts";
import { newTenant, run, start } from "../execution_index/matter.ts";

export type Services = Leases | Log | Subscriptions;

/** A tenant and a subscription that no other test has. */
export const fresh = () => ({
  tenant: newTenant(),
  name: SubscriptionName.make(`billing-${randomUUID()}`),
});

/** Has a new execution of a tenant end, and gives its id. */
export const complete = (tenant: Tenant, tags?: Tags) =>
  Effect.gen(function* () {
    const subject = yield* start(tenant, undefined, tags === undefined ? {} : { tags });
    yield* run(subject);
    return subject;
  });

/** The same in the first shard, whose order is that of the log. */
export const completeInOrder = (tenant: Tenant) =>
  Effect.gen(function* () {
    const { layout } = yield* Log;
    const isFirst = (id: string) =>
      executionAddress(layout, tenant, ExecutionId.make(id)).shard === 0;
    let id = `order/${randomUUID()}`;
    while (!isFirst(id)) id = `order/${randomUUID()}`;
    const subject = yield* start(tenant, id);
    yield* run(subject);
    return subject;
  });

export const completeAll = (tenant: Tenant, count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: count }), () => complete(tenant)),
    (subjects) => subjects.map(({ execution }) => execution as string),
  );

export interface Reader {
  /** The next completion; the one before is handled. */
  readonly next: Effect.Effect<CompletionEvent, unknown>;
  /** The ids of the next so many. */
  readonly ids: (count: number) => Effect.Effect<ReadonlyArray<string>, unknown>;
}

/** Reads completions until the scope ends. */
export const readCompletions = (
  options: SubscribeOptions,
): Effect.Effect<Reader, never, Scope.Scope | Subscriptions> =>
  Effect.gen(function* () {
    const subscriptions = yield* Subscriptions;
    const pull = yield* Stream.toPull(subscriptions.read("completions", options));
    const next = Effect.map(pull, (events) => {
      assert.equal(events.length, 1);
      return events[0]!;
    }).pipe(Effect.timeout("30 seconds"));
    return {
      next,
      ids: (count) =>
        Effect.map(
          Effect.forEach(Array.from({ length: count }), () => next),
          (events) => events.map(({ executionId }) => executionId as string),
        ),
    };
  });

/** What the list says of one subscription. */
export const listed = (name: SubscriptionName) =>
  Effect.gen(function* () {
    const all = yield* (yield* Subscriptions).list;
    return all.find((each) => each.name === name);
  });

/** Asks until the answer is the expected one. */
export const until = <A, E, R>(ask: Effect.Effect<A, E, R>, expected: A) =>
  Effect.flatMap(ask, (actual) =>
    Effect.try({
      try: () => assert.deepEqual(actual, expected),
      catch: (difference) => difference,
    })).pipe(
      Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "30 seconds" }))),
    );

/** Creates a subscription and leaves it at once. */
export const create = (options: SubscribeOptions) =>
  Effect.scoped(Effect.gen(function* () {
    const reader = yield* readCompletions(options);
    const reading = yield* Effect.forkChild(reader.next);
    yield* Effect.repeat(listed(options.durable), {
      until: (found) => found !== undefined,
      schedule: Schedule.spaced("20 millis"),
    });
    yield* Fiber.interrupt(reading);
  }));

export const tailOf = (shard: number) => Effect.flatMap(Log, (log) => log.tail(shard));
