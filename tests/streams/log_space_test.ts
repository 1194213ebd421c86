import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { Connection } from "../../streams/connection.ts";
import { Log, type Message } from "../../streams/log.ts";
import type { Durability } from "../../streams/server.ts";
import { type Address, executionFilter, streamName } from "../../streams/subjects.ts";
import { append, type Client, message, newExecution, own, stored } from "../fixtures/log_client.ts";
import { openProxiedLog, type ProxiedLog } from "../fixtures/proxied_log.ts";
import { leftovers, scratchServer } from "../fixtures/server.ts";

const maxStorageBytes = 4 * 1024 * 1024;
const large = new Uint8Array(64 * 1024);

/** A server with room for a few dozen large records. */
const withLittleSpace = async (
  durability: Durability,
  test: (log: ProxiedLog) => Promise<void>,
): Promise<void> => {
  const server = await scratchServer({ durability, maxStorageBytes });
  const log = await openProxiedLog(server, durability);
  try {
    await test(log);
  } finally {
    await log.close();
    await server.stop();
  }
};

const filler: Message = { kind: "log", body: large };

/** Appends until there is no space, and gives the sequences that were acknowledged. */
const fill = (execution: Address) =>
  Effect.gen(function* () {
    const acknowledged: Array<number> = [];
    const error = yield* append(execution, filler).pipe(
      Effect.tap((sequence) => Effect.sync(() => acknowledged.push(sequence))),
      Effect.forever,
      Effect.flip,
    );
    assert.equal(error._tag, "NoSpace");
    return acknowledged;
  });

/** What an operator would do. */
const purge = (client: Client) =>
  client.runPromise(Effect.gen(function* () {
    const { manager } = yield* Connection;
    const { layout } = yield* Log;
    yield* Effect.promise(() => manager.streams.purge(streamName(layout, 0), { keep: 1 }));
  }));

describe("a server without space", () => {
  for (const durability of ["bounded", "power-safe"] as const) {
    it(`refuses every form of append, keeps what it has, and recovers (${durability})`, () =>
      withLittleSpace(durability, async ({ client, witness }) => {
        const executions = await witness.runPromise(Effect.replicateEffect(newExecution, 12));
        const [execution] = executions;
        const { fence } = await client.runPromise(own(execution!));
        const acknowledged = await client.runPromise(fill(execution!));
        assert.ok(acknowledged.length > 10);

        const forms: ReadonlyArray<ReadonlyArray<Message>> = [
          [message("log", fence)],
          [message("event", { after: 0 })],
          [message("log", fence), message("done", fence)],
        ];
        for (const messages of forms) {
          const error = await client.runPromise(Effect.flip(append(execution!, ...messages)));
          assert.equal(error._tag, "NoSpace");
        }
        const together = await client.runPromise(
          Effect.forEach(
            executions,
            (each) => Effect.flip(append(each, message("mail"))),
            { concurrency: "unbounded" },
          ),
        );
        assert.deepEqual([...new Set(together.map(({ _tag }) => _tag))], ["NoSpace"]);

        const there = await witness.runPromise(stored(executionFilter(execution!)));
        assert.deepEqual(there.map(({ sequence }) => sequence), acknowledged);

        await purge(witness);
        const sequence = await client.runPromise(append(execution!, message("log")));
        const [last] = await witness.runPromise(stored(executionFilter(execution!), sequence - 1));
        assert.equal(last?.sequence, sequence);
      }));
  }

  it("leaves in doubt what was in doubt before the space ran out", () =>
    withLittleSpace("bounded", async (log) => {
      const { client, witness } = log;
      const [execution, other] = await witness.runPromise(
        Effect.all([newExecution, newExecution]),
      );
      const outage = log.outage("answer");
      const write = client.runPromise(
        Effect.flip(append(execution, message("event"), message("event"))),
      );
      await outage;
      await witness.runPromise(fill(other));
      log.recovery();
      const error = await write;
      assert.ok(error._tag === "Unavailable");
      assert.equal(error.landed, "unknown");
      const there = await witness.runPromise(stored(executionFilter(execution)));
      assert.equal(there.length, 2);
    }));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
