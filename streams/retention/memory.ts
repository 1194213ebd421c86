/**
 * What is due for removal, from the log in memory: one queue for all janitors of the process. What a
 * janitor that ends has not handled is another's, and it all begins anew with the scope.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Queue from "effect/Queue";
import * as Stream from "effect/Stream";
import { Log } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { Expiries, type Expiry, expiryOf, handleAgainMs } from "../retention.ts";
import { shardRoot } from "../subjects.ts";

const make = Effect.gen(function* () {
  const log = yield* Log;
  const context = yield* Effect.context<never>();
  const scope = yield* Effect.scope;
  const due = yield* Queue.unbounded<Expiry>();

  for (let shard = 0; shard < log.layout.shards; shard++) {
    const filter = { shard, subject: `${shardRoot(log.layout, shard)}.gc.*.*.*.*` };
    yield* log.follow(filter).pipe(
      Stream.runForEach((entry) =>
        Effect.sync(() => {
          const expiry = expiryOf(log.layout, entry);
          if (expiry === undefined) skippedRecords.updateUnsafe(1, context);
          else Queue.offerUnsafe(due, expiry);
        })
      ),
      Effect.forkScoped,
    );
  }

  const again = (expiries: ReadonlyArray<Expiry>) =>
    Effect.forkIn(
      Effect.delay(Queue.offerAll(due, expiries), handleAgainMs),
      scope,
    );

  return Expiries.of({
    serve: (handle) =>
      Queue.take(due).pipe(
        Effect.flatMap((expiry) =>
          Effect.onExit(
            Effect.tapError(
              handle([expiry]),
              ({ message }) => Effect.logWarning(`what is due cannot be removed: ${message}`),
            ),
            (exit) => again(Exit.isSuccess(exit) ? exit.value : [expiry]),
          )
        ),
        Effect.ignoreCause,
        Effect.forever,
      ),
  });
});

/** For tests and simulation, on the log in memory. */
export const layerMemory: Layer.Layer<Expiries, never, Log> = Layer.effect(Expiries, make);
