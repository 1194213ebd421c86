/**
 * Being told how executions end: one subscription per shard, opened when somebody first waits, serves
 * all who wait in this process. Nothing is asked twice: what was there before is read once, and what
 * comes is pushed.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import { type DoneRecord, journalRecord } from "../../schema/journal_record.ts";
import type { Entry, Log, ReadError } from "../../streams/log.ts";
import { type Address, type Kind, shardRoot, subjectOf } from "../../streams/subjects.ts";

/** How an execution has ended, and the sequence at which the log says so. */
export interface Completion {
  readonly record: DoneRecord;
  readonly sequence: number;
  readonly at: number;
}

/** A record that says how an execution has ended. */
type End = Pick<Entry, "subject" | "sequence" | "at" | "body">;

type Waiter = (end: End) => void;

/** A body is a view of all that was read with it, which must not stay for its sake. */
const alone = ({ subject, sequence, at, body }: Entry): End => ({
  subject,
  sequence,
  at,
  body: body.slice(),
});

/** Ends that came lately, so that whoever asks a little later need not read. */
const maxRecent = 8_192;

/** What is known of a shard by following it. */
interface Followed {
  /** Every end behind this sequence is among the recent ones. */
  since: number;
  /** The last end of each execution, by its subject, in the order in which they came. */
  readonly recent: Map<string, End>;
}

export const make = Effect.fnUntraced(function* (log: Log["Service"]) {
  const scope = yield* Effect.scope;
  const waiters = new Map<string, Set<Waiter>>();
  const followed = new Map<number, Followed>();
  const opening = yield* Semaphore.make(1);

  const remember = (followed: Followed, end: End) => {
    const { recent } = followed;
    recent.delete(end.subject);
    recent.set(end.subject, end);
    if (recent.size <= maxRecent) return;
    const [subject, oldest] = recent.entries().next().value!;
    recent.delete(subject);
    followed.since = oldest.sequence;
  };

  /** Follows a shard from its present end on, for as long as this lives. */
  const follow = Effect.fnUntraced(function* (shard: number) {
    const known = followed.get(shard);
    if (known !== undefined) return known;
    let { sequence: after } = yield* log.tail(shard);
    const found: Followed = { since: after, recent: new Map() };
    const filter = { shard, subject: `${shardRoot(log.layout, shard)}.done.>` };
    yield* Stream.suspend(() => log.follow(filter, { after })).pipe(
      Stream.runForEachArray((entries) =>
        Effect.sync(() => {
          for (const entry of entries) {
            after = entry.sequence;
            const end = alone(entry);
            remember(found, end);
            for (const waiter of waiters.get(end.subject) ?? []) waiter(end);
          }
        })
      ),
      // What came while nobody listened is behind `after`, so nothing is missed.
      Effect.retry(Schedule.spaced("100 millis")),
      Effect.forkIn(scope),
    );
    followed.set(shard, found);
    return found;
  });

  const read = (entry: End) =>
    journalRecord.decode(entry.body, entry).pipe(
      Effect.map((record): Completion | undefined =>
        record.kind === "done" ? { record, sequence: entry.sequence, at: entry.at } : undefined
      ),
    );

  /** How it has ended behind a sequence, by the last records of both kinds: a replay takes an end back. */
  const endAmong = (last: ReadonlyMap<Kind, Entry>, behind: number) => {
    const done = last.get("done");
    return done === undefined || done.sequence <= behind ||
        (last.get("log")?.sequence ?? 0) > done.sequence
      ? Effect.undefined
      : read(done);
  };

  const ended = (address: Address, behind: number) =>
    Effect.flatMap(log.lastOfEach(address, ["done", "log"]), (last) => endAmong(last, behind));

  /** The next end under a subject behind a sequence, or one that came lately. */
  const heard = (subject: string, behind: number, recent: ReadonlyMap<string, End>) =>
    Effect.callback<End>((resume) => {
      const lately = recent.get(subject);
      if (lately !== undefined && lately.sequence > behind) return resume(Effect.succeed(lately));
      const waiting = waiters.get(subject) ?? new Set();
      const forget = () => {
        if (waiting.delete(waiter) && waiting.size === 0) waiters.delete(subject);
      };
      const waiter: Waiter = (entry) => {
        if (entry.sequence <= behind) return;
        forget();
        resume(Effect.succeed(entry));
      };
      waiters.set(subject, waiting.add(waiter));
      return Effect.sync(forget);
    });

  /** Waits for the end of an execution behind a sequence, which is its start or a later request. */
  const wait = Effect.fnUntraced(function* (
    address: Address,
    behind = 0,
  ): Effect.fn.Return<Completion, ReadError> {
    const subject = subjectOf(address, "done");
    let after = behind;
    for (;;) {
      const shard = followed.get(address.shard) ??
        (yield* Semaphore.withPermits(opening, 1)(follow(address.shard)));
      const { since } = shard;
      if (after < since) {
        const before = yield* ended(address, after);
        if (before !== undefined) return before;
        // An end that came meanwhile may be forgotten again already.
        if (shard.since !== since) continue;
      }
      const entry = yield* heard(subject, after, shard.recent);
      const completion = yield* read(entry);
      if (completion !== undefined) return completion;
      after = entry.sequence;
    }
  });

  return { wait, ended, endAmong };
});

export type Completions = Effect.Success<ReturnType<typeof make>>;
