/**
 * The signals that the application has told of, by their names: what the payload of one is, and what
 * it takes to send it. A name that is not among them may have any payload, and takes what signals
 * take.
 */
import { InvalidInput } from "../../schema/errors.ts";
import type { SignalDefinition } from "../signal.ts";

// deno-lint-ignore no-explicit-any -- each has a payload of its own
export type AnySignal = SignalDefinition<any>;

export type SignalOf = (name: string) => AnySignal;

export const signalsAmong = (signals: ReadonlyArray<AnySignal> = []): SignalOf => {
  const known = new Map(signals.map((signal) => [signal.name, signal]));
  const twice = signals.find((signal) => known.get(signal.name) !== signal);
  if (twice !== undefined) {
    const rule = "expected one definition of each name";
    throw new InvalidInput({ what: "signals", value: twice.name, rule });
  }
  return (name) => known.get(name) ?? { name, payload: undefined };
};
