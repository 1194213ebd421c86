/**
 * What the readers read: records of signals in the format in which owners write them, appended to
 * the log of a namespace without the executions that they speak of. They have no fence.
 */
import { executionAddress, layerLog, Log } from "@weir/weir/effect";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import { encodeCursor } from "../../schema/cursor.ts";
import { ExecutionId, SignalId, Tenant } from "../../schema/ids.ts";
import { journalRecord } from "../../schema/journal_record.ts";
import { layer as layerConnection } from "../../streams/connection.ts";
import type { Durability } from "../../streams/server.ts";
import { type Filter, type Layout, tenantFilter } from "../../streams/subjects.ts";

export interface Source {
  readonly servers: string;
  readonly durability: Durability;
  readonly namespace: string;
}

export interface Deliveries {
  /** Appends so many, of so many executions in turn; gives how many were appended in a second. */
  readonly fill: (events: number, executions: number) => Promise<number>;
  /** Appends with 64 in flight for a while; gives how many were appended in a second. */
  readonly flatOut: (milliseconds: number) => Promise<number>;
  /** Appends at an even pace; gives how long each took, in milliseconds. */
  readonly paced: (events: number, everyMs: number) => Promise<ReadonlyArray<number>>;
  /** A cursor behind which so many events lie, in a log that holds more. */
  readonly before: (events: number) => Promise<string>;
  readonly close: () => Promise<void>;
}

const tenant = Tenant.make("default");

/** Where they lie, of one shard. */
export const deliveriesFilter = (layout: Layout): Filter =>
  tenantFilter(layout, 0, "signal", tenant);

const inFlight = 64;
const lanesAtMost = 1_000;

export const openDeliveries = async (
  { servers, durability, namespace }: Source,
): Promise<Deliveries> => {
  const runtime = ManagedRuntime.make(
    layerLog({ namespace, giveUpAfter: "10 minutes" }).pipe(
      Layer.provide(layerConnection({ servers, durability })),
    ),
  );
  const log = await runtime.runPromise(Log);
  let appended = 0;

  const append = (execution: number) => {
    const n = ++appended;
    const address = executionAddress(log.layout, tenant, ExecutionId.make(`order/o-${execution}`));
    return log.append(address, {
      kind: "signal",
      id: `nonce${execution}.${n}`,
      body: journalRecord.encode({
        kind: "signal",
        life: 1,
        index: n,
        mail: n,
        signalId: SignalId.make(`payment-${n}`),
        name: "payment",
        effect: "satisfied",
        sequence: n,
        key: "payment",
        source: "api/7",
        count: 1,
      }),
    });
  };
  /** Lane by lane, since an execution has one append in flight at most. */
  const inLanes = (lanes: number, lane: (lane: number) => Effect.Effect<void, unknown>) =>
    runtime.runPromise(
      Effect.forEach(Array.from({ length: lanes }, (_, i) => i), lane, {
        concurrency: "unbounded",
        discard: true,
      }),
    );
  const rateOf = async (work: Promise<unknown>) => {
    const before = appended;
    const begun = performance.now();
    await work;
    return (appended - before) / (performance.now() - begun) * 1_000;
  };

  return {
    fill: (events, executions) => {
      const lanes = Math.min(lanesAtMost, executions);
      return rateOf(inLanes(lanes, (lane) => {
        let next = lane;
        return Effect.whileLoop({
          while: () => next < events,
          body: () => append(next % executions),
          step: () => next += lanes,
        });
      }));
    },
    flatOut: (milliseconds) => {
      let open = true;
      setTimeout(() => open = false, milliseconds);
      return rateOf(
        inLanes(inFlight, (lane) =>
          Effect.whileLoop({
            while: () => open,
            body: () => append(lane),
            step: () => {},
          })),
      );
    },
    paced: (events, everyMs) =>
      runtime.runPromise(
        Effect.forEach(
          Array.from({ length: events }, (_, i) => i),
          (i) =>
            Effect.andThen(
              Effect.sleep(i * everyMs),
              Effect.suspend(() => {
                const begun = performance.now();
                return Effect.map(append(i % inFlight), () => performance.now() - begun);
              }),
            ),
          { concurrency: "unbounded" },
        ),
      ),
    before: (events) =>
      runtime.runPromise(Effect.gen(function* () {
        const { sequence } = yield* log.tail(0);
        const place = yield* log.next(deliveriesFilter(log.layout), sequence - events - 1);
        const { incarnation } = log;
        return encodeCursor({ incarnation, shards: [Option.getOrThrow(place)] });
      })),
    close: () => runtime.dispose(),
  };
};
