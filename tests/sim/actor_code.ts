/**
 * A simulated program as an actor that the engine runs. How often the whole is to fail, it asks the
 * log: that is a truth about the outside world, on which the code has no influence.
 */
import * as Effect from "effect/Effect";
import type { ActorCode, Operations, Spawned } from "../../actors/engine/operations.ts";
import { ActorName, type ExecutionId } from "../../schema/ids.ts";
import { type Operation, type Program, sharedChild, valueOf } from "./programs.ts";
import { tenant } from "./world.ts";

export interface Stage {
  readonly programOf: (execution: ExecutionId) => Program;
  /** How often it has failed since it was last run again. */
  readonly failuresOf: (execution: ExecutionId) => number;
  /** What the code does before it asks for something, of which the engine knows nothing. */
  readonly dawdle?: Effect.Effect<void>;
}

class Again extends Error {
  override readonly name = "Again";
}
class Hopeless extends Error {
  override readonly name = "Hopeless";
}

const stepMs = 40;

const perform = (
  operations: Operations,
  spawned: Map<string, Spawned>,
  of: Operation,
): Effect.Effect<string, unknown> => {
  const { key } = of;
  switch (of.kind) {
    case "run":
      return operations.run(key, (step) =>
        Effect.delay(
          Effect.suspend((): Effect.Effect<string, Error> => {
            if (step.try <= of.failures) return Effect.fail(new Again(`try ${step.try}`));
            return of.isHopeless ? Effect.fail(new Hopeless("no")) : Effect.succeed(valueOf(key));
          }),
          stepMs * (key.length % 3),
        ), { retry: { attempts: of.failures + 1 } }).pipe(
          Effect.map((value) => JSON.stringify(value)),
          Effect.catch((error) =>
            error._tag === "StepFailed"
              ? Effect.succeed(`failed: ${error.failure.name}`)
              : Effect.fail(error)
          ),
        );
    case "sleep":
      return Effect.as(operations.sleep(key, of.ms), "null");
    case "wait":
      return Effect.map(
        operations.wait(of.signal, {
          name: key,
          ...(of.timeoutMs === undefined ? {} : { timeout: of.timeoutMs }),
        }),
        (received) => received === undefined ? "timeout" : JSON.stringify(received.payload),
      );
    case "call":
    case "spawn": {
      const options = {
        actor: ActorName.make("child"),
        input: undefined,
        tenant,
        onParentEnd: of.isLeftAlone ? "abandon" : "cancel",
        ...(of.isShared ? { execution: sharedChild } : {}),
      } as const;
      if (of.kind === "call") return ended(operations.call(key, options));
      return Effect.map(operations.spawn(key, options), (child) => {
        spawned.set(key, child);
        return "null";
      });
    }
    case "end":
      return Effect.suspend(() => ended(spawned.get(of.of.key)!.result));
    case "race":
      return Effect.raceAllFirst(of.among.map((each) => perform(operations, spawned, each)));
    case "note":
      return Effect.as(operations.now, JSON.stringify(valueOf(key)));
    case "cell":
      return Effect.as(operations.setCell(key, key), "null");
    case "tag":
      return Effect.as(operations.tag(`where.${key.replace(".", "_")}`, key), "null");
  }
};

/** The order in which it asks for these has no influence on what it is given. */
const isAskedAtLeisure = ({ kind }: Operation): boolean =>
  kind === "run" || kind === "sleep" || kind === "call" || kind === "spawn";

const ended = <A, E extends { readonly _tag: string }>(
  result: Effect.Effect<A, E>,
): Effect.Effect<string, E> =>
  result.pipe(
    Effect.map((value) => `child: ${JSON.stringify(value)}`),
    Effect.catch((error) =>
      error._tag === "ChildFailed" && "outcome" in error
        ? Effect.succeed(String(error.outcome))
        : Effect.fail(error)
    ),
  );

const isCancelled = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "Cancelled";

export const actorCode = (
  name: string,
  { programOf, failuresOf, dawdle = Effect.void }: Stage,
): ActorCode => ({
  name: ActorName.make(name),
  retry: { attempts: 10 },
  run: (operations) =>
    Effect.gen(function* () {
      const { execution } = operations;
      const program = programOf(execution);
      const spawned = new Map<string, Spawned>();
      const results: Array<string> = [];
      for (const group of program.groups) {
        // The time can be asked for once at a time.
        const given = yield* Effect.forEach(
          group,
          (operation) =>
            operation.kind === "note" && operation !== group.find(({ kind }) => kind === "note")
              ? Effect.succeed(JSON.stringify(valueOf(operation.key)))
              : Effect.andThen(
                isAskedAtLeisure(operation) ? dawdle : Effect.void,
                perform(operations, spawned, operation),
              ),
          { concurrency: "unbounded" },
        );
        results.push(...given);
      }
      if (failuresOf(execution) < program.failingAttempts) {
        return yield* Effect.fail(new Again("the attempt"));
      }
      return results;
    }).pipe(
      Effect.catchIf(isCancelled, (error) =>
        Effect.andThen(
          operations.run("undo", () => Effect.succeed(valueOf("undo"))),
          Effect.fail(error),
        )),
    ),
});
