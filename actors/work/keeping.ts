/**
 * What executions do that keep something for others, beside their journal: it goes on for as long as
 * the execution is this worker's, and begins anew when it fails, since all that it knows is in the
 * log.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type { Operations } from "../engine/operations.ts";
import type { RetryPolicy } from "../retry_policy.ts";

/** Whatever fails, somebody has to keep it. */
export const keptAnew: RetryPolicy = {
  attempts: Number.MAX_SAFE_INTEGER,
  delay: "1 second",
  maxDelay: "10 seconds",
};

/** Runs until the execution is given up here; whose lease is another's keeps nothing. */
export const keepOn = <E extends { readonly _tag: string; readonly message: string }>(
  operations: Pick<Operations, "cancelled" | "execution">,
  keeping: Effect.Effect<unknown, E>,
): Effect.Effect<never, E> => {
  const again = keeping.pipe(
    Effect.tapError((error) =>
      error._tag === "StaleFence"
        ? Effect.void
        : Effect.logWarning(`${operations.execution} is kept anew: ${error.message}`)
    ),
    Effect.retry({
      while: ({ _tag }) => _tag !== "StaleFence",
      schedule: Schedule.spaced("1 second"),
    }),
  );
  // What is not an operation would go on when this execution is somebody else's.
  const givenUp = Effect.callback<void>((resume) => {
    const end = () => resume(Effect.void);
    if (operations.cancelled.aborted) return end();
    operations.cancelled.addEventListener("abort", end, { once: true });
    return Effect.sync(() => operations.cancelled.removeEventListener("abort", end));
  });
  return Effect.andThen(Effect.raceFirst(again, givenUp), Effect.never);
};
