import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import { actor, connect, InvalidInput, remoteActor, type WorkerOptions } from "@weir/weir";
import { layerMemory, makeWorker, Sessions, WeirWorkflowEngine } from "@weir/weir/effect";
import { WorkerInstanceId } from "@weir/weir/schema";
import { inMemory } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const order = actor("order", (ctx) => ctx.run("charge", () => "charged"));
const resize = remoteActor<string, string>("resize");

/** Options of which a worker could run nothing, or without end, and what is said of them. */
const refused: ReadonlyArray<readonly [WorkerOptions, RegExp]> = [
  [{ leaseTtl: "2 minutes" }, /leaseTtl "2 minutes".* 1 second .* 60000 ms.*longestLease/],
  [{ leaseTtl: "500 millis" }, /leaseTtl "500 millis".* 1 second .* 60000 ms.*longestLease/],
  [{ leaseTtl: "soon" as "1 second" }, /leaseTtl "soon".* 1 second/],
  [{ leaseTtl: NaN }, /leaseTtl "NaN"/],
  [{ leaseTtl: Infinity }, /leaseTtl "Infinity"/],
  [{ concurrency: 0 }, /concurrency "0".* 1/],
  [{ concurrency: -3 }, /concurrency "-3"/],
  [{ concurrency: 1.5 }, /concurrency "1.5"/],
  [{ concurrency: NaN }, /concurrency "NaN"/],
  [{ concurrency: Infinity }, /concurrency "Infinity"/],
  [{ concurrency: "10" as unknown as number }, /concurrency "10"/],
  [{ maxReclaims: -1 }, /maxReclaims "-1"/],
  [{ maxReclaims: NaN }, /maxReclaims "NaN"/],
  [{ residentGrace: "a while" as "1 second" }, /residentGrace "a while"/],
  [{ residentGrace: -1 }, /residentGrace "-1"/],
  [{ residentGrace: NaN }, /residentGrace "NaN"/],
  [{ drainTimeout: "long" as "1 second" }, /drainTimeout "long"/],
  [{ drainTimeout: NaN }, /drainTimeout "NaN"/],
  [{ keep: { default: NaN } }, /keep "NaN"/],
];

/** At the bounds, and what has always been allowed. */
const allowed: ReadonlyArray<WorkerOptions> = [
  { leaseTtl: "1 second" },
  { leaseTtl: "1 minute" },
  { leaseTtl: 1_000.5 },
  { concurrency: 1 },
  { maxReclaims: 0 },
  { residentGrace: 0, drainTimeout: 0 },
  { residentGrace: "Infinity", drainTimeout: "Infinity" },
];

const isRefused = (says: RegExp) => (error: unknown) => {
  assert.ok(error instanceof InvalidInput, String(error));
  assert.match(error.message, says);
  return true;
};

describe("the options of a worker", () => {
  it("of which it could run nothing are refused before it is there", async () => {
    await using weir = await inMemory();
    for (const [options, says] of refused) {
      await assert.rejects(weir.worker([order], options), isRefused(says));
      await assert.rejects(weir.worker([resize], options), isRefused(says));
    }
    assert.deepEqual(await weir.workers(), []);
  });

  it("are taken up to their bounds, and it runs what there is", async () => {
    for (const options of allowed) {
      await using weir = await inMemory();
      await using _worker = await weir.worker([order], options);
      assert.equal(await (await weir.start(order, undefined)).result(), "charged");
    }
  });

  it("may ask for a lease as long as the namespace allows, on a server too", async () => {
    const store = await scratchStore();
    try {
      await using weir = await connect({ embedded: { store }, longestLease: "2 minutes" });
      await assert.rejects(
        weir.worker([order], { leaseTtl: "121 seconds" }),
        isRefused(/leaseTtl "121 seconds".* 120000 ms/),
      );
      assert.deepEqual(await weir.workers(), []);
      await using _worker = await weir.worker([order], { leaseTtl: "2 minutes" });
      assert.equal(await (await weir.start(order, undefined)).result(), "charged");
    } finally {
      await removeStore(store);
    }
  });

  it("are refused to Effect programs and their workflows as well", async () => {
    const identity = WorkerInstanceId.make("worker");
    for (const [options, says] of refused) {
      const { lanes: _, identity: _drawn, ...rest } = options;
      const work = Effect.asVoid(makeWorker({ actors: [], identity, ...rest }));
      const engine = Effect.asVoid(Layer.build(WeirWorkflowEngine.layer(rest)));
      for (const made of [work, engine]) {
        const exit = await Effect.runPromise(
          Effect.gen(function* () {
            const exit = yield* Effect.exit(made);
            assert.deepEqual(yield* (yield* Sessions).list, []);
            return exit;
          }).pipe(Effect.scoped, Effect.provide(layerMemory())),
        );
        assert.ok(Exit.isFailure(exit));
        isRefused(says)(Option.getOrThrow(Cause.findErrorOption(exit.cause)));
      }
    }
  });
});
