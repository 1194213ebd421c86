/**
 * The activities of one activation: each attempt of one is a step, begun once however many ask for it.
 * An attempt that was suspended or interrupted is recorded as one that is to be made again, under a
 * step of its own, so that no step is ever held open for what is to come.
 */
import * as Cause from "effect/Cause";
import type * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type * as Activity from "effect/workflow/Activity";
import * as Workflow from "effect/workflow/Workflow";
import { WorkflowInstance } from "effect/workflow/WorkflowEngine";
import type { Operations } from "../engine/operations.ts";
import { pack, suspensionIn, type Travelling, unpack } from "./exit_codec.ts";
import { activityStep } from "./names.ts";

type AnyResult = Workflow.Result<unknown, unknown>;
type Instance = WorkflowInstance["Service"];

/** What activities need to know of the activation. */
export interface Surroundings {
  readonly operations: Operations;
  /** Counts the runs of the body that came behind a suspension. */
  readonly run: () => number;
  /** Whether nothing may begin, but what cleans up. */
  readonly isStopping: () => boolean;
  /** Has something done beside the body. */
  readonly background: (effect: Effect.Effect<unknown, unknown>) => void;
}

/** An attempt as it is made now. */
interface Trial {
  readonly result: Deferred.Deferred<AnyResult>;
  /** Done when nobody waits for it any more. */
  release: Deferred.Deferred<void>;
  waiting: number;
  /** The run of the body that it has suspended. */
  suspended: number | undefined;
}

interface Attempt {
  /** How often it was recorded as one to be made again. */
  unfinished: number;
  trial: Trial | undefined;
}

const suspended = (): AnyResult => new Workflow.Suspended({});

const interrupted = Exit.interrupt();

const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause);

export class Activities {
  readonly #surroundings: Surroundings;
  readonly #attempts = new Map<string, Attempt>();

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  /** Returns how an attempt ended, or that the body is to be suspended. */
  execute(instance: Instance, activity: Activity.Any, number: number): Effect.Effect<AnyResult> {
    return Effect.withFiber((fiber) => {
      const key = `${activity.name}/${number}`;
      const attempt = this.#attempts.get(key) ?? { unfinished: 0, trial: undefined };
      this.#attempts.set(key, attempt);
      const last = attempt.trial?.suspended;
      if (attempt.trial === undefined || (last !== undefined && last < this.#surroundings.run())) {
        attempt.trial = {
          result: Deferred.makeUnsafe(),
          release: Deferred.makeUnsafe(),
          waiting: 0,
          suspended: undefined,
        };
        const { trial } = attempt;
        const once = this.#once(instance, activity, fiber.context, trial);
        this.#surroundings.background(this.#perform(attempt, trial, key, instance, once));
      }
      const { trial } = attempt;
      trial.waiting++;
      return Effect.onExit(
        Deferred.await(trial.result),
        () =>
          Effect.suspend(() =>
            --trial.waiting === 0 ? Deferred.succeed(trial.release, undefined) : Effect.void
          ),
      );
    });
  }

  /** What is recorded of an attempt: how it ended, or that it did not. */
  #once(
    instance: Instance,
    activity: Activity.Any,
    context: Context.Context<never>,
    trial: Trial,
  ): Effect.Effect<Travelling> {
    const result = Effect.suspend(() => {
      const own = WorkflowInstance.initial(instance.workflow, instance.executionId);
      own.interrupted = instance.interrupted;
      return activity.executeEncoded.pipe(
        Workflow.intoResult,
        Effect.provideService(WorkflowInstance, own),
        Effect.provideContext(context as Context.Context<unknown>),
      ) as Effect.Effect<AnyResult>;
    });
    const recorded = Effect.flatMap(result, (result) => {
      if (result._tag === "Complete") return pack(result.exit);
      const { cause = Cause.interrupt(), failed = false } = result;
      const run = this.#surroundings.run();
      return Effect.map(
        pack(Exit.failCause(cause)),
        (packed) => ({ ...packed, suspended: { run, failed } }),
      );
    });
    return Effect.raceFirst(
      recorded,
      Effect.flatMap(Deferred.await(trial.release), () => pack(interrupted)),
    );
  }

  #perform(
    attempt: Attempt,
    trial: Trial,
    key: string,
    instance: Instance,
    once: Effect.Effect<Travelling>,
  ): Effect.Effect<unknown> {
    return Effect.gen({ self: this }, function* () {
      const { operations } = this.#surroundings;
      for (;;) {
        const step = activityStep(key, attempt.unfinished);
        // An interruption that is due replays only to rebuild what compensates.
        if (
          this.#surroundings.isStopping() && !instance.interrupted && !operations.isKnown(step)
        ) {
          attempt.trial = undefined;
          return suspended();
        }
        const recorded = yield* operations.run(step, () => once);
        const exit = yield* unpack(recorded);
        const parked = suspensionIn(recorded);
        if (parked === undefined && !isInterrupted(exit)) return new Workflow.Complete({ exit });
        attempt.unfinished++;
        if (parked === undefined) {
          if (trial.waiting === 0) {
            attempt.trial = undefined;
            return suspended();
          }
          trial.release = Deferred.makeUnsafe();
        } else if (parked.run === this.#surroundings.run()) {
          trial.suspended = parked.run;
          const { failed } = parked;
          const cause = Exit.isFailure(exit) && failed
            ? Cause.die(Cause.squash(exit.cause))
            : undefined;
          return new Workflow.Suspended({ ...(cause && { cause }), ...(failed && { failed }) });
        }
      }
    }).pipe(
      Effect.catchTag("Cancelled", () => Effect.sync(suspended)),
      Effect.catchCause((cause) =>
        Effect.succeed(new Workflow.Complete({ exit: Exit.die(Cause.squash(cause)) }))
      ),
      Effect.flatMap((result) => Deferred.succeed(trial.result, result)),
    );
  }
}
