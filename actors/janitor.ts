/**
 * The janitor: it removes what has been kept long enough, when the server says so, and nothing else
 * ever is. Each removal ends with the message that asked for it, so that one which was interrupted is
 * completed by the next; each is bounded by that message's sequence, so that it takes nothing of a
 * later life. An execution that has run again since is left alone.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { journalRecord } from "../schema/journal_record.ts";
import { ExecutionIndex } from "../streams/execution_index.ts";
import { highest, noFloors, raiseFloors } from "../streams/floor.ts";
import { readMoment } from "../streams/execution_records.ts";
import { Leases } from "../streams/lease.ts";
import { Log } from "../streams/log.ts";
import { type Bell, type Due, Expiries, type Expiry } from "../streams/retention.ts";
import { StateStore } from "../streams/state_store.ts";
import { executionFilter } from "../streams/subjects.ts";
import { beforeTakingUp } from "./core/decide.ts";
import { takeUpToReplay } from "./core/take_up.ts";
import { readAll, unread } from "./engine/history.ts";
import { floorsOf, removeForsaken } from "./janitor/forsaken.ts";
import { type Found, makeRemoval, plainKinds } from "./janitor/removal.ts";

/** What is to become of an execution. */
type Verdict =
  /** This is its end, and it goes. */
  | "due"
  /** It has run again, or is gone. */
  | "over"
  /** Somebody may be about to run it again. */
  | "undecided";

interface Judged {
  readonly expiry: Expiry;
  readonly found: Found;
  readonly verdict: Verdict;
}

const removedAtOnce = 16;

/** Why something cannot be seen to. */
interface Told {
  readonly _tag: string;
  readonly message: string;
}

const isUnreadable = ({ _tag }: Told) =>
  _tag === "CorruptRecord" || _tag === "UnsupportedRecordVersion";

/** Sees to those who wait for a budget; says whether that could be done. */
export type AnswerBell = (bell: Bell) => Effect.Effect<boolean, Told>;

const make = Effect.fnUntraced(function* (answer: AnswerBell) {
  const log = yield* Log;
  const leases = yield* Leases;
  const expiries = yield* Expiries;
  const index = Option.getOrUndefined(yield* Effect.serviceOption(ExecutionIndex));
  const states = Option.getOrUndefined(yield* Effect.serviceOption(StateStore));
  const removal = makeRemoval(log);

  /** Whether a claim since the end may still be used. */
  const isClaimed = Effect.fnUntraced(function* ({ address, end }: Expiry) {
    const lease = Option.getOrUndefined(yield* leases.current(address));
    if (lease?.held !== true || lease.revision < end) return false;
    return lease.expiresAt > (yield* log.tail(address.shard)).at;
  });

  const hasRunAgain = Effect.fnUntraced(function* ({ address, end }: Expiry, last: number) {
    const entries = yield* log.readThrough(executionFilter(address, "log"), {
      after: end,
      through: last,
    });
    const records = yield* Effect.forEach(
      entries,
      (entry) => journalRecord.decode(entry.body, entry),
    );
    return records.some(({ kind }) => kind !== "claimed");
  });

  /** Whether it was asked for again before we were told, and whoever claims it will run it. */
  const isWanted = Effect.fnUntraced(
    function* ({ address, end, sequence }: Expiry, last: number) {
      const mail = yield* log.readThrough(executionFilter(address, "mail"), {
        after: end,
        through: last,
      });
      if (mail.length === 0 || mail[0]!.sequence > sequence) return false;
      const { state } = yield* readAll(unread, yield* readMoment(log, address));
      const next = takeUpToReplay(state);
      const [first] = next.inbox;
      return first !== undefined && first.sequence < sequence &&
        beforeTakingUp(next)?.kind === "replayed";
    },
    // Then nobody can run it again, and what is missing may have gone with an earlier attempt.
    Effect.catchTag("CorruptRecord", () => Effect.succeed(false)),
  );

  /**
   * Who asks for it behind the message that we were told by is refused by the server; an owner runs
   * nothing for such a request, and one that claimed before shows by its lease. So nothing changes
   * any more once this says that it is due.
   */
  const judge = Effect.fnUntraced(function* (expiry: Expiry) {
    const look = log.lastSequences(expiry.address, plainKinds);
    let found = yield* look;
    const judged = (verdict: Verdict): Judged => ({ expiry, found, verdict });
    const lastOfMail = found.get("mail") ?? 0;
    if (lastOfMail > expiry.end) {
      if (yield* isWanted(expiry, lastOfMail)) return judged("undecided");
      // What was wanted has been seen to by then, and shows.
      found = yield* look;
    }
    if (found.get("done") !== expiry.end) return judged("over");
    if (yield* isClaimed(expiry)) return judged("undecided");
    const lastOfLog = found.get("log") ?? 0;
    const isOver = lastOfLog > expiry.end && (yield* hasRunAgain(expiry, lastOfLog));
    return judged(isOver ? "over" : "due");
  });

  /** Whether the mailbox, which goes after the payloads, is still as it was in that life. */
  const hasMailbox = ({ address, sequence }: Expiry) =>
    log.first(address, "mail").pipe(
      Effect.map(Option.exists((first) => first.sequence <= sequence)),
      Effect.catchTag("CorruptRecord", () => Effect.succeed(true)),
    );

  /** Takes a lapsed claim from its owner, who may have been on the point of running it again. */
  const isTooLate = Effect.fnUntraced(function* (expiry: Expiry) {
    const { address, end } = expiry;
    yield* removal.removeLease(expiry);
    const last = (yield* log.lastSequences(address, ["log"])).get("log") ?? 0;
    return last > end && (yield* hasRunAgain(expiry, last));
  });

  /** Says whether the payloads are gone; those behind an end that lies in the mailbox no more are. */
  const removePayloads = (expiry: Expiry) =>
    Effect.flatMap(
      hasMailbox(expiry),
      (isThere) => isThere ? log.dropPayloads(expiry.address) : Effect.succeed(true),
    );

  /** Says whether everything is gone that is to go. */
  const remove = Effect.fnUntraced(function* ({ expiry, found }: Judged) {
    const { address, tenant, execution, life, end } = expiry;
    if ((found.get("lease") ?? 0) > end && (yield* isTooLate(expiry))) return true;
    const [isEmpty] = yield* Effect.all([
      removePayloads(expiry),
      removal.removeOthers(expiry, found),
      index === undefined ? Effect.void : index.forget(address, life),
      states === undefined ? Effect.void : states.deleteSnapshot(execution, tenant),
    ], { concurrency: "unbounded" });
    if (isEmpty) yield* removal.removeLast(expiry, found);
    return isEmpty;
  });

  const finish = Effect.fnUntraced(function* (judged: Judged) {
    const { expiry: { address, sequence }, found, verdict } = judged;
    if (verdict === "undecided") return false;
    if (verdict === "due" && !(yield* remove(judged))) return false;
    if (verdict === "due" || !found.has("done")) yield* removeForsaken(log, address);
    yield* log.remove(address.shard, sequence);
    return true;
  });

  /** Those that were told of; each comes again every second. */
  const unreadable = new Set<string>();
  /** What cannot be read keeps itself, and nothing else; who can read it may see to it. */
  const unlessUnreadable = <A, E extends Told>(
    what: string,
    seeTo: Effect.Effect<A, E>,
    otherwise: A,
  ) =>
    Effect.catchIf(seeTo, isUnreadable, ({ message }) => {
      const isNew = unreadable.size < unreadable.add(what).size;
      const warn = Effect.logWarning(`${what}: ${message}`);
      return Effect.as(Effect.when(warn, Effect.succeed(isNew)), otherwise);
    });

  const notRemoved = ({ execution, tenant }: Expiry) => `${execution} of ${tenant} is not removed`;

  const removeAll = Effect.fnUntraced(function* (due: ReadonlyArray<Expiry>) {
    const judged = yield* Effect.forEach(
      due,
      (expiry) =>
        unlessUnreadable(notRemoved(expiry), judge(expiry), {
          expiry,
          found: new Map(),
          verdict: "undecided",
        }),
      { concurrency: removedAtOnce },
    );
    const doomed = judged.filter(({ verdict }) => verdict === "due");
    if (doomed.length > 0) {
      const floors = doomed.reduce(
        (floors, { expiry, found }) => highest(floors, floorsOf(found, expiry.sequence)),
        noFloors,
      );
      yield* raiseFloors(log, doomed[0]!.expiry.address.shard, floors);
    }
    const isDone = yield* Effect.forEach(
      judged,
      (each) => unlessUnreadable(notRemoved(each.expiry), finish(each), false),
      { concurrency: removedAtOnce },
    );
    return due.filter((_, i) => !isDone[i]);
  });

  /** What fails is given back, and takes nothing else with it. */
  const postponed = <A>(seeTo: Effect.Effect<A, { readonly message: string }>, left: A) =>
    Effect.catch(
      seeTo,
      ({ message }) =>
        Effect.as(Effect.logWarning(`what is due cannot be seen to: ${message}`), left),
    );

  const answerAll = (due: ReadonlyArray<Bell>) =>
    Effect.filter(
      due,
      (bell) => {
        const left = Effect.map(answer(bell), (isDone) => !isDone);
        const what = `the budget ${bell.budget} of ${bell.tenant} is not seen to`;
        return postponed(unlessUnreadable(what, left, true), true);
      },
      { concurrency: "unbounded" },
    );

  const handle = (due: ReadonlyArray<Due>) => {
    const ends = due.filter((each) => each.kind === "retention");
    return Effect.map(
      Effect.all([
        postponed(removeAll(ends), ends),
        answerAll(due.filter((each) => each.kind === "bell")),
      ], { concurrency: 2 }),
      (left) => left.flat(),
    );
  };

  return expiries.serve(handle);
});

/** Sees to what is due, beside all others who do, until it is interrupted. */
export const serveJanitor = (
  answer: AnswerBell,
): Effect.Effect<never, never, Expiries | Leases | Log> => Effect.flatten(make(answer));
