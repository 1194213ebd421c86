/**
 * A signal as code names it: its name on the wire, and what its payload is. Defining one sends and
 * receives nothing.
 */
import type { AnySchema } from "./standard_schema.ts";

export interface SignalDefinition<A> {
  readonly name: string;
  readonly payload: AnySchema<A> | undefined;
  /** Only a type: what the payload is. */
  readonly _A?: A;
}

/**
 * Names a signal. With a schema, payloads are checked before they are sent.
 *
 * **Example** (A signal)
 *
 * ```ts
 * import { signal } from "@weir/weir";
 *
 * export const approval = signal<{ by: string }>("approval");
 * ```
 */
export const signal = <A = undefined>(
  name: string,
  payload?: AnySchema<A>,
): SignalDefinition<A> => ({
  name,
  payload,
});
