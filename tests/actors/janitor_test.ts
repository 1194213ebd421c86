/** The janitor in memory and on a server. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import process from "node:process";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import { layer, layerMemory } from "../../actors/layer.ts";
import { neverStuck } from "../../actors/never_stuck.ts";
import { Connection } from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import { shardRoot } from "../../streams/subjects.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { comingBack } from "../conformance/janitor/coming_back.ts";
import { type Load, removing } from "../conformance/janitor/removing.ts";
import { type Services, spillThresholdBytes } from "../conformance/janitor/stage.ts";
import { until } from "../conformance/engine/stage.ts";
import type { Run } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const isFull = process.env["WEIR_TEST_FULL"] !== undefined;

const suite = (name: string, run: Run<Services>, load: Load) =>
  describe(`the janitor on ${name}`, () => {
    removing(run, load);
    comingBack(run);
  });

suite(
  "memory",
  (effect) => new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory())),
  { executions: 50, untilEmpty: Effect.void },
);

describe("the janitor on a server", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services | Connection, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(
      layer({ servers: server.url, shards: 2, spillThresholdBytes, giveUpAfter: "5 seconds" }),
    );
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });

  /** What the log cannot show. */
  const untilEmpty = Effect.suspend(() =>
    until(
      "nothing is left in any stream",
      Effect.promise(async () => {
        const { manager } = await runtime.runPromise(Connection);
        const { layout } = await runtime.runPromise(Log);
        for (let shard = 0; shard < layout.shards; shard++) {
          const { state } = await manager.streams.info(`OBJ_${shardRoot(layout, shard)}`);
          if (state.messages > 0) return false;
        }
        return true;
      }),
    )
  );
  suite("JetStream, bounded, 2 shards", (effect) => runtime.runPromise(effect), {
    executions: isFull ? 10_000 : 100,
    untilEmpty,
  });

  it("nobody is stuck in the end", () =>
    runtime.runPromise(Effect.map(
      Stream.runCollect(neverStuck()),
      (found) => assert.deepEqual(found, []),
    )));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
