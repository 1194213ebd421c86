/**
 * Mailboxes on the log in memory, for tests and simulation: what the log stores goes to an exchange
 * that Effect's clock drives. It forgets what was acknowledged with its scope, so a log that outlives
 * it is offered again from its beginning.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as FiberMap from "effect/FiberMap";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import type { ActorName } from "../../schema/ids.ts";
import { Route } from "../../schema/route.ts";
import { decodeToken } from "../../schema/token.ts";
import { forwarder } from "../lanes.ts";
import { type Entry, Log } from "../log.ts";
import { Mailboxes } from "../mailbox.ts";
import { skippedRecords } from "../metrics.ts";
import { shardRoot } from "../subjects.ts";
import { type Attendant, Exchange } from "./exchange.ts";
import { offerOf } from "./offer.ts";

const isRoute = Schema.is(Route);

const make = Effect.gen(function* () {
  const log = yield* Log;
  const clock = yield* Clock.Clock;
  const context = yield* Effect.context<never>();
  const fork = yield* FiberMap.makeRuntime<never, "alarm">();
  const now = () => clock.currentTimeMillisUnsafe();
  const ring = Effect.sync(() => exchange.ring());
  const exchange = new Exchange({
    now,
    setAlarm: (at) => fork("alarm", Effect.delay(ring, Math.max(0, at - now()))),
  });

  const receive = (entry: Entry, route: Route | undefined) => {
    const offer = offerOf(log.layout, entry, route);
    if (offer === undefined) skippedRecords.updateUnsafe(1, context);
    else exchange.post(offer);
  };
  for (let shard = 0; shard < log.layout.shards; shard++) {
    const root = shardRoot(log.layout, shard);
    yield* log.follow({ shard, subject: `${root}.mail.*.*.*.*` }).pipe(
      Stream.runForEach((entry) => Effect.sync(() => receive(entry, undefined))),
      Effect.forkScoped,
    );
    yield* log.follow({ shard, subject: `${root}.lane.*.*.*.*.*` }).pipe(
      Stream.runForEach((entry) =>
        Effect.sync(() => {
          const route = decodeToken(entry.subject.slice(entry.subject.lastIndexOf(".") + 1));
          if (isRoute(route)) receive(entry, route);
        })
      ),
      Effect.forkScoped,
    );
  }

  const served = new Set<ActorName>();

  return Mailboxes.of({
    serve: Effect.fn("Mailboxes.serve")(function* (options, handle) {
      for (const actor of options.actors) served.add(actor);
      const attendant: Attendant = { options, handle, isFull: false };
      yield* Effect.acquireRelease(
        Effect.sync(() => exchange.join(attendant)),
        () => Effect.sync(() => exchange.leave(attendant)),
      );
      return {
        setFull: (isFull) => exchange.setFull(attendant, isFull),
        offerOne: () => exchange.offerOne(attendant),
        lookAgain: () => exchange.lookAgain(attendant),
        stop: Effect.sync(() => exchange.stop(attendant)),
      };
    }),
    forward: forwarder(log),
    isServed: (actor) => Effect.sync(() => served.has(actor)),
    fate: (of) => Effect.sync(() => exchange.fate(of)),
  });
});

/** For tests and simulation, on the log in memory. */
export const layerMemory: Layer.Layer<Mailboxes, never, Log> = Layer.effect(Mailboxes, make);
