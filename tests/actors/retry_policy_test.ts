import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorCode } from "../../actors/engine/operations.ts";
import { make as makeWorker } from "../../actors/engine/worker.ts";
import { Executions } from "../../actors/executions.ts";
import { layerMemory } from "../../actors/layer.ts";
import { pauseBeforeNext, type RetryPolicy } from "../../actors/retry_policy.ts";
import { ActorName, Tenant, WorkerInstanceId } from "../../schema/ids.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";

const boom = { name: "Boom", message: "no" };
const acme = Tenant.make("acme");
const flaky = ActorName.make("flaky");

describe("the pause before the next try", () => {
  const pauses = (policy: RetryPolicy, tries: number) => pauseBeforeNext(policy, boom, tries, 0.5);

  it("stays none if the first is none, however often it is tried", () => {
    for (const tries of [1, 1_024, 1_025, 1e6]) {
      assert.equal(pauses({ delay: 0, attempts: Infinity }, tries), 0);
    }
  });

  it("is never longer than the longest", () => {
    const policy = { delay: "1 second", maxDelay: "1 minute", attempts: Infinity, jitter: false };
    assert.equal(pauses(policy as RetryPolicy, 5_000), 60_000);
  });

  it("is none at all, and there is no next try, if the policy throws", () => {
    const retryIf = () => {
      throw new Error("the policy's own");
    };
    assert.equal(pauses({ retryIf }, 1), undefined);
  });
});

describe("an execution whose attempt fails", () => {
  /** How often it runs, and how it ends. */
  const played = (code: Omit<ActorCode, "name" | "run">, error: () => Error) => {
    let runs = 0;
    const run = () => {
      runs++;
      return Effect.fail(error());
    };
    return new VirtualClock(Date.UTC(2026, 0, 1)).run(
      Effect.gen(function* () {
        yield* makeWorker({
          identity: WorkerInstanceId.make("w"),
          actors: [{ ...code, name: flaky, run }],
        });
        const executions = yield* Executions;
        const of = yield* executions.start(flaky, acme, undefined, { unserved: true });
        yield* Effect.ignore(Effect.timeout(executions.result(of), "1 hour"));
        return { runs, ...yield* executions.describe(of) };
      }).pipe(Effect.scoped, Effect.provide(layerMemory({ maxPayloadBytes: 20_000 }))),
    );
  };

  it("ends if its policy throws, and does not run for ever", async () => {
    const { runs, status } = await played(
      { retry: { retryIf: ({ data }) => (data as { status: number }).status >= 500 } },
      () => new Error("without data"),
    );
    assert.deepEqual([runs, status], [1, "failed"]);
  });

  for (const delay of [Infinity, "1000000000 days"] as const) {
    it(`waits for its next attempt, and is not begun over and over, if that is ${delay} away`, async () => {
      const { runs, status } = await played(
        { retry: { attempts: 3, delay } },
        () => new Error("no"),
      );
      assert.deepEqual([runs, status], [1, "delayed"]);
    });
  }

  it("is tried as often as it may be if its failure is too large to be recorded", async () => {
    const { runs, status, outcome } = await played(
      { retry: { attempts: 3 } },
      () => new Error("x".repeat(30_000)),
    );
    assert.deepEqual([runs, status], [3, "failed"]);
    assert.match(JSON.stringify(outcome), /PayloadTooLarge/);
  });
});
