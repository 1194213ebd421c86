import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import * as TestClock from "effect/testing/TestClock";
import {
  type ActorCode,
  Executions,
  layer,
  layerMemory,
  makeWorker,
  neverStuck,
} from "@weir/weir/effect";
import {
  ActorName,
  ExecutionId,
  InvalidInput,
  Namespace,
  Tenant,
  WorkerInstanceId,
} from "@weir/weir/schema";
import { removeStore, scratchStore } from "./scratch_store.ts";

const acme = Tenant.make("acme");
const order = ActorName.make("order");
let charged = 0;

const code: ActorCode = {
  name: order,
  run: (weir, input) =>
    Effect.gen(function* () {
      const receipt = yield* weir.run("charge", () =>
        Effect.sync(() => {
          charged++;
          return `receipt for ${input}`;
        }));
      yield* weir.sleep("cool down", "1 second");
      const approval = yield* weir.wait("approval");
      return { receipt, by: approval?.payload };
    }),
};

const serving = makeWorker({ actors: [code], identity: WorkerInstanceId.make("w1") });

/** Starts one, signals it and awaits its end; time passes as `pass` has it. */
const program = (pass: Effect.Effect<void>) =>
  Effect.gen(function* () {
    charged = 0;
    yield* serving;
    const executions = yield* Executions;
    const started = yield* executions.start(order, acme, 4_200, { id: "o-1" });
    assert.equal(started.created, true);
    const { effect } = yield* executions.signal(started, "approval", "ana");
    yield* pass;
    assert.deepEqual(yield* executions.result(started), {
      receipt: "receipt for 4200",
      by: "ana",
    });
    assert.equal(yield* effect, "buffered");
    assert.equal(charged, 1);
    const kinds = (yield* Stream.runCollect(executions.history(started)))
      .map(({ record }) => record.kind).sort();
    assert.deepEqual(kinds, [
      "done",
      "elapsed",
      "signal",
      "signal",
      "signal",
      "sleeping",
      "start",
      "step",
    ]);
    const late = yield* Effect.flip(executions.signal(started, "approval", "bob"));
    assert.equal(late._tag, "ExecutionEnded");
    assert.deepEqual(yield* Stream.runCollect(neverStuck()), []);
  }).pipe(Effect.scoped);

it("no signal by which the runtime steers what it runs is sent by others", () =>
  Effect.gen(function* () {
    const executions = yield* Executions;
    const names = ["weir.schedule", "weir.queue", "weir.turn/1", "weir."];
    const refusalOf = <A>(sent: Effect.Effect<A, unknown>) =>
      Effect.map(Effect.flip(sent), (error) => {
        assert.ok(error instanceof InvalidInput, String(error));
        assert.match(error.message, /signal name "weir\..*the runtime's/);
      });
    const of = yield* executions.start(order, acme, 1, { id: "o-1", unserved: true });
    for (const name of names) {
      yield* refusalOf(executions.signal(of, name, { type: "pause" }));
      const signals = [{ name, payload: { type: "pause" } }];
      yield* refusalOf(executions.start(order, acme, 1, { id: "o-2", unserved: true, signals }));
    }
    assert.deepEqual(
      (yield* Stream.runCollect(executions.history(of))).map(({ record }) => record.kind),
      ["start"],
    );
    const execution = ExecutionId.make("order/o-2");
    const none = yield* Effect.flip(executions.describe({ ...of, execution }));
    assert.equal(none._tag, "ExecutionNotFound");
  }).pipe(Effect.provide(layerMemory()), Effect.runPromise));

describe("an actor of Effects", () => {
  it("runs in memory, by a clock that the test moves", async () => {
    const pass = Effect.andThen(TestClock.adjust("1 second"), TestClock.adjust("1 second"));
    await Effect.runPromise(
      program(pass).pipe(Effect.provide(layerMemory().pipe(Layer.provideMerge(TestClock.layer())))),
    );
  });

  it("runs on a server by the same code", async () => {
    const store = await scratchStore();
    try {
      const services = layer({ embedded: { store }, namespace: Namespace.make("effect") });
      await Effect.runPromise(program(Effect.void).pipe(Effect.provide(services)));
    } finally {
      await removeStore(store);
    }
  });
});
