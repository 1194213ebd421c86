/**
 * The outbox of services whose data lies in PostgreSQL: an event is added in the transaction that
 * changes the data, so that there is never one without the other. Workers claim events from the same
 * database. It publishes nothing.
 */
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type { InvalidInput } from "../../schema/errors.ts";
import { listen, pool, type PostgresConnection } from "./postgres/connection.ts";
import { execute, type Executor } from "./postgres/executor.ts";
import type { DatabaseError } from "./postgres/failure.ts";
import { insertInto } from "./postgres/insertion.ts";
import { migrationSql } from "./postgres/migration.ts";
import { type PostgresNames, type QuotedNames, quoteNames } from "./postgres/names.ts";
import { make } from "./postgres/store.ts";
import { type OutboxService, prepare, type ProducerOptions } from "./service.ts";
import { OutboxStore } from "./store.ts";

export type { DatabaseError, Executor, PostgresConnection, PostgresNames };

export interface PostgresStoreOptions extends PostgresNames {
  readonly connection?: PostgresConnection;
  /** Whether the table is created if it is missing. Default true. */
  readonly migrate?: boolean;
}

const migrateAs = (executor: Executor, names: QuotedNames): Effect.Effect<void, DatabaseError> =>
  Effect.asVoid(execute(executor, "creating the table of the outbox", migrationSql(names)));

/** Creates the table and its indexes, or what is missing of them. */
export const migrate = Effect.fn("PostgresOutbox.migrate")(function* (
  executor: Executor,
  names: PostgresNames = {},
): Effect.fn.Return<void, InvalidInput | DatabaseError> {
  yield* migrateAs(executor, yield* quoteNames(names));
});

/** The producer of whoever has a transaction open. */
export type ProducerWithin = (executor: Executor) => OutboxService["Service"];

/** A producer whose events are there if and only if the transaction is that it adds them in. */
export const producerWithin = Effect.fnUntraced(function* (
  options: ProducerOptions & PostgresNames = {},
): Effect.fn.Return<ProducerWithin, InvalidInput> {
  const within = insertInto(yield* quoteNames(options));
  return (executor) => ({
    add: Effect.fn("PostgresOutbox.add")(function* (eventType, payload, token, addOptions) {
      const event = yield* prepare(options, eventType, payload, token, addOptions);
      return yield* within(executor)(event);
    }),
  });
});

/** The store for workers, with connections of its own. */
export const layer = (
  options: PostgresStoreOptions = {},
): Layer.Layer<OutboxStore, InvalidInput | DatabaseError> =>
  Layer.effect(
    OutboxStore,
    Effect.gen(function* () {
      const { connection = {} } = options;
      const names = yield* quoteNames(options);
      const executor = yield* pool(connection);
      if (options.migrate ?? true) yield* migrateAs(executor, names);
      return make(executor, names, listen(connection, names));
    }),
  );
