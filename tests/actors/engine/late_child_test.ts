import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { ActorCode, Operations } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, ExecutionId, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { Log, type Message } from "../../../streams/log.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import { onMortals, untilDead } from "../../fixtures/mortals.ts";

const acme = Tenant.make("acme");
const child = ActorName.make("child");
const parent = ActorName.make("parent");
const execution = ExecutionId.make("child/c-1");

const actors: ReadonlyArray<ActorCode> = [
  { name: child, run: () => Effect.succeed("grown") },
  {
    name: parent,
    run: (weir) =>
      Effect.asVoid(
        weir.spawn("child", {
          actor: child,
          tenant: acme,
          input: undefined,
          execution,
          onParentEnd: "abandon",
        }),
      ),
  },
];

it("an execution does not end before the children that it leaves behind are started", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const log = yield* Log;
      const order: Array<string> = [];
      /** The child's start takes its time. */
      const slow: Log["Service"] = {
        ...log,
        append: (to, message) => {
          if (message.kind === "done" && to.label !== execution) order.push("ends");
          if (to.label !== execution || message.kind !== "mail") return log.append(to, message);
          return Effect.sleep(50).pipe(
            Effect.andThen(log.append(to, message)),
            Effect.tap(() => Effect.sync(() => order.push("started"))),
          );
        },
      };
      yield* makeWorker({ actors, identity: WorkerInstanceId.make("w1") }).pipe(
        Effect.provideService(Log, slow),
      );
      const executions = yield* Executions;
      yield* executions.result(yield* executions.start(parent, acme, undefined));
      assert.deepEqual(order, ["started", "ends"]);
      assert.equal(yield* executions.result({ execution, tenant: acme }), "grown");
    }).pipe(Effect.scoped, Effect.provide(layerMemory())),
  ));

const isStart = ({ kind, body }: Message): boolean =>
  kind === "mail" && new TextDecoder().decode(body).includes('"kind":"start"');

/** A log to which the child's start is under way for so long. */
const slowlyStarting = (startMs: number) => (log: Log["Service"]): Log["Service"] => ({
  ...log,
  append: (to, message) =>
    to.label === execution && isStart(message)
      ? Effect.delay(log.append(to, message), startMs)
      : log.append(to, message),
});

describe("a child whose start takes longer than its parent is let run", () => {
  /** Starts a parent that calls a child, whose start is under way for so long, and stops it. */
  const stopped = (startMs: number, force: boolean) =>
    new VirtualClock(Date.UTC(2026, 0, 1)).run(
      Effect.gen(function* () {
        const slow = slowlyStarting(startMs)(yield* Log);
        yield* makeWorker({
          identity: WorkerInstanceId.make("w1"),
          actors: [
            { name: child, run: (weir) => weir.wait("never") },
            {
              name: parent,
              run: (weir) =>
                weir.call("child", { actor: child, tenant: acme, input: undefined, execution }),
            },
          ],
        }).pipe(Effect.provideService(Log, slow));
        const executions = yield* Executions;
        const of = yield* executions.start(parent, acme, undefined, { unserved: true });
        yield* Effect.sleep("1 second");
        yield* executions.cancel(of, { force });
        yield* Effect.exit(executions.result(of));
        yield* Effect.sleep("1 hour");
        return yield* executions.describe({ execution, tenant: acme }).pipe(
          Effect.map(({ status }) => status as string),
          Effect.catchTag("ExecutionNotFound", () => Effect.succeed("never started")),
        );
      }).pipe(Effect.scoped, Effect.provide(layerMemory())),
    );

  it("is cancelled with its parent, although it was asked to stop before it began", async () => {
    assert.equal(await stopped(0, false), "cancelled");
    assert.equal(await stopped(2_000, false), "cancelled");
  });

  it("is cancelled when its parent's end is forced, or not started at all", async () => {
    assert.equal(await stopped(0, true), "cancelled");
    assert.equal(await stopped(2_000, true), "cancelled");
    assert.equal(await stopped(60_000, true), "never started");
  });
});

it("an end that is forced is told at once, whatever a step does meanwhile", () =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(
    Effect.gen(function* () {
      const top = ActorName.make("top");
      const called = { execution: ExecutionId.make("parent/p-1"), tenant: acme };
      yield* makeWorker({
        identity: WorkerInstanceId.make("w1"),
        actors: [
          { name: child, run: (weir) => weir.wait("never") },
          { name: top, run: (weir) => weir.call("p", { ...called, actor: parent, input: 0 }) },
          {
            name: parent,
            run: (weir) =>
              Effect.andThen(
                weir.spawn("child", { actor: child, tenant: acme, input: 0, execution }),
                weir.run("long", () => Effect.uninterruptible(Effect.sleep("10 hours"))),
              ),
          },
        ],
      });
      const executions = yield* Executions;
      const of = yield* executions.start(top, acme, undefined, { unserved: true });
      yield* Effect.sleep("10 seconds");
      yield* executions.cancel(called, { force: true });
      yield* Effect.flip(Effect.timeout(executions.result(of), "1 minute"));
      assert.equal((yield* executions.describe(of)).status, "failed");
      yield* Effect.sleep("1 minute");
      const left = yield* executions.describe({ execution, tenant: acme });
      assert.equal(left.status, "cancelled");
    }).pipe(Effect.scoped, Effect.provide(layerMemory())),
  ));

describe("a call that its parent drops in the turn in which it is made", () => {
  const calling = {
    actor: child,
    tenant: acme,
    input: undefined,
    execution,
    onParentEnd: "abandon",
  } as const;
  const children = { name: child, run: (weir) => weir.run("grow", () => Effect.void) } as ActorCode;
  /** What drops it fails at once, or is a step, which the second owner knows to have failed. */
  const drop = (weir: Operations, isStep = false) => {
    const check = weir.run("check", () => Effect.fail(new Error("bad")), {
      retry: { attempts: 1 },
    });
    const both = isStep
      ? [check, weir.call("c", calling)]
      : [weir.call("c", calling), Effect.fail("bad")];
    return Effect.exit(Effect.all(both, { concurrency: "unbounded" }));
  };
  const ended = Effect.gen(function* () {
    const executions = yield* Executions;
    const statuses = yield* Effect.forEach(
      ["parent/p", "child/c-1"],
      (id) => Effect.option(executions.describe({ execution: ExecutionId.make(id), tenant: acme })),
    );
    return statuses.map((found) => Option.isSome(found) ? found.value.status : "never started");
  });

  it("starts its child, and keeps nobody from ending, also in the next attempt", async () => {
    let attempts = 0;
    const code: ActorCode = {
      name: parent,
      retry: { attempts: 5, delay: 10 },
      run: (weir) =>
        Effect.gen(function* () {
          yield* drop(weir);
          yield* weir.run("work", () => Effect.void);
          if (attempts++ === 0) return yield* Effect.fail(new Error("once"));
        }),
    };
    const { result, stuck } = await onMortals((hire) =>
      Effect.gen(function* () {
        const executions = yield* Executions;
        yield* hire("first", { actors: [children, code] });
        yield* executions.start(parent, acme, undefined, { id: "p", unserved: true });
        yield* Effect.sleep("10 minutes");
        return yield* ended;
      })
    );
    assert.deepEqual([attempts, result, stuck], [2, ["completed", "completed"], []]);
  });

  for (const isStep of [false, true]) {
    const name = isStep ? "for a step that has failed" : "at once";
    it(`starts its child after an owner that died before it did, dropped ${name}`, async () => {
      const code: ActorCode = {
        name: parent,
        run: (weir) => Effect.andThen(drop(weir, isStep), weir.run("work", () => Effect.void)),
      };
      const { result, stuck } = await onMortals((hire) =>
        Effect.gen(function* () {
          const executions = yield* Executions;
          const options = { actors: [children, code] };
          const first = yield* hire("first", options, (process) => {
            void process.killAt(isStep ? "check" : "c", "after");
          }, slowlyStarting(1_000));
          yield* executions.start(parent, acme, undefined, { id: "p", unserved: true });
          yield* untilDead(first);
          yield* hire("second", options);
          yield* Effect.sleep("10 minutes");
          return yield* ended;
        })
      );
      assert.deepEqual([result, stuck], [["completed", "completed"], []]);
    });
  }
});
