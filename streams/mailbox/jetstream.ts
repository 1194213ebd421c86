/**
 * Mailboxes on a real JetStream: one intake per worker, ranked anew when workers come and go, joined
 * by the lanes that come into use, and mended when the server gives its pulls up. What it offers is
 * in the hands of `intake.ts`.
 */
import * as Effect from "effect/Effect";
import * as FiberMap from "effect/FiberMap";
import * as Layer from "effect/Layer";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { servesRoute } from "../../schema/route.ts";
import { Connection } from "../connection.ts";
import { forwarder, routesInUse } from "../lanes.ts";
import { Log } from "../log.ts";
import { type Delivery, Mailboxes, type ServeOptions } from "../mailbox.ts";
import {
  ensureSource,
  ensureSources,
  laneSources,
  mailboxSources,
  type Source,
} from "../mailbox_consumers.ts";
import { skippedRecords } from "../metrics.ts";
import { Sessions } from "../session.ts";
import * as Fate from "./fate.ts";
import { Intake } from "./intake.ts";
import * as Served from "./served.ts";

/** Keeps something going that ends only with errors. */
const persist = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.tapError((error) => Effect.logWarning(what, error)),
    Effect.retry(Schedule.spaced("1 second")),
    Effect.ignore,
  );

const make = Effect.gen(function* () {
  const connection = yield* Connection;
  const log = yield* Log;
  const sessions = yield* Sessions;
  const fate = yield* Fate.make(log.layout);
  const { isServed, remember } = yield* Served.make(log.layout);

  const serve = Effect.fn("Mailboxes.serve")(
    function* (options: ServeOptions, handle: (delivery: Delivery) => void) {
      const { layout } = log;
      const mailboxes = options.actors.map((actor) => ({
        actor,
        sources: mailboxSources(layout, actor),
      }));
      yield* ensureSources(mailboxes.flatMap(({ sources }) => sources));
      yield* remember(options.actors);
      const context = yield* Effect.context<never>();
      const mending = yield* FiberMap.makeRuntime<Connection, Source>();

      const mend = (source: Source) =>
        persist(
          `the pulls at ${source.consumer} could not be mended`,
          ensureSource(source),
        ).pipe(Effect.andThen(Effect.sync(() => intake.pull(source))), Effect.delay("100 millis"));

      const intake = new Intake({
        nats: connection.nats,
        sealing: connection.sealing,
        layout,
        serve: options,
        handle,
        onForeign: () => skippedRecords.updateUnsafe(1, context),
        onTrouble: (source) => mending(source, mend(source), { onlyIfMissing: true }),
      });
      yield* Effect.addFinalizer(() => Effect.sync(() => intake.close()));
      yield* connection.listen({
        disconnected: () => undefined,
        reconnected: () => intake.pull(),
        closed: () => intake.stop(),
      });

      intake.meet(yield* sessions.list);
      for (const { actor, sources } of mailboxes) {
        for (const source of sources) intake.add(source, actor);
      }
      intake.begin();
      yield* Effect.forkScoped(persist(
        "the sessions of workers cannot be followed",
        Stream.runForEach(sessions.changes, (open) => Effect.sync(() => intake.meet(open))),
      ));
      yield* Effect.forkScoped(persist(
        "the routes in use cannot be followed",
        Stream.runForEach(routesInUse(log), ({ actor, route }) => {
          if (!options.actors.includes(actor) || !servesRoute(route, options)) return Effect.void;
          const sources = laneSources(layout, actor, route);
          return Effect.andThen(
            ensureSources(sources),
            Effect.sync(() => sources.forEach((source) => intake.add(source, actor))),
          );
        }),
      ));
      return {
        setFull: (full: boolean) => intake.setFull(full),
        offerOne: () => intake.offerOne(),
        lookAgain: () => intake.lookAgain(),
        stop: Effect.sync(() => intake.stop()),
      };
    },
  );

  return Mailboxes.of({
    serve: (options, handle) =>
      Effect.provideService(serve(options, handle), Connection, connection),
    forward: forwarder(log),
    isServed,
    fate,
  });
});

/** The mailboxes of a namespace whose topology was ensured. */
export const layerJetStream: Layer.Layer<Mailboxes, never, Connection | Log | Sessions> = Layer
  .effect(Mailboxes, make);
