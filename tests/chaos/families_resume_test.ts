/** Readers that die again and again while many write: together they have seen everything. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import * as Connection from "../../streams/connection.ts";
import * as Families from "../../streams/families.ts";
import * as Leases from "../../streams/lease.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { own, type Services } from "../conformance/families/scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const kills = process.env["WEIR_TEST_FULL"] === "1" ? 200 : 30;
const writers = 16;
const perLife = 60;
const total = kills * perLife;

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
      const witness = open(server.url, namespace, shards);
      const written: Array<string> = [];
      const writing = witness.runPromise(Effect.forEach(
        Array.from({ length: writers }),
        () =>
          Effect.gen(function* () {
            for (let i = 0; i < total / writers; i++) written.push((yield* own()).execution);
          }),
        { concurrency: "unbounded", discard: true },
      ));
      const seen: Array<string> = [];
      let cursor = "earliest";
      for (let life = 0; life <= kills; life++) {
        const proxy = await startProxy(server.port);
        const reader = open(proxy.url, namespace, shards);
        const isLast = life === kills;
        if (isLast) await writing;
        const dies = seen.length + 1 + random(perLife);
        // Dead between the event and the note of its cursor, or right behind both.
        const isNoted = random(2) === 0;
        await reader.runPromise(Effect.gen(function* () {
          const families = yield* Families.Families;
          const options = { after: cursor, ticks: "1 second" } as const;
          yield* families.read("leaseHistory", options).pipe(
            Stream.takeWhile(({ type }) => type !== "tick" || !isLast),
            Stream.runForEachWhile((event) =>
              Effect.sync(() => {
                if (event.type !== "tick") seen.push(event.executionId);
                if (isLast || seen.length < dies) {
                  cursor = event.cursor;
                  return true;
                }
                if (isNoted) cursor = event.cursor;
                proxy.cut();
                return false;
              })
            ),
          );
        }));
        proxy.isShut = true;
        proxy.cut();
        await proxy.stop();
        await reader.dispose();
      }
      assert.deepEqual([...new Set(seen)].sort(), written.sort());
      assert.ok(seen.length - written.length <= kills, `${seen.length - written.length} twice`);
      await witness.dispose();
    });
  }

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
