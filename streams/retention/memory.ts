/**
 * What is due, from the log in memory: one queue for all janitors of the process. What a janitor that
 * ends has not handled is another's, and so is what one is silent about for too long; it all begins
 * anew with the scope.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Queue from "effect/Queue";
import * as Stream from "effect/Stream";
import { Log } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { type Due, dueOf, Expiries, handleAgainMs, janitorWaitMs } from "../retention.ts";
import { shardRoot } from "../subjects.ts";

const make = Effect.gen(function* () {
  const log = yield* Log;
  const context = yield* Effect.context<never>();
  const scope = yield* Effect.scope;
  const waiting = yield* Queue.unbounded<Due>();

  for (let shard = 0; shard < log.layout.shards; shard++) {
    const filter = { shard, subject: `${shardRoot(log.layout, shard)}.gc.*.*.*.*` };
    yield* log.follow(filter).pipe(
      Stream.runForEach((entry) =>
        Effect.map(Effect.option(dueOf(log.layout, entry)), (found) => {
          const due = Option.getOrUndefined(found);
          if (due === undefined) skippedRecords.updateUnsafe(1, context);
          else Queue.offerUnsafe(waiting, due);
        })
      ),
      Effect.forkScoped,
    );
  }

  const run = (effect: Effect.Effect<unknown>) =>
    Fiber.runIn(Effect.runForkWith(context)(effect), scope);

  /** Gives something to another after a time, by the clock of those who live on. */
  const later = (due: ReadonlyArray<Due>, delayMs: number) =>
    Effect.sync(() => run(Effect.delay(Queue.offerAll(waiting, due), delayMs)));

  return Expiries.of({
    serve: (handle) =>
      Queue.take(waiting).pipe(
        Effect.flatMap((due) =>
          Effect.flatMap(
            // A janitor that has died says nothing.
            Effect.sync(() => run(Effect.delay(Queue.offer(waiting, due), janitorWaitMs))),
            (another) =>
              Effect.onExit(
                Effect.tapError(
                  handle([due]),
                  ({ message }) => Effect.logWarning(`what is due cannot be seen to: ${message}`),
                ),
                (exit) =>
                  Effect.andThen(
                    Effect.sync(() => another.interruptUnsafe()),
                    later(Exit.isSuccess(exit) ? exit.value : [due], handleAgainMs),
                  ),
              ),
          )
        ),
        Effect.ignoreCause,
        Effect.forever,
      ),
  });
});

/** For tests and simulation, on the log in memory. */
export const layerMemory: Layer.Layer<Expiries, never, Log> = Layer.effect(Expiries, make);
