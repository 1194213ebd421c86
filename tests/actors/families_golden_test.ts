/** One execution, driven by the engine through every transition, as the families tell it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { layer } from "../../actors/layer.ts";
import { actor, connect, signal, type Weir } from "../../mod.ts";
import { decodeCursor } from "../../schema/cursor.ts";
import { ExecutionId, SignalId, Tenant } from "../../schema/ids.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { Log } from "../../streams/log.ts";
import { executionAddress } from "../../streams/subjects.ts";
import { gate } from "../conformance/engine/stage.ts";
import { bare } from "../conformance/families/scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const go = signal<number>("go");

const wholeOf = (held: Promise<void>) =>
  actor("whole", async (ctx) => {
    await ctx.untag("a.first");
    await ctx.tag("c.third", "3");
    const one = await ctx.wait(go);
    await ctx.run("hold", () => held);
    const two = await ctx.wait(go);
    return (one ?? 0) + (two ?? 0);
  });

describe("an execution that goes through every transition", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const sequences = (cursor: string) =>
    Effect.runSync(decodeCursor(cursor)).shards.map(({ sequence }) => sequence);

  /** Where the log ends, shard by shard. */
  const ends = async (weir: Weir) => {
    for await (const event of weir.completions({ after: "now", ticks: "20 millis" })) {
      return sequences(event.cursor);
    }
    return assert.fail("it ended");
  };

  /** All events so far, as a tick behind them tells. */
  const told = async (
    weir: Weir,
    family: "leaseHistory" | "completions" | "signalDeliveries" | "instanceTags",
  ): Promise<ReadonlyArray<Record<string, unknown>>> => {
    const events: Array<object> = [];
    const until = await ends(weir);
    for await (const event of weir[family]({ after: "earliest", ticks: "20 millis" })) {
      if (!("type" in event && event.type === "tick")) events.push(event);
      else if (sequences(event.cursor).every((sequence, i) => sequence >= until[i]!)) break;
    }
    return bare(events) as ReadonlyArray<Record<string, unknown>>;
  };

  for (const shards of [1, 4]) {
    it(`1: is told whole and in order, with ${shards} shard${shards === 1 ? "" : "s"}`, async () => {
      const held = gate();
      const whole = wholeOf(held.passed);
      const proxy = await startProxy(server.port);
      const options = { namespace: `whole${shards}`, shards };
      const weir = await connect({ servers: server.url, ...options });
      const mortal = await connect({ servers: proxy.url, ...options });
      const log = ManagedRuntime.make(layer({ servers: server.url, ...options }));
      const serve = { leaseTtl: "2 seconds", residentGrace: "1 minute" } as const;
      await mortal.worker([whole], { ...serve, identity: "first" });
      const run = await weir.start(whole, undefined, {
        id: "o-1",
        tags: { "b.second": "2", "a.first": "1" },
      });
      const types = async () => (await told(weir, "leaseHistory")).map(({ type }) => type);
      const reached = (type: string, count = 1) =>
        eventually(
          `${type}, ${count} times`,
          async () => (await types()).filter((t) => t === type).length >= count || undefined,
          60_000,
        );
      await reached("renewed");
      proxy.isShut = true;
      proxy.cut();
      await weir.worker([whole], { ...serve, identity: "second" });
      await reached("reclaimed");
      await run.revokeLease({ reason: "it hangs" });
      const one = await run.signal(go, 1, { key: "one", source: "ana" });
      assert.equal(await one.effect(), "satisfied");
      assert.equal(await (await run.signal(go, 2, { key: "two" })).effect(), "buffered");
      // A sender that repeats itself when the server has long forgotten that it did.
      await log.runPromise(Effect.gen(function* () {
        const { append, layout } = yield* Log;
        const address = executionAddress(layout, Tenant.make(run.tenant), ExecutionId.make(run.id));
        const signalId = SignalId.make(one.signalId);
        yield* append(address, {
          kind: "mail",
          body: mailRecord.encode({ kind: "signal", signalId, name: "go", payload: 1, key: "one" }),
        });
      }));
      await eventually(
        "it is recognised",
        async () => (await told(weir, "signalDeliveries")).length === 3 || undefined,
        60_000,
      );
      held.open();
      assert.equal(await run.result(), 3);
      await reached("released");

      const leases = (await told(weir, "leaseHistory"))
        .filter(({ type }) => type !== "renewed");
      const [acquired, , reclaimed, , again] = leases;
      assert.deepEqual(leases, [
        { type: "acquired", leaseId: acquired!.leaseId, workerInstanceId: "first" },
        { type: "expired", leaseId: acquired!.leaseId, previousOwner: "first" },
        { type: "reclaimed", newLeaseId: reclaimed!.newLeaseId, newOwner: "second" },
        { type: "revoked", leaseId: reclaimed!.newLeaseId, revokedBy: "operator" },
        { type: "reclaimed", newLeaseId: again!.newLeaseId, newOwner: "second" },
        { type: "released", leaseId: again!.newLeaseId, workerInstanceId: "second" },
      ]);
      assert.deepEqual(await told(weir, "completions"), [{ outcome: "success" }]);
      const deliveries = (await told(weir, "signalDeliveries"))
        .map(({ signalId: _, ...delivery }) => delivery);
      assert.deepEqual(deliveries, [
        { waitpointId: "go", sourceIdentity: "ana", effect: "satisfied" },
        { effect: "buffered" },
        { effect: "deduped" },
        // The buffered one, when its wait came.
        { waitpointId: "go#2", effect: "satisfied" },
      ]);
      assert.deepEqual(await told(weir, "instanceTags"), [
        { type: "attached", tag: "b.second", value: "2" },
        { type: "attached", tag: "a.first", value: "1" },
        { type: "cleared", tag: "a.first" },
        { type: "attached", tag: "c.third", value: "3" },
      ]);
      await log.dispose();
      await weir.close();
      proxy.isShut = false;
      await mortal.close();
      await proxy.stop();
    });
  }

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
