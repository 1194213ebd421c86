/** The same beside so many executions that have ended, each on a server of its own. */
import process from "node:process";
import { connect } from "@weir/weir";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { all } from "../engine/actors.ts";
import { memory } from "../engine/worker_process.ts";
import { say } from "../report.ts";
import { storeExecutions, tenant } from "../stored_executions.ts";
import { type Contestant, type Seen, takeTurns, type Window } from "./contest.ts";

const durability = "bounded";
const namespace = "stored";
const indexedWithinMs = 600_000;

export interface Stored {
  readonly count: number;
  /** Of the server, before anything was measured. */
  readonly serverMiB: number;
  readonly diskBytes: number;
}

const nameOf = (count: number): string => `beside ${count.toLocaleString("en")}`;

export const measureStored = async (
  counts: ReadonlyArray<number>,
  window: Window,
): Promise<{ readonly seen: ReadonlyArray<Seen>; readonly stored: ReadonlyArray<Stored> }> => {
  const contestants: Array<Contestant> = [];
  const stored: Array<Stored> = [];
  for (const count of counts) {
    const server = await scratchServer({ durability });
    const log = layerJetStream({ namespace }).pipe(
      Layer.provideMerge(Connection.layer({ servers: server.url })),
    );
    const diskBytes = await Effect.runPromise(
      Effect.gen(function* () {
        yield* storeExecutions(count);
        const { manager } = yield* Connection.Connection;
        const info = yield* Effect.promise(() => manager.streams.info(`KV_${namespace}`));
        return info.state.bytes;
      }).pipe(Effect.provide(log)),
    );
    const weir = await connect({ servers: server.url, durability, namespace });
    const worker = await weir.worker(all);
    await eventually("all are in the index", async () => {
      const { executions: [newest] } = await weir.list({ tenant, limit: 1, status: "completed" });
      return newest?.execution.endsWith(`/o-${count - 1}`) || undefined;
    }, indexedWithinMs);
    stored.push({ count, serverMiB: memory(server.pid!), diskBytes });
    say(`${count} are stored`);
    contestants.push({
      name: nameOf(count),
      weir,
      processes: { ours: [process.pid], servers: [server.pid!] },
      stop: async () => {
        await worker.close();
        await weir.close();
        await server.stop();
      },
    });
  }
  const seen = await takeTurns(contestants, [1, 64], window);
  for (const { stop } of contestants) await stop();
  return { seen, stored };
};
