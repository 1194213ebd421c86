/**
 * What is known of errands and workers by who keeps them, beside what the log has: when a lease is over
 * and a worker gone; and what becomes of an errand that its worker has lost.
 */
import type { ErrandRecord } from "../../../schema/errand_record.ts";
import type { RemoteRecord } from "../../../schema/remote_record.ts";

/** An errand as it is known here. */
export interface Errand {
  readonly step: string;
  /** Nothing, if it was withdrawn before it was entered. */
  record: ErrandRecord | undefined;
  isWithdrawn: boolean;
  readonly order: number;
  readonly sequences: Array<number>;
  /** When the worker that has it loses it, unless he says something before. */
  leaseUntil: number;
  /** What it weighs to hand it out without its progress, once that is known. */
  handOutBytes?: number;
}

/** A worker that is registered. */
export interface Registered {
  record: RemoteRecord;
  readonly sequences: Array<number>;
  aliveUntil: number;
  recordedAt: number;
  readonly has: Set<Errand>;
}

export const isClaimed = ({ record, isWithdrawn }: Errand): boolean =>
  record?.state === "claimed" && !isWithdrawn;

/** The same errand for who begins anew with it, or when nobody is to go on with it. */
export const withoutProgress = ({ progress: _, ...record }: ErrandRecord): ErrandRecord => record;

/** An errand that its worker has lost: it waits again, or has been lost too often. */
export const takenBack = (
  record: ErrandRecord,
  why: NonNullable<ErrandRecord["why"]>,
): ErrandRecord => {
  const reclaims = record.reclaims + (why === "released" ? 0 : 1);
  const { session: _, ...rest } = record;
  if (reclaims <= record.maxReclaims) return { ...rest, state: "waiting", reclaims, why };
  const failure = {
    name: "max_reclaims_exceeded",
    message: `${reclaims} remote workers lost it before they finished it`,
    retryable: false,
  };
  const outcome = { type: "failure", failure } as const;
  return withoutProgress({ ...rest, state: "ended", reclaims, why, outcome });
};
