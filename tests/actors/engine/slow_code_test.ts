/**
 * Code that takes over from an owner who died, and is slow to ask again for all that is recorded: the
 * children that nobody had started are started all the same, whoever has it let go meanwhile.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { Executions } from "../../../actors/executions.ts";
import { ActorName, ExecutionId, Tenant } from "../../../schema/ids.ts";
import type { Moment } from "../../../testing/process.ts";
import { onMortals, untilDead } from "../../fixtures/mortals.ts";

const acme = Tenant.make("acme");
const child = ActorName.make("child");
const parent = ActorName.make("parent");
const crowd = ActorName.make("crowd");

const calling = (name: string) => ({
  actor: child,
  tenant: acme,
  input: undefined,
  execution: ExecutionId.make(`child/${name}`),
  onParentEnd: "abandon" as const,
});

interface Place {
  readonly append: number;
  readonly moment: Moment;
}

const moments = ["before", "after"] as const;

describe("code that is slow to ask again for what is recorded", () => {
  /** Whether the code stands still once, for something that the log knows nothing of. */
  let isSlow = false;
  const standStill = Effect.suspend(() => {
    const isNow = isSlow;
    isSlow = false;
    return isNow ? Effect.sleep("30 seconds") : Effect.void;
  });
  const actors: ReadonlyArray<ActorCode> = [
    { name: child, run: (weir) => Effect.as(weir.sleep("grow", "1 minute"), weir.execution) },
    {
      name: parent,
      run: (weir) => {
        const call = (name: string) => weir.call(name, calling(name));
        return Effect.all([call("first"), Effect.andThen(standStill, call("second"))], {
          concurrency: "unbounded",
        });
      },
    },
  ];
  const options = { actors, residentGrace: "1 second" } as const;

  /** Plays the parent, whose first owner dies at a record. */
  const play = async (place?: Place) => {
    let appends = () => 0;
    const played = await onMortals((hire) =>
      Effect.gen(function* () {
        isSlow = false;
        const first = yield* hire("first", options, (process) => {
          if (place !== undefined) void process.killAt({ append: place.append }, place.moment);
        });
        appends = () => first.appends;
        yield* untilDead(first).pipe(
          Effect.andThen(Effect.suspend(() => {
            isSlow = true;
            return hire("second", options);
          })),
          Effect.forkScoped,
        );
        const executions = yield* Executions;
        const started = yield* executions.start(parent, acme, undefined, {
          id: "p-1",
          unserved: true,
        });
        return yield* Effect.timeout(executions.result(started), "1 hour");
      }).pipe(Effect.scoped)
    );
    return { ...played, appends: appends() };
  };

  it("has all its children started, wherever its owner before died", async () => {
    const { appends, result } = await play();
    assert.ok(appends > 10);
    for (let append = 1; append <= appends; append++) {
      for (const moment of moments) {
        const after = await play({ append, moment }).catch((cause) => {
          throw new Error(`${moment} record ${append}`, { cause });
        });
        assert.deepEqual([after.result, after.stuck], [result, []], `${moment} record ${append}`);
      }
    }
  });
});

describe("a child that is recorded, and that its parent's dead owner may not have started", () => {
  /** How long the code of the second owner stands still before it calls the child. */
  let slowMs = 0;
  /** Whether it ends what it does when it hears that it is given up. */
  let isObedient = false;
  const actors: ReadonlyArray<ActorCode> = [
    { name: child, run: (weir) => Effect.as(weir.sleep("grow", "1 minute"), "grown") },
    {
      name: parent,
      run: (weir) => {
        const givenUp = Effect.callback<void>((resume) =>
          weir.cancelled.addEventListener("abort", () => resume(Effect.void), { once: true })
        );
        const both = Effect.all([
          weir.wait("go"),
          Effect.andThen(
            Effect.suspend(() => slowMs === 0 ? Effect.void : Effect.sleep(slowMs)),
            weir.call("c", calling("c")),
          ),
        ], { concurrency: "unbounded" });
        return isObedient ? Effect.raceFirst(both, givenUp) : both;
      },
    },
    { name: crowd, run: (weir) => Effect.as(weir.run("work", () => Effect.void), "worked") },
  ];
  const grown = { execution: ExecutionId.make("child/c"), tenant: acme };

  interface Means {
    readonly of: { readonly execution: ExecutionId; readonly tenant: Tenant };
    readonly executions: Executions["Service"];
    readonly second: Effect.Effect<unknown>;
  }

  /** The parent waits for a signal that its child would cause; nobody else starts anything. */
  const grows = async (
    slowForMs: number,
    concurrency: number,
    meanwhile: (means: Means) => Effect.Effect<unknown, unknown>,
  ) => {
    const { result, stuck } = await onMortals((hire) =>
      Effect.gen(function* () {
        slowMs = 0;
        const options = { actors, residentGrace: "1 second", concurrency } as const;
        const first = yield* hire("first", options, (process) => {
          void process.killAt("c", "after");
        });
        const executions = yield* Executions;
        const of = yield* executions.start(parent, acme, undefined, { id: "p", unserved: true });
        yield* untilDead(first);
        slowMs = slowForMs;
        yield* meanwhile({ of, executions, second: hire("second", options) });
        const ended = yield* executions.result(grown).pipe(
          Effect.retry(Schedule.spaced("1 second")),
          Effect.timeoutOrElse({
            duration: "1 hour",
            orElse: () => Effect.succeed("nobody starts it"),
          }),
        );
        yield* executions.signal(of, "go", undefined);
        yield* executions.result(of);
        return ended;
      })
    );
    assert.equal(result, "grown");
    assert.deepEqual(stuck, []);
  };

  it("is started by who finds the parent paused, once it goes on", () =>
    grows(0, 100, ({ of, executions, second }) =>
      Effect.gen(function* () {
        yield* executions.pause(of);
        yield* second;
        yield* Effect.sleep("2 minutes");
        yield* executions.resume(of);
      })));

  it("is started after an owner that was let go, and whose code dropped it then", async () => {
    isObedient = true;
    await grows(0, 100, ({ of, executions, second }) =>
      Effect.gen(function* () {
        yield* executions.pause(of);
        yield* second;
        yield* Effect.sleep("2 minutes");
        yield* executions.resume(of);
      })).finally(() => isObedient = false);
  });

  it("is started by who has no room for code that is slow", () =>
    grows(3_000, 1, ({ executions, second }) =>
      Effect.gen(function* () {
        yield* second;
        for (let i = 0; i < 60; i++) {
          yield* Effect.sleep("200 millis");
          yield* executions.start(crowd, acme, undefined, { id: `c-${i}`, unserved: true });
        }
      })));

  it("is started by code that is slower than anything may stay in memory", () =>
    grows(120_000, 100, ({ second }) => second));
});

it("what an attempt leaves behind that the next does not ask for keeps nothing in memory", async () => {
  const executionsAtAll = 6;
  const failed = new Set<string>();
  const tidy: ActorCode = {
    name: parent,
    retry: { attempts: 5, delay: 10 },
    run: (weir) =>
      weir.run("work", () =>
        Effect.suspend(() => {
          if (failed.has(weir.execution)) return Effect.void;
          failed.add(weir.execution);
          return Effect.fail(new Error("the first time"));
        }), { retry: { attempts: 1 } }).pipe(
          Effect.catch((error) =>
            Effect.andThen(weir.run("undo", () => Effect.void), Effect.fail(error))
          ),
          Effect.andThen(weir.wait("go")),
        ),
  };
  const { result, stuck } = await onMortals((hire) =>
    Effect.gen(function* () {
      const executions = yield* Executions;
      const first = yield* hire("first", { actors: [tidy], residentGrace: "1 hour" });
      for (let i = 0; i < executionsAtAll; i++) {
        yield* executions.start(parent, acme, undefined, { id: `p-${i}`, unserved: true });
      }
      yield* Effect.sleep("30 seconds");
      first.kill();
      const options = { actors: [tidy], residentGrace: "1 second", concurrency: 2 } as const;
      const second = yield* hire("second", options);
      yield* Effect.sleep("1 hour");
      const before = second.appends;
      yield* Effect.sleep("1 hour");
      return { failed: failed.size, appended: second.appends - before };
    })
  );
  assert.deepEqual(result, { failed: executionsAtAll, appended: 0 });
  assert.deepEqual(stuck, []);
});
