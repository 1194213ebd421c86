/**
 * Running one step: a try, its time limit, and what is recorded of it. Every try may have had its
 * effect, whatever is recorded. Between tries the step is parked, and can be dropped and taken up
 * elsewhere.
 */
import * as Clock from "effect/Clock";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Random from "effect/Random";
import type * as Schema from "effect/Schema";
import type { Failure } from "../../schema/failure.ts";
import { OutputClosed } from "../../schema/execution_errors.ts";
import { Timestamp } from "../../schema/ids.ts";
import { pauseBeforeNext } from "../retry_policy.ts";
import type { Command } from "../core/decide.ts";
import type { Operation } from "../core/state.ts";
import { type Emitted, emitterOf } from "./emit.ts";
import { failureOfCause } from "./failure_of.ts";
import type { RunOptions, Step } from "./operations.ts";
import { toJson } from "./to_json.ts";

type Json = Schema.Json;

export interface StepHooks {
  readonly idempotencyKey: string;
  readonly execution: string;
  readonly emit: (emitted: Emitted) => Effect.Effect<void, OutputClosed>;
  /** The server's time in milliseconds. */
  readonly now: Effect.Effect<number>;
  /** Waits until then, in a way that lets the execution be suspended. */
  readonly parkUntil: (time: number) => Effect.Effect<void>;
  /** Records something, and returns when it is stored. */
  readonly record: (command: Command) => Effect.Effect<void>;
  /** Records the outcome. */
  readonly settle: (command: Command) => void;
}

/** Fails when `heartbeat` has not been called for too long. */
const silence = (
  lastHeartbeat: () => number,
  limitMs: number,
): Effect.Effect<never, Failure> =>
  Effect.gen(function* () {
    for (;;) {
      const rest = lastHeartbeat() + limitMs - (yield* Clock.currentTimeMillis);
      if (rest <= 0) {
        return yield* Effect.fail<Failure>({
          name: "HeartbeatTimeout",
          message: `no heartbeat for ${limitMs} ms`,
        });
      }
      yield* Effect.sleep(rest);
    }
  });

/** Tries a step until it succeeds or is not tried again, and records the outcome. */
export const runStep = Effect.fnUntraced(function* (
  key: string,
  known: Extract<Operation, { readonly kind: "run" }> | undefined,
  body: (step: Step) => Effect.Effect<unknown, unknown>,
  { retry = {}, timeout, heartbeatTimeout }: RunOptions,
  hooks: StepHooks,
) {
  let tries = known?.tries ?? 0;
  let progress: Json | undefined = known?.progress;
  if (known?.retryAt !== undefined) yield* hooks.parkUntil(known.retryAt);
  for (;;) {
    tries++;
    const begun = yield* Clock.currentTimeMillis;
    let heartbeatAt = begun;
    let isOver = false;
    const { execution } = hooks;
    const emit = emitterOf(
      (emitted) =>
        isOver
          ? Effect.fail(new OutputClosed({ execution, output: emitted.output, step: key }))
          : hooks.emit(emitted),
      { key, try: tries },
    );
    const clock = yield* Clock.Clock;
    const step: Step = {
      idempotencyKey: hooks.idempotencyKey,
      try: tries,
      progress,
      heartbeat: (reported) => {
        heartbeatAt = clock.currentTimeMillisUnsafe();
        if (reported !== undefined) progress = toJson("progress", reported);
      },
      emit,
    };
    const limited = timeout === undefined ? body(step) : Effect.timeoutOrElse(body(step), {
      duration: timeout,
      orElse: () =>
        Effect.fail<Failure>({
          name: "StepTimeout",
          message: `no result within ${Duration.toMillis(Duration.fromInputUnsafe(timeout))} ms`,
        }),
    });
    const alive = heartbeatTimeout === undefined ? limited : Effect.raceFirst(
      limited,
      silence(() => heartbeatAt, Duration.toMillis(Duration.fromInputUnsafe(heartbeatTimeout))),
    );
    const exit = yield* Effect.exit(
      Effect.flatMap(
        alive,
        (value) =>
          Effect.try({ try: () => toJson(`the result of ${key}`, value), catch: (error) => error }),
      ),
    );
    isOver = true;
    const durationMs = Math.max(0, Math.round((yield* Clock.currentTimeMillis) - begun));
    if (Exit.isSuccess(exit)) {
      const { value } = exit;
      const result = { type: "value" as const, ...(value === undefined ? {} : { value }) };
      return hooks.settle({ kind: "step", key, result, tries, durationMs });
    }
    const failure = failureOfCause(exit.cause);
    const pause = pauseBeforeNext(retry, failure, tries, yield* Random.next);
    if (pause === undefined) {
      const result = { type: "failure" as const, failure };
      return hooks.settle({ kind: "step", key, result, tries, durationMs });
    }
    const retryAt = Timestamp.make(Math.ceil((yield* hooks.now) + pause));
    yield* hooks.record({
      kind: "stepFailed",
      key,
      failure,
      tries,
      retryAt,
      ...(progress === undefined ? {} : { progress }),
    });
    yield* hooks.parkUntil(retryAt);
  }
});
