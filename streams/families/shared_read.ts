/**
 * One read for all who ask for it while another is under way. What each is given was read after it
 * asked, so a thousand readers cost the server no more than one that never rests. Nothing is kept.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Semaphore from "effect/Semaphore";

export const sharedRead = <A, E>(read: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  const turn = Semaphore.makeUnsafe(1);
  let asked = 0;
  let answered = 0;
  let answer: Exit.Exit<A, E> | undefined;
  return Effect.suspend(() => {
    const mine = ++asked;
    return turn.withPermit(Effect.suspend(() => {
      if (answer !== undefined && answered >= mine) return answer;
      const before = asked;
      return Effect.flatMap(Effect.exit(read), (exit) => {
        answered = before;
        answer = exit;
        return exit;
      });
    }));
  });
};
