/**
 * The runtime that the verbs of a promise door run in, until the door is closed: what is asked then,
 * or is under way, fails with `ConnectionClosed`, and what a signal ends with that signal's reason. What
 * streams under way end with, their logs say.
 */
import * as Cause from "effect/Cause";
import * as Exit from "effect/Exit";
import type * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { ConnectionClosed } from "../schema/errors.ts";

export const makeRuntime = <R, E>(
  layer: Layer.Layer<R, E>,
): ManagedRuntime.ManagedRuntime<R, E> => {
  const runtime = ManagedRuntime.make(layer);
  const { context, dispose, runPromiseExit } = runtime;
  let isClosed = false;
  const refuseIfClosed = () => {
    if (isClosed) throw new ConnectionClosed({ landed: "no" });
  };
  return Object.assign(
    runtime,
    {
      context: async () => {
        refuseIfClosed();
        return await context();
      },
      dispose: () => {
        isClosed = true;
        return dispose();
      },
      runPromise: async (effect, options) => {
        refuseIfClosed();
        const exit = await runPromiseExit(effect, options);
        if (Exit.isSuccess(exit)) return exit.value;
        if (Cause.hasInterruptsOnly(exit.cause)) {
          options?.signal?.throwIfAborted();
          if (isClosed) throw new ConnectionClosed({ landed: "unknown" });
        }
        throw Cause.squash(exit.cause);
      },
    } satisfies Partial<ManagedRuntime.ManagedRuntime<R, E>>,
  );
};

/** What serves on a connection, which closes with it: also what is being started meanwhile. */
export class Serving<A extends { readonly close: () => Promise<void> }> {
  readonly #all = new Set<Promise<A>>();
  #isClosing = false;

  async start(one: (onClosed: () => void) => Promise<A>): Promise<A> {
    if (this.#isClosing) throw new ConnectionClosed({ landed: "no" });
    const forget = () => void this.#all.delete(starting);
    const starting = one(forget);
    this.#all.add(starting);
    starting.catch(forget);
    return await starting;
  }

  /** From here on none is started. */
  stop(): void {
    this.#isClosing = true;
  }

  async close(): Promise<void> {
    this.stop();
    await Promise.all(Array.from(this.#all, (one) => one.then(({ close }) => close(), () => {})));
  }
}
