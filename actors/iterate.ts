/**
 * A stream as callers that use promises read it: opened when the first element is asked for, and given
 * back as soon as its reader leaves, although that one still waits. A generator is none: its `return`
 * waits for the element that was asked for before, which may never come.
 */
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";

/** An iterable that opens nothing any more when `return` came before the first `next`. */
export const iterate = <A, R>(
  runtime: ManagedRuntime.ManagedRuntime<R, unknown>,
  stream: Stream.Stream<A, unknown, R>,
): AsyncIterable<A> => ({
  [Symbol.asyncIterator]: () => {
    let opened: Promise<AsyncIterator<A>> | undefined;
    let isOver = false;
    const take = async (): Promise<IteratorResult<A>> => {
      if (isOver) return { done: true, value: undefined };
      opened ??= runtime.context().then((context) =>
        Stream.toAsyncIterableWith(stream, context)[Symbol.asyncIterator]()
      );
      return (await opened).next();
    };
    let asked: Promise<unknown> | undefined;
    return {
      // Who asks before the last answer came is answered in turn, as by a generator.
      next: () => {
        const answer = asked === undefined ? take() : asked.then(take, take);
        asked = answer;
        return answer;
      },
      return: async () => {
        isOver = true;
        await (await opened)?.return?.();
        return { done: true, value: undefined };
      },
    };
  },
});
