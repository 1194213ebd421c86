/**
 * An iterable that asks before it opens another and before it hands anything on, so that what is
 * revoked while somebody reads ends the reading. What was taken and not handed on counts as unread.
 */
import { SubscriptionConflict } from "../../schema/errors.ts";
import type { Guard, Request } from "./guard.ts";

const done = { done: true, value: undefined } as const;

/** What somebody else's subscription is about is nobody's business. */
const discreet = (error: unknown): unknown =>
  error instanceof SubscriptionConflict
    ? new SubscriptionConflict({
      family: error.family,
      subscription: error.subscription,
      requested: error.requested,
      stored: "another",
    })
    : error;

export const guardedIterable = <A>(
  guard: Guard,
  request: () => Request,
  open: () => AsyncIterable<A>,
): AsyncIterable<A> => ({
  [Symbol.asyncIterator]: () => {
    let inner: AsyncIterator<A> | undefined;
    let isOver = false;
    const end = async (): Promise<IteratorReturnResult<undefined>> => {
      isOver = true;
      await inner?.return?.();
      return done;
    };
    /** Ends it if the principal may not, or not any more. */
    const isGranted = async (): Promise<boolean> => {
      try {
        const asked = request();
        if (await guard.judge(asked) === "granted") return true;
        guard.answer(asked);
      } catch (error) {
        await end();
        throw error;
      }
      await end();
      return false;
    };
    return {
      next: async () => {
        if (isOver) return done;
        if (inner === undefined && !await isGranted()) return done;
        inner ??= open()[Symbol.asyncIterator]();
        const result = await inner.next().catch((error) => {
          throw discreet(error);
        });
        if (result.done === true) return result;
        return await isGranted() ? result : done;
      },
      return: end,
    };
  },
});
