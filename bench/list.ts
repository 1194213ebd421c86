/**
 * What a page of executions costs as their number grows: `deno run -A bench/list.ts [sizes…]`, by
 * default 1,000 and 100,000. It loads so many executions past Weir, lets the index catch up, prints a
 * table and writes the figures to `bench/results/`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { encodeCursor } from "../schema/cursor.ts";
import { ActorName } from "../schema/ids.ts";
import * as Connection from "../streams/connection.ts";
import * as ExecutionIndex from "../streams/execution_index.ts";
import type { ExecutionQuery } from "../streams/execution_index.ts";
import { Log } from "../streams/log.ts";
import { layerJetStream } from "../streams/log_jetstream.ts";
import { scratchServer } from "../tests/fixtures/server.ts";
import { summarise, type Summary } from "./statistics.ts";
import { small, storeExecutions, tenant } from "./stored_executions.ts";

const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1_000, 100_000];
const rounds = 200;
const limit = 50;
const say = (line: string) => console.error(line);

const queries: Readonly<Record<string, Omit<ExecutionQuery, "limit">>> = {
  "newest": { tenant },
  "completed": { tenant, status: "completed" },
  "failed (1 in 1,000)": { tenant, status: "failed" },
  "suspended (1 in 100)": { tenant, status: "suspended" },
  "cancelled (none)": { tenant, status: "cancelled" },
  "actor order, failed": { tenant, actor: ActorName.make("order"), status: "failed" },
  "actor audit (1 in 10,000)": { tenant, actor: ActorName.make("audit") },
  "actor audit, suspended (none)": {
    tenant,
    actor: ActorName.make("audit"),
    status: "suspended",
  },
  "tag team=risk, failed (none)": {
    tenant,
    tag: { name: "team", value: "risk" },
    status: "failed",
  },
  "tag team=search, actor order, suspended": {
    tenant,
    tag: { name: "team", value: "search" },
    actor: ActorName.make("order"),
    status: "suspended",
  },
  "tag batch=b-500 (one)": { tenant, tag: { name: "batch", value: "b-500" } },
  "another, small tenant": { tenant: small },
};

interface Measured {
  readonly size: number;
  readonly records: number;
  readonly projectSeconds: number;
  readonly indexBytes: number;
  readonly indexMessages: number;
  readonly pages: Readonly<
    Record<string, { readonly found: number; readonly milliseconds: Summary; readonly p95: number }>
  >;
}

const measure = (size: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const { manager } = yield* Connection.Connection;
    const index = yield* ExecutionIndex.ExecutionIndex;
    yield* storeExecutions(size);
    const { sequence: records } = yield* log.tail(0);
    say(`${size}: ${records} records loaded`);

    const begin = performance.now();
    const projector = yield* Effect.forkChild(index.project);
    const isIndexed = Effect.map(
      index.list({ tenant, limit: 1, status: "completed" }),
      ({ executions: [newest] }) => newest?.execution.endsWith(`/o-${size - 1}`),
    );
    while (!(yield* isIndexed)) yield* Effect.promise(() => sleep(50));
    const projectSeconds = (performance.now() - begin) / 1_000;
    say(`${size}: indexed in ${projectSeconds.toFixed(1)} s`);

    const middle = encodeCursor({
      incarnation: log.incarnation,
      shards: [{ sequence: records >> 1, at: 0 }],
    });
    const asked = { ...queries, "newest, from the middle": { tenant, from: middle } };
    const pages: Record<string, Measured["pages"][string]> = {};
    for (const [name, query] of Object.entries(asked)) {
      const times: Array<number> = [];
      let found = 0;
      for (let round = -20; round < rounds; round++) {
        const start = performance.now();
        found = (yield* index.list({ ...query, limit })).executions.length;
        if (round >= 0) times.push(performance.now() - start);
      }
      const sorted = [...times].sort((a, b) => a - b);
      const { median, low, high } = summarise(times);
      const p95 = sorted[Math.floor(sorted.length * 0.95)]!;
      pages[name] = { found, milliseconds: { median, low, high, rounds: [] }, p95 };
    }
    yield* Fiber.interrupt(projector);
    const { state } = yield* Effect.promise(() => manager.streams.info("bench-list"));
    const { bytes: indexBytes, messages: indexMessages } = state;
    return { size, records, projectSeconds, indexBytes, indexMessages, pages } satisfies Measured;
  });

const results: Array<Measured> = [];
for (const size of sizes) {
  const server = await scratchServer({ durability: "bounded" });
  const runtime = ManagedRuntime.make(
    ExecutionIndex.layerJetStream.pipe(
      Layer.provideMerge(layerJetStream({ namespace: "bench" })),
      Layer.provideMerge(Connection.layer({ servers: server.url })),
    ),
  );
  results.push(await runtime.runPromise(measure(size)));
  await runtime.dispose();
  await server.stop();
}

const row = (cells: ReadonlyArray<string>) => console.log(`| ${cells.join(" | ")} |`);
const figure = (value: number) => value.toFixed(value < 10 ? 2 : 1);
row([
  `a page of ${limit}, ms: median (95 %), found`,
  ...sizes.map((size) => size.toLocaleString("en")),
]);
row(["---", ...sizes.map(() => "---")]);
for (const name of Object.keys(results[0]!.pages)) {
  row([
    name,
    ...results.map(({ pages }) => {
      const { found, milliseconds, p95 } = pages[name]!;
      return `${figure(milliseconds.median)} (${figure(p95)}), ${found}`;
    }),
  ]);
}
row([
  "index, bytes per execution",
  ...results.map(({ indexBytes, size }) => figure(indexBytes / size)),
]);
row([
  "projector, records per second",
  ...results.map(({ records, projectSeconds }) => Math.round(records / projectSeconds).toString()),
]);

const folder = new URL("./results/", import.meta.url);
await mkdir(folder, { recursive: true });
const when = new Date().toISOString();
const machine = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  kernel: release(),
  runtime: process.versions,
};
const name = `list-${when.slice(0, 10)}.json`;
await writeFile(
  new URL(name, folder),
  JSON.stringify({ when, machine, rounds, limit, results }, null, 2) + "\n",
);
say(`written: bench/results/${name}`);
