/**
 * The outbox in PostgreSQL: events that are added in the caller's own transaction, and the store
 * from which workers publish them. It needs `pg` to be installed.
 *
 * @module
 */
import "./schema/effect_version.ts";
import * as Effect from "effect/Effect";
import { insertSql } from "./streams/outbox/postgres/insertion.ts";
import { migrationSql } from "./streams/outbox/postgres/migration.ts";
import { quoteNames } from "./streams/outbox/postgres/names.ts";
import type { OutboxEvent } from "./streams/outbox/event.ts";
import {
  type Executor,
  migrate,
  type PostgresNames,
  producerWithin,
} from "./streams/outbox/postgres.ts";
import type { AddOptions, ProducerOptions } from "./streams/outbox/service.ts";

export { layer as layerPostgres, migrate, producerWithin } from "./streams/outbox/postgres.ts";
export type {
  DatabaseError,
  Executor,
  PostgresConnection,
  PostgresNames,
  PostgresStoreOptions,
  ProducerWithin,
} from "./streams/outbox/postgres.ts";

export interface PostgresOutbox {
  /**
   * Adds an event within a transaction: it is published once that is committed, and never
   * otherwise. Rejects with `DuplicateEvent` if its token is taken; the transaction goes on.
   */
  readonly add: (
    transaction: Executor,
    eventType: string,
    payload: unknown,
    token?: string,
    options?: AddOptions,
  ) => Promise<OutboxEvent>;
  /** Creates the table and its indexes, or what is missing of them. */
  readonly migrate: (executor: Executor) => Promise<void>;
  /** What `migrate` runs, for tools that keep migrations. */
  readonly migrationSql: string;
  /** What `add` runs, for services in other languages: id, token, type, key and payload, as text. */
  readonly insertSql: string;
}

/** The producer's side, without a connection of its own. */
export const postgresOutbox = (
  options: ProducerOptions & PostgresNames = {},
): PostgresOutbox => {
  const names = Effect.runSync(quoteNames(options));
  const within = Effect.runSync(producerWithin(options));
  return {
    add: (transaction, eventType, payload, token, addOptions) =>
      Effect.runPromise(within(transaction).add(eventType, payload, token, addOptions)),
    migrate: (executor) => Effect.runPromise(migrate(executor, options)),
    migrationSql: migrationSql(names),
    insertSql: insertSql(names),
  };
};
