import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Persisted } from "effect/cluster/ClusterSchema";
import * as Entity from "effect/cluster/Entity";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Rpc from "effect/rpc/Rpc";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { WeirCluster } from "@weir/weir/cluster";
import { layer } from "@weir/weir/effect";
import { removeStore, scratchStore } from "./scratch_store.ts";

const Account = Entity.make("Account", [
  Rpc.make("Add", {
    payload: { id: Schema.String, cents: Schema.Int },
    primaryKey: ({ id }) => id,
    success: Schema.Int,
  }).annotate(Persisted, true),
  Rpc.make("Where", { success: Schema.String }),
  Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true }),
]);

const shardingConfig = {
  shardsPerGroup: 12,
  refreshAssignmentsInterval: "200 millis",
} as const;

describe("a cluster on the embedded server", () => {
  let store: string;
  before(async () => {
    store = await scratchStore();
  });
  after(() => removeStore(store));

  const accounts = (runner: string, added: Array<string>) =>
    Account.toLayer({
      Add: ({ payload: { id, cents } }) =>
        Effect.as(Effect.sync(() => void added.push(id)), cents + 1),
      Where: () => Effect.succeed(runner),
      Count: ({ payload: { to } }) => Stream.range(1, to),
    });

  it("has its entities on several runners, and asks them from a process that runs none", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const added: Array<string> = [];
        const namespace = layer({ embedded: { store }, namespace: "cluster" });
        const services = yield* Layer.build(namespace);
        for (const runner of ["one", "other"]) {
          yield* Layer.build(Layer.fresh(
            accounts(runner, added).pipe(Layer.provide(WeirCluster.layer({ shardingConfig }))),
          )).pipe(Effect.provideContext(services));
        }
        const program = Effect.gen(function* () {
          const account = yield* Account.client;
          const names = Array.from({ length: 12 }, (_, i) => `account ${i}`);
          const where = Effect.forEach(names, (name) => account(name).Where(), {
            concurrency: "unbounded",
          });
          yield* Effect.repeat(where, {
            until: (runners) => new Set(runners).size === 2,
            schedule: Schedule.spaced("50 millis"),
          });
          for (let time = 0; time < 2; time++) {
            const sums = yield* Effect.forEach(
              names,
              (name, cents) => account(name).Add({ id: name, cents }),
              { concurrency: "unbounded" },
            );
            assert.deepEqual(sums, names.map((_, cents) => cents + 1));
          }
          assert.deepEqual([...added].sort(), [...names].sort());
          const counts = yield* Effect.forEach(
            names.slice(0, 4),
            (name) => Stream.runCollect(account(name).Count({ to: 40 })),
          );
          for (const count of counts) assert.equal(count.length, 40);
        });
        yield* program.pipe(
          Effect.provide(WeirCluster.layerClient({ shardingConfig })),
          Effect.provideContext(services),
          Effect.timeout("60 seconds"),
        );
      }).pipe(Effect.scoped),
    ));
});
