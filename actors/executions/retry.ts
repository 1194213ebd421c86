/**
 * Asking that an execution be run again. The server takes the request only as long as the janitor has
 * not been told that the execution may go, so that one which is accepted is never removed unheard.
 */
import * as Effect from "effect/Effect";
import {
  ExecutionNotEnded,
  ExecutionNotFound,
  RetryLimitExceeded,
} from "../../schema/execution_errors.ts";
import { lastExpiry } from "../../streams/retention.ts";
import { type Address, executionFilter, subjectOf } from "../../streams/subjects.ts";
import { defaultLimits } from "../core/decide.ts";
import type { Executions } from "../executions.ts";
import type { Means, Presence } from "./present.ts";
import type { View } from "./view.ts";

export const makeRetry = (
  { log, completions, post }: Means,
  { present, meant, checkIntake }: Presence,
  { stateOf, describe }: View,
): Executions["Service"]["retry"] => {
  /** Where this very request lies, if it was stored, whatever the server has said since. */
  const findSent = Effect.fnUntraced(function* (address: Address, after: number, id: string) {
    const { sequence: through } = yield* log.tail(address.shard);
    const mail = yield* log.readThrough(executionFilter(address, "mail"), { after, through });
    return mail.find((entry) => entry.id === id)?.sequence;
  });

  return Effect.fn("Executions.retry")(function* (of, { from = "failure" } = {}) {
    const found = yield* present(of);
    const { address, life } = found;
    const end = yield* completions.ended(address, life);
    if (end === undefined) {
      const { status } = yield* describe(of);
      return yield* new ExecutionNotEnded({ execution: of.execution, status });
    }
    yield* checkIntake(of, found.start);
    const { replays } = (yield* stateOf(of)).state;
    const limit = defaultLimits.replays;
    if (replays >= limit) {
      return yield* new RetryLimitExceeded({ execution: of.execution, limit });
    }
    const id = post.idOf(address, life, "retry", String(end.sequence));
    const subject = subjectOf(address, "gc");
    const gone = new ExecutionNotFound({ execution: of.execution });
    const ask = Effect.gen(function* () {
      const told = yield* lastExpiry(log, address);
      if (told?.end === end.sequence) return yield* gone;
      const guard = { after: told?.sequence ?? 0, subject };
      const record = { kind: "retry" as const, ...meant(found), from };
      const { sequence } = yield* post.send(address, record, { id, guard });
      return sequence;
    });
    const sequence = yield* ask.pipe(
      Effect.catchTag(
        ["AlreadyExists", "SequenceConflict", "ExecutionNotFound"],
        (error) =>
          Effect.flatMap(
            findSent(address, end.sequence, id),
            (sent) => sent === undefined ? Effect.fail(error) : Effect.succeed(sent),
          ),
      ),
      // The janitor was told of another end, or is done with one.
      Effect.retry({
        while: ({ _tag }) => _tag === "AlreadyExists" || _tag === "SequenceConflict",
      }),
    );
    // It may have been told of this one, and be done with it, between the look and the request.
    if ((yield* present(of)).life !== life) return yield* gone;
    return sequence;
  });
};
