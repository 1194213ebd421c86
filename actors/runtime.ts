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
