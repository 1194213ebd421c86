/**
 * What the engines store in, one server for each of them, and how much was asked of it, as the server
 * itself has counted.
 */
import * as Effect from "effect/Effect";
import pg from "pg";
import * as ports from "../../streams/server/port.ts";
import type { Durability } from "../../streams/server.ts";
import { scratchPostgres } from "../../tests/fixtures/postgres.ts";
import { scratchServer } from "../../tests/fixtures/server.ts";
import type { Engine } from "./engines.ts";

/** Counted from the start of a server. */
export interface Operations {
  /** Messages that clients sent to NATS, or statements that PostgreSQL has executed. */
  readonly requests: number;
  /** Messages that were stored, or rows that were written. */
  readonly records: number;
}

export interface Storage {
  readonly engine: Engine;
  readonly operations: () => Promise<Operations>;
  readonly stop: () => Promise<void>;
}

interface StoredStreams {
  readonly account_details?: ReadonlyArray<{
    readonly stream_detail?: ReadonlyArray<{ readonly state: { readonly last_seq: number } }>;
  }>;
}

export const startNats = async (durability: Durability): Promise<Storage> => {
  const monitor = await Effect.runPromise(ports.free());
  const server = await scratchServer({
    durability,
    settings: { http: `127.0.0.1:${monitor}` },
  });
  const read = async <A>(path: string): Promise<A> =>
    await (await fetch(`http://127.0.0.1:${monitor}/${path}`)).json();
  return {
    engine: { kind: "weir", servers: server.url, durability },
    operations: async () => {
      const { in_msgs } = await read<{ readonly in_msgs: number }>("varz");
      const { account_details = [] } = await read<StoredStreams>("jsz?streams=true");
      const streams = account_details.flatMap(({ stream_detail = [] }) => stream_detail);
      return {
        requests: in_msgs,
        records: streams.reduce((sum, { state }) => sum + state.last_seq, 0),
      };
    },
    stop: server.stop,
  };
};

const counted = `
  select coalesce(sum(calls), 0) as requests,
    coalesce(sum(rows) filter (where query ~* '^\\s*(insert|update|delete|with)'), 0) as records
  from pg_stat_statements
  where toplevel and query !~ 'pg_stat_statements'`;

/** With the memory that PostgreSQL has by default, and forced to disk unless `settings` say no. */
export const startPostgres = async (
  settings: Readonly<Record<string, string>>,
): Promise<Storage> => {
  const server = await scratchPostgres({
    fsync: "on",
    shared_buffers: "128MB",
    shared_preload_libraries: "pg_stat_statements",
    ...settings,
  });
  const counter = new pg.Client(server.connection);
  await counter.connect();
  await counter.query("create extension pg_stat_statements");
  const port = await Effect.runPromise(ports.free());
  return {
    engine: { kind: "cluster", connection: server.connection, port },
    operations: async () => {
      const { rows: [found] } = await counter.query<Record<keyof Operations, string>>(counted);
      return { requests: Number(found!.requests), records: Number(found!.records) };
    },
    stop: async () => {
      await counter.end();
      await server.stop();
    },
  };
};
