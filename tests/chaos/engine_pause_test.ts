import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { Run } from "../../mod.ts";
import { item } from "../fixtures/engine_actors.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const each = 12;

let server: ScratchServer;
before(async () => server = await scratchServer({ durability: "bounded" }));
after(() => server.stop());

const many = <A>(one: (i: number) => Promise<A>): Promise<ReadonlyArray<A>> =>
  Promise.all(Array.from({ length: each }, (_, i) => one(i)));

const reasonsOf = (runs: ReadonlyArray<Run>) =>
  Promise.all(runs.map(async (run) => (await run.describe()).reason));

/** What the server says of a namespace: of which executions something is kept, and what it has offered. */
const look = async (namespace: string) => {
  const nats = await connect({ servers: server.url });
  try {
    const manager = await jetstreamManager(nats);
    const stream = `KV_${namespace}`;
    const { state } = await manager.streams.info(stream, {
      subjects_filter: `${namespace}.lane.*.*.*.*.*`,
    });
    const kept = Object.keys(state.subjects ?? {}).map((subject) => subject.split(".")[5]!);
    let offered = 0;
    let pending = 0;
    for await (const { name, delivered, num_ack_pending } of manager.consumers.list(stream)) {
      if (!name.startsWith("mail-")) continue;
      offered += delivered.consumer_seq;
      pending += num_ack_pending;
    }
    return { kept: new Set(kept), offered, pending };
  } finally {
    await nats.close();
  }
};

it("workers that are killed and launched while all is paused begin nothing, and lose nothing", async () => {
  await using scene = await openScene(server, {
    namespace: "pauses",
    serve: { residentGrace: "0 millis", leaseTtl: "2 seconds" },
  });
  const { weir, actors: { gather, tally } } = scene;
  const first = await scene.launch("first");
  const second = await scene.launch("second");
  const naps = await many((i) => weir.start(tally, { n: i, napMs: 6_000 }, { id: `nap-${i}` }));
  const waiting = await many((i) => weir.start(gather, undefined, { id: `wait-${i}` }));
  await eventually("all wait", async () => {
    const reasons = await reasonsOf([...naps, ...waiting]);
    return reasons.every((reason) => reason === "timer" || reason === "signal") || undefined;
  });

  await weir.engine.pause({ allTenants: true, reason: "the bank is away", by: "ana" });
  await eventually("both workers have heard of it", async () => {
    const probes = await Promise.all(
      [0, 1, 2, 3].map((i) => weir.start(tally, { n: i, napMs: 1 }, { id: `probe-${i}` })),
    );
    return (await reasonsOf(probes)).every((reason) => reason === "paused") || undefined;
  });
  const before = scene.effects().length;
  const late = await many((i) => weir.start(tally, { n: i, napMs: 10 }, { id: `late-${i}` }));
  await Promise.all(waiting.map((run) => run.signal(item, 1)));
  first.kill();
  const third = await scene.launch("third");
  await Promise.all(waiting.map((run) => run.signal(item, -1)));
  const all = [...naps, ...waiting, ...late];
  const quiet = await eventually("the naps are over, and all are kept back", async () => {
    const seen = await look("pauses");
    const isKept = all.every(({ id }) => seen.kept.has(id.split("/")[1]!));
    return isKept && seen.pending === 0 ? seen : undefined;
  }, 60_000);
  // What is kept back is offered to nobody: one start more is one offer more.
  await weir.start(tally, { n: 0, napMs: 1 }, { id: "last-probe" });
  const later = await eventually("that is kept as well", async () => {
    const seen = await look("pauses");
    return seen.kept.has("last-probe") && seen.pending === 0 ? seen : undefined;
  });
  assert.equal(later.offered, quiet.offered + 1);
  assert.deepEqual(new Set(await reasonsOf(all)), new Set(["paused"]));
  assert.equal(scene.effects().length, before);
  await scene.noneIsStuck("unproven");

  await weir.engine.resume({ allTenants: true });
  const results = scene.inTime("all", Promise.all(all.map((run) => run.result())));
  assert.deepEqual((await results).slice(0, each), naps.map((_, i) => 2 * i + 1));
  assert.deepEqual((await results).slice(each, 2 * each), waiting.map(() => [1]));
  for (const run of [...naps, ...late]) {
    const steps = scene.effects().filter(({ execution }) => execution === run.id);
    assert.deepEqual(steps.map(({ step }) => step), ["one", "two"], run.id);
  }
  const { scopes } = await weir.engine.status({ allTenants: true });
  assert.deepEqual(scopes, []);
  await Promise.all([second.drain(), third.drain()]);
  await scene.noneIsStuck();
});

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
