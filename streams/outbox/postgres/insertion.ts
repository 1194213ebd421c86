/**
 * Adds events through whatever the caller has open: in a transaction, an event is there if and only
 * if the rest of the transaction is, and so is its token. A token that is taken adds nothing and
 * leaves the transaction as it was. It announces the event with the commit, once for each of them.
 */
import * as Effect from "effect/Effect";
import { Timestamp } from "../../../schema/ids.ts";
import { DuplicateEvent } from "../../../schema/outbox_errors.ts";
import type { NewOutboxEvent, OutboxEvent } from "../event.ts";
import { execute, type Executor } from "./executor.ts";
import type { DatabaseError } from "./failure.ts";
import type { QuotedNames } from "./names.ts";

/** A moment as whole milliseconds since 1970, which every driver reads alike. */
export const millis = (column: string): string =>
  `floor(extract(epoch from ${column}) * 1000)::bigint::text`;

/**
 * Each parameter is there once and in order, and all of them and all columns are text, so that every
 * driver and builder can carry them. Equal announcements of one transaction are sent as one.
 */
export const insertSql = ({ table, channelText }: QuotedNames): string =>
  `with added as (
  insert into ${table} (id, idempotency_token, event_type, ordering_key, payload)
  values ($1::text::uuid, $2::text, $3::text, $4::text, $5::text::json)
  on conflict do nothing
  returning created_at
)
select ${millis("created_at")} as created_at, pg_notify(${channelText}, '')::text as announced
from added`;

const createdSql = ({ table }: QuotedNames): string =>
  `select ${millis("created_at")} as created_at from ${table} where id = $1::text::uuid`;

interface Created {
  readonly created_at: string;
}

export type Insert = (
  event: NewOutboxEvent,
) => Effect.Effect<OutboxEvent, DuplicateEvent | DatabaseError>;

export const insertInto = (names: QuotedNames) => {
  const insert = insertSql(names);
  const created = createdSql(names);
  const operation = "adding an event";
  return (executor: Executor): Insert =>
    Effect.fnUntraced(function* (event) {
      const token = event.idempotencyToken;
      const added = yield* execute<Created>(executor, operation, insert, [
        event.id,
        token ?? null,
        event.eventType,
        event.key ?? null,
        JSON.stringify(event.payload),
      ]);
      // Nothing was added: it was before, by a call whose answer was lost, or its token is taken.
      const [row] = added.length > 0
        ? added
        : yield* execute<Created>(executor, operation, created, [event.id]);
      if (row === undefined) return yield* new DuplicateEvent({ token: token ?? event.id });
      return {
        ...event,
        createdAt: Timestamp.make(Number(row.created_at)),
        lockedUntil: Timestamp.make(0),
        status: "pending",
      };
    });
};
