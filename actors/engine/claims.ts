/**
 * Claiming an execution for a message that was offered: by a lease if it is free, through its owner if
 * it is not, and not at all if it has ended. An owner that nobody can reach loses the lease; who is
 * only silent keeps it. What is done with a claim is the worker's business.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import type { InvalidInput, LeaseHeld } from "../../schema/errors.ts";
import { WorkerInstanceId } from "../../schema/ids.ts";
import { ClaimedRecord, type DoneRecord, journalRecord } from "../../schema/journal_record.ts";
import { type MailRecord, mailRecord } from "../../schema/mail_record.ts";
import { readMoment } from "../../streams/execution_records.ts";
import { nonceOfId } from "../../streams/fence.ts";
import type { HandOver } from "../../streams/hand_over.ts";
import type { AcquireOptions, Lease, Leases } from "../../streams/lease.ts";
import type { JournalError } from "../../streams/journal.ts";
import type { AppendError, Entry, Log, ReadError, RemoveError } from "../../streams/log.ts";
import { ackWaitMs, type Delivery } from "../../streams/mailbox.ts";
import { handOvers } from "../../streams/metrics.ts";
import { lastExpiry, removeLater } from "../../streams/retention.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import { type Address, executionFilter, kindOfSubject } from "../../streams/subjects.ts";
import { afterEnd, answerTo } from "../core/decide.ts";
import { takeUpToReplay } from "../core/take_up.ts";
import { lifeOf, readMailbox, removeForsaken } from "../janitor/forsaken.ts";
import { endedKey, speakingKey, tell } from "./follow_up.ts";
import { readAll, unread } from "./history.ts";
import type { Claimed } from "./ownership.ts";
import type { BudgetMeans } from "./operations.ts";
import type { Post } from "./post.ts";
import { readHistory } from "./snapshot.ts";

/** What becomes of a delivery for which nothing was claimed, and of others for the same execution. */
export interface Settlement {
  /** Settles one of them, unless it is to be looked at by itself. */
  readonly settle: (
    delivery: Delivery,
    lookAt: (delivery: Delivery) => void,
  ) => Effect.Effect<void>;
}

type MailOf<Kind extends MailRecord["kind"]> = Extract<MailRecord, { readonly kind: Kind }>;

/** The end of an execution, as somebody saw it who does not own it. */
interface SeenEnd {
  readonly done: Entry;
  readonly record: DoneRecord;
  /** Whether it is by whoever wrote the journal's last record, as far as there is one. */
  readonly isLastOwners: boolean;
  /** The last message of the mailbox as of then. */
  readonly seen: number;
}

export interface ClaimsOptions {
  readonly log: Log["Service"];
  readonly leases: Leases["Service"];
  readonly handOver: HandOver["Service"];
  readonly post: Post;
  readonly budgets: BudgetMeans;
  readonly clock: ServerClock["Service"];
  readonly acquire: AcquireOptions;
  /** A clock for intervals. */
  readonly monotonicMs: () => number;
}

export type ClaimError =
  | LeaseHeld
  | InvalidInput
  | AppendError
  | ReadError
  | RemoveError
  | JournalError;

/** Executions that are claimed at once, histories and all; more would keep renewals waiting. */
const claimsAtOnce = 64;

/** An owner that is not reachable is given this long, so that a broken connection costs no lease. */
const absenceMs = 2_000;
/** An absence that was noticed so long ago is another one. */
const forgottenMs = 10 * absenceMs;

export const askAgainMs = 1_000;

/** One message is settled; what came beside it is looked at by itself. */
const settledBy = (settled: Delivery, settle: () => void): Settlement => ({
  settle: (delivery, lookAt) =>
    Effect.sync(() => delivery === settled ? settle() : lookAt(delivery)),
});
/** All that follows from the message is durable. */
export const acked = (settled: Delivery): Settlement => settledBy(settled, settled.ack);
const handedOver = (given: Delivery): Settlement => settledBy(given, given.handedOver);
export const later = (afterMs: number): Settlement => ({
  settle: (delivery) => Effect.sync(() => delivery.retry(afterMs)),
});

export const executionKey = ({ shard, tail }: Pick<Address, "shard" | "tail">): string =>
  `${shard}.${tail}`;

/** What the mailbox message says that was offered, if that is known without another read. */
export const mailOf = (delivery: Delivery): Effect.Effect<MailRecord | undefined> =>
  delivery.spilled || delivery.route !== undefined ? Effect.undefined : Effect.map(
    Effect.option(mailRecord.decode(delivery.entry.body, delivery.entry)),
    Option.getOrUndefined,
  );

/** Under which claim a record was written; what has another id was written by hand. */
const nonceOf = ({ id = "" }: Entry): string => nonceOfId(id) ?? "";

/** Whether nobody else can have had it before, which makes it cheap. */
const isFirst = ({ offers }: Delivery, mail: MailRecord | undefined): boolean =>
  mail?.kind === "start" && offers === 1;

/** Whether nobody is likely to have had it before, but for those who were full and declined it. */
export const isForStart = ({ begins }: Delivery, mail: MailRecord | undefined): boolean =>
  begins || mail?.kind === "start";

export const makeClaims = (options: ClaimsOptions) => {
  const { log, leases, handOver, clock, acquire, monotonicMs } = options;
  const identity = acquire.worker;
  const absentSince = new Map<string, number>();

  const claim = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
  ): Effect.fn.Return<Claimed | Settlement, ClaimError> {
    const { address, entry } = delivery;
    if (!isForStart(delivery, mail)) return yield* claimKnown(delivery, mail);
    const lease = yield* leases.acquire(address, { ...acquire, fresh: true });
    if (lease.epoch > 1) {
      const start = mail?.kind === "start" ? entry.sequence : 0;
      return yield* readUnlessEnded(delivery, mail, lease, start);
    }
    // Until it is offered to another, nobody else can have run it, and have had it removed.
    if (isFirst(delivery, mail) && (yield* clock.now) < entry.at + ackWaitMs) {
      return { lease, history: yield* readAll(unread, [entry]), left: undefined };
    }
    return yield* readNew(delivery, mail, lease);
  });

  /**
   * Reads what nobody has claimed before, as far as can be known: the lease goes before the mailbox,
   * and that before the end, when an execution is removed.
   */
  const readNew = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
    lease: Lease,
  ): Effect.fn.Return<Claimed | Settlement, ClaimError> {
    const { address } = delivery;
    const { recorded, mailbox } = yield* Effect.all({
      recorded: log.lastSequences(address, ["done", "log"]),
      mailbox: readMailbox(log, address, delivery.mail),
    }).pipe(Effect.tapError(() => Effect.ignore(leases.release(lease))));
    const isNew = recorded.size === 0 && mailbox.life !== 0;
    if (isNew) {
      const history = yield* readAll(unread, mailbox.mail.map(({ entry }) => entry));
      return { lease, history, left: undefined };
    }
    yield* leases.release(lease);
    return yield* recorded.size > 0 ? claimKnown(delivery, mail) : forsaken(delivery);
  });

  /** Claims what others may have had before, unless it has ended. */
  const claimKnown = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
  ): Effect.fn.Return<Claimed | Settlement, ClaimError> {
    const { address } = delivery;
    const last = yield* log.lastOfEach(address, ["done", "log", "mail"]);
    const done = last.get("done");
    const recorded = last.get("log");
    const isEnded = done !== undefined && (recorded?.sequence ?? 0) < done.sequence;
    if (isEnded || (done ?? recorded) === undefined) {
      const life = yield* lifeOf(log, address, delivery.mail);
      if (life === 0) return yield* forsaken(delivery);
      // What has ended may be an earlier life of the same name, which is just being removed.
      if (isEnded && life < done.sequence) {
        const record = Option.getOrUndefined(
          yield* Effect.option(journalRecord.decode(done.body, done)),
        );
        if (record?.kind === "done") {
          const isLastOwners = recorded === undefined || nonceOf(recorded) === nonceOf(done);
          const seen = last.get("mail")?.sequence ?? 0;
          return yield* claimEnded(delivery, mail, { done, record, isLastOwners, seen });
        }
      }
    }
    const lease = yield* leases.acquire(address, acquire);
    return yield* readUnlessEnded(delivery, mail, lease, done?.sequence ?? 0);
  });

  /**
   * Its owner before may have ended it between the look and the claim, and have told nobody. From the
   * claim on he cannot; and no mark of ours may lie behind an end that counts.
   */
  const readUnlessEnded = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
    lease: Lease,
    knownEnd: number,
  ): Effect.fn.Return<Claimed | Settlement, ClaimError> {
    const { address } = delivery;
    const last = yield* log.lastSequences(address, ["done", "log"]).pipe(
      Effect.tapError(() => Effect.ignore(leases.release(lease))),
    );
    const end = last.get("done") ?? 0;
    if (end <= knownEnd || (last.get("log") ?? 0) > end) return yield* readUnder(address, lease);
    yield* leases.release(lease);
    return yield* claimKnown(delivery, mail);
  });

  /** Mail of an execution that is gone, or was never there. */
  const forsaken = Effect.fnUntraced(function* (delivery: Delivery) {
    const { address, offers, mail } = delivery;
    yield* removeForsaken(log, address);
    const isLeft = yield* Stream.runHead(
      log.read(executionFilter(address, "mail"), { after: mail - 1, upTo: mail }),
    );
    return Option.isNone(isLeft) ? acked(delivery) : later(askAgainMs * Math.min(offers, 60));
  });

  /** Only who is asked to run it again claims what has ended. */
  const claimEnded = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
    end: SeenEnd,
  ): Effect.fn.Return<Claimed | Settlement, ClaimError> {
    const { address } = delivery;
    const { done, record } = end;
    // It may have ended after it took that up.
    if (mail?.kind !== "retry" || record.mail >= delivery.mail) {
      const told = yield* answerForEnded(delivery, mail, end);
      return told === "unsure" ? later(askAgainMs) : tooLate(delivery, end, told);
    }
    yield* leases.conclude(address, nonceOf(done));
    const lease = yield* leases.acquire(address, acquire);
    // Before the history is read, which may be on its way out from then on.
    if (yield* isRetired(address, done.sequence, delivery.mail)) {
      yield* Effect.ignore(leases.release(lease));
      yield* removeForsaken(log, address);
      return acked(delivery);
    }
    return yield* readUnder(address, lease);
  });

  /** What came beside it is too late as well, if it was there by then; who asks is told how it ended. */
  const tooLate = (
    settled: Delivery,
    end: SeenEnd,
    told: "nobody" | "asker" | "all",
  ): Settlement => ({
    settle: Effect.fnUntraced(function* (delivery, lookAt) {
      if (delivery === settled) return delivery.ack();
      const mail = yield* mailOf(delivery);
      const isNew = delivery.mail > end.seen || (told !== "all" && delivery.offers > 1);
      const isOwn = mail === undefined || mail.kind === "start" || mail.kind === "retry";
      if (isNew || isOwn || (told === "nobody" && mail.kind === "join")) return lookAt(delivery);
      const isTold = told === "asker" && mail.kind === "join"
        ? yield* Effect.isSuccess(tellAsker(delivery, mail, end))
        : true;
      if (isTold) delivery.ack();
      else delivery.retry(askAgainMs);
    }),
  });

  /** Somebody who asked after the end learns what it was. */
  const tellAsker = (
    { execution, tenant }: Delivery,
    { parent }: MailOf<"join">,
    { record: { life, outcome } }: SeenEnd,
  ) => tell(options, { execution, tenant, life, key: endedKey }, [answerTo(parent, outcome)]);

  /** Whether the janitor was told of this end before it was asked for: only it may act then. */
  const isRetired = Effect.fnUntraced(function* (address: Address, end: number, asked: number) {
    const told = yield* lastExpiry(log, address);
    return told?.end === end && told.sequence < asked;
  });

  /** Claims anew what this worker had given up without being able to say so. */
  const reclaimOwn = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
    held: LeaseHeld,
  ): Effect.fn.Return<Claimed | Settlement, ClaimError> {
    if (held.owner !== identity) return yield* passOn(delivery, held.owner);
    const { address } = delivery;
    const current = yield* leases.current(address);
    const lease = yield* leases.acquire(address, {
      ...acquire,
      ...(Option.isSome(current) && current.value.record.workerInstanceId === identity
        ? { endedRevision: current.value.revision }
        : {}),
    });
    return yield* readUnlessEnded(delivery, mail, lease, 0);
  });

  /** Reads an execution whose lease was somebody's before; what is read holds our own mark. */
  const readUnder = Effect.fnUntraced(function* (
    address: Address,
    lease: Lease,
  ): Effect.fn.Return<Claimed, ClaimError> {
    const claimed = ClaimedRecord.make({
      worker: identity,
      epoch: lease.epoch,
      attempt: lease.attempt,
      reclaims: lease.reclaims,
    });
    const { sequence } = yield* log.append(address, {
      kind: "log",
      body: journalRecord.encode(claimed),
      guard: lease.fence,
    });
    const { history, left } = yield* readHistory(log, address, sequence).pipe(
      Effect.tapError(() => Effect.ignore(leases.release(lease))),
    );
    return { lease, history, left };
  });

  /**
   * Somebody who asks, or was not told, learns how an execution has ended. Says who was told, if that
   * is all: who has claimed it since must first see for himself, or be gone.
   */
  const answerForEnded = Effect.fnUntraced(function* (
    delivery: Delivery,
    mail: MailRecord | undefined,
    end: SeenEnd,
  ): Effect.fn.Return<"nobody" | "asker" | "all" | "unsure", ClaimError> {
    const isAsked = mail === undefined || mail.kind === "start" || mail.kind === "join";
    // What is offered again may have been its owner's, who died before all was told.
    if (!isAsked && delivery.offers === 1) return "nobody";
    const { execution, tenant, address } = delivery;
    const isConcluded = yield* leases.conclude(address, nonceOf(end.done));
    if (mail?.kind === "join" && delivery.offers === 1 && end.isLastOwners) {
      // Who asked before has been told before.
      yield* tellAsker(delivery, mail, end);
      return isConcluded ? "asker" : "unsure";
    }
    const entries = yield* readMoment(log, address);
    const state = takeUpToReplay((yield* readAll(unread, entries)).state);
    if (state.done === undefined) return isConcluded ? "nobody" : "unsure";
    const { outcome, keepUntil } = state.done.record;
    const as = { execution, tenant, life: state.life, key: speakingKey(state) };
    yield* tell(options, as, afterEnd(state, outcome));
    if (keepUntil !== undefined) {
      const end = entries.findLast(({ subject }) => kindOfSubject(subject) === "done")!.sequence;
      yield* removeLater(log, address, { life: state.life, end, at: keepUntil });
    }
    return isConcluded ? "all" : "unsure";
  });

  /** The owner of an execution gets its mail; if nobody is there, its lease is taken away. */
  const passOn = Effect.fnUntraced(function* (delivery: Delivery, owner: string) {
    const { address } = delivery;
    const key = executionKey(address);
    const verdict = yield* handOver.send(WorkerInstanceId.make(owner), delivery);
    yield* Metric.update(handOvers(verdict), 1);
    if (verdict === "taken") return handedOver(delivery);
    if (verdict !== "absent") return later(askAgainMs);
    const now = monotonicMs();
    for (const [key, since] of absentSince) if (now - since > forgottenMs) absentSince.delete(key);
    const since = absentSince.get(key) ?? now;
    absentSince.set(key, since);
    if (now - since < absenceMs) return later(absenceMs / 2);
    absentSince.delete(key);
    yield* leases.revoke(address, { by: "reconciler", reason: "its owner does not answer" }).pipe(
      Effect.catchTag("LeaseNotHeld", () => Effect.void),
    );
    return later(0);
  });

  const turns = Semaphore.makeUnsafe(claimsAtOnce);

  return {
    /** Claims an execution for a message, or says what becomes of the message. */
    claim: (delivery: Delivery, mail: MailRecord | undefined) => {
      const claimed = Effect.catchTag(
        claim(delivery, mail),
        "LeaseHeld",
        (held) => reclaimOwn(delivery, mail, held),
      );
      return isFirst(delivery, mail) ? claimed : Semaphore.withPermits(turns, 1)(claimed);
    },
    /** Passes a message on to the owner of its execution; none, if nobody owns it. */
    passOn: Effect.fnUntraced(function* (delivery: Delivery) {
      const lease = Option.getOrUndefined(yield* leases.current(delivery.address));
      if (lease?.held !== true) return undefined;
      return yield* passOn(delivery, lease.record.workerInstanceId);
    }),
  };
};
