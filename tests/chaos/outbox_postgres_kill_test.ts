import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { postgresOutbox } from "../../outbox_postgres.ts";
import {
  type Deed,
  type OutboxWorkerOptions,
  publicationsSql,
} from "../fixtures/outbox_postgres_worker.ts";
import { scratchPostgres } from "../fixtures/postgres.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { eventually, leftovers } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const events = isFull ? 10_000 : 1_000;
const kills = isFull ? 40 : 8;
const fleet = 4;
const lockMs = 4_000;
const threshold = 3;
const deadlineMs = isFull ? 900_000 : 200_000;

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const script = fileURLToPath(
  new URL(`../fixtures/outbox_postgres_worker${extension}`, import.meta.url),
);

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((worker) => worker.kill("SIGKILL")));

/** Starts a worker; resolves with how it ended. */
const start = (options: OutboxWorkerOptions): Promise<NodeJS.Signals | number | null> => {
  const args = [...runtimeArguments, script, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  living.add(child);
  return new Promise((resolve) =>
    child.once("exit", (code, signal) => {
      living.delete(child);
      resolve(signal ?? code);
    })
  );
};

it(`${events} events, ${fleet} workers, ${kills} kills: each is published, by one at a time (${named})`, async () => {
  const server = await scratchPostgres();
  const { connection } = server;
  const clients = new pg.Pool({ ...connection, max: 8 });
  const draw = chance("outbox");
  const outbox = postgresOutbox({ strategy: { type: "provided" } });
  try {
    await outbox.migrate(clients);
    await clients.query(publicationsSql);

    const killAt = new Set(
      Array.from({ length: kills }, (_, i) => Math.floor((i + 1) * events / (kills + 1))),
    );
    const deeds = Array.from({ length: events }, (_, n): Deed => {
      if (killAt.has(n)) return { n, dieAfterTurns: draw(8) };
      if (n % 50 === 7) return { n, poison: true };
      // Longer than the lock, which has to be renewed meanwhile.
      return n % (events / 4) === 3 ? { n, lastsMs: lockMs * 3 / 2 } : { n, lastsMs: draw(10) };
    });
    const added = new Map<string, Deed>();
    /** Adds what is left; of each transaction all is there, or nothing. */
    const producer = async (key: string, mine: ReadonlyArray<Deed>) => {
      for (const deed of mine) {
        const client = await clients.connect();
        const options = deed.n % 5 === 0 ? { key } : {};
        const add = () => outbox.add(client, "deed", deed, `token ${deed.n}`, options);
        try {
          if (deed.n % 20 === 0) {
            await client.query("begin");
            await add();
            await client.query("rollback");
          }
          await client.query("begin");
          const event = await add();
          await assert.rejects(add(), { _tag: "DuplicateEvent" });
          await client.query("commit");
          added.set(event.id, deed);
        } finally {
          client.release();
        }
      }
    };

    let launched = 0;
    let killed = 0;
    let isOver = false;
    const ends: Array<unknown> = [];
    const employ = async () => {
      while (!isOver) {
        const end = await start({
          connection,
          identity: `worker ${launched++}`,
          concurrency: 20,
          lockTimeout: lockMs,
          publishTimeout: "1 minute",
          pollInterval: "500 millis",
          backoff: { first: "50 millis" },
          deadLetterThreshold: threshold,
        });
        if (end === "SIGKILL") killed++;
        else ends.push(end);
      }
    };
    const employed = Promise.all(Array.from({ length: fleet }, employ));
    const quarters = [0, 1, 2, 3].map((rest) => deeds.filter(({ n }) => n % 4 === rest));
    await Promise.all(quarters.map((mine, i) => producer(`key ${i}`, mine)));
    await eventually("all events are sent or dead", async () => {
      const { rows: [left] } = await clients.query(
        "select count(*)::integer as count from weir_outbox where status not in ('sent', 'dead')",
      );
      return left.count === 0 || undefined;
    }, deadlineMs);
    isOver = true;
    for (const worker of living) process.kill(worker.pid!, "SIGTERM");
    await employed;

    // Two of them may meet in one process.
    assert.ok(killed > kills / 2 && killed <= kills, `${killed}`);
    assert.deepEqual(ends, Array(fleet).fill(0));
    const { rows: publications } = await clients.query<
      { event: string; n: number; worker: string; alone: boolean }
    >("select event, n, worker, alone from publications order by sequence");
    assert.deepEqual(publications.filter(({ alone }) => !alone), []);
    assert.deepEqual(new Set(publications.map(({ event }) => event)), new Set(added.keys()));

    const { rows: dead } = await clients.query<
      { id: string; last_failure: string; failures: number }
    >(
      "select id, failures, last_failure from weir_outbox where status = 'dead'",
    );
    const poison = [...added].filter(([, deed]) => deed.poison).map(([id]) => id);
    assert.deepEqual(dead.map(({ id }) => id).sort(), poison.sort());
    for (const { failures, last_failure } of dead) {
      assert.equal(failures, threshold);
      assert.match(last_failure, /it is poison/);
    }

    // Of a key, each is published for the first time only when those before it are done with.
    const firsts = [...new Set(publications.map(({ n }) => n))];
    for (const rest of [0, 1, 2, 3]) {
      const ofKey = firsts.filter((n) => n % 5 === 0 && n % 4 === rest);
      assert.deepEqual(ofKey, ofKey.toSorted((a, b) => a - b));
    }
    console.log(
      `${killed} workers killed; ${
        publications.length - added.size - poison.length * (threshold - 1)
      } publications happened again`,
    );
  } finally {
    await clients.end();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
