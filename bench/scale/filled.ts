/**
 * A namespace on a server of its own that was filled before its only worker began. It takes part when
 * the index has all that is there, so that nothing is left to be done beside what is measured.
 */
import process from "node:process";
import { connect, type WorkerOptions } from "@weir/weir";
import * as Effect from "effect/Effect";
import * as Connection from "../../streams/connection.ts";
import type { ExecutionStatus } from "../../streams/execution_index/status.ts";
import { layer as layerNamespace, type NamespaceServices } from "../../streams/namespace.ts";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { all } from "../engine/actors.ts";
import type { Where } from "../engine/with_log.ts";
import { memory, processorTime } from "../engine/worker_process.ts";
import type { Contestant } from "./contest.ts";

const durability = "bounded";
const namespace = "filled";
const indexedWithinMs = 600_000;

export interface Filling {
  readonly name: string;
  readonly fill: Effect.Effect<void, unknown, NamespaceServices>;
  /** What was stored last, by its name within its actor. */
  readonly last: {
    readonly tenant: string;
    readonly status: ExecutionStatus;
    readonly name: string;
  };
  readonly worker?: WorkerOptions;
}

export interface Filled extends Contestant, Where {
  /** What all that was stored takes. */
  readonly diskBytes: number;
  readonly serverMiB: () => number;
  /** The time that the server had a processor so far, in seconds. */
  readonly serverTime: () => number;
}

export const openFilled = async ({ name, fill, last, worker }: Filling): Promise<Filled> => {
  const server = await scratchServer({ durability });
  const servers = server.url;
  const diskBytes = await Effect.runPromise(
    Effect.gen(function* () {
      yield* fill;
      const { manager } = yield* Connection.Connection;
      const info = yield* Effect.promise(() => manager.streams.info(`KV_${namespace}`));
      return info.state.bytes;
    }).pipe(Effect.provide(layerNamespace({ servers, namespace, durability }))),
  );
  const weir = await connect({ servers, durability, namespace });
  const working = await weir.worker(all, worker);
  const { tenant, status } = last;
  await eventually("all are in the index", async () => {
    const { executions: [newest] } = await weir.list({ tenant, limit: 1, status });
    return newest?.execution.endsWith(`/${last.name}`) || undefined;
  }, indexedWithinMs);
  return {
    name,
    weir,
    servers,
    namespace,
    processes: { ours: [process.pid], servers: [server.pid!] },
    diskBytes,
    serverMiB: () => memory(server.pid!),
    serverTime: () => processorTime(server.pid!),
    stop: async () => {
      await working.close();
      await weir.close();
      await server.stop();
    },
  };
};
