/**
 * Whatever can run a statement of SQL: a client of a driver or of a query builder, or a transaction
 * of one. What a caller's transaction has not committed has not happened, the outbox's part as
 * little as its own. It opens and ends nothing.
 */
import * as Effect from "effect/Effect";
import type { DatabaseError } from "./failure.ts";
import { failure } from "./failure.ts";

/** As `pg` has it; others need a line each (docs/outbox.md). */
export interface Executor {
  query(
    text: string,
    values: Array<unknown>,
  ): PromiseLike<{ readonly rows: ReadonlyArray<unknown> } | ReadonlyArray<unknown>>;
}

/** Runs one statement. The rows are what the statement says that they are. */
export const execute = <Row>(
  executor: Executor,
  operation: string,
  text: string,
  values: Array<unknown> = [],
): Effect.Effect<ReadonlyArray<Row>, DatabaseError> =>
  Effect.tryPromise({
    try: async () => {
      const result = await executor.query(text, values);
      return ("rows" in result ? result.rows : result) as ReadonlyArray<Row>;
    },
    catch: failure(operation),
  });
