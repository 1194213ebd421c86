/**
 * The outbox in a table of PostgreSQL, beside the data that its events tell of. An event is in the
 * state that its row says, and a row is changed by the one whose lock it carries; two events of one
 * key are never out at once. It publishes nothing and decides on no pause.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type { Timestamp } from "../../../schema/ids.ts";
import { EventLockLost } from "../../../schema/outbox_errors.ts";
import type {
  DeadLetter,
  EventType,
  IdempotencyToken,
  NewOutboxEvent,
  OrderingKey,
  OutboxEventId,
} from "../event.ts";
import { type Claim, OutboxStore } from "../store.ts";
import { execute, type Executor } from "./executor.ts";
import { isContended } from "./failure.ts";
import { insertInto } from "./insertion.ts";
import type { QuotedNames } from "./names.ts";
import { statements } from "./statements.ts";

/** What the columns hold is what the constraints of the table let in. */
interface ContentRow {
  readonly id: OutboxEventId;
  readonly idempotency_token: IdempotencyToken | null;
  readonly event_type: EventType;
  readonly ordering_key: OrderingKey | null;
  readonly payload: string;
  readonly created_at: string;
}

interface LockRow {
  readonly locked_until: string;
  readonly lock_number: string;
}

interface ClaimedRow extends ContentRow, LockRow {
  readonly failures: number;
  readonly sequence: string;
}

interface DeadRow extends ContentRow {
  readonly failures: number;
  readonly last_failure: string;
  readonly died_at: string;
}

interface IdRow {
  readonly id: string;
}

const moment = (text: string): Timestamp => Number(text) as Timestamp;

const contentOf = (row: ContentRow): NewOutboxEvent & { readonly createdAt: Timestamp } => ({
  id: row.id,
  ...(row.idempotency_token === null ? {} : { idempotencyToken: row.idempotency_token }),
  eventType: row.event_type,
  ...(row.ordering_key === null ? {} : { key: row.ordering_key }),
  payload: JSON.parse(row.payload),
  createdAt: moment(row.created_at),
});

const claimOf = (row: ClaimedRow, owner: string): Claim => ({
  event: { ...contentOf(row), lockedUntil: moment(row.locked_until), status: "processing" },
  owner,
  lock: Number(row.lock_number),
  failures: row.failures,
});

const deadLetterOf = (row: DeadRow): DeadLetter => ({
  ...contentOf(row),
  failures: row.failures,
  reason: row.last_failure,
  diedAt: moment(row.died_at),
});

const lost = ({ event, owner, lock }: Claim): EventLockLost =>
  new EventLockLost({ event: event.id, owner, lock });

/** For people to read; the database holds any text but this character. */
const legible = (text: string): string => text.replaceAll("\0", "\ufffd");

/** The longest that the database can reckon with from now, both ways: some three thousand years. */
const longestMs = 1e14;

const millisOf = (duration: Duration.Input): number =>
  Math.min(Duration.toMillis(duration), longestMs);

/** A statement that others' claims or marks undid is run again. */
const contended = Schedule.exponential("5 millis").pipe(Schedule.jittered);

export const make = (
  executor: Executor,
  names: QuotedNames,
  news: OutboxStore["Service"]["news"],
): OutboxStore["Service"] => {
  const sql = statements(names);
  const run = <Row>(operation: string, text: string, values: Array<unknown> = []) =>
    execute<Row>(executor, operation, text, values).pipe(
      Effect.retry({ while: isContended, schedule: contended, times: 10 }),
    );
  /** Makes a mark, which its lock must allow. */
  const mark = Effect.fnUntraced(function* <Row>(
    operation: string,
    text: string,
    claim: Claim,
    ...more: ReadonlyArray<unknown>
  ) {
    const [row] = yield* run<Row>(operation, text, [claim.event.id, claim.lock, ...more]);
    return row === undefined ? yield* lost(claim) : row;
  });
  const isThere = (rows: ReadonlyArray<unknown>): boolean => rows.length > 0;

  return OutboxStore.of({
    insert: insertInto(names)(executor),
    claim: Effect.fnUntraced(function* ({ owner, limit, lock }) {
      const values = [limit, legible(owner), millisOf(lock)];
      const rows = yield* run<ClaimedRow>("claiming events", sql.claim, values);
      return rows.toSorted((a, b) => Number(a.sequence) - Number(b.sequence))
        .map((row) => claimOf(row, owner));
    }),
    renew: Effect.fnUntraced(function* (claim, lock) {
      const row = yield* mark<LockRow>("renewing a lock", sql.renew, claim, millisOf(lock));
      return {
        ...claim,
        event: { ...claim.event, lockedUntil: moment(row.locked_until) },
        lock: Number(row.lock_number),
      };
    }),
    markSent: Effect.fnUntraced(function* (claims) {
      if (claims.length === 0) return [];
      const rows = yield* run<IdRow>("marking events as sent", sql.markSent, [
        claims.map(({ event }) => event.id),
        claims.map(({ lock }) => lock),
      ]);
      const marked = new Set(rows.map(({ id }) => id));
      return claims.filter(({ event }) => !marked.has(event.id)).map(lost);
    }),
    markFailed: (claim, { reason, retryAfter }) =>
      Effect.asVoid(
        mark("counting a failure", sql.markFailed, claim, legible(reason), millisOf(retryAfter)),
      ),
    release: (claim) => Effect.asVoid(mark("releasing an event", sql.release, claim)),
    deadLetter: (claim, reason) =>
      Effect.asVoid(mark("giving up an event", sql.deadLetter, claim, legible(reason))),
    deadLetters: ({ limit, after }) =>
      Effect.map(
        run<DeadRow>("listing dead letters", sql.deadLetters, [limit, after ?? null]),
        (rows) => rows.map(deadLetterOf),
      ),
    requeue: (id) => Effect.map(run("requeuing a dead letter", sql.requeue, [id]), isThere),
    deleteDeadLetter: (id) =>
      Effect.map(run("deleting a dead letter", sql.deleteDeadLetter, [id]), isThere),
    collectGarbage: ({ sentBefore, limit }) =>
      Effect.map(
        run("collecting garbage", sql.collectGarbage, [millisOf(sentBefore), limit]),
        (rows) => rows.length,
      ),
    counts: Effect.map(
      run<{ readonly status: string; readonly count: string }>("counting events", sql.counts),
      (rows) => {
        const count = (status: string) =>
          Number(rows.find((row) => row.status === status)?.count ?? 0);
        return {
          pending: count("pending"),
          processing: count("processing"),
          dead: count("dead"),
        };
      },
    ),
    news,
  });
};
