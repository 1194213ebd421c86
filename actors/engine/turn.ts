/**
 * Waiting for one's turn in a queue. The seat is taken while it is recorded that it waits: its name
 * follows from the turn alone, so that whoever takes over after a crash takes the same, which does
 * nothing if it is taken. It is given up with the attempt, or with the execution.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import { turnSignal } from "../core/state.ts";
import type { Host, Perform } from "./host.ts";
import type { OperationError } from "./operations.ts";

export const turnFor = (host: Host, perform: Perform): Effect.Effect<void, OperationError> => {
  const { turn } = host;
  if (turn === undefined) return Effect.void;
  const name = turnSignal(turn.turn);
  const enter = host.now.pipe(
    Effect.flatMap((since) =>
      host.post.enter(turn, host.asParent(name), {
        priority: host.priority,
        since,
        mail: host.mail(),
      })
    ),
    Effect.retry({
      while: (error) => error.retryable,
      schedule: Schedule.spaced("1 second"),
    }),
    Effect.catch((error) => Effect.logError(`${host.execution} finds no seat`, error)),
  );
  return Effect.asVoid(perform(name, "wait", (key, known) => {
    if (known?.kind !== "wait") host.submit({ kind: "waiting", key, signal: name });
    return host.whileBusy(enter);
  }, true));
};
