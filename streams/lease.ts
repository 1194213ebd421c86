/**
 * Leases: who may write for an execution. A lease is a KV key whose records are its history; the
 * revision of the last one is the fence, so whoever moves the key on, by whatever verb, shuts the
 * former owner out of every subject of the execution at that very sequence. Expiry is judged by the
 * server's clock and only by whoever meets the lease; nothing here runs by itself.
 */
import { randomUUID } from "node:crypto";
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import {
  type AlreadyExists,
  InvalidInput,
  LeaseHeld,
  LeaseNotHeld,
  type SequenceConflict,
  type UnsupportedRecordVersion,
} from "../schema/errors.ts";
import { LeaseId, shown, type WorkerInstanceId } from "../schema/ids.ts";
import {
  expiresAt,
  isHeld,
  type LeaseRecord,
  leaseRecord,
  shortestLeaseMs,
} from "../schema/lease_record.ts";
import { Fence } from "./fence.ts";
import { type AppendError, type Entry, Log, type ReadError } from "./log.ts";
import { leaseRecords, skippedRecords } from "./metrics.ts";
import { Sessions } from "./session.ts";
import { type Address, executionFilter, subjectOf } from "./subjects.ts";

/** A claim on one execution, as its owner holds it. */
export interface Lease {
  readonly execution: Address;
  readonly leaseId: LeaseId;
  readonly worker: WorkerInstanceId;
  /** Counts the issuances of this execution's lease. */
  readonly epoch: number;
  readonly attempt: number;
  readonly ttlMs: number;
  /** How many reclaims in a row led to this claim, as long as it has made no progress. */
  readonly reclaims: number;
  /** Whether the owner before, if there was one, let go with nothing under way. */
  readonly atRest: boolean;
  readonly fence: Fence;
  /** The last record of this claim. */
  readonly record: LeaseRecord;
}

/** A lease as anyone may read it. */
export interface LeaseState {
  readonly record: LeaseRecord;
  readonly revision: number;
  readonly at: number;
  readonly expiresAt: number;
  readonly held: boolean;
}

export interface AcquireOptions {
  readonly worker: WorkerInstanceId;
  readonly ttl: Duration.Input;
  /** The attempt to go on with; left out, that of the last owner, or a new one after a reclaim. */
  readonly attempt?: number;
  /** Whether the worker keeps a session, whose end is the lease's end. */
  readonly session?: boolean;
  /** Whether it is likely the first claim: then that is tried without a look at what is there. */
  readonly fresh?: boolean;
  /**
   * The revision of a claim under which the execution was seen to end, which ends the claim although
   * its key does not say so.
   */
  readonly endedRevision?: number;
}

/** How many milliseconds a lease lasts, if the namespace has leases of that length. */
export const parseLeaseTtl = (
  ttl: Duration.Input,
  longestLeaseMs: number,
): Effect.Effect<number, InvalidInput> => {
  const duration = Duration.fromInput(ttl);
  // A record has whole ones.
  const ttlMs = Option.isSome(duration) ? Math.ceil(Duration.toMillis(duration.value)) : NaN;
  return ttlMs >= shortestLeaseMs && ttlMs <= longestLeaseMs ? Effect.succeed(ttlMs) : Effect.fail(
    new InvalidInput({
      what: "leaseTtl",
      value: shown(ttl),
      rule: `expected a duration from ${shortestLeaseMs / 1_000} second to the namespace's ` +
        `longest lease, ${longestLeaseMs} ms, which connect({ longestLease }) sets when it ` +
        `creates the namespace`,
    }),
  );
};

/** What became of a lease that was looked at. */
export type Verdict = "expired" | "held" | "unheld";

export class Leases extends Context.Service<Leases, {
  /** Claims an execution that nobody holds, expiring and reclaiming a lapsed lease on the way. */
  readonly acquire: (
    execution: Address,
    options: AcquireOptions,
  ) => Effect.Effect<Lease, LeaseHeld | InvalidInput | AppendError | ReadError>;
  /** Extends a claim; later appends under its fence expect the new revision. */
  readonly renew: (
    lease: Lease,
    options?: {
      /** Whether the owner has come further, so that reclaims are counted anew. */
      readonly progress?: boolean;
    },
  ) => Effect.Effect<Lease, AppendError>;
  /** Gives a claim up. */
  readonly release: (
    lease: Lease,
    options?: {
      /** Whether everything that was recorded has been done, so that the next need not look. */
      readonly atRest?: boolean;
    },
  ) => Effect.Effect<void, AppendError>;
  /**
   * Gives the claim of that nonce up in the name of its owner, under whom the execution was seen to
   * end, and lets a later one that is due expire; says whether nobody holds it any more.
   */
  readonly conclude: (
    execution: Address,
    nonce: string,
  ) => Effect.Effect<boolean, AppendError | ReadError>;
  /** Takes a claim from its owner. */
  readonly revoke: (
    execution: Address,
    options: { readonly by: "operator" | "reconciler" | "backend"; readonly reason?: string },
  ) => Effect.Effect<void, LeaseNotHeld | AppendError | ReadError>;
  /** Records that a lease has lapsed, or that its owner's session has ended; else changes nothing. */
  readonly expireIfDue: (execution: Address) => Effect.Effect<Verdict, AppendError | ReadError>;
  readonly current: (execution: Address) => Effect.Effect<Option.Option<LeaseState>, ReadError>;
}>()("@weir/weir/streams/Leases") {}

/** The last lease record that can be read, and the sequence that the next one must follow. */
interface Known {
  readonly state: LeaseState | undefined;
  readonly revision: number;
}

const reclaimsOf = ({ reclaims = 0 }: LeaseRecord): number => reclaims;

const isMoved = (error: { readonly _tag: string }): error is AlreadyExists | SequenceConflict =>
  error._tag === "AlreadyExists" || error._tag === "SequenceConflict";

const make = Effect.gen(function* () {
  const log = yield* Log;
  const sessions = yield* Sessions;
  const context = yield* Effect.context<never>();
  const count = ({ kind }: LeaseRecord) => leaseRecords(kind).updateUnsafe(1, context);

  const read = (entry: Entry): Effect.Effect<LeaseState | undefined, UnsupportedRecordVersion> =>
    entry.removed ? Effect.undefined : leaseRecord.decode(entry.body, entry).pipe(
      Effect.map((record) => ({
        record,
        revision: entry.sequence,
        at: entry.at,
        expiresAt: expiresAt(record, entry.at),
        held: isHeld(record),
      })),
      Effect.catchTag(
        "CorruptRecord",
        () => Effect.as(Metric.update(skippedRecords, 1), undefined),
      ),
    );

  /** A deleted or unreadable key still moves the revision on; what held before it is read instead. */
  const known = Effect.fnUntraced(function* (execution: Address) {
    const last = yield* log.last(execution, "lease");
    if (Option.isNone(last)) return { state: undefined, revision: 0 } satisfies Known;
    const revision = last.value.sequence;
    const state = yield* read(last.value);
    if (state !== undefined) return { state, revision } satisfies Known;
    const earlier = yield* log.read(executionFilter(execution, "lease")).pipe(
      Stream.mapEffect(read),
      Stream.filter((state) => state !== undefined),
      Stream.runLast,
    );
    return {
      state: Option.getOrUndefined(Option.map(earlier, (state) => ({ ...state, held: false }))),
      revision,
    } satisfies Known;
  });

  const write = (execution: Address, record: LeaseRecord, after: number) =>
    log.append(execution, {
      kind: "lease",
      body: leaseRecord.encode(record),
      guard: { after },
      onStored: () => count(record),
    });

  const isDue = Effect.fnUntraced(
    function* (execution: Address, { record, expiresAt }: LeaseState) {
      if (record.session === true && !(yield* sessions.isOpen(record.workerInstanceId))) {
        return "session-lost" as const;
      }
      const { at } = yield* log.tail(execution.shard);
      return at >= expiresAt ? "lapsed" as const : undefined;
    },
  );

  /** Writes `expired` on a held lease that is due; nothing if it is not. */
  const expire = Effect.fnUntraced(function* (execution: Address, state: LeaseState) {
    const reason = yield* isDue(execution, state);
    if (reason === undefined) return undefined;
    const record: LeaseRecord = { ...commonOf(state.record), kind: "expired", reason };
    const { sequence } = yield* write(execution, record, state.revision);
    return { state: { ...state, record, revision: sequence, held: false }, revision: sequence };
  });

  const claim = Effect.fnUntraced(
    function* (execution: Address, options: AcquireOptions, ttlMs: number, from: Known) {
      const previous = from.state?.record;
      const isEnded = previous?.kind === "released" || from.revision === options.endedRevision;
      const reclaims = previous === undefined || isEnded ? 0 : reclaimsOf(previous) + 1;
      const nonce = randomUUID();
      const fence = new Fence(subjectOf(execution, "lease"), nonce, 0);
      const common = {
        leaseId: LeaseId.make(randomUUID()),
        workerInstanceId: options.worker,
        epoch: (previous?.epoch ?? 0) + 1,
        attempt: options.attempt ??
          (previous === undefined ? 0 : previous.attempt + (reclaims > 0 ? 1 : 0)),
        ttlMs,
        nonce,
        ...(options.session === true ? { session: true } : {}),
      };
      const record: LeaseRecord = previous !== undefined && reclaims > 0
        ? {
          ...common,
          kind: "reclaimed",
          reclaims,
          previousLeaseId: previous.leaseId,
          previousOwner: previous.workerInstanceId,
        }
        : { ...common, kind: "acquired" };
      yield* log.append(execution, {
        kind: "lease",
        body: leaseRecord.encode(record),
        guard: { after: from.revision },
        id: fence.nextId(),
        onStored: (sequence) => {
          fence.advance(sequence);
          count(record);
        },
      });
      const { leaseId, workerInstanceId: worker, epoch, attempt } = common;
      const atRest = previous === undefined ||
        (previous.kind === "released" && previous.atRest === true);
      return { execution, leaseId, worker, epoch, attempt, ttlMs, reclaims, atRest, fence, record };
    },
  );

  const takeOver = Effect.fnUntraced(
    function* (execution: Address, options: AcquireOptions, ttlMs: number) {
      const found = yield* known(execution);
      if (found.state?.held !== true || found.revision === options.endedRevision) {
        return yield* claim(execution, options, ttlMs, found);
      }
      const expired = yield* expire(execution, found.state);
      if (expired !== undefined) return yield* claim(execution, options, ttlMs, expired);
      return yield* new LeaseHeld({
        execution: execution.label,
        owner: found.state.record.workerInstanceId,
        expiresAt: found.state.expiresAt,
      });
    },
  );

  const acquire = Effect.fnUntraced(
    function* (execution: Address, options: AcquireOptions) {
      const ttlMs = yield* parseLeaseTtl(options.ttl, log.longestLeaseMs);
      const afterLook = Effect.retry(takeOver(execution, options, ttlMs), { while: isMoved });
      return yield* options.fresh === true
        ? claim(execution, options, ttlMs, { state: undefined, revision: 0 }).pipe(
          Effect.catchIf(isMoved, () => afterLook),
        )
        : afterLook;
    },
  );

  const renew: Leases["Service"]["renew"] = Effect.fnUntraced(function* (lease, options) {
    const reclaims = options?.progress === true ? 0 : lease.reclaims;
    const record: LeaseRecord = { ...commonOf({ ...lease.record, reclaims }), kind: "renewed" };
    yield* log.append(lease.execution, {
      kind: "lease",
      body: leaseRecord.encode(record),
      guard: lease.fence,
      onStored: (sequence) => {
        lease.fence.advance(sequence);
        count(record);
      },
    });
    return { ...lease, reclaims, record };
  });

  const release: Leases["Service"]["release"] = (lease, options) => {
    const record: LeaseRecord = {
      ...commonOf(lease.record),
      kind: "released",
      ...(options?.atRest === true ? { atRest: true } : {}),
    };
    return Effect.asVoid(log.append(lease.execution, {
      kind: "lease",
      body: leaseRecord.encode(record),
      guard: lease.fence,
      onStored: () => {
        lease.fence.lose();
        count(record);
      },
    }));
  };

  const conclude: Leases["Service"]["conclude"] = Effect.fnUntraced(
    function* (execution, nonce) {
      const { state } = yield* known(execution);
      if (state?.held !== true) return true;
      if (state.record.nonce !== nonce) return (yield* expire(execution, state)) !== undefined;
      yield* write(execution, { ...commonOf(state.record), kind: "released" }, state.revision);
      return true;
    },
    Effect.retry({ while: isMoved }),
  );

  const revoke: Leases["Service"]["revoke"] = Effect.fn("Leases.revoke")(
    function* (execution, { by, reason }) {
      const { state } = yield* known(execution);
      if (state?.held !== true) return yield* new LeaseNotHeld({ execution: execution.label });
      const record: LeaseRecord = {
        ...commonOf(state.record),
        kind: "revoked",
        revokedBy: by,
        ...(reason === undefined ? {} : { reason }),
      };
      yield* write(execution, record, state.revision);
    },
    Effect.retry({ while: isMoved }),
  );

  const expireIfDue = Effect.fn("Leases.expireIfDue")(function* (execution: Address) {
    const { state } = yield* known(execution);
    if (state?.held !== true) {
      return state?.record.kind === "expired" ? "expired" as const : "unheld" as const;
    }
    return (yield* expire(execution, state)) === undefined ? "held" as const : "expired" as const;
  }, Effect.retry({ while: isMoved }));

  const current = (execution: Address) =>
    Effect.map(known(execution), ({ state }) => Option.fromUndefinedOr(state));

  return Leases.of({ acquire, renew, release, conclude, revoke, expireIfDue, current });
});

/** What every record of one claim repeats. */
const commonOf = (
  { leaseId, workerInstanceId, epoch, attempt, ttlMs, nonce, session, reclaims = 0 }: LeaseRecord,
) => ({
  leaseId,
  workerInstanceId,
  epoch,
  attempt,
  ttlMs,
  nonce,
  ...(session === true ? { session } : {}),
  ...(reclaims > 0 ? { reclaims } : {}),
});

/** Leases on a log. */
export const layer: Layer.Layer<Leases, never, Log | Sessions> = Layer.effect(Leases, make);
