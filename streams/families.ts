/**
 * The four event families, read by whoever stands outside: what the log holds of leases, ends,
 * signals and tags, as typed events in the order of the log. A position is a cursor that the reader
 * keeps; nothing is remembered for it here, and nothing that it does can delay a writer.
 */
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type * as Stream from "effect/Stream";
import type { CompletionEvent } from "../schema/completion.ts";
import type { Cursor } from "../schema/cursor.ts";
import type {
  CursorGap,
  InvalidCursor,
  InvalidInput,
  StreamDisconnected,
} from "../schema/errors.ts";
import type { ExecutionId, Tenant, Timestamp } from "../schema/ids.ts";
import type { InstanceTagEvent } from "../schema/instance_tags.ts";
import type { LeaseHistoryEvent } from "../schema/lease_history.ts";
import type { SignalDeliveryEvent } from "../schema/signal_delivery.ts";
import { Connection } from "./connection.ts";
import { read, type ReaderOptions, type Source } from "./families/reader.ts";
import { sharedRead } from "./families/shared_read.ts";
import { readFloors } from "./floor.ts";
import { Log, type ReadError } from "./log.ts";

/** The events of each family. */
export interface FamilyEvents {
  readonly leaseHistory: LeaseHistoryEvent;
  readonly completions: CompletionEvent;
  readonly signalDeliveries: SignalDeliveryEvent;
  readonly instanceTags: InstanceTagEvent;
}

export type Family = keyof FamilyEvents;

/** Which events of a family are meant; all, if nothing is said. */
export interface FamilyFilter {
  readonly tenant?: Tenant;
  /** Of one execution alone; needs its tenant. */
  readonly executionId?: ExecutionId;
  /** Of executions that had the tag, with any value or this one, when the event came to be. */
  readonly tag?: { readonly name: string; readonly value?: string };
}

export interface ReadFamilyOptions extends FamilyFilter {
  /** A cursor, behind which reading begins, or `earliest` or `now`; `now`, if left out or empty. */
  readonly after?: string;
}

/**
 * That nothing has come for a while: everything up to the cursor has been seen, and there is no more
 * for now. Of who reads by tag, others' events may still lie behind it.
 */
export interface Tick {
  readonly type: "tick";
  readonly cursor: Cursor;
  readonly at: Timestamp;
}

export type FamilyError =
  | InvalidCursor
  | InvalidInput
  | CursorGap
  | StreamDisconnected
  | ReadError;

export class Families extends Context.Service<Families, {
  /**
   * What is stored and what will be. The start is judged before the first event; the stream ends
   * with `StreamDisconnected`, and its last cursor, when the connection is lost.
   */
  readonly read: {
    <F extends Family>(
      family: F,
      options: ReadFamilyOptions & { readonly ticks: Duration.Input },
    ): Stream.Stream<FamilyEvents[F] | Tick, FamilyError>;
    <F extends Family>(
      family: F,
      options?: ReadFamilyOptions,
    ): Stream.Stream<FamilyEvents[F], FamilyError>;
  };
}>()("@weir/weir/streams/Families") {}

const make = Effect.fnUntraced(function* (listen: Source["listen"]) {
  const log = yield* Log;
  const closed = Deferred.makeUnsafe<never, string>();
  yield* Effect.addFinalizer(() => Deferred.fail(closed, "the log was closed"));
  const floors = Array.from(
    { length: log.layout.shards },
    (_, shard) => sharedRead(readFloors(log, shard)),
  );
  const source: Source = {
    log,
    floors,
    listen: Effect.map(listen, (lost) => Effect.raceFirst(lost, Deferred.await(closed))),
  };
  return Families.of({
    // deno-lint-ignore no-explicit-any -- ticks are given only to who asked for them
    read: (family: Family, options: ReaderOptions = {}): Stream.Stream<any, FamilyError> =>
      read(source, family, options),
  });
});

/** Readers that end when the connection is lost. */
export const layerJetStream: Layer.Layer<Families, never, Log | Connection> = Layer.effect(
  Families,
  Effect.flatMap(Connection, (connection) =>
    make(Effect.gen(function* () {
      const lost = Deferred.makeUnsafe<never, string>();
      yield* connection.listen({
        disconnected: () => Deferred.doneUnsafe(lost, Effect.fail("the connection was lost")),
        reconnected: () => undefined,
        closed: () => Deferred.doneUnsafe(lost, Effect.fail("the connection was closed")),
      });
      return Deferred.await(lost);
    }))),
);

/** Readers of a log that is always there. */
export const layerMemory: Layer.Layer<Families, never, Log> = Layer.effect(
  Families,
  make(Effect.succeed(Effect.never)),
);
