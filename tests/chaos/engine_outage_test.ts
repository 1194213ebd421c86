import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { ackWaitMs } from "../../streams/mailbox.ts";
import { approval } from "../fixtures/engine_actors.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";

const each = 10;
const leaseTtlMs = 2_000;
const sessionTtlMs = 10_000;
/** Longer than everything by which the death of a worker is noticed. */
const outageMs = Math.max(leaseTtlMs, sessionTtlMs, ackWaitMs) + 1_000;

it("all workers are dead longer than every TTL, the server restarts twice: one worker finishes everything", async () => {
  const server = await scratchServer({ durability: "bounded" });
  const gate = join(scratchFolder("gate"), "open");
  try {
    await using scene = await openScene(server, {
      namespace: "outage",
      serve: { residentGrace: "500 millis", leaseTtl: leaseTtlMs },
    });
    const { weir, actors: { order, busy, sleeper, tally }, effects } = scene;
    const workers = await Promise.all([scene.launch("first"), scene.launch("second")]);
    const many = <A>(one: (i: number) => Promise<A>) =>
      Promise.all(Array.from({ length: each }, (_, i) => one(i)));
    const waiting = await many((i) =>
      weir.start(order, { cents: i, coolOffMs: 10 }, { id: `waiting-${i}` })
    );
    const overdue = await many((i) =>
      weir.start(sleeper, { forMs: 3_000 + 300 * i }, { id: `overdue-${i}` })
    );
    const late = await many((i) => weir.start(sleeper, { forMs: 20_000 }, { id: `late-${i}` }));
    const working = await many((i) => weir.start(busy, gate, { id: `working-${i}` }));
    await eventually("steps are under way", () => effects("work").length === each || undefined);
    const isWaiting = async () => {
      const states = await Promise.all(waiting.map((run) => run.describe()));
      return states.every(({ status }) => status === "suspended") || undefined;
    };
    await eventually("orders wait in nobody's hands", isWaiting);

    for (const worker of workers) worker.kill();
    const diedAt = Date.now();
    const untaken = await many((i) =>
      weir.start(tally, { n: i, napMs: 10 }, { id: `untaken-${i}` })
    );
    await server.kill();
    await server.restart();
    await Promise.all(waiting.map((run, i) => i % 2 === 0 && run.signal(approval, { by: "ana" })));
    await server.kill();
    await server.restart();
    await eventually(
      "every TTL is over",
      () => Date.now() > diedAt + outageMs || undefined,
      60_000,
    );
    assert.deepEqual(await weir.workers(), []);
    assert.deepEqual(effects("wake"), []);

    await scene.noneIsStuck("unproven");

    writeFileSync(gate, "");
    const third = await scene.launch("third");
    await Promise.all(waiting.map((run, i) => i % 2 === 1 && run.signal(approval, { by: "ana" })));
    const results = <A>(runs: ReadonlyArray<{ result(): Promise<A> }>) =>
      scene.inTime("their results", Promise.all(runs.map((run) => run.result())));
    for (const { by } of await results(waiting)) assert.equal(by, "ana");
    assert.deepEqual(await results(working), working.map(() => "third"));
    assert.deepEqual(await results(untaken), untaken.map((_, i) => 2 * i + 1));
    assert.deepEqual(await results(overdue), overdue.map(() => "awake"));
    assert.deepEqual(await results(late), late.map(() => "awake"));
    assert.equal(effects("wake").length, 2 * each);
    assert.equal(effects("charge").length, each);
    await third.drain();
    await scene.noneIsStuck();
  } finally {
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
