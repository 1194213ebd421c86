/**
 * The statements of the store, each a transaction by itself. Every mark names the lock that it is
 * made under, and changes nothing under another; all times are the database's. A statement never
 * waits for a lock of another's claim.
 */
import { millis } from "./insertion.ts";
import type { QuotedNames } from "./names.ts";

const waiting = "status in ('pending', 'processing')";

/** The statement's own time, which an index can be searched by. */
const now = "statement_timestamp()";

const fromNow = (parameter: string): string =>
  `${now} + ${parameter}::float8 * interval '1 millisecond'`;

/** Names one claim. */
const held = "id = $1::uuid and lock_number = $2::bigint and status = 'processing'";

const unlocked = "lock_owner = null";

export const statements = ({ table, channelText }: QuotedNames) => {
  const announcing = (change: string): string =>
    `with changed as (${change})
     select id::text as id, pg_notify(${channelText}, '')::text as announced from changed`;
  return {
    /**
     * Events of a key wait for the oldest of them that is neither sent nor dead, and for one that is
     * being published, should it have been added later by a transaction that was faster. The planner
     * keeps this subquery apart, and so asks once for each key and not for each event; and it reckons
     * that every second event meets the `case`, and so stops at the limit instead of sorting all.
     */
    claim: `
      with due as materialized (
        select event.id from ${table} as event
        left join lateral (
          select (
            select id from ${table} as older
            where older.ordering_key = event.ordering_key and older.${waiting}
            order by sequence limit 1
          ) as oldest, (
            select id from ${table} as other
            where other.ordering_key = event.ordering_key and other.status = 'processing'
          ) as published
          offset 0
        ) as key on true
        where event.${waiting} and due_at <= ${now} and case when ordering_key is null then true
          else event.id = coalesce(key.published, key.oldest) end
        order by due_at, sequence
        limit $1::bigint
        for update of event skip locked
      )
      update ${table} as event
      set status = 'processing', lock_number = lock_number + 1, lock_owner = $2::text,
        due_at = ${fromNow("$3")}
      from due where event.id = due.id
      returning event.id::text as id, idempotency_token, event_type, ordering_key,
        payload::text as payload, ${millis("created_at")} as created_at,
        ${millis("due_at")} as locked_until, lock_number::text as lock_number, failures, sequence`,
    renew: `
      update ${table} set lock_number = lock_number + 1, due_at = ${fromNow("$3")}
      where ${held}
      returning ${millis("due_at")} as locked_until, lock_number::text as lock_number`,
    markSent: `
      update ${table} as event set status = 'sent', sent_at = ${now}, ${unlocked}
      from unnest($1::uuid[], $2::bigint[]) as claim(id, lock_number)
      where event.id = claim.id and event.lock_number = claim.lock_number
        and status = 'processing'
      returning event.id::text as id`,
    markFailed: `
      update ${table} set status = 'pending', failures = failures + 1, last_failure = $3::text,
        due_at = ${fromNow("$4")}, ${unlocked}
      where ${held} returning id`,
    release: announcing(`
      update ${table} set status = 'pending', due_at = ${now}, ${unlocked}
      where ${held} returning id`),
    deadLetter: `
      update ${table} set status = 'dead', failures = failures + 1, last_failure = $3::text,
        died_at = ${now}, ${unlocked}
      where ${held} returning id`,
    deadLetters: `
      select id::text as id, idempotency_token, event_type, ordering_key,
        payload::text as payload, ${millis("created_at")} as created_at, failures,
        last_failure, ${millis("died_at")} as died_at
      from ${table}
      where status = 'dead' and (died_at, sequence) > (
        coalesce((select died_at from ${table} where id = $2::uuid), '-infinity'),
        coalesce((select sequence from ${table} where id = $2::uuid), 0)
      )
      order by died_at, sequence limit $1::bigint`,
    /** It takes its place behind what was added since, of which some may be out for publishing. */
    requeue: announcing(`
      update ${table} set status = 'pending', sequence = default, failures = 0,
        last_failure = null, died_at = null, due_at = ${now}
      where id = $1::uuid and status = 'dead' returning id`),
    deleteDeadLetter: `
      delete from ${table} where id = $1::uuid and status = 'dead' returning id`,
    collectGarbage: `
      delete from ${table} where id in (
        select id from ${table}
        where status = 'sent' and sent_at < ${now} - $1::float8 * interval '1 millisecond'
        order by sent_at limit $2::bigint
        for update skip locked
      ) returning id`,
    counts: `
      select status, count(*)::text as count from ${table}
      where status <> 'sent' group by status`,
  };
};
