import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ExecutionEnded, type Run } from "../../mod.ts";
import { item } from "../fixtures/engine_actors.ts";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { openScene, type Scene, type SceneOptions } from "../fixtures/engine_scene.ts";
import {
  eventually,
  leftovers,
  scratchCluster,
  scratchServer,
  withConnection,
} from "../fixtures/server.ts";
import { type Chance, chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const interleavings = isFull ? 1_000 : 300;
const onReplicas = isFull ? 300 : 20;
const atOnce = 20;
const signals = 4;

/** When a signal is sent: at once, when it is awaited, or when nobody owns the execution any more. */
const moments = {
  "at once": () => Promise.resolve(true),
  "when it waits": async (run: Run) => (await run.describe()).waitingFor.length > 0,
  "when it is suspended": async (run: Run) => (await run.describe()).status === "suspended",
} as const;
const kinds = Object.values(moments);

/** Says something as often as that; whoever says again what has been heard may come behind the end. */
const say = async (times: number, once: () => Promise<unknown>): Promise<void> => {
  const said = await Promise.allSettled(Array.from({ length: times }, once));
  assert.ok(said.some(({ status }) => status === "fulfilled"));
  for (const each of said) {
    if (each.status === "rejected") assert.ok(each.reason instanceof ExecutionEnded);
  }
};

/** Sends all signals of one execution, some of them twice, and looks at what became of each. */
const interleave = async (
  { weir, actors: { collect }, inTime }: Scene,
  name: string,
  chance: Chance,
): Promise<void> => {
  const run = await weir.start(collect, signals, { id: name });
  const sent: Array<Promise<unknown>> = [];
  for (let n = 0; n < signals; n++) {
    const isDue = kinds[chance(kinds.length)]!;
    await eventually(`${name} is ready`, async () => await isDue(run) || undefined, 30_000);
    const key = `signal ${n}`;
    const times = 1 + chance(2);
    sent.push(say(times, () => run.signal(item, n, { key })));
    if (chance(2) === 0) await Promise.all(sent);
  }
  await Promise.all(sent);
  const result = await inTime(`the result of ${name}`, run.result());
  const history = await historyOf(run);
  const arrived = history.flatMap(({ record }) =>
    record.kind === "signal" && !("index" in record) ? [record.payload] : []
  );
  assert.deepEqual(result, arrived, name);
  assert.deepEqual([...result].sort(), Array.from({ length: signals }, (_, n) => n), name);
};

interface Play {
  readonly interleavings: number;
  readonly disturb?: (namespace: string) => Promise<unknown>;
}

const namespace = "signals";

/** Plays all of them with two workers, while something goes on beside. */
const playAll = async (
  url: string,
  options: Omit<SceneOptions, "namespace">,
  { interleavings, disturb }: Play,
): Promise<void> => {
  await using scene = await openScene({ url }, {
    ...options,
    namespace,
    serve: { residentGrace: "20 millis", leaseTtl: "2 seconds" },
  });
  const workers = await Promise.all([scene.launch("first"), scene.launch("second")]);
  let next = 0;
  let isOver = false;
  const go = async () => {
    while (next < interleavings) {
      const name = `o-${next++}`;
      await interleave(scene, name, chance(name));
    }
  };
  const disturbed = (async () => {
    while (!isOver && disturb !== undefined) await disturb(namespace);
  })();
  await Promise.all(Array.from({ length: atOnce }, go)).finally(() => isOver = true);
  await disturbed;
  await Promise.all(workers.map((worker) => worker.drain()));
  await scene.noneIsStuck();
};

it(`${interleavings} interleavings: no signal is lost or applied twice (${named})`, async () => {
  const server = await scratchServer({ durability: "bounded" });
  try {
    await playAll(server.url, {}, { interleavings });
  } finally {
    await server.stop();
  }
});

/** Has the server that leads a stream, or one that does not, hand over. */
const stepDown = (url: string) => async (namespace: string) => {
  await pause(500);
  const subject = `$JS.API.STREAM.LEADER.STEPDOWN.KV_${namespace}`;
  await withConnection(url, (connection) => connection.request(subject).catch(() => undefined));
};

// Attack 11: what is read comes from followers, each as far as it has got.
it(`${onReplicas} of them on three replicas whose leader changes all the time (${named})`, async () => {
  const cluster = await scratchCluster({ durability: "bounded" });
  try {
    const [url] = cluster.urls;
    await playAll(url!, { replicas: 3 }, { interleavings: onReplicas, disturb: stepDown(url!) });
  } finally {
    await cluster.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
