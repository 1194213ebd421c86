/** Readers that are killed again and again while many write: together they have seen everything. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Pull from "effect/Pull";
import * as Queue from "effect/Queue";
import * as Result from "effect/Result";
import * as Stream from "effect/Stream";
import { StreamDisconnected } from "../../schema/errors.ts";
import * as Connection from "../../streams/connection.ts";
import * as Families from "../../streams/families.ts";
import * as Leases from "../../streams/lease.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { own, type Services } from "../conformance/families/scene.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { type Death, eventsFile, type FamilyReaderOptions } from "../fixtures/family_reader.ts";
import { leftovers, scratchFolder, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

/** With each number of shards. */
const kills = process.env["WEIR_TEST_FULL"] === "1" ? 200 : 6;
const writers = 16;
const perLife = 60;

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const script = fileURLToPath(new URL(`../fixtures/family_reader${extension}`, import.meta.url));

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((reader) => reader.kill("SIGKILL")));

/** Lets a reader live; tells how it ended. */
const live = (options: FamilyReaderOptions): Promise<NodeJS.Signals | number | null> => {
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

const open = (url: string, namespace: string, shards: number) =>
  ManagedRuntime.make(
    Families.layerJetStream.pipe(
      Layer.provideMerge(Leases.layer),
      Layer.provideMerge(Sessions.layer),
      Layer.provideMerge(layerJetStream({ namespace, shards })),
      Layer.provide(Connection.layer({ servers: url })),
    ),
  ) as ManagedRuntime.ManagedRuntime<Services, unknown>;

describe(`${writers} writers, and a reader that is killed ${kills} times`, () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  for (const shards of [1, 4]) {
    it(`4: it has seen everything that they wrote, with ${shards} shards, ${named}`, async () => {
      const namespace = `n${randomUUID().slice(0, 8)}`;
      const random = chance(`resume ${shards}`);
      const folder = scratchFolder("reader");
      const runtime = open(server.url, namespace, shards);
      const written: Array<string> = [];
      /** What may be written, so that they write while each reader lives. */
      const orders = Effect.runSync(Queue.unbounded<void, Cause.Done>());
      const writing = runtime.runPromise(Effect.forEach(
        Array.from({ length: writers }),
        () =>
          Queue.take(orders).pipe(
            Effect.flatMap(() => own()),
            Effect.tap(({ execution }) => Effect.sync(() => written.push(execution))),
            Effect.forever,
            Pull.catchDone(() => Effect.void),
          ),
        { concurrency: "unbounded", discard: true },
      ));
      const order = () => Effect.runSync(Queue.offerAll(orders, Array(perLife).fill(undefined)));
      const seen = () => readFileSync(eventsFile(folder), "utf8").trim().split("\n");

      /** What was seen last by those who died before they had written its cursor. */
      const unnoted: Array<string> = [];
      for (let life = 0; life < kills; life++) {
        order();
        const death: Death = random(2) === 0 ? "before the cursor" : "behind the cursor";
        const events = 1 + random(perLife);
        const end = await live({ url: server.url, namespace, shards, folder, events, death });
        assert.equal(end, "SIGKILL");
        if (death === "before the cursor") unnoted.push(seen().at(-1)!);
      }
      order();
      Effect.runSync(Queue.end(orders));
      await writing;
      assert.equal(await live({ url: server.url, namespace, shards, folder }), 0);

      assert.equal(written.length, (kills + 1) * perLife);
      // Nothing is missing, and nothing came twice but what the contract lets come again.
      assert.deepEqual(seen().sort(), [...written, ...unnoted].sort());
      await runtime.dispose();
    });
  }

  it(`4: so has one whose connection breaks as often, by the cursors that it ends with, ${named}`, async () => {
    const [namespace, shards] = ["broken", 4];
    const random = chance("broken");
    const witness = open(server.url, namespace, shards);
    const proxy = await startProxy(server.port);
    const reader = open(proxy.url, namespace, shards);
    const written: Array<string> = [];
    const seen: Array<string> = [];
    let after = "earliest";
    let isLast = false;
    for (let life = 0; life <= kills; life++) {
      isLast = life === kills;
      const writing = witness.runPromise(Effect.forEach(
        Array.from({ length: perLife }),
        () => Effect.map(own(), ({ execution }) => written.push(execution)),
        { concurrency: writers, discard: true },
      ));
      if (isLast) await writing;
      const cutAt = seen.length + 1 + random(perLife);
      const reading = Effect.flatMap(
        Families.Families,
        (families) =>
          families.read("leaseHistory", { after, ticks: "1 second" }).pipe(
            Stream.takeUntil(({ type }) => type === "tick" && isLast),
            Stream.runForEach((event) =>
              Effect.sync(() => {
                if (event.type === "tick") return;
                seen.push(event.executionId);
                if (seen.length === cutAt && !isLast) proxy.cut();
              })
            ),
          ),
      );
      const outcome = await reader.runPromise(Effect.result(reading));
      if (Result.isFailure(outcome)) {
        assert.ok(outcome.failure instanceof StreamDisconnected, String(outcome.failure));
        after = outcome.failure.cursor;
      }
      await writing;
    }
    assert.ok(isLast && written.length === (kills + 1) * perLife);
    assert.deepEqual(seen.sort(), written.sort());
    await reader.dispose();
    await witness.dispose();
    await proxy.stop();
  });

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
