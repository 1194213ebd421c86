import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as LogStore from "../../streams/outbox/log_store.ts";
import * as Outbox from "../../streams/outbox/service.ts";
import { OutboxStore } from "../../streams/outbox/store.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import {
  type Deed,
  type Line,
  machineMs,
  type OutboxWorkerOptions,
} from "../fixtures/outbox_worker.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const events = isFull ? 10_000 : 1_000;
const kills = isFull ? 40 : 8;
const fleet = 4;
const lockMs = 4_000;
const threshold = 3;
const deadlineMs = isFull ? 900_000 : 200_000;

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const script = fileURLToPath(new URL(`../fixtures/outbox_worker${extension}`, import.meta.url));

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((worker) => worker.kill("SIGKILL")));

/** One publication, as one process told it: from its beginning to its end, or to that process's. */
interface Publication {
  readonly event: string;
  readonly n: number;
  readonly worker: string;
  readonly fromMs: number;
  untilMs: number;
}

/** Runs a worker to its end; tells what it published, and how it ended. */
const runWorker = (options: OutboxWorkerOptions, publications: Array<Publication>) => {
  const args = [...runtimeArguments, script, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  living.add(child);
  const open = new Map<string, Publication>();
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (text) => {
    // What it logs goes there as well.
    if (!text.startsWith("{")) return;
    const { what, event, n, atMs } = JSON.parse(text) as Line;
    const worker = options.identity;
    if (what === "end") {
      open.get(event)!.untilMs = atMs;
      open.delete(event);
      return;
    }
    const publication = { event, n, worker, fromMs: atMs, untilMs: Infinity };
    open.set(event, publication);
    publications.push(publication);
  });
  const told = new Promise<void>((resolve) => lines.once("close", resolve));
  const exited = new Promise<NodeJS.Signals | number | null>((resolve) =>
    child.once("exit", (code, signal) => resolve(signal ?? code))
  );
  return exited.then(async (end) => {
    const endedMs = machineMs();
    living.delete(child);
    await told;
    for (const publication of open.values()) publication.untilMs = endedMs;
    return end;
  });
};

it(`${events} events, ${fleet} workers, ${kills} kills: each is published, by one at a time (${named})`, async () => {
  const server = await scratchServer({ durability: "bounded" });
  const namespace = "outbox";
  const runtime = ManagedRuntime.make(
    Outbox.layer({ strategy: { type: "provided" } }).pipe(
      Layer.provideMerge(LogStore.layer()),
      Layer.provide(ServerClock.layer),
      Layer.provide(layerJetStream({ namespace })),
      Layer.provide(Connection.layer({ servers: server.url })),
    ),
  );
  try {
    const store = await runtime.runPromise(OutboxStore);
    const outbox = await runtime.runPromise(Outbox.OutboxService);
    const draw = chance("outbox");
    const killAt = new Set(
      Array.from({ length: kills }, (_, i) => Math.floor((i + 1) * events / (kills + 1))),
    );
    const deeds = Array.from({ length: events }, (_, n): Deed => {
      if (killAt.has(n)) return { n, dieAfterTurns: draw(8) };
      if (n % 50 === 7) return { n, poison: true };
      // Longer than the lock, which has to be renewed meanwhile.
      return n % (events / 4) === 3 ? { n, lastsMs: lockMs * 3 / 2 } : { n, lastsMs: draw(10) };
    });

    const publications: Array<Publication> = [];
    const killings = scratchFolder("killings");
    let launched = 0;
    let killed = 0;
    let isOver = false;
    const ends: Array<unknown> = [];
    const employ = async () => {
      while (!isOver) {
        const end = await runWorker({
          servers: server.url,
          namespace,
          killings,
          identity: `worker ${launched++}`,
          concurrency: 20,
          lockTimeout: lockMs,
          publishTimeout: "1 minute",
          pollInterval: "500 millis",
          backoff: { first: "50 millis" },
          deadLetterThreshold: threshold,
        }, publications);
        if (end === "SIGKILL") killed++;
        else ends.push(end);
      }
    };
    const employed = Promise.all(Array.from({ length: fleet }, employ));

    const added = new Map<string, Deed>();
    const add = (deed: Deed, key: string) =>
      outbox.add("deed", deed, `token ${deed.n}`, deed.n % 5 === 0 ? { key } : {});
    const producer = Effect.fnUntraced(function* (key: string, mine: ReadonlyArray<Deed>) {
      for (const deed of mine) {
        const event = yield* add(deed, key);
        added.set(event.id, deed);
        const again = yield* Effect.flip(add(deed, key));
        assert.equal(again._tag, "DuplicateEvent");
      }
    });
    const quarters = [0, 1, 2, 3].map((rest) => deeds.filter(({ n }) => n % 4 === rest));
    await runtime.runPromise(Effect.all(
      quarters.map((mine, i) => producer(`key ${i}`, mine)),
      { concurrency: "unbounded" },
    ));
    await eventually("all events are sent or dead", async () => {
      const { pending, processing } = await runtime.runPromise(store.counts);
      return pending + processing === 0 || undefined;
    }, deadlineMs);
    isOver = true;
    for (const worker of living) process.kill(worker.pid!, "SIGTERM");
    await employed;

    // Two of them may meet in one process.
    assert.ok(killed > kills / 2 && killed <= kills, `${killed}`);
    assert.deepEqual(ends, Array(fleet).fill(0));
    assert.deepEqual(new Set(publications.map(({ event }) => event)), new Set(added.keys()));

    const byEvent = new Map<string, Array<Publication>>();
    for (const publication of publications) {
      byEvent.set(publication.event, [...byEvent.get(publication.event) ?? [], publication]);
    }
    for (const each of byEvent.values()) {
      each.sort((a, b) => a.fromMs - b.fromMs);
      for (const [i, { fromMs }] of each.entries()) {
        assert.ok(i === 0 || each[i - 1]!.untilMs <= fromMs, JSON.stringify(each));
      }
    }

    const letters = await runtime.runPromise(store.deadLetters({ limit: events }));
    const poison = [...added].filter(([, deed]) => deed.poison).map(([id]) => id);
    assert.deepEqual(letters.map(({ id }) => id).sort(), poison.sort());
    for (const { failures, reason } of letters) {
      assert.deepEqual([failures, reason], [threshold, "it is poison"]);
    }

    // Of a key, each is published for the first time only when those before it are done with.
    publications.sort((a, b) => a.fromMs - b.fromMs);
    const firsts = [...new Set(publications.map(({ n }) => n))];
    for (const rest of [0, 1, 2, 3]) {
      const ofKey = firsts.filter((n) => n % 5 === 0 && n % 4 === rest);
      assert.deepEqual(ofKey, [...ofKey].sort((a, b) => a - b));
    }
    const expected = added.size + poison.length * (threshold - 1);
    console.log(
      `${killed} workers killed; ${publications.length - expected} publications happened again`,
    );
  } finally {
    for (const worker of living) worker.kill("SIGKILL");
    await runtime.dispose();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
