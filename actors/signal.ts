/**
 * A signal as code names it: its name on the wire, and what its payload is. Defining one sends and
 * receives nothing.
 */
import * as Effect from "effect/Effect";
import { InvalidInput } from "../schema/errors.ts";
import { shown } from "../schema/ids.ts";
import { checkOptions } from "../schema/option_names.ts";
import type { AnyCapability } from "./grants.ts";
import type { AnySchema } from "./standard_schema.ts";

export interface SignalDefinition<A> {
  readonly name: string;
  readonly payload: AnySchema<A> | undefined;
  /** The capability that who sends it as a principal needs; `submit`, if left out. */
  readonly needs?: AnyCapability;
  /** Only a type: what the payload is. */
  readonly _A?: A;
}

/**
 * Names a signal. With a schema, payloads are checked before they are sent. Names that begin with
 * `weir.` are the runtime's, and refused when the signal is sent.
 *
 * **Example** (A signal)
 *
 * ```ts
 * import { signal } from "@weir/weir";
 *
 * export const approval = signal<{ by: string }>("approval");
 * // Only principals that may approve may send this one.
 * export const release = signal<{ note: string }>("release", undefined, { needs: "approve" });
 * ```
 */
export const signal = <A = undefined>(
  name: string,
  payload?: AnySchema<A>,
  options: Pick<SignalDefinition<A>, "needs"> = {},
): SignalDefinition<A> => {
  Effect.runSync(checkOptions("a signal", options, { needs: true }));
  return { name, payload, ...options };
};

/** Refuses the names of the runtime's own signals, by which it steers what it runs. */
export const checkForeignSignal = (name: unknown): Effect.Effect<void, InvalidInput> =>
  typeof name !== "string" || !name.startsWith("weir.") ? Effect.void : Effect.fail(
    new InvalidInput({
      what: "signal name",
      value: shown(name),
      rule: "names that begin with weir. are the runtime's",
    }),
  );
