/**
 * The table of the outbox and its indexes, as one statement that creates what is missing. It can be
 * run at every start, by many at once, and leaves what is there as it is. Each index serves one
 * question, and holds only the events that the question is about.
 */
import type { QuotedNames } from "./names.ts";

/**
 * - `due_at` says when an event may be claimed: at once, after the pause that follows a failure, or
 *   when the lock of whoever has it lapses.
 * - `lock_number` goes up with each claim and renewal; a mark names the one it is made under.
 * - A dead letter stays in its row, so that its token stays taken and nothing is copied.
 *
 * That two events of one key are not published at once is a constraint, for claims cannot see what
 * others are claiming.
 */
const createStatements = ({ table, index }: QuotedNames): ReadonlyArray<string> => [
  `create table if not exists ${table} (
  id uuid primary key,
  sequence bigint not null generated always as identity,
  idempotency_token text constraint ${index("token")} unique
    check (octet_length(idempotency_token) between 1 and 255),
  event_type text not null check (octet_length(event_type) between 1 and 200),
  ordering_key text check (octet_length(ordering_key) between 1 and 200),
  payload json not null,
  created_at timestamptz not null default clock_timestamp(),
  status text not null default 'pending'
    check (status in ('pending', 'processing', 'sent', 'dead')),
  due_at timestamptz not null default clock_timestamp(),
  lock_number bigint not null default 0,
  lock_owner text,
  failures integer not null default 0,
  last_failure text,
  sent_at timestamptz,
  died_at timestamptz
)`,
  `create index if not exists ${index("due")} on ${table} (due_at, sequence)
  where status in ('pending', 'processing')`,
  `create index if not exists ${index("order")} on ${table} (ordering_key, sequence)
  where ordering_key is not null and status in ('pending', 'processing')`,
  `create unique index if not exists ${index("turn")} on ${table} (ordering_key)
  where ordering_key is not null and status = 'processing'`,
  `create index if not exists ${index("sent")} on ${table} (sent_at) where status = 'sent'`,
  `create index if not exists ${index("dead")} on ${table} (died_at, sequence)
  where status = 'dead'`,
];

/** One statement, so that any client can run it, and all of it or none. */
export const migrationSql = (names: QuotedNames): string =>
  [
    "do $weir$",
    "begin",
    // `if not exists` alone fails when two begin at once.
    `perform pg_advisory_xact_lock(hashtextextended(${names.tableText}, 0));`,
    ...createStatements(names).map((statement) => `${statement};`),
    "end",
    "$weir$",
  ].join("\n");
