/**
 * The stores and transports that are compared, as a process is told of them, and when each event was
 * added and marked as sent, by the store's own clock.
 */
import { layerLog, Log } from "@weir/weir/effect";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import pg from "pg";
import { layer as layerConnection } from "../../streams/connection.ts";
import { layer as layerLogStore } from "../../streams/outbox/log_store.ts";
import { layer as layerPostgres } from "../../streams/outbox/postgres.ts";
import { outboxRecord } from "../../streams/outbox/record.ts";
import type { OutboxStore } from "../../streams/outbox/store.ts";
import { layerFunction, type OutboxTransport } from "../../streams/outbox/transport.ts";
import { layer as layerJetStream } from "../../streams/outbox/transport_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import { layer as layerServerClock } from "../../streams/server_clock.ts";
import { outboxFilter } from "../../streams/subjects.ts";
import type { Connection } from "../../tests/fixtures/postgres.ts";

export type Store =
  | {
    readonly kind: "log";
    readonly servers: string;
    readonly durability: Durability;
    readonly namespace: string;
  }
  | { readonly kind: "postgres"; readonly connection: Connection; readonly table: string };

/** A function that does nothing, or a stream on a server. */
export type Transport = { readonly kind: "function" } | {
  readonly kind: "JetStream";
  readonly servers: string;
};

/** What the stream has under it that the events are published to. */
export const target = "target";

const layerLogOf = ({ servers, durability, namespace }: Extract<Store, { kind: "log" }>) =>
  layerLog({ namespace }).pipe(Layer.provide(layerConnection({ servers, durability })));

export const layerStore = (store: Store): Layer.Layer<OutboxStore, unknown> =>
  store.kind === "postgres"
    ? layerPostgres({ connection: store.connection, table: store.table })
    : layerLogStore().pipe(
      Layer.provide(layerServerClock),
      Layer.provide(layerLogOf(store)),
    );

export const layerTransport = (transport: Transport): Layer.Layer<OutboxTransport, unknown> =>
  transport.kind === "function"
    ? layerFunction(() => {})
    : layerJetStream({ subject: target }).pipe(
      Layer.provide(layerConnection({ servers: transport.servers })),
    );

/** When an event was added and, if it was, marked as sent; in milliseconds. */
export interface Fate {
  readonly addedAt: number;
  readonly sentAt: number | undefined;
}

/** All events of a type. */
export const fatesOf = (store: Store, eventType: string): Promise<ReadonlyArray<Fate>> =>
  store.kind === "log" ? fatesInLog(store, eventType) : fatesInTable(store, eventType);

const fatesInLog = (store: Extract<Store, { kind: "log" }>, eventType: string) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const log = yield* Log;
      const fates = new Map<string, { readonly addedAt: number; sentAt: number | undefined }>();
      yield* Stream.runForEach(
        log.read(outboxFilter(log.layout, 0, "outbox")),
        (entry) =>
          Effect.map(outboxRecord.decode(entry.body, entry), (record) => {
            if (record.kind === "event" && record.eventType === eventType) {
              fates.set(entry.subject, { addedAt: entry.at, sentAt: undefined });
            }
            const fate = fates.get(entry.subject);
            if (record.kind === "sent" && fate !== undefined) fate.sentAt = entry.at;
          }),
      );
      return [...fates.values()];
    }).pipe(Effect.provide(layerLogOf(store))),
  );

const fatesInTable = async (
  { connection, table }: Extract<Store, { kind: "postgres" }>,
  eventType: string,
): Promise<ReadonlyArray<Fate>> => {
  const client = new pg.Client(connection);
  await client.connect();
  const { rows } = await client.query<{ added: string; sent: string | null }>(
    `select extract(epoch from created_at) * 1000 as added, extract(epoch from sent_at) * 1000 as sent
     from ${table} where event_type = $1`,
    [eventType],
  );
  await client.end();
  return rows.map(({ added, sent }) => ({
    addedAt: Number(added),
    sentAt: sent === null ? undefined : Number(sent),
  }));
};
