/**
 * Being told how executions end: one subscription per shard, opened when somebody first waits, serves
 * all who wait in this process. Nothing is asked twice: what was there before is read once, and what
 * comes is pushed.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import { type DoneRecord, journalRecord } from "../../schema/journal_record.ts";
import type { Entry, Log, ReadError } from "../../streams/log.ts";
import { type Address, shardRoot, subjectOf } from "../../streams/subjects.ts";

/** How an execution has ended, and the sequence at which the log says so. */
export interface Completion {
  readonly record: DoneRecord;
  readonly sequence: number;
  readonly at: number;
}

type Waiter = (entry: Entry) => void;

/** Ends that came lately, so that whoever asks a little later need not read. */
const maxRecent = 8_192;

/** What is known of a shard by following it. */
interface Followed {
  /** Every end behind this sequence is among the recent ones. */
  since: number;
  /** The last end of each execution, by its subject, in the order in which they came. */
  readonly recent: Map<string, Entry>;
}

export const make = Effect.fnUntraced(function* (log: Log["Service"]) {
  const scope = yield* Effect.scope;
  const waiters = new Map<string, Set<Waiter>>();
  const followed = new Map<number, Followed>();
  const opening = yield* Semaphore.make(1);

  const remember = (followed: Followed, entry: Entry) => {
    const { recent } = followed;
    recent.delete(entry.subject);
    recent.set(entry.subject, entry);
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
      Stream.runForEach((entry) =>
        Effect.sync(() => {
          after = entry.sequence;
          remember(found, entry);
          for (const waiter of waiters.get(entry.subject) ?? []) waiter(entry);
        })
      ),
      // What came while nobody listened is behind `after`, so nothing is missed.
      Effect.retry(Schedule.spaced("100 millis")),
      Effect.forkIn(scope),
    );
    followed.set(shard, found);
    return found;
  });

  const read = (entry: Entry) =>
    journalRecord.decode(entry.body, entry).pipe(
      Effect.map((record): Completion | undefined =>
        record.kind === "done" ? { record, sequence: entry.sequence, at: entry.at } : undefined
      ),
    );

  /** How it has ended so far, if it has: a replay takes an end back. */
  const ended = Effect.fnUntraced(function* (address: Address, behind: number) {
    const last = yield* log.lastOfEach(address, ["done", "log"]);
    const done = last.get("done");
    if (done === undefined || done.sequence <= behind) return undefined;
    if ((last.get("log")?.sequence ?? 0) > done.sequence) return undefined;
    return yield* read(done);
  });

  /** Waits for the end of an execution behind a sequence, which is its start or a later request. */
  const wait = (address: Address, behind = 0): Effect.Effect<Completion, ReadError> =>
    Effect.scoped(Effect.gen(function* () {
      const subject = subjectOf(address, "done");
      const found = yield* Deferred.make<Completion, ReadError>();
      const context = yield* Effect.context<never>();
      const waiter: Waiter = (entry) => {
        if (entry.sequence <= behind) return;
        Effect.runForkWith(context)(
          Effect.flatMap(
            Effect.exit(read(entry)),
            (exit) =>
              Exit.isSuccess(exit) && exit.value === undefined
                ? Effect.void
                : Deferred.done(found, exit as Exit.Exit<Completion, ReadError>),
          ),
        );
      };
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const others = waiters.get(subject) ?? new Set();
          waiters.set(subject, others.add(waiter));
        }),
        () =>
          Effect.sync(() => {
            const others = waiters.get(subject);
            others?.delete(waiter);
            if (others?.size === 0) waiters.delete(subject);
          }),
      );
      const { since, recent } = followed.get(address.shard) ??
        (yield* Semaphore.withPermits(opening, 1)(follow(address.shard)));
      if (behind < since) {
        const before = yield* ended(address, behind);
        if (before !== undefined) return before;
      } else {
        const lately = recent.get(subject);
        if (lately !== undefined) waiter(lately);
      }
      return yield* Deferred.await(found);
    }));

  return { wait, ended };
});

export type Completions = Effect.Success<ReturnType<typeof make>>;
