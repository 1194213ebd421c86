/** What the parts of the event store's suite share: its surroundings, stores in them, and events. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as References from "effect/References";
import * as Stream from "effect/Stream";
import { ExecutionEvent } from "../../../schema/execution_event.ts";
import type { ExecutionId, Tenant } from "../../../schema/ids.ts";
import type { StoredEvent } from "../../../schema/stored_event.ts";
import { EventStore, layer } from "../../../streams/event_store.ts";
import { type Entry, Log } from "../../../streams/log.ts";
import { skippedRecords } from "../../../streams/metrics.ts";
import {
  type Address,
  executionAddress,
  executionFilter,
  type Kind,
} from "../../../streams/subjects.ts";
import { type Run, uniqueExecution, uniqueTenant } from "../subject_matter.ts";

/** The log under test refuses payloads above this. */
export const maxPayloadBytes = 2 * 1024 * 1024;

/** What happens around a log: other processes, other hands, and time. */
export class Surroundings extends Context.Service<Surroundings, {
  /** The same log, as another process reaches it. */
  readonly otherLog: Log["Service"];
  /** Publishes to a subject of the log without asking Weir. */
  readonly publish: (to: Address, kind: Kind, body: Uint8Array) => Effect.Effect<void>;
  /** Ends the time for which message ids are known. */
  readonly forgetMessageIds: Effect.Effect<void>;
}>()("@weir/weir/tests/Surroundings") {}

export type Services = Log | Surroundings;

/** A store that knows nothing yet, as in a process that has just begun. */
export const newStore = (log: Log["Service"]): Effect.Effect<EventStore["Service"]> =>
  Effect.scoped(
    Effect.flatMap(
      Layer.build(Layer.fresh(layer).pipe(Layer.provide(Layer.succeed(Log, log)))),
      (context) => Effect.succeed(Context.get(context, EventStore)),
    ),
  );

export interface Subject {
  readonly log: Log["Service"];
  readonly store: EventStore["Service"];
  readonly surroundings: Surroundings["Service"];
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly address: Address;
}

/** A test of a new store, an execution that does not exist, and a tenant that has none. */
export const testing =
  (run: Run<Services>) =>
  (title: string, effect: (subject: Subject) => Effect.Effect<unknown, unknown>) => {
    it(title, () =>
      run(
        Effect.gen(function* () {
          const log = yield* Log;
          const surroundings = yield* Surroundings;
          const store = yield* newStore(log);
          const execution = uniqueExecution();
          const tenant = uniqueTenant();
          const address = executionAddress(log.layout, tenant, execution);
          yield* effect({ log, store, surroundings, execution, tenant, address });
        }).pipe(Effect.provideService(References.MinimumLogLevel, "None")),
      ));
  };

export const custom = (data: string | number): ExecutionEvent =>
  ExecutionEvent.cases.custom.make({ eventType: "said", data });

export const customs = (...data: ReadonlyArray<string | number>): ReadonlyArray<ExecutionEvent> =>
  data.map(custom);

/** What custom events carry; other events as they are. */
export const said = (events: ReadonlyArray<StoredEvent>): ReadonlyArray<unknown> =>
  events.map(({ event }) => event.type === "custom" ? event.data : event);

/** Fails unless the numbers are 1, 2, 3 and so on, up to a count. */
export const assertGapless = (events: ReadonlyArray<StoredEvent>, count: number): void =>
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    Array.from({ length: count }, (_, i) => i + 1),
  );

/** Everything under the execution's event subject, whoever put it there. */
export const records = (
  { log, address }: Subject,
): Effect.Effect<ReadonlyArray<Entry>, unknown> =>
  Stream.runCollect(log.read(executionFilter(address, "event")));

/** How many records an effect has passed over. */
export const countSkipped = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<{ readonly value: A; readonly skipped: number }, E, R> =>
  Effect.gen(function* () {
    const before = yield* Metric.value(skippedRecords);
    const value = yield* effect;
    const after = yield* Metric.value(skippedRecords);
    return { value, skipped: after.count - before.count };
  });
