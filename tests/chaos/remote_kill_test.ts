/** A worker in Python that is killed or stands still, and those who keep remote workers killed. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Post from "../../actors/engine/post.ts";
import { layer } from "../../actors/layer.ts";
import { remoteActor, type Run } from "../../mod.ts";
import { Tenant } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import { type RemoteProcess, startRemoteWorker } from "../fixtures/remote_worker.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

interface Spoken {
  readonly lines: ReadonlyArray<string>;
  readonly secondsPerLine: number;
}

const transcribe = remoteActor<Spoken, { text: string }>("transcribe", { leaseTtl: "2 seconds" });
const tenant = Tenant.make("default");

interface Stage {
  readonly scene: Scene;
  readonly worker: (identity: string) => Promise<RemoteProcess>;
  /** Those who keep remote workers; each is a process. */
  readonly keep: (identity: string) => ReturnType<Scene["launch"]>;
  readonly start: (id: string, lines: number) => Promise<Run<{ text: string }>>;
  /** Returns when so many lines of an execution are stored, and more are to come. */
  readonly hasReported: (id: string, lines: number) => Promise<void>;
}

const textOf = (lines: number) => Array.from({ length: lines }, (_, i) => `LINE ${i}`).join("\n");

/** Its last line is read a moment after the execution has ended. */
const hasFinished = ({ lines }: RemoteProcess) =>
  eventually(
    "it says that it has finished",
    () => lines.some(({ what }) => what === "finished") || undefined,
    30_000,
  );

describe("a remote worker in Python", () => {
  let server: ScratchServer;
  let played = 0;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  const test = (title: string, play: (stage: Stage) => Promise<void>) =>
    it(title, async () => {
      const namespace = `remote_${++played}`;
      const remotes: Array<RemoteProcess> = [];
      const runtime = ManagedRuntime.make(layer({ servers: server.url, namespace }));
      await using scene = await openScene(server, { namespace });
      await using _worker = await scene.weir.worker([transcribe], {
        remotes: false,
        residentGrace: "0 millis",
      });
      try {
        await play({
          scene,
          worker: async (identity) => {
            const remote = await startRemoteWorker(identity, {
              NATS_URL: server.url,
              WEIR_NAMESPACE: namespace,
            });
            remotes.push(remote);
            return remote;
          },
          keep: (identity) =>
            scene.launch(identity, {
              actors: [],
              serve: { remotes: true, leaseTtl: "5 seconds" },
            }),
          start: (id, lines) =>
            scene.weir.start(transcribe, {
              lines: Array.from({ length: lines }, (_, i) => `line ${i}`),
              secondsPerLine: 0.2,
            }, { id }),
          hasReported: async (id, lines) => {
            const errands = Effect.flatMap(Log, (log) => Post.make(log).errands.read(tenant));
            await eventually(`${id} has reported ${lines} lines`, async () => {
              const { errands: all } = await runtime.runPromise(errands);
              const found = all.find(({ errand }) => errand?.execution === `transcribe/${id}`);
              const progress = found?.errand?.progress;
              return (Array.isArray(progress) && progress.length >= lines) || undefined;
            }, 60_000);
          },
        });
        await scene.noneIsStuck();
      } finally {
        for (const remote of remotes) remote.kill();
        await Promise.all(remotes.map(({ ended }) => ended));
        await runtime.dispose();
      }
    });

  test("goes on where it was, when it is killed within a step and started again", async (stage) => {
    await stage.keep("keeper");
    const first = await stage.worker("w");
    const run = await stage.start("long", 12);
    await stage.hasReported("long", 3);
    first.kill();
    assert.equal(await first.ended, "SIGKILL");
    const again = await stage.worker("w");
    const { text } = await stage.scene.inTime("the end", run.result());
    assert.equal(text, textOf(12));
    await hasFinished(again);
    const [registered, claimed, finished] = again.lines;
    assert.equal(registered?.what, "registered");
    assert.deepEqual([claimed?.what, claimed?.fence], ["claimed", 2]);
    assert.ok((claimed?.progress as ReadonlyArray<string>).length >= 3);
    assert.equal(finished?.what, "finished");
    again.terminate();
    assert.equal(await again.ended, 0);
  });

  test("that stood still past its lease is refused, and has lost nothing else", async (stage) => {
    await stage.keep("keeper");
    const frozen = await stage.worker("frozen");
    const run = await stage.start("slow", 12);
    await stage.hasReported("slow", 2);
    frozen.freeze();
    const next = await stage.worker("next");
    const { text } = await stage.scene.inTime("the end", run.result());
    assert.equal(text, textOf(12));
    frozen.thaw();
    await eventually(
      "it is told that it has lost the step",
      () => frozen.lines.some(({ what }) => what === "lost") || undefined,
      30_000,
    );
    assert.ok(frozen.lines.every(({ what }) => what !== "finished"));
    await hasFinished(next);
    assert.deepEqual(
      next.lines.filter(({ what }) => what === "finished").map(({ fence }) => fence),
      [2],
    );
    next.kill();
    const last = await stage.start("last", 1);
    assert.equal((await stage.scene.inTime("the last", last.result())).text, textOf(1));
    await hasFinished(frozen);
  });

  test("does everything once, whoever keeps it and whoever works is killed", async (stage) => {
    const first = await stage.keep("keeper-1");
    const workers = [await stage.worker("a"), await stage.worker("b")];
    const runs = [];
    for (let i = 0; i < 10; i++) runs.push(await stage.start(`t-${i}`, 4));
    await stage.hasReported("t-0", 2);
    first.kill();
    const second = await stage.keep("keeper-2");
    await stage.hasReported("t-3", 2);
    workers[0]!.kill();
    workers.push(await stage.worker("a"));
    await stage.hasReported("t-6", 1);
    second.freeze();
    await stage.keep("keeper-3");
    await stage.hasReported("t-8", 2);
    second.thaw();
    const all = Promise.all(runs.map((run) => run.result()));
    const results = await stage.scene.inTime("all", all, 120_000);
    assert.deepEqual(results.map(({ text }) => text), runs.map(() => textOf(4)));
    const finished = workers.flatMap(({ lines }) => lines)
      .filter(({ what }) => what === "finished").map(({ execution }) => execution);
    assert.equal(new Set(finished).size, finished.length, `finished twice: ${finished}`);
    assert.ok(finished.length >= runs.length - 1, `${finished}`);
  });

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
