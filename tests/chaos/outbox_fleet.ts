/**
 * An outbox whose workers are killed while it is filled. Whatever the store: each event is published,
 * by one worker at a time, those of a key in their order, and what is poison is a dead letter.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { OutboxStore } from "../../streams/outbox/store.ts";
import {
  type Deed,
  layerStore,
  type Line,
  machineMs,
  type OutboxWorkerOptions,
  type Place,
  readyLine,
} from "../fixtures/outbox_worker.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { eventually, scratchFolder } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const events = isFull ? 10_000 : 1_000;
const kills = isFull ? 40 : 8;
const workers = 4;
const lockMs = 4_000;
const threshold = 3;
const deadlineMs = isFull ? 900_000 : 200_000;

export const outboxFleetTitle =
  `${events} events, ${workers} workers, ${kills} kills: each is published, by one at a time (${named})`;

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const script = fileURLToPath(new URL(`../fixtures/outbox_worker${extension}`, import.meta.url));

/** The workers that are there, and when each can be told to stop, or has ended. */
const living = new Map<ChildProcess, Promise<void>>();
process.on("exit", () => {
  for (const worker of living.keys()) worker.kill("SIGKILL");
});

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
  const open = new Map<string, Publication>();
  const lines = createInterface({ input: child.stdout });
  let ready: () => void;
  living.set(child, new Promise((resolve) => ready = resolve));
  child.once("exit", () => ready());
  lines.on("line", (text) => {
    if (text === readyLine) return ready();
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

const makeDeeds = (): ReadonlyArray<Deed> => {
  const draw = chance("outbox");
  const killAt = new Set(
    Array.from({ length: kills }, (_, i) => Math.floor((i + 1) * events / (kills + 1))),
  );
  return Array.from({ length: events }, (_, n): Deed => {
    if (killAt.has(n)) return { n, dieAfterTurns: draw(8) };
    if (n % 50 === 7) return { n, poison: true };
    // Longer than the lock, which has to be renewed meanwhile.
    return n % (events / 4) === 3 ? { n, lastsMs: lockMs * 3 / 2 } : { n, lastsMs: draw(10) };
  });
};

/** Keeps so many workers at it until it is told to stop; then says how they ended. */
const employ = (place: Place, publications: Array<Publication>) => {
  const killings = scratchFolder("killings");
  let launched = 0;
  let killed = 0;
  let isOver = false;
  const ends: Array<unknown> = [];
  const one = async () => {
    while (!isOver) {
      const end = await runWorker({
        place,
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
  const all = Promise.all(Array.from({ length: workers }, one));
  return async () => {
    isOver = true;
    await Promise.all(living.values());
    // What Deno's `worker.kill` is told to send counts as how the worker ended.
    for (const { pid } of living.keys()) process.kill(pid!, "SIGTERM");
    await all;
    return { killed, ends };
  };
};

const assertOneAtATime = (publications: ReadonlyArray<Publication>): void => {
  const byEvent = new Map<string, Array<Publication>>();
  for (const publication of publications) {
    const each = byEvent.get(publication.event);
    if (each === undefined) byEvent.set(publication.event, [publication]);
    else each.push(publication);
  }
  for (const each of byEvent.values()) {
    for (const [i, { fromMs }] of each.entries()) {
      assert.ok(i === 0 || each[i - 1]!.untilMs <= fromMs, JSON.stringify(each));
    }
  }
};

/** Of a key, each is published for the first time only when those before it are done with. */
const assertInOrder = (publications: ReadonlyArray<Publication>): void => {
  const firsts = [...new Set(publications.map(({ n }) => n))];
  for (const rest of [0, 1, 2, 3]) {
    const ofKey = firsts.filter((n) => n % 5 === 0 && n % 4 === rest);
    assert.deepEqual(ofKey, ofKey.toSorted((a, b) => a - b));
  }
};

/** Adds an event, perhaps under a key, and gives its id. */
export type Add = (deed: Deed, options: { readonly key?: string }) => Promise<string>;

export const testOutboxFleet = async (place: Place, add: Add): Promise<void> => {
  const runtime = ManagedRuntime.make(layerStore(place));
  try {
    const store = await runtime.runPromise(OutboxStore);
    const deeds = makeDeeds();
    const publications: Array<Publication> = [];
    const dismiss = employ(place, publications);
    const added = new Map<string, Deed>();
    await Promise.all([0, 1, 2, 3].map(async (rest) => {
      for (const deed of deeds.filter(({ n }) => n % 4 === rest)) {
        added.set(await add(deed, deed.n % 5 === 0 ? { key: `key ${rest}` } : {}), deed);
      }
    }));
    await eventually("all events are sent or dead", async () => {
      const { pending, processing } = await runtime.runPromise(store.counts);
      return pending + processing === 0 || undefined;
    }, deadlineMs);
    const { killed, ends } = await dismiss();

    // Two of them may meet in one process.
    assert.ok(killed > kills / 2 && killed <= kills, `${killed}`);
    assert.deepEqual(ends, Array(workers).fill(0));
    assert.deepEqual(new Set(publications.map(({ event }) => event)), new Set(added.keys()));
    publications.sort((a, b) => a.fromMs - b.fromMs);
    assertOneAtATime(publications);
    assertInOrder(publications);
    const letters = await runtime.runPromise(store.deadLetters({ limit: events }));
    const poison = [...added].filter(([, deed]) => deed.poison).map(([id]) => id);
    assert.deepEqual(letters.map(({ id }) => id).sort(), poison.sort());
    for (const { failures, reason } of letters) {
      assert.deepEqual([failures, reason], [threshold, "it is poison"]);
    }
    const expected = added.size + poison.length * (threshold - 1);
    console.log(
      `${killed} workers killed; ${publications.length - expected} publications happened again`,
    );
  } finally {
    for (const worker of living.keys()) worker.kill("SIGKILL");
    await runtime.dispose();
  }
};
