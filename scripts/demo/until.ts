/** Waiting for what other processes do: asks again and again, and says what it waited for in vain. */
import { setTimeout as sleep } from "node:timers/promises";

const askEveryMs = 100;
const patienceSeconds = 60;

export const until = async <A>(
  what: string,
  ask: () => A | undefined | Promise<A | undefined>,
): Promise<A> => {
  const deadline = performance.now() + patienceSeconds * 1_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) {
      throw new Error(`not within ${patienceSeconds} s: ${what}`);
    }
    await sleep(askEveryMs);
  }
};
