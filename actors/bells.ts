/**
 * Telling those who wait for a budget that it has room: whoever gave it room has left word of it in
 * the same step, and any worker sees to it. What was done is done again without harm, so that the word
 * goes last.
 */
import * as Effect from "effect/Effect";
import type { WaitingRoom } from "../streams/budgets/waiting.ts";
import type { Log } from "../streams/log.ts";
import type { Bell } from "../streams/retention.ts";
import type { Post } from "./engine/post.ts";

const toldAtOnce = 16;

export const makeAnswer = (log: Log["Service"], post: Post, budgets: WaitingRoom) => {
  /** An interval is over: if anybody waits for that, there is another bell. */
  const elapse = ({ tenant, budget }: Bell, due: NonNullable<Bell["due"]>) =>
    Effect.map(budgets.elapse(tenant, budget, due), ({ outcome }) => outcome === "ok");

  const tellAll = (bell: Bell) =>
    Effect.gen(function* () {
      const { tenant, budget, shard } = bell;
      yield* Effect.forEach(
        yield* budgets.calledBy(bell),
        ({ waiter, sequence }) =>
          Effect.andThen(post.rouse(tenant, budget, waiter), log.remove(shard, sequence)),
        { concurrency: toldAtOnce, discard: true },
      );
      return true;
    });

  return Effect.fnUntraced(function* (bell: Bell) {
    const isDone = yield* bell.due === undefined ? tellAll(bell) : elapse(bell, bell.due);
    if (isDone) yield* log.remove(bell.shard, bell.sequence);
    return isDone;
  });
};
