/**
 * Durable subscriptions in memory: outlets that read the log in memory, with the patience that a
 * server has for readers who say nothing. They end with their scope, and no other process has them.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Latch from "effect/Latch";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { Timestamp } from "../../schema/ids.ts";
import { type Entry, Log } from "../log.ts";
import { ackWaitMs } from "../mailbox.ts";
import { type SubscriptionKey, Subscriptions } from "../subscriptions.ts";
import type { Delivery, Outlet, Outlets } from "./outlet.ts";
import * as Service from "./service.ts";

/** How long a request for events waits for the first one. */
const pullForMs = 5_000;

interface Kept {
  readonly outlet: Outlet;
  /** The last sequence that was handed out for the first time. */
  delivered: number;
  /** What was handed out, until it is handled: when it is to be handed out again. */
  readonly unacknowledged: Map<number, { readonly entry: Entry; due: number }>;
  waiting: number;
  lastActiveAt: Timestamp | undefined;
  /** Opens when something was given back. */
  readonly returned: Latch.Latch;
}

const make = Effect.gen(function* () {
  const log = yield* Log;
  const clock = yield* Clock.Clock;
  const kept = new Map<string, Kept>();
  const now = () => Math.floor(clock.currentTimeMillisUnsafe());
  const placeOf = ({ family, name }: SubscriptionKey, shard: number) =>
    `${shard} ${family} ${name}`;

  const isThere = ({ shard, subject, sequence }: Entry) =>
    Effect.map(
      Stream.runHead(log.read({ shard, subject }, { after: sequence - 1, upTo: sequence })),
      Option.isSome,
    );

  /** What nobody handles any more, since it was removed, is forgotten. */
  const forgetRemoved = Effect.fnUntraced(function* ({ unacknowledged }: Kept) {
    for (const [sequence, { entry }] of unacknowledged) {
      if (!(yield* isThere(entry))) unacknowledged.delete(sequence);
    }
  });

  const unread = ({ outlet, delivered }: Kept) => log.read(outlet.filter, { after: delivered });

  const state: Outlets["state"] = Effect.fnUntraced(function* (key, shard) {
    const found = kept.get(placeOf(key, shard));
    if (found === undefined) return undefined;
    yield* forgetRemoved(found);
    const { outlet, delivered, unacknowledged, waiting, lastActiveAt } = found;
    return {
      generation: outlet.generation,
      delivered,
      acknowledged: Math.min(delivered, ...Array.from(unacknowledged.keys(), (at) => at - 1)),
      pending: yield* Stream.runCount(unread(found)),
      unacknowledged: unacknowledged.size,
      waiting,
      lastActiveAt,
    };
  });

  const deliveryOf = (from: Kept, entry: Entry): Delivery => {
    const { unacknowledged, returned } = from;
    const handedOut = { entry, due: now() + ackWaitMs };
    unacknowledged.set(entry.sequence, handedOut);
    from.delivered = Math.max(from.delivered, entry.sequence);
    from.lastActiveAt = Timestamp.make(now());
    return {
      entry,
      spilled: false,
      acknowledge: () => {
        unacknowledged.delete(entry.sequence);
        from.lastActiveAt = Timestamp.make(now());
      },
      giveBack: () => {
        if (unacknowledged.get(entry.sequence) !== handedOut) return;
        handedOut.due = now();
        returned.openUnsafe();
      },
      working: () => {
        handedOut.due = now() + ackWaitMs;
      },
    };
  };

  /** What is to be handed out again, and then what is new. */
  const ready = Effect.fnUntraced(function* (from: Kept, batch: number) {
    yield* forgetRemoved(from);
    from.returned.closeUnsafe();
    const again = [...from.unacknowledged.values()].filter(({ due }) => due <= now());
    const entries = again.slice(0, batch).map(({ entry }) => entry);
    const fresh = yield* Stream.runCollect(Stream.take(unread(from), batch - entries.length));
    return [...entries, ...fresh];
  });

  /** Returns when there may be something to hand out. */
  const news = (from: Kept) => {
    const due = Math.min(...Array.from(from.unacknowledged.values(), ({ due }) => due));
    return Effect.raceAll([
      Effect.asVoid(Stream.runHead(log.follow(from.outlet.filter, { after: from.delivered }))),
      Latch.await(from.returned),
      due === Infinity ? Effect.never : Effect.sleep(Math.max(1, due - now())),
    ]);
  };

  const open: Outlets["open"] = (key, shard, take) =>
    Effect.succeed((batch) =>
      Effect.suspend(() => {
        const from = kept.get(placeOf(key, shard));
        if (from === undefined) return Effect.succeed(false);
        const attempt = Effect.gen(function* () {
          for (;;) {
            const entries = yield* ready(from, batch);
            if (kept.get(placeOf(key, shard)) !== from) return false;
            for (const entry of entries) take(deliveryOf(from, entry));
            if (entries.length > 0) return true;
            yield* news(from);
          }
        });
        from.waiting++;
        return attempt.pipe(
          Effect.timeoutOrElse({ duration: pullForMs, orElse: () => Effect.succeed(true) }),
          Effect.ensuring(Effect.sync(() => from.waiting--)),
          Effect.orElseSucceed(() => false),
        );
      })
    );

  const outlets: Outlets = {
    state,
    create: (outlet) =>
      Effect.sync(() => {
        const place = placeOf(outlet.key, outlet.filter.shard);
        if (kept.has(place)) return;
        kept.set(place, {
          outlet,
          delivered: outlet.after,
          unacknowledged: new Map(),
          waiting: 0,
          lastActiveAt: undefined,
          returned: Latch.makeUnsafe(false),
        });
      }),
    remove: (key, shard) =>
      Effect.sync(() => {
        const found = kept.get(placeOf(key, shard));
        found?.returned.openUnsafe();
        return kept.delete(placeOf(key, shard));
      }),
    open,
    firstSince: (filter, time) =>
      log.read(filter).pipe(
        Stream.filter(({ at }) => at >= time),
        Stream.runHead,
        Effect.map((entry) => Option.getOrUndefined(entry)?.sequence),
      ),
    isOver: () => false,
  };
  return Service.make(log, outlets);
});

/** For tests and simulation, on the log in memory. */
export const layerMemory: Layer.Layer<Subscriptions, never, Log> = Layer.effect(
  Subscriptions,
  make,
);
