/**
 * What an actor's code may give out while it runs, checked and counted where it is given. Frames of
 * one source keep the order in which they were given. Storing them is `outputs.ts`.
 */
import { Buffer } from "node:buffer";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { InvalidInput, PayloadTooLarge } from "../../schema/errors.ts";
import type { OutputClosed } from "../../schema/execution_errors.ts";
import { OutputName } from "../../schema/frame_record.ts";
import { parse } from "../../schema/ids.ts";
import { Json } from "../../schema/json.ts";
import { toJson } from "./to_json.ts";

/** The largest frame, as JSON. */
export const maxFrameBytes = 64 * 1024;
/** To how many outputs a source gives frames, counted by source so that a replay counts the same. */
export const maxOutputs = 64;

/** One try of a step. */
export interface StepTry {
  readonly key: string;
  readonly try: number;
}

export interface Emitted {
  readonly output: string;
  readonly frame: Schema.Json;
  /** The try that gives it; left out, the actor's own code. */
  readonly step?: StepTry;
  /** Counts what this source has given to this output, from 0. */
  readonly index: number;
}

/** Why a frame is not taken. */
export type EmitError = InvalidInput | PayloadTooLarge | OutputClosed;

/** Takes a frame, as soon as there is room for it. */
export type Emit = (output: string, frame: unknown) => Effect.Effect<void, EmitError>;

const isJson = Schema.is(Json);

export const sizeOf = (frame: Schema.Json): number => Buffer.byteLength(JSON.stringify(frame));

const checkFrame = Effect.fnUntraced(function* (frame: unknown) {
  const value = yield* Effect.try({
    try: () => toJson("frame", frame),
    catch: (error) => error as InvalidInput,
  });
  if (!isJson(value)) {
    const rule = "expected a JSON value of at most 500 levels";
    return yield* new InvalidInput({ what: "frame", value: String(value), rule });
  }
  const sizeBytes = sizeOf(value);
  if (sizeBytes <= maxFrameBytes) return value;
  return yield* new PayloadTooLarge({ sizeBytes, limitBytes: maxFrameBytes, isFixed: true });
});

/** The frames of one try, or of the actor's own code. */
export const emitterOf = (
  take: (emitted: Emitted) => Effect.Effect<void, OutputClosed>,
  step?: StepTry,
): Emit => {
  const counts = new Map<string, number>();
  return (name, given) =>
    Effect.flatMap(
      Effect.all([parse(OutputName, "output name", name), checkFrame(given)]),
      ([output, frame]): Effect.Effect<void, EmitError> => {
        const index = counts.get(output) ?? 0;
        if (index === 0 && counts.size === maxOutputs) {
          const rule = `expected one of the ${maxOutputs} outputs that there are already`;
          return Effect.fail(new InvalidInput({ what: "output name", value: output, rule }));
        }
        counts.set(output, index + 1);
        return take({ output, frame, index, ...(step === undefined ? {} : { step }) });
      },
    );
};
