/**
 * The numbers and durations of a worker's options. What it could run nothing with, or without end, is
 * refused before anybody sees the worker: taken as it is, it would be offered work that healthy
 * workers could do, and each claim would fail.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { waitMillis } from "../../schema/duration.ts";
import { parse } from "../../schema/ids.ts";
import { parseLeaseTtl } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { makeKeep } from "../keep.ts";
import type { WorkerOptions } from "./worker.ts";

const Concurrency = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1));

type Limited = Pick<
  WorkerOptions,
  "actors" | "concurrency" | "leaseTtl" | "residentGrace" | "maxReclaims" | "drainTimeout" | "keep"
>;

/** What a worker goes by; durations in milliseconds. */
export const parseLimits = Effect.fnUntraced(function* ({
  actors,
  concurrency = 1_000,
  leaseTtl = "30 seconds",
  residentGrace = "5 seconds",
  maxReclaims = 100,
  drainTimeout = "30 seconds",
  keep = {},
}: Limited) {
  const { longestLeaseMs } = yield* Log;
  return {
    concurrency: yield* parse(Concurrency, "concurrency", concurrency),
    leaseMs: yield* parseLeaseTtl(leaseTtl, longestLeaseMs),
    residentMs: yield* waitMillis("residentGrace", residentGrace),
    maxReclaims: yield* parse(Schema.Natural, "maxReclaims", maxReclaims),
    drainMs: yield* waitMillis("drainTimeout", drainTimeout),
    keepMs: yield* makeKeep(keep, actors),
  };
});
