/**
 * What the log says at once, for those who look after a process also while its log is away. A question
 * that finds no answer in time is left alone, not taken back.
 */
import { ConnectionClosed, Unavailable } from "../../schema/errors.ts";

/** Whoever looks waits for less than a verb would. */
const promptWithinMs = 2_000;

/** The answer, or nothing if the log is away; what the log refuses is refused. */
export const prompt = async <A>(answer: Promise<A>): Promise<A | undefined> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), promptWithinMs);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    if (error instanceof Unavailable || error instanceof ConnectionClosed) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
};
