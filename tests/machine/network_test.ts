/**
 * What becomes of workers whose network fails: one is cut off in the middle of its work, in both
 * directions or in one, or all have a bad line. It takes a root user, for networks of their own.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import type { Run } from "../../mod.ts";
import { historyOf, recordedSteps } from "../fixtures/engine_chronicle.ts";
import { item } from "../fixtures/engine_actors.ts";
import { type WatchedAppend, watchWorker } from "../fixtures/engine_kill_point.ts";
import { openScene, reclaimsOf, type Scene } from "../fixtures/engine_scene.ts";
import { type Proxy, startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";
import { type Direction, type Link, openLink, startRelay } from "./network.ts";

const staleFence = 10071;
const each = 5;
const onBadLines = 100;
const deadlineMs = 90_000;
/** Longer than an append waits for its answer before it is repeated. */
const unansweredMs = 6_000;

const many = <A>(one: (i: number) => Promise<A>): Promise<ReadonlyArray<A>> =>
  Promise.all(Array.from({ length: each }, (_, i) => one(i)));

const resultsOf = <A>({ inTime }: Scene, runs: ReadonlyArray<Run<A>>): Promise<Array<A>> =>
  inTime("their results", Promise.all(runs.map((run) => run.result())));

/** The steps that somebody did of an execution, in the order in which they were done. */
const doneBy = ({ effects }: Scene, worker: string, { id }: Run): ReadonlyArray<string> =>
  effects().filter((effect) => effect.worker === worker && effect.execution === id)
    .map(({ step }) => step);

/** Whether a worker is in the middle of executions. */
const isAtWork = (scene: Scene, worker: string, runs: ReadonlyArray<Run>): boolean =>
  runs.every((run) => doneBy(scene, worker, run).includes("work"));

interface LinkedScene {
  readonly scene: Scene;
  readonly link: Link;
  /** What the linked worker appended, as far as it arrived, and what it was answered. */
  readonly appends: ReadonlyArray<WatchedAppend>;
  readonly proxy: Proxy;
  /** A folder for the gates of those that are busy. */
  readonly folder: string;
}

/** A server, and a link to it that only a worker uses. A proxy watches on the server's side. */
const withLink = async (
  leaseTtl: "10 seconds" | "1 minute",
  test: (linked: LinkedScene) => Promise<void>,
): Promise<void> => {
  const server = await scratchServer({ durability: "bounded" });
  const link = openLink();
  const proxy = await startProxy(server.port, link.address);
  const { appends } = watchWorker(proxy);
  try {
    await using scene = await openScene(server, {
      namespace: "link",
      serve: { leaseTtl, residentGrace: "1 minute" },
    });
    await test({ scene, link, appends, proxy, folder: scratchFolder("gates") });
    await scene.noneIsStuck();
  } finally {
    await proxy.stop();
    link.end();
    await server.stop();
  }
};

const isAbout = (runs: ReadonlyArray<Run>) => ({ subject }: WatchedAppend): boolean =>
  runs.some(({ id }) => subject.endsWith(`.${id.split("/").at(-1)}`));

const isAnswered = ({ errorCode }: WatchedAppend): boolean => errorCode !== undefined;
/** Leases are renewed by a clock; what was done is a record of the log. */
const isRecord = ({ subject }: WatchedAppend): boolean => subject.startsWith("link.log.");

/** Gives whoever is there something to do, and tells who did it. */
const others = async (scene: Scene, name: string): Promise<ReadonlySet<string>> => {
  const { weir, actors: { tally }, effects } = scene;
  const runs = await many((i) => weir.start(tally, { n: i, napMs: 10 }, { id: `${name}-${i}` }));
  assert.deepEqual(await resultsOf(scene, runs), runs.map((_, i) => 2 * i + 1));
  const ids = new Set(runs.map(({ id }) => id));
  const done = effects().filter(({ execution }) => ids.has(execution));
  assert.equal(done.length, 2 * runs.length);
  return new Set(done.map(({ worker }) => worker));
};

/** Has a worker do something at the moment in which its network fails. */
const cutOff = async (direction: Direction): Promise<void> =>
  await withLink("10 seconds", async ({ scene, link, appends, proxy, folder }) => {
    const { weir, actors: { busy } } = scene;
    const [soon, late] = [join(folder, "soon"), join(folder, "late")];
    const first = await scene.launch("first", { url: proxy.url, network: link.network });
    const ending = await many((i) => weir.start(busy, soon, { id: `ending-${i}` }));
    const working = await many((i) => weir.start(busy, late, { id: `working-${i}` }));
    const runs = [...ending, ...working];
    await eventually(
      "it is in the middle of all",
      () => isAtWork(scene, "first", runs) || undefined,
      deadlineMs,
    );
    const next = await scene.launch("next");

    // It goes on to the end of some steps, and of that nobody hears, or it hears nothing of that.
    first.freeze();
    const beforeCut = appends.length;
    link.cut(direction);
    writeFileSync(soon, "");
    first.thaw();
    const unheard = () => appends.slice(beforeCut).filter(isRecord);
    if (direction === "to worker") {
      await eventually(
        "what it writes is stored",
        () => unheard().some(({ errorCode }) => errorCode === 0) || undefined,
        deadlineMs,
      );
    }
    await eventually(
      "the other has taken over",
      () => isAtWork(scene, "next", working) || undefined,
      deadlineMs,
    );
    writeFileSync(late, "");
    const results = await resultsOf(scene, runs);
    const landed = unheard();
    assert.equal(landed.length > 0, direction === "to worker");
    const histories = await Promise.all(runs.map(historyOf));

    const beforeHealing = appends.length;
    link.heal();
    const answered = () => appends.slice(beforeHealing).filter(isAnswered).filter(isAbout(runs));
    await eventually(
      "each execution's late write is answered",
      () => runs.every((run) => answered().some(isAbout([run]))) || undefined,
      deadlineMs,
    );
    await others(scene, "of-both");
    await next.drain();
    assert.deepEqual(await others(scene, "of-first"), new Set(["first"]));
    await first.drain();

    assert.deepEqual(
      new Set(answered().map(({ errorCode }) => errorCode)),
      new Set([staleFence]),
    );
    assert.deepEqual(await Promise.all(runs.map(historyOf)), histories);
    for (const [i, run] of runs.entries()) {
      assert.deepEqual(await recordedSteps(run), ["begin", "work", "tidy"]);
      assert.deepEqual(doneBy(scene, "first", run), ["begin", "work"]);
      // Whose work is recorded is whose it is, and what is recorded is not done again.
      assert.deepEqual(
        doneBy(scene, "next", run),
        results[i] === "first" ? ["tidy"] : ["work", "tidy"],
      );
    }
    assert.deepEqual(
      results,
      runs.map((run) => landed.some(isAbout([run])) ? "first" : "next"),
    );
  });

it("a worker that is cut off loses what it has, writes nothing more, and serves when it is back", () =>
  cutOff("both"));

it("what a worker wrote that heard no answer is where its successor goes on", () =>
  cutOff("to worker"));

it("a worker that heard no answer for a while learns that all was stored, and goes on", () =>
  withLink("1 minute", async ({ scene, link, appends, proxy, folder }) => {
    const { weir, actors: { busy } } = scene;
    const gate = join(folder, "open");
    const only = await scene.launch("only", { url: proxy.url, network: link.network });
    const runs = await many((i) => weir.start(busy, gate, { id: `o-${i}` }));
    await eventually(
      "it is in the middle of all",
      () => isAtWork(scene, "only", runs) || undefined,
      deadlineMs,
    );
    only.freeze();
    const beforeCut = appends.length;
    link.cut("to worker");
    writeFileSync(gate, "");
    only.thaw();
    const unheard = await eventually("what it writes is stored", () => {
      const stored = appends.slice(beforeCut).filter(isRecord).filter(isAnswered);
      return stored.length > 0 ? stored : undefined;
    }, deadlineMs);
    const storedAt = Date.now();
    await eventually(
      "it has waited for the answers",
      () => Date.now() > storedAt + unansweredMs || undefined,
      deadlineMs,
    );
    link.heal();
    assert.deepEqual(await resultsOf(scene, runs), runs.map(() => "only"));
    await only.drain();

    for (const run of runs) {
      assert.deepEqual(await recordedSteps(run), ["begin", "work", "tidy"]);
      assert.deepEqual(doneBy(scene, "only", run), ["begin", "work", "tidy"]);
      assert.equal(await reclaimsOf(run), 0);
    }
    for (const { messageId, errorCode, revision } of unheard) {
      const tries = appends.filter((append) => append.messageId === messageId);
      assert.ok(tries.length > 1);
      assert.equal(errorCode, 0);
      assert.deepEqual(new Set(tries.map((append) => append.revision)), new Set([revision]));
    }
  }));

it("over bad lines, executions of three steps that signals bring about end as they should", async () => {
  const server = await scratchServer({ durability: "bounded" });
  const links = [openLink(), openLink()];
  const delayMs = () => 30 + 40 * Math.random();
  const relays = await Promise.all(
    links.map(({ address }) => startRelay(address, server.port, delayMs)),
  );
  try {
    await using scene = await openScene(server, {
      namespace: "bad",
      serve: { residentGrace: "100 millis" },
    });
    const { weir, actors: { gather }, effects } = scene;
    for (const { lose } of links) lose(5);
    const workers = await Promise.all(
      links.map(({ network }, i) => scene.launch(`worker-${i}`, { url: relays[i]!.url, network })),
    );
    const signals = [1, 2, 3];
    const runs = await Promise.all(
      Array.from({ length: onBadLines }, async (_, i) => {
        const run = await weir.start(gather, undefined, { id: `o-${i}` });
        for (const n of [...signals, -1]) await run.signal(item, n);
        return run;
      }),
    );
    assert.deepEqual(await resultsOf(scene, runs), runs.map(() => signals));
    const takes = signals.map((n) => `take ${n}`);
    for (const run of runs) {
      assert.deepEqual(await recordedSteps(run), takes);
      assert.equal(await reclaimsOf(run), 0);
      const done = effects().filter(({ execution }) => execution === run.id);
      assert.deepEqual(done.map(({ step }) => step), takes);
    }
    const lost = links.map(({ lostPackets }) => lostPackets());
    console.log(`${lost.join(" and ")} packets lost`);
    assert.ok(Math.max(...lost) > 0);
    await Promise.all(workers.map((worker) => worker.drain()));
    await scene.noneIsStuck();
  } finally {
    await Promise.all(relays.map((relay) => relay.stop()));
    for (const link of links) link.end();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
