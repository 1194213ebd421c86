/** What rests costs nobody anything who comes: nothing looks through what is stored. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import { until } from "../../conformance/engine/stage.ts";

const [waits, acme] = [ActorName.make("waits"), Tenant.make("acme")];
const actors: ReadonlyArray<ActorCode> = [{
  name: waits,
  run: (weir) => weir.wait("go"),
}];
const identity = (name: string) => WorkerInstanceId.make(name);

/** How many records a worker reads that comes, and takes up one thing, while so many rest. */
const readBeside = (resting: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const executions = yield* Executions;
    const start = (id: string) => executions.start(waits, acme, undefined, { id, unserved: true });
    yield* Effect.scoped(Effect.gen(function* () {
      yield* makeWorker({ actors, identity: identity("w1"), residentGrace: "1 millis" });
      for (let i = 0; i < resting; i++) yield* start(`w-${i}`);
      const last = { execution: (yield* start("last")).execution, tenant: acme };
      yield* until(
        "all rest",
        Effect.map(executions.describe(last), ({ status }) => status === "suspended"),
      );
    }));
    let records = 0;
    const counted: Log["Service"] = {
      ...log,
      read: (filter, options) =>
        Stream.tap(log.read(filter, options), () => Effect.sync(() => records++)),
      readThrough: (filter, options) =>
        Effect.tap(
          log.readThrough(filter, options),
          (entries) => Effect.sync(() => records += entries.length),
        ),
    };
    yield* makeWorker({ actors, identity: identity("w2") }).pipe(
      Effect.provideService(Log, counted),
    );
    yield* Effect.sleep("1 hour");
    const woken = { execution: (yield* start("last")).execution, tenant: acme };
    yield* executions.signal(woken, "go", undefined);
    yield* executions.result(woken);
    return records;
  }).pipe(Effect.scoped, Effect.provide(layerMemory()));

it("a worker that comes reads nothing of what rests", () =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.gen(function* () {
    const few = yield* readBeside(3);
    const many = yield* readBeside(300);
    assert.equal(many, few);
    assert.ok(few > 0 && few < 20, `${few} records`);
  })));
