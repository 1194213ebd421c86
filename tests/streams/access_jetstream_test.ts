import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { LedgerEntryId, LedgerKey, LedgerKind } from "../../schema/access_names.ts";
import * as Connection from "../../streams/connection.ts";
import * as Grants from "../../streams/grants.ts";
import * as Ledgers from "../../streams/ledgers.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as Tenants from "../../streams/tenants.ts";
import type { Services } from "../conformance/access/matter.ts";
import { accessSuite } from "../conformance/access_suite.ts";
import { uniqueTenant } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

for (const shards of [1, 3]) {
  const name = `JetStream, ${shards} shard${shards === 1 ? "" : "s"}`;
  describe(name, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
    before(async () => {
      server = await scratchServer({ durability: "bounded" });
      runtime = ManagedRuntime.make(
        Layer.mergeAll(Grants.layer, Ledgers.layer).pipe(
          Layer.provideMerge(Tenants.layer),
          Layer.provideMerge(layerJetStream({ shards })),
          Layer.provide(Connection.layer({ servers: server.url })),
        ),
      );
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    accessSuite(name, (effect) => runtime.runPromise(effect));
  });
}

it("a ledger is whole and in order after the server was killed", async () => {
  const server = await scratchServer({ durability: "power-safe" });
  const open = () =>
    ManagedRuntime.make(
      Ledgers.layer.pipe(
        Layer.provideMerge(layerJetStream({ shards: 1 })),
        Layer.provide(Connection.layer({ servers: server.url })),
      ),
    );
  const [tenant, key] = [uniqueTenant(), LedgerKey.make("order/o-1")];
  const note = (payload: number) =>
    Effect.flatMap(
      Ledgers.Ledgers,
      (ledgers) =>
        ledgers.append(tenant, key, {
          kind: LedgerKind.make("audit"),
          payload,
          id: LedgerEntryId.make(`e-${payload}`),
        }),
    );
  const read = Effect.flatMap(Ledgers.Ledgers, (ledgers) => ledgers.read(tenant, key));
  const before = open();
  for (let i = 0; i < 20; i++) await before.runPromise(note(i));
  const written = await before.runPromise(read);
  await server.kill();
  await before.dispose();
  await server.restart();
  const after = open();
  assert.deepEqual(await after.runPromise(read), written);
  assert.equal((await after.runPromise(note(19))).appended, false);
  await after.runPromise(note(20));
  assert.deepEqual(
    (await after.runPromise(read)).map(({ payload }) => payload),
    Array.from({ length: 21 }, (_, i) => i),
  );
  await after.dispose();
  await server.stop();
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
