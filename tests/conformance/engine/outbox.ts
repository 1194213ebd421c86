/** Events that actors add to the outbox: once each, with the record of it, under the lease. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { signal as defineSignal } from "../../../actors/signal.ts";
import type { Named } from "../../../actors/executions.ts";
import type { Tenant } from "../../../schema/ids.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { outboxRecord } from "../../../streams/outbox/record.ts";
import { executionAddress, executionFilter, outboxFilter } from "../../../streams/subjects.ts";
import { encodeToken } from "../../../schema/token.ts";
import { type Run, uniqueTenant, uniqueWorker } from "../subject_matter.ts";
import { atOnce, engineTests, gate, recordsOf, resultOf, type Services, wake } from "./stage.ts";

const go = defineSignal("go");

/** What a tenant's executions have added, and where. */
const addedBy = (tenant: Tenant) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);
    const entries = yield* Effect.forEach(
      shards,
      (shard) => Stream.runCollect(log.read(outboxFilter(log.layout, shard, "outbox"))),
    );
    return yield* Effect.forEach(
      entries.flat().filter(({ subject }) => subject.includes(`.${encodeToken(tenant)}.`)),
      (entry) =>
        Effect.map(outboxRecord.decode(entry.body, entry), (record) => {
          assert.ok(record.kind === "event");
          return { ...record, entry };
        }),
    );
  });

const addressOf = ({ tenant, execution }: Named) =>
  Effect.map(Log, ({ layout }) => executionAddress(layout, tenant, execution));

export const outboxSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: an actor's outbox`, () => {
    test("an event is stored with the record of it, and a replay adds none", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const ids: Array<string> = [];
        const order = stage.actor("order", async (ctx) => {
          const id = await ctx.outbox.add("order.paid", { cents: 42 }, { key: "o-1" });
          ids.push(id);
          await ctx.wait(go);
          const again = await ctx.outbox.add("order.paid", { cents: 43 });
          return [id, again];
        });
        yield* stage.work([order], { residentGrace: atOnce });
        const started = yield* stage.start(order, undefined, { tenant });
        yield* wake(started, "go");
        const result = yield* resultOf(started);
        assert.deepEqual([...new Set(ids)].length, 1);
        assert.ok(ids.length > 1);
        const added = yield* addedBy(tenant);
        assert.deepEqual(
          added.map(({ id, eventType, payload, key }) => [id, eventType, payload, key]),
          [
            [ids[0], "order.paid", { cents: 42 }, "o-1"],
            [(result as ReadonlyArray<string>)[1], "order.paid", { cents: 43 }, undefined],
          ],
        );
        const log = yield* Log;
        const address = yield* addressOf(started);
        const journal = yield* Stream.runCollect(log.read(executionFilter(address, "log")));
        for (const { entry } of added) {
          assert.ok(journal.some(({ sequence }) => sequence === entry.sequence - 1));
          assert.equal(entry.shard, address.shard);
        }
        const notes = yield* recordsOf(started, "noted");
        assert.deepEqual(notes.map(({ value }) => value), result);
      }));

    test("what a former owner adds is refused, and its successor adds it once", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const begun = gate();
        const refusedFirst = gate();
        let runs = 0;
        const order = stage.actor("order", async (ctx) => {
          const isFirst = ++runs === 1;
          await ctx.run("charge", () => 1);
          if (isFirst) {
            begun.open();
            await refusedFirst.passed;
          }
          return ctx.outbox.add("order.paid", { isFirst });
        });
        yield* stage.work([order]);
        const started = yield* stage.start(order, undefined, { tenant });
        yield* Effect.promise(() => begun.passed);
        const leases = yield* Leases;
        const address = yield* addressOf(started);
        yield* leases.revoke(address, { by: "reconciler" });
        const other = yield* leases.acquire(address, { worker: uniqueWorker(), ttl: "10 seconds" });
        refusedFirst.open();
        yield* leases.release(other);
        yield* stage.work([order]);
        const id = yield* resultOf(started);
        const added = yield* addedBy(tenant);
        assert.deepEqual(added.map((event) => [event.id, event.payload]), [[id, {
          isFirst: false,
        }]]);
      }));

    test("what no outbox takes is a failure of the code, and stores nothing", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const errors: Array<unknown> = [];
        const order = stage.actor("order", async (ctx) => {
          for (const payload of [undefined, "x".repeat(70_000)]) {
            await ctx.outbox.add("order.paid", payload).catch((error) => errors.push(error._tag));
          }
          await ctx.outbox.add("", {}).catch((error) => errors.push(error._tag));
          return "done";
        });
        yield* stage.work([order]);
        const started = yield* stage.start(order, undefined, { tenant });
        assert.equal(yield* resultOf(started), "done");
        assert.deepEqual(errors, ["InvalidInput", "PayloadTooLarge", "InvalidInput"]);
        assert.deepEqual(yield* addedBy(tenant), []);
      }));
  });
};
