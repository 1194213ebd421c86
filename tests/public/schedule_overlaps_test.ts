import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";
import { go, hourly, startsAt } from "./scheduled.ts";

describe("a run whose time comes while another still runs", () => {
  const longRuns = async (overlap: "allow" | "skip" | "buffer-one" | "cancel-other") => {
    const weir = await inMemory({ startsAt });
    const long = actor("long", (ctx) => ctx.wait(go));
    await weir.worker([long]);
    const schedule = await weir.schedule(long, undefined, { id: "l", policy: hourly, overlap });
    await weir.advance("210 minutes");
    const end = (suffix: string) => weir.get(long, `l~${suffix}`).signal(go, 1);
    return { weir, long, schedule, end };
  };

  it("runs beside it, if nothing else is said", async () => {
    const { weir, schedule } = await longRuns("allow");
    await using _ = weir;
    assert.equal((await schedule.describe()).schedule?.running, 4);
  });

  it("is left out by `skip`", async () => {
    const { weir, schedule, end } = await longRuns("skip");
    await using _ = weir;
    await end("1");
    await weir.advance("1 hour");
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 2,
      completed: 2,
      failed: 0,
      cancelled: 0,
      skipped: 3,
    });
  });

  it("waits for it by `buffer-one`, and no second one does", async () => {
    const { weir, schedule, end } = await longRuns("buffer-one");
    await using _ = weir;
    assert.deepEqual((await schedule.describe()).schedule?.skipped, 2);
    await end("1");
    await weir.advance("1 minute");
    await end("2");
    await weir.advance("1 hour");
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 3,
      completed: 3,
      failed: 0,
      cancelled: 0,
      skipped: 2,
    });
  });

  it("waits while the schedule is paused, and then runs before what was missed", async () => {
    const { weir, schedule, end } = await longRuns("buffer-one");
    await using _ = weir;
    const runsNow = async () => {
      await weir.advance("1 second");
      const { created, running, skipped } = (await schedule.describe()).schedule!;
      return { created, running, skipped };
    };
    await schedule.pause();
    await end("1");
    assert.deepEqual(await runsNow(), { created: 1, running: 0, skipped: 2 });
    await weir.advance("1 hour"); // misses the fifth, which is the last
    await schedule.resume();
    assert.deepEqual(await runsNow(), { created: 2, running: 1, skipped: 2 });
    await schedule.pause();
    await end("2");
    assert.deepEqual(await runsNow(), { created: 2, running: 0, skipped: 2 });
    await schedule.resume();
    assert.deepEqual(await runsNow(), { created: 3, running: 1, skipped: 2 });
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 3,
      completed: 3,
      failed: 0,
      cancelled: 0,
      skipped: 2,
    });
  });

  it("takes its place by `cancel-other`", async () => {
    const { weir, schedule, end } = await longRuns("cancel-other");
    await using _ = weir;
    await weir.advance("1 hour");
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 5,
      completed: 1,
      failed: 0,
      cancelled: 4,
      skipped: 0,
    });
  });
});
