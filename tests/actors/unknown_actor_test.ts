/** Starts of actors that no worker has ever served, by clients, by signals and by parents. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import type { StartOptions } from "../../actors/executions.ts";
import { layer, layerMemory } from "../../actors/layer.ts";
import { ActorName, ExecutionId } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { executionAddress } from "../../streams/subjects.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import {
  atOnce,
  errorOf,
  resultOf,
  type Services,
  Stage,
  untilStatus,
  verb,
} from "../conformance/engine/stage.ts";
import { type Run, tenant } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

/** Starts one as clients do. */
const start = ({ name }: { readonly name: string }, options: StartOptions = {}) =>
  verb((verbs) => verbs.start(ActorName.make(name), tenant, undefined, { id: "o-1", ...options }));

const isInLog = ({ name }: { readonly name: string }) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = executionAddress(log.layout, tenant, ExecutionId.make(`${name}/o-1`));
    return Option.isSome(yield* log.last(address, "mail"));
  });

const suite = (name: string, run: Run<Services>): void => {
  const test = (
    title: string,
    play: (stage: Stage) => Effect.Effect<unknown, unknown, Services | Scope.Scope>,
  ) => it(title, () => run(Effect.asVoid(Effect.scoped(Effect.suspend(() => play(new Stage()))))));

  describe(`${name}: an actor that no worker has ever served`, () => {
    for (
      const [what, options] of [
        ["started", {}],
        ["started with a signal", { signals: [{ name: "go" }] }],
      ] as const
    ) {
      test(`is refused when it is ${what}, until a worker has come, and not when it has gone`, (stage) =>
        Effect.gen(function* () {
          const order = stage.actor("order", () => "done");
          for (let asked = 0; asked < 2; asked++) {
            const error = yield* errorOf(start(order, options));
            assert.ok(error._tag === "UnknownActor" && error.actor === order.name, String(error));
          }
          assert.equal(yield* isInLog(order), false);
          const worker = yield* stage.work([order]);
          assert.equal(yield* resultOf(yield* start(order, options)), "done");
          yield* worker.leave;
          assert.equal((yield* start(order, { ...options, id: "o-2" })).created, true);
        }));
    }

    test("waits for its first worker if it is started all the same", (stage) =>
      Effect.gen(function* () {
        const order = stage.actor("order", () => "done");
        const started = yield* start(order, { unserved: true });
        yield* untilStatus(started, "waiting");
        yield* stage.work([order]);
        assert.equal(yield* resultOf(started), "done");
      }));

    test("is no error to a parent, which waits for it", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", () => "found");
        const parent = stage.actor("parent", (ctx) => ctx.call(child, undefined, { id: "c-1" }));
        yield* stage.work([parent], { residentGrace: atOnce });
        const started = yield* start(parent);
        yield* untilStatus(started, "suspended");
        yield* stage.work([child]);
        assert.equal(yield* resultOf(started), "found");
      }));
  });
};

suite(
  "memory",
  (effect) => new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory())),
);

describe("on a server", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(layer({ servers: server.url, shards: 2 }));
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  suite("JetStream, bounded, 2 shards", (effect) => runtime.runPromise(effect));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
