import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import { Log } from "../../streams/log.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { append, type Client, newExecution, openClient } from "../fixtures/log_client.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";

const namespace = "full";
const forMs = 6_000;

/** Stores ever smaller records until there is no room for the smallest. */
const fill = (client: Client, execution: Address) =>
  client.runPromise(Effect.forEach([65_536, 4_096, 64], (bytes) => {
    const message = { kind: "event", body: new Uint8Array(bytes) } as const;
    return append(execution, message).pipe(Effect.forever, Effect.flip);
  }));

// Attack 8.
it("what falls due while there is no space is done when space returns, and nobody has to ask", async () => {
  const server = await scratchServer({ durability: "bounded", maxStorageBytes: 4 * 1024 * 1024 });
  const client = openClient({ servers: server.url, durability: "bounded" }, { namespace });
  const scene = await openScene(server, {
    namespace,
    serve: { residentGrace: "100 millis", leaseTtl: "3 seconds" },
  });
  try {
    const { weir, actors: { sleeper } } = scene;
    const worker = await scene.launch("worker");
    const run = await weir.start(sleeper, { forMs }, { id: "sleeps" });
    const startedAt = Date.now();
    await eventually("it is in nobody's memory", async () => {
      const [found] = await weir.workers();
      return (await run.describe()).status === "suspended" &&
          found?.load?.resident === 0 || undefined;
    });
    const filler = await client.runPromise(newExecution);
    const errors = await fill(client, filler);
    assert.deepEqual(errors.map(({ _tag }) => _tag), ["NoSpace", "NoSpace", "NoSpace"]);
    // Longer than any session lasts, too.
    await pause(startedAt + forMs + 4_000 - Date.now());
    assert.equal((await run.describe()).status, "suspended");
    await client.runPromise(
      Effect.flatMap(
        Log,
        (log) => log.purge(executionFilter(filler), { upTo: Number.MAX_SAFE_INTEGER }),
      ),
    );
    assert.equal(await scene.inTime("the sleep", run.result(), 30_000), "awake");
    await worker.drain();
    await scene.noneIsStuck();
  } finally {
    await scene[Symbol.asyncDispose]();
    await client.dispose();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
