/** Tasks that are submitted below an execution under way: whatever happens, none outlives it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  actor,
  ExecutionEnded,
  ExecutionExpired,
  ExecutionNotFound,
  HierarchyTooDeep,
  signal,
} from "@weir/weir";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";

const go = signal<number>("go");
const waits = actor("waits", (ctx) => ctx.wait(go));
const quick = actor("quick", (ctx, value: number) => ctx.run("do", () => value));
const everything = [waits, quick];

/** What is below an execution, as whoever coordinates sees it. */
const below = async (weir: Pick<MemoryWeir, "list">, id: string) => {
  const { executions } = await weir.list({ tag: { name: "weir.parent", value: id }, limit: 1_000 });
  return Object.fromEntries(executions.map(({ execution, status }) => [execution, status]));
};

const ends = ["cancelled", "skipped"];

describe("a task below another", () => {
  it("is cancelled with it, however far below, and also when it ends by itself", async () => {
    for (const how of ["cancel", "end"] as const) {
      await using weir = await inMemory();
      await weir.worker(everything);
      const top = await weir.submit(waits, undefined, { id: "top" });
      const middle = await weir.submit(waits, undefined, { id: "middle", parent: top });
      const last = await weir.submit(waits, undefined, { id: "last", parent: "waits/middle" });
      const other = await weir.submit(waits, undefined, { id: "other" });
      await weir.advance("1 hour");
      await (how === "cancel" ? top.cancel() : top.signal(go, 1));
      for (const run of [middle, last]) assert.equal((await run.outcome()).type, "cancelled");
      await other.signal(go, 7);
      assert.equal(await other.result(), 7);
    }
  });

  it("is left alone in its own end, and leaves the one above alone", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const top = await weir.submit(waits, undefined, { id: "top" });
    const child = await weir.submit(quick, 3, { parent: top });
    assert.equal(await child.result(), 3);
    await weir.advance("1 hour");
    assert.equal((await top.describe()).status, "suspended");
    await top.signal(go, 1);
    assert.equal(await top.result(), 1);
    assert.equal((await child.describe()).status, "completed");
  });

  it("is seen by whoever coordinates, with how it stands", async () => {
    await using weir = await inMemory({ runsTwice: false });
    const next = signal("next");
    const coordinator = actor("coordinator", async (ctx) => {
      const seen = [];
      for (const when of ["first", "second"]) {
        await ctx.wait(next, { name: when });
        seen.push(await ctx.run(`look ${when}`, () => below(weir, ctx.executionId)));
      }
      return seen;
    });
    await weir.worker([...everything, coordinator]);
    const top = await weir.submit(coordinator, undefined, { id: "c" });
    const long = await weir.submit(waits, undefined, { id: "long", parent: top });
    await (await weir.submit(quick, 1, { id: "short", parent: top })).result();
    await weir.advance("1 minute");
    await top.signal(next, undefined);
    await weir.advance("1 minute");
    await long.signal(go, 1);
    await long.result();
    await weir.advance("1 minute");
    await top.signal(next, undefined);
    assert.deepEqual(await top.result(), [
      { "waits/long": "suspended", "quick/short": "completed" },
      { "waits/long": "completed", "quick/short": "completed" },
    ]);
  });

  it("is refused below nobody, below what has ended, and below another tenant's", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const ended = await weir.submit(quick, 1, { id: "ended" });
    await ended.result();
    const theirs = await weir.submit(waits, undefined, { id: "theirs", tenant: "other" });
    for (
      const [parent, error] of [
        ["waits/nobody", ExecutionNotFound],
        [ended, ExecutionEnded],
        [theirs, ExecutionNotFound],
        ["waits/theirs", ExecutionNotFound],
      ] as const
    ) {
      await assert.rejects(weir.submit(quick, 1, { id: "x", parent }), error);
    }
    const good = { actor: quick, input: 1, id: "x" };
    await assert.rejects(
      weir.submitAll([good, { ...good, id: "y", parent: "waits/nobody" }]),
      ExecutionNotFound,
    );
    await assert.rejects(weir.get(quick, "x").describe(), ExecutionNotFound);
  });

  it("may be the eighth below the first, and not the ninth", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    let above = await weir.submit(waits, undefined, { id: "0" });
    for (let depth = 1; depth <= 8; depth++) {
      above = await weir.submit(waits, undefined, { id: `${depth}`, parent: above });
    }
    await assert.rejects(
      weir.submit(waits, undefined, { id: "9", parent: above }),
      (error: unknown) => {
        assert.ok(error instanceof HierarchyTooDeep);
        assert.deepEqual([error.parent, error.deepest], ["waits/8", 8]);
        return true;
      },
    );
    await weir.get(waits, "0").cancel();
    assert.equal((await above.outcome()).type, "cancelled");
  });

  it("begins nothing if the one above ended before anybody could take it up", async () => {
    await using weir = await inMemory();
    await weir.worker([waits]);
    const top = await weir.submit(waits, undefined, { id: "top" });
    let ran = 0;
    const late = actor("late", () => ++ran);
    const child = await weir.submit(late, undefined, { parent: top, unserved: true });
    await top.cancel();
    await top.outcome();
    await weir.advance("1 hour");
    assert.equal((await child.describe()).status, "waiting");
    await weir.worker([late]);
    await assert.rejects(child.result(), ExecutionExpired);
    const { outcome } = await child.describe();
    assert.ok(outcome?.type === "skipped");
    assert.match(outcome.reason ?? "", /waits\/top has ended/);
    assert.equal(ran, 0);
  });
});

describe("tasks that are submitted while the one above is cancelled", () => {
  for (const undoes of [false, true]) {
    it(`are each refused or cancelled, ${undoes ? "also while it undoes" : "whenever"}`, async () => {
      await using weir = await inMemory();
      const trip = actor("trip", async (ctx) => {
        try {
          await ctx.wait(go);
        } catch (error) {
          if (undoes) await ctx.sleep("undo", "5 minutes");
          throw error;
        }
      });
      await weir.worker([...everything, trip]);
      const top = await weir.submit(trip, undefined, { id: "top" });
      const accepted: Array<string> = [];
      let refused = 0;
      const submit = (id: number) =>
        weir.submit(waits, undefined, { id: `${id}`, parent: top }).then(
          ({ id }) => void accepted.push(id),
          (error) => {
            assert.ok(error instanceof ExecutionEnded, String(error));
            refused++;
          },
        );
      const submitting: Array<Promise<void>> = [];
      for (let i = 0; i < 60; i++) {
        submitting.push(submit(i));
        if (i === 20) submitting.push(top.cancel());
        if (i % 5 === 0) await weir.advance("10 millis");
        if (i > 20 && i % 10 === 0 && undoes) await weir.advance("1 minute");
      }
      await Promise.all(submitting);
      assert.equal((await top.outcome()).type, "cancelled");
      submitting.push(submit(60));
      await Promise.all(submitting);
      await weir.advance("1 hour");
      const found = await below(weir, "trip/top");
      assert.deepEqual(Object.keys(found).sort(), accepted.sort());
      for (const [id, status] of Object.entries(found)) {
        assert.ok(ends.includes(status), `${id}: ${status}`);
      }
      assert.ok(
        refused > 0 && accepted.length > 20,
        `${accepted.length} accepted, ${refused} refused`,
      );
    });
  }

  it("leave nobody behind, wherever the worker dies", async () => {
    let deaths = 0;
    let died = true;
    for (let append = 1; died; append++) {
      await using weir = await inMemory();
      const worker = await weir.worker(everything);
      died = false;
      void worker.crashAt({ append }, append % 2 === 0 ? "before" : "after").then(async () => {
        died = true;
        deaths++;
        await weir.worker(everything);
      });
      const top = await weir.submit(waits, undefined, { id: "top" });
      const middle = await weir.submit(waits, undefined, { id: "middle", parent: top });
      await weir.advance("1 second");
      const runs = [middle];
      for (let i = 0; i < 3; i++) {
        runs.push(await weir.submit(waits, undefined, { id: `${i}`, parent: middle }));
      }
      await top.cancel();
      await weir.advance("10 minutes");
      for (const run of [top, ...runs]) {
        const { status } = await run.describe();
        assert.ok(ends.includes(status), `append ${append}: ${run.id} is ${status}`);
      }
    }
    assert.ok(deaths > 10, `only ${deaths} deaths`);
  });
});
