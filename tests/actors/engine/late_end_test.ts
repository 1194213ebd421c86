/**
 * Ends that land while another is about to claim: it has looked whether the execution has ended, and
 * the owner before, who is dead by the time of the claim, has recorded the end in between.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions, layer as layerExecutions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { neverStuck } from "../../../actors/never_stuck.ts";
import { ActorName, ExecutionId, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import * as Leases from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import * as Sessions from "../../../streams/session.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import { type Moment, MortalProcess } from "../../../testing/process.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const acme = Tenant.make("acme");
const child = ActorName.make("child");
const parent = ActorName.make("parent");
const flaky = ActorName.make("flaky");

let isMended = false;

const actors: ReadonlyArray<ActorCode> = [
  { name: child, run: (weir) => weir.run("grow", () => Effect.succeed("grown")) },
  {
    name: parent,
    run: (weir) =>
      weir.call("child", {
        actor: child,
        tenant: acme,
        input: undefined,
        execution: ExecutionId.make("child/c-1"),
        onParentEnd: "abandon",
      }),
  },
  {
    name: flaky,
    run: () =>
      Effect.suspend(() =>
        isMended ? Effect.succeed("at last") : Effect.fail(new Error("not yet"))
      ),
  },
];

/** What a process sees that has looked at each execution once, before it had ended. */
const early = (log: Log["Service"]): Log["Service"] => {
  const seen = new Set<string>();
  return {
    ...log,
    lastOfEach: (of, kinds) =>
      Effect.map(log.lastOfEach(of, kinds), (last) => {
        const isFirst = !seen.has(of.tail);
        seen.add(of.tail);
        return isFirst ? new Map([...last].filter(([kind]) => kind !== "done")) : last;
      }),
  };
};

const ofProcess = Layer.mergeAll(Leases.layer, ServerClock.layer).pipe(
  Layer.provideMerge(Sessions.layer),
);

type Drive = Effect.Effect<unknown, unknown, Executions>;

/** Drives while the first worker dies at a record, and the next has looked before that. */
const play = (
  drive: Drive,
  check: Effect.Effect<void, unknown, Executions | Log>,
  place?: { readonly append: number; readonly moment: Moment },
) => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  return clock.run(Effect.scoped(Effect.gen(function* () {
    const shared = Context.merge(yield* Layer.build(layerMemory()), clock.context);
    isMended = false;
    const begin = (identity: string, process: MortalProcess, log: Log["Service"]) =>
      Effect.forkDetach(
        makeWorker({ actors, identity: WorkerInstanceId.make(identity) }).pipe(
          Effect.provide(
            ofProcess.pipe(
              Layer.provideMerge(Layer.succeedContext(
                Context.add(Context.merge(shared, process.services), Log, log),
              )),
            ),
          ),
          Scope.provide(Scope.makeUnsafe()),
        ),
      );
    const first = new MortalProcess(shared);
    if (place !== undefined) void first.killAt({ append: place.append }, place.moment);
    yield* begin("first", first, Context.get(first.services, Log));
    yield* Effect.sync(() => first.isDead).pipe(
      Effect.repeat({ until: (isDead) => isDead, schedule: Schedule.spaced("1 second") }),
      Effect.andThen(Effect.suspend(() => {
        const second = new MortalProcess(shared);
        return begin("second", second, early(Context.get(second.services, Log)));
      })),
      Effect.forkScoped,
    );
    yield* Effect.gen(function* () {
      yield* drive;
      // Somebody who was not there when it ended, and reads.
      const later = Layer.fresh(layerExecutions).pipe(Layer.provide(Layer.succeedContext(shared)));
      yield* Effect.sleep("5 minutes");
      yield* Effect.provide(check, later);
    }).pipe(Effect.timeout("1 hour"), Effect.provideContext(shared));
    const stuck = yield* Stream.runCollect(neverStuck()).pipe(Effect.provideContext(shared));
    assert.deepEqual(stuck, []);
    return { appends: first.appends, isDead: first.isDead };
  })));
};

const atEachRecord = async (
  drive: Drive,
  check: Effect.Effect<void, unknown, Executions | Log>,
) => {
  const { appends } = await play(drive, check);
  for (let append = 1; append <= appends; append++) {
    for (const moment of ["before", "after"] as const) {
      await play(drive, check, { append, moment }).catch((cause) => {
        throw new Error(`${moment} record ${append}`, { cause });
      });
    }
  }
};

const isToBeRemoved = (execution: ExecutionId) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = executionAddress(log.layout, acme, execution);
    const done = Option.getOrThrow(yield* log.last(address, "done"));
    const told = yield* log.last(address, "gc", `${done.sequence}`);
    assert.ok(Option.isSome(told), `${execution} would never be removed`);
  });

describe("an end that lands while another is about to claim", () => {
  it("is told to who waits for it", () =>
    atEachRecord(
      Effect.gen(function* () {
        const executions = yield* Executions;
        const run = yield* executions.start(parent, acme, undefined, { id: "p-1", unserved: true });
        assert.equal(yield* executions.result(run), "grown");
      }),
      Effect.gen(function* () {
        const executions = yield* Executions;
        for (const id of ["parent/p-1", "child/c-1"]) {
          const execution = ExecutionId.make(id);
          const result = yield* Effect.timeout(
            executions.result({ execution, tenant: acme }),
            "1 minute",
          );
          assert.equal(result, "grown", id);
          yield* isToBeRemoved(execution);
        }
      }),
    ));

  it("is the end also of what was run again", () =>
    atEachRecord(
      Effect.gen(function* () {
        const executions = yield* Executions;
        const run = yield* executions.start(flaky, acme, undefined, { id: "f-1", unserved: true });
        yield* Effect.flip(executions.result(run));
        isMended = true;
        const behind = yield* executions.retry(run);
        assert.equal(yield* executions.result(run, { behind }), "at last");
      }),
      Effect.gen(function* () {
        const executions = yield* Executions;
        const execution = ExecutionId.make("flaky/f-1");
        const result = yield* Effect.timeout(
          executions.result({ execution, tenant: acme }),
          "1 minute",
        );
        assert.equal(result, "at last");
        yield* isToBeRemoved(execution);
      }),
    ));
});
