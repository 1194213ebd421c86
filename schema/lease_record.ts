/**
 * What a lease key holds: who owned an execution, by which verb the lease last changed, and the
 * nonce that tells one acquisition from every other. Each record of one claim repeats what the claim
 * said, so the last one suffices to judge it. Nothing here knows the revision, which is the fence.
 */
import * as Schema from "effect/Schema";
import { LeaseId, WorkerInstanceId } from "./ids.ts";
import { record, type RecordCodec } from "./record.ts";

/** No lease is shorter, whatever the longest of a namespace is. */
export const shortestLeaseMs = 1_000;

const verb = <const Kind extends string, const Fields extends Schema.Struct.Fields>(
  kind: Kind,
  fields: Fields,
) =>
  Schema.Struct({
    kind: Schema.tag(kind),
    leaseId: LeaseId,
    /** The owner that this record speaks of. */
    workerInstanceId: WorkerInstanceId,
    /** One more with each issuance. */
    epoch: Schema.Natural,
    attempt: Schema.Natural,
    ttlMs: Schema.Natural,
    /** Random per acquisition, for the case that two owners are given one revision. */
    nonce: Schema.NonEmptyString,
    /** Whether the owner keeps a session, whose end is the lease's end. */
    session: Schema.optionalKey(Schema.Boolean),
    /** How many reclaims in a row led to this claim without progress since; none if left out. */
    reclaims: Schema.optionalKey(Schema.Natural),
    ...fields,
  });

/** One change of a lease. */
export const LeaseRecord = Schema.Union([
  verb("acquired", {}),
  verb("renewed", {}),
  verb("released", {
    /** Whether everything that was recorded had been done; if left out, something may be missing. */
    atRest: Schema.optionalKey(Schema.Boolean),
  }),
  verb("expired", { reason: Schema.optionalKey(Schema.String) }),
  verb("reclaimed", {
    previousLeaseId: Schema.optionalKey(LeaseId),
    previousOwner: Schema.optionalKey(WorkerInstanceId),
  }),
  verb("revoked", { revokedBy: Schema.String, reason: Schema.optionalKey(Schema.String) }),
]).pipe(Schema.toTaggedUnion("kind"));
export type LeaseRecord = typeof LeaseRecord.Type;

/** The body of a lease key. */
export const leaseRecord: RecordCodec<LeaseRecord> = record(1, LeaseRecord);

/** Whether a record leaves the lease with an owner, lapsed or not. */
export const isHeld = LeaseRecord.isAnyOf(["acquired", "renewed", "reclaimed"]);

/** When the claim of a record lapses, given when the server stored it. */
export const expiresAt = ({ ttlMs }: LeaseRecord, at: number): number => at + ttlMs;
