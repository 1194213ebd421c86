/** Effect's workflows on Weir, by a suite that Effect's own engine in memory passes. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import * as Cause from "effect/Cause";
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as PersistedQueue from "effect/persistence/PersistedQueue";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import {
  layerMemory as layerEffect,
  WorkflowEngine,
  type WorkflowInstance,
} from "effect/workflow/WorkflowEngine";
import { Executions } from "../../actors/executions.ts";
import { layer as layerEngine, layerMemory } from "../../actors/layer.ts";
import type { WorkflowExtras } from "../../actors/workflow/workflow_extras.ts";
import * as WorkflowVersion from "../../actors/workflow/workflow_version.ts";
import * as WeirWorkflowEngine from "../../actors/workflow_engine.ts";
import { ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import { layer as layerPersistedQueueStore } from "../../streams/persistence/persisted_queue_store.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { durableQueueSuite } from "../../testing/suites/durable_queue.ts";
import { workflowEngineSuite } from "../../testing/suites/workflow_engine.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const brief = { residentGrace: "20 millis" } as const;
const engine = WeirWorkflowEngine.layer(brief);

/**
 * Effect's engine loses a wake-up now and then, where the machine has much else to do. What it passes
 * at another try is asked of ours at the first.
 */
const asOften = (effect: Effect.Effect<void>): Promise<void> =>
  Effect.runPromise(
    effect.pipe(Effect.timeout("20 seconds"), Effect.retry({ times: 3 }), Effect.orDie),
  );

describe("Effect's own engine in memory", () => {
  const options = { it, run: asOften };
  workflowEngineSuite("Effect", () => layerEffect, options);
  durableQueueSuite(
    "Effect",
    () => Layer.merge(layerEffect, PersistedQueue.layerStoreMemory),
    options,
  );
});

describe("workflows in memory", () => {
  workflowEngineSuite("memory", () => Layer.provide(engine, layerMemory()), { it });
  durableQueueSuite(
    "memory",
    () => Layer.merge(Layer.provide(engine, layerMemory()), PersistedQueue.layerStoreMemory),
    { it },
  );
});

describe("workflows on JetStream", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());
  const services = () =>
    layerEngine({
      servers: server.url,
      namespace: Namespace.make(`t${randomUUID().slice(24)}`),
    });
  workflowEngineSuite("JetStream", () => Layer.provide(engine, services()), { it });
  durableQueueSuite(
    "JetStream",
    () => Layer.provide(Layer.merge(engine, layerPersistedQueueStore()), services()),
    { it },
  );
});

const Approval = DurableDeferred.make("approval", { success: Schema.String });
const Id = { id: Schema.String };
const byId = ({ id }: { readonly id: string }) => id;

const parked = <A, E, R>(
  poll: Effect.Effect<Option.Option<Workflow.Result<A, E>>, never, R>,
) =>
  Effect.map(
    Effect.repeat(poll, {
      until: (found) => Option.isSome(found) && found.value._tag === "Suspended",
      schedule: Schedule.spaced("10 millis"),
    }).pipe(Effect.timeout("30 seconds")),
    Option.getOrThrow,
  );

describe("a process that has registered nothing", () => {
  const Order = Workflow.make("Order", {
    payload: Id,
    success: Schema.String,
    idempotencyKey: byId,
  });
  const Broken = Workflow.make("Broken", {
    payload: Id,
    success: Schema.String,
    idempotencyKey: byId,
    annotations: Context.make(Workflow.SuspendOnFailure, true),
  });
  let isBroken = true;
  const live = Layer.merge(
    Order.toLayer(() => DurableDeferred.await(Approval)),
    Broken.toLayer(() =>
      Activity.make({
        name: "breaks",
        success: Schema.String,
        execute: Effect.suspend(() => isBroken ? Effect.die("broken") : Effect.succeed("mended")),
      })
    ),
  );
  it("starts, looks, wakes, interrupts and is told, and runs nothing", async () => {
    await Effect.runPromise(
      Effect.gen(function* () {
        const client = yield* WorkflowEngine;
        const id = yield* Order.execute({ id: "1" }, { discard: true });
        assert.deepEqual(yield* parked(Order.poll(id)), new Workflow.Suspended({}));
        const token = DurableDeferred.tokenFromExecutionId(Approval, {
          workflow: Order,
          executionId: id,
        });
        for (const value of ["ana", "bo"]) {
          yield* DurableDeferred.succeed(Approval, { token, value });
        }
        assert.equal(yield* Order.execute({ id: "1" }), "ana");
        const found = yield* Order.poll(id);
        assert.ok(Option.isSome(found) && found.value._tag === "Complete");
        assert.deepEqual(found.value.exit, Exit.succeed("ana"));

        for (
          const [id, interrupt] of [["2", client.interrupt], ["3", client.interruptUnsafe]] as const
        ) {
          const execution = yield* Order.execute({ id }, { discard: true });
          yield* parked(Order.poll(execution));
          yield* interrupt(Order, execution);
          const exit = yield* Effect.exit(Order.execute({ id }));
          assert.ok(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), `${exit}`);
        }

        const broken = yield* Broken.execute({ id: "4" }, { discard: true });
        assert.deepEqual(
          yield* parked(Broken.poll(broken)),
          new Workflow.Suspended({ failed: true }),
        );
        isBroken = false;
        yield* Broken.resume(broken);
        assert.equal(yield* Broken.execute({ id: "4" }), "mended");

        const refused = yield* Effect.exit(Effect.scoped(Layer.build(Layer.fresh(live))));
        assert.match(String(refused), /cannot run on a client/);
      }).pipe(
        Effect.provide(WeirWorkflowEngine.layerClient()),
        Effect.provide(Layer.provideMerge(Layer.provide(live, engine), layerMemory())),
      ),
    );
  });
});

describe("a child that nobody awaits", () => {
  const Child = Workflow.make("Child", { payload: Id, idempotencyKey: byId });
  const Parent = Workflow.make("Parent", {
    payload: Id,
    success: Schema.String,
    idempotencyKey: byId,
  });
  let starts = 0;
  const child = Child.toLayer(() => Effect.sync(() => void starts++));
  const start = Child.execute({ id: "1" }, { discard: true });
  const step = (name: string) =>
    Activity.make({ name, success: Schema.String, execute: Effect.succeed(name) });
  const nap = (name: string, duration: Duration.Input) =>
    DurableClock.sleep({ name, duration, inMemoryThreshold: 0 });
  const ran = (
    body: Effect.Effect<string, never, WorkflowEngine | WorkflowExtras | WorkflowInstance>,
    drive: Effect.Effect<void, unknown, Executions | WorkflowEngine>,
  ) => {
    starts = 0;
    return new VirtualClock(Date.UTC(2026, 0, 1)).run(
      drive.pipe(
        Effect.provide(
          Layer.merge(child, Parent.toLayer(() => body)).pipe(
            Layer.provideMerge(
              WeirWorkflowEngine.layer({ ...brief, keep: { default: "1 minutes" } }),
            ),
            Layer.provideMerge(layerMemory()),
          ),
        ),
      ),
    );
  };

  it("is started once, however long its parent outlives what is kept of it", () =>
    ran(
      Effect.gen(function* () {
        yield* start;
        yield* nap("first", "10 minutes");
        yield* nap("second", "10 minutes");
        yield* start;
        return "slept";
      }),
      Effect.gen(function* () {
        assert.equal(yield* Parent.execute({ id: "1" }), "slept");
        const executions = yield* Executions;
        const executionId = yield* Child.executionId({ id: "1" });
        const of = {
          execution: ExecutionId.make(`Child/${executionId}`),
          tenant: Tenant.make("default"),
        };
        const gone = yield* Effect.flip(executions.describe(of));
        assert.equal(gone._tag, "ExecutionNotFound");
        assert.equal(starts, 1);
      }),
    ));

  it("may be started where the code did not start one when it was recorded", () => {
    let isChanged = false;
    return ran(
      Effect.gen(function* () {
        const before = yield* step("before");
        if (isChanged) yield* start;
        const after = yield* step("after");
        yield* nap("a while", "1 minutes");
        return `${before}, ${after}, ${yield* step("end")}`;
      }),
      Effect.gen(function* () {
        const executionId = yield* Parent.execute({ id: "1" }, { discard: true });
        yield* parked(Parent.poll(executionId));
        isChanged = true;
        assert.equal(yield* Parent.execute({ id: "1" }), "before, after, end");
        yield* Child.execute({ id: "1" });
        assert.equal(starts, 1);
      }),
    );
  });

  it("is started by an activity, which is not run again, without a step of its own", () =>
    ran(
      Effect.gen(function* () {
        yield* Activity.make({ name: "starts", execute: start });
        yield* nap("a while", "1 minutes");
        return `${yield* WorkflowVersion.patched("new")}`;
      }),
      Effect.gen(function* () {
        assert.equal(yield* Parent.execute({ id: "1" }), "true");
        assert.equal(starts, 1);
      }),
    ));
});

describe("a clock", () => {
  const Sleeper = Workflow.make("Sleeper", {
    payload: Id,
    success: Schema.Int,
    idempotencyKey: byId,
  });

  it("may have any name: long, cut within a character, or with half of one", async () => {
    const names = [
      ...["a", "b"].map((end) => `a${"😀".repeat(60)}${end}`),
      ...["\ud800", "\ud801", "\ufffd"].map((half) => `half of ${half}`),
    ];
    const begun = Date.UTC(2026, 0, 1);
    let bodies = 0;
    const live = Sleeper.toLayer(() =>
      Effect.gen(function* () {
        bodies++;
        for (const name of names) {
          yield* DurableClock.sleep({ name, duration: "1 minutes", inMemoryThreshold: 0 });
        }
        return yield* Clock.currentTimeMillis;
      })
    );
    const ended = await new VirtualClock(begun).run(
      Sleeper.execute({ id: "1" }).pipe(
        Effect.provide(live.pipe(Layer.provideMerge(engine), Layer.provideMerge(layerMemory()))),
      ),
    );
    assert.deepEqual([bodies, Math.floor((ended - begun) / 60_000)], [
      names.length + 1,
      names.length,
    ]);
  });
});

describe("what is too large to be recorded", () => {
  const large = "x".repeat(30_000);
  const tooLarge = /PayloadTooLarge/;
  const Large = Workflow.make("Large", {
    payload: { what: Schema.Literals(["activity", "deferred", "result"]) },
    success: Schema.String,
    idempotencyKey: ({ what }) => what,
  });
  const live = Large.toLayer(Effect.fnUntraced(function* ({ what }) {
    if (what === "result") return large;
    if (what === "activity") {
      return yield* Activity.make({
        name: "large",
        success: Schema.String,
        execute: Effect.succeed(large),
      });
    }
    const token = yield* DurableDeferred.token(Approval);
    const refused = yield* Effect.exit(
      DurableDeferred.succeed(Approval, { token, value: large }),
    );
    assert.match(String(refused), tooLarge);
    return yield* DurableDeferred.await(Approval);
  }));
  const ran = (what: "activity" | "deferred" | "result") =>
    Effect.runPromise(
      Effect.exit(Large.execute({ what })).pipe(
        Effect.provide(
          Layer.provide(
            Layer.provideMerge(live, engine),
            layerMemory({ maxPayloadBytes: 20_000 }),
          ),
        ),
      ),
    );

  for (const what of ["activity", "deferred", "result"] as const) {
    it(`is a defect: ${what}`, async () => assert.match(String(await ran(what)), tooLarge));
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
