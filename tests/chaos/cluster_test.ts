/**
 * An `effect/cluster` program of three processes that have one nats-server and nothing else: one of
 * them is killed, or stands still for longer than its locks last and then goes on.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import {
  type ClusterScene,
  isReplyOfAccount,
  openCluster,
  runnerNames,
} from "../fixtures/cluster_scene.ts";
import type { StepEffect } from "../fixtures/engine_effects.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const staleFence = 10071;
const deadlineMs = 60_000;

const accounts = Array.from({ length: 18 }, (_, i) => `account-${i}`);
const shipments = ["shipment-1", "shipment-2", "shipment-3"];

let plays = 0;

/** Whether the last of something were all done by one runner, which is among some. */
const isBy = (
  { effects }: ClusterScene,
  step: string,
  count: number,
  among: ReadonlySet<string>,
): boolean => {
  const last = effects(step).slice(-count);
  const by = new Set(last.map(({ worker }) => worker));
  return last.length === count && by.size === 1 && [...by].every((worker) => among.has(worker));
};

/** What was done more than once: by none but who has taken another's place while he did it. */
const repeated = (done: ReadonlyArray<StepEffect>): ReadonlyArray<StepEffect> =>
  done.filter(({ execution }, i) => done.findIndex((each) => each.execution === execution) < i);

const allServe = (scene: ClusterScene) =>
  eventually("each runner has some account", async () => {
    const hosts = await Promise.all(accounts.map(scene.where));
    return new Set(hosts).size === runnerNames.length || undefined;
  }, deadlineMs);

const play = async (
  server: ScratchServer,
  victim: number,
  way: "killed" | "frozen",
): Promise<void> => {
  const name = runnerNames[victim]!;
  await using scene = await openCluster(server, {
    namespace: `cluster_${++plays}`,
    proxied: victim,
  });
  const { effects, appends } = scene;
  await allServe(scene);

  const begunBy = (account: string) =>
    effects("begin").filter(({ execution }) => execution === account).map(({ worker }) => worker);
  const adding = Promise.all(accounts.map((account) => scene.add(account, account)));
  const shipping = Promise.all(shipments.map(scene.ship));
  // When the test fails before it awaits them, that is not told as well.
  for (const each of [adding, shipping]) each.catch(() => {});
  await eventually(
    "all requests are under way",
    () =>
      (accounts.every((account) => begunBy(account).length > 0) &&
        effects("pick").length >= shipments.length) || undefined,
    deadlineMs,
  );
  const affected = accounts.filter((account) => begunBy(account).at(-1) === name);
  assert.notEqual(affected.length, 0);

  const survivors = new Set<string>(runnerNames.filter((each) => each !== name));
  const lateReplies = () => appends.filter(({ subject }) => isReplyOfAccount(subject));
  if (way === "killed") scene.runners[victim]!.kill();
  else {
    // The worst moment: it is sure of its shard, and has sent the reply, which is not there yet.
    scene.holdReply();
    scene.openGate(affected[0]);
    await eventually("it replies", () => lateReplies().length > 0 || undefined, deadlineMs);
    scene.runners[victim]!.freeze();
  }
  const ticks = effects("tick").length;
  await eventually(
    "others have taken its requests over",
    () => affected.every((account) => begunBy(account).at(-1) !== name) || undefined,
    deadlineMs,
  );
  scene.openGate();
  const results = await adding;
  assert.deepEqual(await shipping, shipments);
  for (const result of results) assert.ok(survivors.has(result), result);
  await eventually(
    "one other runs the singleton",
    () => isBy(scene, "beat", 20, survivors) || undefined,
    deadlineMs,
  );
  await eventually(
    "the cron goes on",
    () => effects("tick").length > ticks + 3 || undefined,
    deadlineMs,
  );

  if (way === "frozen") {
    // What it serves from now on is taken from the others while they may be at it.
    scene.runners[victim]!.thaw();
    scene.releaseReply();
    await eventually(
      "its late replies are answered",
      () => lateReplies().every(({ errorCode }) => errorCode !== undefined) || undefined,
      deadlineMs,
    );
    assert.deepEqual(
      new Set(lateReplies().map(({ errorCode }) => errorCode)),
      new Set([staleFence]),
    );
    await allServe(scene);
    await eventually(
      "one runs the singleton",
      () => isBy(scene, "beat", 20, new Set(runnerNames)) || undefined,
      deadlineMs,
    );
  }
  assert.deepEqual(
    await Promise.all(accounts.map((account) => scene.add(account, account))),
    results,
  );

  await eventually("nothing is left unprocessed", async () => {
    const now = Date.now();
    const left = (await scene.requests()).filter(({ exits, deliverAt }) =>
      exits === 0 && deliverAt < now - 1_000
    );
    return left.length === 0 || undefined;
  }, deadlineMs);
  const requests = await scene.requests();
  // A run of a cron sends the next one before it ends, so that one may run twice while shards move.
  assert.deepEqual(requests.filter(({ exits }) => exits > 1), []);
  const added = requests.filter(({ entityType }) => entityType === "Account");
  assert.deepEqual(added.map(({ entity }) => entity).sort(), [...accounts].sort());
  assert.deepEqual(repeated(effects("end").filter(({ worker }) => worker !== name)), []);
};

const ways = ["killed", "frozen"] as const;

describe("a cluster of three processes on NATS alone", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  if (isFull) {
    for (const [victim, name] of runnerNames.entries()) {
      for (const way of ways) {
        it(`goes on when the ${name} is ${way}`, () => play(server, victim, way));
      }
    }
  } else {
    it(`goes on when one is killed, or frozen (${named})`, async () => {
      const draw = chance("cluster");
      const outcomes = await Promise.allSettled(
        ways.map((way) => play(server, draw(runnerNames.length), way)),
      );
      for (const each of outcomes) if (each.status === "rejected") throw each.reason;
    });
  }

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
