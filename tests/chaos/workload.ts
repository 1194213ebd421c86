/**
 * What a writer writes while something is killed: chains of appends of every form, side by side, each
 * of which goes on from what the log has. One that was told nothing, or that it failed, reads before
 * it writes again; so whatever it does twice, or not at all, is the log's fault.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Schedule from "effect/Schedule";
import type { InvalidInput, LeaseHeld, LeaseNotHeld } from "../../schema/errors.ts";
import { ExecutionId, Tenant, WorkerInstanceId } from "../../schema/ids.ts";
import { Fence } from "../../streams/fence.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import {
  type Appended,
  type AppendError,
  type Entry,
  Log,
  type Message,
  type ReadError,
} from "../../streams/log.ts";
import {
  type Address,
  executionAddress,
  executionFilter,
  type Filter,
  type Kind,
  shardRoot,
  tenantFilter,
} from "../../streams/subjects.ts";
import { appendAll, collect } from "../fixtures/log_client.ts";
import { decodeMark, encodeMark, type Mark, type Report } from "./ledger.ts";

export const tenant = Tenant.make("acme");

/** How the lease of a writer that died changes hands. */
export type TakeOver = "expiry" | "revocation";

export interface Work {
  /** The appends of all chains together. */
  readonly appends: number;
  readonly takeOver: TakeOver;
  /** Is told of the outcome of each call before its chain goes on. */
  readonly report: (report: Report) => void;
  /** Is told how many appends the log had at the start. */
  readonly resumed?: (count: number) => void;
  /** Is told when the count-th append of all was handed to the log. */
  readonly handed?: (count: number) => void;
  /** Is told when the count-th append of all was acknowledged, and reported. */
  readonly acked?: (count: number) => void;
}

type ResumeError = AppendError | ReadError | LeaseHeld | LeaseNotHeld | InvalidInput;
type Place = Pick<Mark, "step" | "attempt">;

interface Chain {
  /** Takes over what it must own, and tells the step to go on with. */
  readonly resume: Effect.Effect<number, ResumeError>;
  readonly write: (place: Place) => Effect.Effect<Appended, AppendError>;
  /** After a step was written: what the server must refuse on its account. */
  readonly rival: (place: Place) => Effect.Effect<Appended, AppendError>;
}

/** All that the chains have written, in order. */
export const written = Effect.flatMap(Log, (log) => collect(log.read(everything(log))));

const everything = (log: Log["Service"]): Filter => ({
  shard: 0,
  subject: `${shardRoot(log.layout, 0)}.>`,
});

const nextStep = (entries: ReadonlyArray<Entry>, chain: string): number => {
  const last = entries.map(decodeMark).findLast((mark) => mark.chain === chain);
  return last === undefined ? 0 : last.step + 1;
};

const addressOf = (log: Log["Service"], name: string): Address =>
  executionAddress(log.layout, tenant, ExecutionId.make(`order/${name}`));

const renewEvery = 10;

/** An owner's records, all under its fence, several at once where there is more than one kind. */
const owned = (
  log: Log["Service"],
  leases: Leases["Service"],
  chain: string,
  kinds: ReadonlyArray<Kind>,
  takeOver: TakeOver,
): Chain => {
  const address = addressOf(log, chain);
  const worker = WorkerInstanceId.make(randomUUID());
  let lease: Lease;
  const acquire = leases.acquire(address, { worker, ttl: "1 second" }).pipe(
    Effect.tapError((error) =>
      error._tag === "LeaseHeld" && takeOver === "revocation"
        ? leases.revoke(address, { by: "reconciler" })
        : Effect.void
    ),
    Effect.retry({
      while: (error) => error._tag === "LeaseHeld",
      schedule: Schedule.spaced("50 millis"),
    }),
  );
  const messages = (place: Place, guard: Fence) =>
    kinds.map((kind, part): Message => ({
      kind,
      guard,
      body: encodeMark({ ...place, chain, part, parts: kinds.length }),
    }));
  return {
    resume: Effect.gen(function* () {
      lease = yield* acquire;
      return nextStep(yield* collect(log.read(executionFilter(address))), chain);
    }),
    write: (place) =>
      Effect.gen(function* () {
        if (place.step % renewEvery === 1) lease = yield* leases.renew(lease);
        return yield* appendAll(log, address, messages(place, lease.fence));
      }),
    rival: (place) => {
      const { subject, revision } = lease.fence;
      const stale = new Fence(subject, randomUUID(), revision - 1);
      return appendAll(log, address, messages(place, stale));
    },
  };
};

/** Anyone's events, each on the last one. */
const consecutive = (log: Log["Service"], chain: string, parts: number): Chain => {
  const address = addressOf(log, chain);
  let before = 0;
  let last = 0;
  const messages = (place: Place, after: number) =>
    Array.from({ length: parts }, (_, part): Message => ({
      kind: "event",
      body: encodeMark({ ...place, chain, part, parts }),
      ...(part === 0 ? { guard: { after } } : {}),
    }));
  return {
    resume: Effect.gen(function* () {
      const entries = yield* collect(log.read(executionFilter(address, "event")));
      last = entries.at(-1)?.sequence ?? 0;
      return nextStep(entries, chain);
    }),
    write: (place) =>
      Effect.map(appendAll(log, address, messages(place, last)), (appended) => {
        before = last;
        last = appended.sequence + parts - 1;
        return appended;
      }),
    rival: (place) => appendAll(log, address, messages(place, before)),
  };
};

/** The starts of one execution after another, each stored only where nothing is. */
const starts = (log: Log["Service"], chain: string): Chain => {
  const write = (place: Place) =>
    log.append(addressOf(log, `${chain}-${place.step}`), {
      kind: "mail",
      body: encodeMark({ ...place, chain, part: 0, parts: 1 }),
      guard: { after: 0 },
    });
  return {
    resume: Effect.map(
      collect(log.read(tenantFilter(log.layout, 0, "mail", tenant))),
      (entries) => nextStep(entries, chain),
    ),
    write,
    rival: write,
  };
};

const rivalEvery = 7;
const landedOf = (error: AppendError): "no" | "unknown" => "landed" in error ? error.landed : "no";

/** A writer that gave up knows nothing until the server is back. */
const resumeWhenPossible = (chain: Chain) =>
  chain.resume.pipe(
    Effect.retry({
      while: (error) => error._tag === "Unavailable",
      schedule: Schedule.spaced("50 millis"),
    }),
  );

/** Writes until every chain is complete. */
export const work = Effect.fnUntraced(function* (options: Work) {
  const log = yield* Log;
  const leases = yield* Leases;
  const { takeOver, report } = options;
  const own = (chain: string, ...kinds: ReadonlyArray<Kind>) =>
    owned(log, leases, chain, kinds, takeOver);
  const chains: ReadonlyArray<Chain> = [
    own("journal-1", "log"),
    own("journal-2", "log"),
    own("journal-3", "done"),
    own("journal-4", "signal"),
    own("steps", "log", "tag", "done"),
    consecutive(log, "events-1", 1),
    consecutive(log, "events-2", 1),
    consecutive(log, "events-3", 1),
    consecutive(log, "batches", 5),
    starts(log, "starts-1"),
    starts(log, "starts-2"),
    starts(log, "starts-3"),
  ];
  const life = randomUUID();
  let attempts = 0;
  let handed = 0;
  let acked = 0;

  const call = (append: Effect.Effect<Appended, AppendError>, attempt: string, rival: boolean) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(append, { startImmediately: true });
      if (!rival) options.handed?.(++handed);
      return yield* Fiber.join(fiber);
    }).pipe(
      Effect.match({
        onSuccess: ({ sequence }) => {
          report({ told: "stored", attempt, sequence });
          if (!rival) options.acked?.(++acked);
          return true;
        },
        onFailure: (error) => {
          const { _tag } = error;
          report({ told: "refused", attempt, error: _tag, landed: landedOf(error), rival });
          return false;
        },
      }),
    );

  const run = Effect.fnUntraced(function* (chain: Chain, from: number, steps: number) {
    for (let step = from; step < steps;) {
      const attempt = `${life}-${attempts++}`;
      if (!(yield* call(chain.write({ step, attempt }), attempt, false))) {
        step = yield* resumeWhenPossible(chain);
        continue;
      }
      if (step % rivalEvery === 2) {
        const rival = `${life}-${attempts++}`;
        yield* call(chain.rival({ step, attempt: rival }), rival, true);
      }
      step++;
    }
  });

  const from = yield* Effect.forEach(chains, (chain) => chain.resume, { concurrency: "unbounded" });
  handed = acked = from.reduce((sum, step) => sum + step, 0);
  options.resumed?.(handed);
  const { length } = chains;
  yield* Effect.forEach(
    chains,
    (chain, i) => run(chain, from[i]!, Math.floor((options.appends + length - 1 - i) / length)),
    { concurrency: "unbounded", discard: true },
  );
});
