/**
 * The contract of `Leases` and `Sessions` on any log: who may write, from which sequence on, and
 * what the history says of it.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { leaseRecord } from "../../schema/lease_record.ts";
import { nonceOfId } from "../../streams/fence.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { Sessions } from "../../streams/session.ts";
import { type Address, executionAddress, executionFilter } from "../../streams/subjects.ts";
import { body, type Run, tenant, text, uniqueExecution, uniqueWorker } from "./subject_matter.ts";

type Services = Log | Leases | Sessions;

const work = (lease: Lease, what = "work") =>
  Effect.flatMap(
    Log,
    (log) => log.append(lease.execution, { kind: "log", body: body(what), guard: lease.fence }),
  );

const history = (execution: Address) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const entries = yield* Stream.runCollect(log.read(executionFilter(execution, "lease")));
    return yield* Effect.forEach(entries, (entry) => leaseRecord.decode(entry.body, entry));
  });

const kinds = (execution: Address) =>
  Effect.map(history(execution), (records) => records.map((record) => record.kind));

/** Repeats a look until it tells what is awaited; the test fails at the deadline. */
const until = <A, E, R>(look: Effect.Effect<A, E, R>, awaited: (value: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: awaited, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("60 seconds"),
  );

/** The former owner writes again: it must be refused, and nothing of it be in the log. */
const assertShutOut = (lease: Lease) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const error = yield* Effect.flip(work(lease, "stale"));
    assert.equal(error._tag, "StaleFence");
    const leases = yield* Leases;
    assert.equal((yield* Effect.flip(leases.renew(lease)))._tag, "StaleFence");
    assert.equal((yield* Effect.flip(leases.release(lease)))._tag, "StaleFence");
    const entries = yield* Stream.runCollect(log.read(executionFilter(lease.execution, "log")));
    assert.ok(!entries.map(text).includes("stale"));
  });

export const leaseSuite = (name: string, run: Run<Services>): void => {
  const test = (
    title: string,
    effect: (
      leases: Leases["Service"],
      execution: Address,
    ) => Effect.Effect<unknown, unknown, Services>,
  ) =>
    it(title, () =>
      run(Effect.gen(function* () {
        const { layout } = yield* Log;
        yield* effect(yield* Leases, executionAddress(layout, tenant, uniqueExecution()));
      })));

  const acquire = (
    leases: Leases["Service"],
    execution: Address,
    ttl: Duration.Input = "30 seconds",
  ) => leases.acquire(execution, { worker: uniqueWorker(), ttl });

  describe(`${name}: lease`, () => {
    test(
      "an acquired lease lets its owner write, and says who it is",
      (leases, execution) =>
        Effect.gen(function* () {
          const worker = uniqueWorker();
          const lease = yield* leases.acquire(execution, { worker, ttl: "30 seconds" });
          yield* work(lease);
          assert.deepEqual([lease.worker, lease.epoch, lease.attempt], [worker, 1, 0]);
          const state = Option.getOrThrow(yield* leases.current(execution));
          assert.equal(state.held, true);
          assert.equal(state.revision, lease.fence.revision);
          assert.equal(state.expiresAt, state.at + 30_000);
          assert.deepEqual(state.record, lease.record);
        }),
    );

    test(
      "a held lease is refused to everyone else, with its owner and its end",
      (leases, execution) =>
        Effect.gen(function* () {
          const held = yield* acquire(leases, execution);
          const error = yield* Effect.flip(acquire(leases, execution));
          assert.ok(error._tag === "LeaseHeld");
          assert.equal(error.owner, held.worker);
          assert.equal(
            error.expiresAt,
            Option.getOrThrow(yield* leases.current(execution)).expiresAt,
          );
          yield* work(held);
        }),
    );

    test(
      "a renewal extends the lease and keeps its owner's records coming",
      (leases, execution) =>
        Effect.gen(function* () {
          const lease = yield* acquire(leases, execution);
          const { revision } = lease.fence;
          yield* leases.renew(lease);
          yield* work(lease);
          assert.ok(lease.fence.revision > revision);
          const state = Option.getOrThrow(yield* leases.current(execution));
          assert.deepEqual([state.record.epoch, state.record.nonce], [1, lease.record.nonce]);
        }),
    );

    test(
      "after a release the former owner is refused and another may claim",
      (leases, execution) =>
        Effect.gen(function* () {
          const lease = yield* acquire(leases, execution);
          yield* leases.release(lease);
          yield* assertShutOut(lease);
          const next = yield* acquire(leases, execution);
          assert.deepEqual([next.epoch, next.attempt], [2, 0]);
          yield* work(next);
          assert.deepEqual(yield* kinds(execution), ["acquired", "released", "acquired"]);
        }),
    );

    for (const by of ["operator", "reconciler", "backend"] as const) {
      test(
        `after a revocation by the ${by} the former owner is refused`,
        (leases, execution) =>
          Effect.gen(function* () {
            const lease = yield* acquire(leases, execution);
            yield* leases.revoke(execution, { by, reason: "maintenance" });
            yield* assertShutOut(lease);
            const [, revoked] = yield* history(execution);
            assert.ok(revoked?.kind === "revoked");
            assert.deepEqual([revoked.revokedBy, revoked.reason, revoked.workerInstanceId], [
              by,
              "maintenance",
              lease.worker,
            ]);
            const next = yield* acquire(leases, execution);
            assert.deepEqual([next.record.kind, next.epoch, next.attempt], ["reclaimed", 2, 1]);
          }),
      );
    }

    test(
      "a lapsed lease stays its owner's until somebody records that it expired",
      (leases, execution) =>
        Effect.gen(function* () {
          const lease = yield* acquire(leases, execution, "1 second");
          const log = yield* Log;
          const { expiresAt } = Option.getOrThrow(yield* leases.current(execution));
          yield* until(log.tail(execution.shard), ({ at }) => at > expiresAt);
          yield* work(lease, "still mine");
          assert.equal(yield* leases.expireIfDue(execution), "expired");
          yield* assertShutOut(lease);
          const [, expired] = yield* history(execution);
          assert.ok(expired?.kind === "expired");
          assert.deepEqual([expired.workerInstanceId, expired.reason], [lease.worker, "lapsed"]);
        }),
    );

    test(
      "claiming a lapsed lease expires it and reclaims it, naming the former owner",
      (leases, execution) =>
        Effect.gen(function* () {
          const lease = yield* acquire(leases, execution, "1 second");
          const next = yield* acquire(leases, execution).pipe(
            Effect.retry({
              while: (error) => error._tag === "LeaseHeld",
              schedule: Schedule.spaced("20 millis"),
            }),
            Effect.timeout("60 seconds"),
          );
          yield* assertShutOut(lease);
          yield* work(next);
          assert.deepEqual(yield* kinds(execution), ["acquired", "expired", "reclaimed"]);
          assert.ok(next.record.kind === "reclaimed");
          assert.deepEqual(
            [next.record.previousLeaseId, next.record.previousOwner, next.epoch, next.attempt],
            [lease.leaseId, lease.worker, 2, 1],
          );
        }),
    );

    test(
      "expiring a lease that has not lapsed, or is not held, changes nothing",
      (leases, execution) =>
        Effect.gen(function* () {
          assert.equal(yield* leases.expireIfDue(execution), "unheld");
          const lease = yield* acquire(leases, execution);
          assert.equal(yield* leases.expireIfDue(execution), "held");
          yield* work(lease);
          assert.deepEqual(yield* kinds(execution), ["acquired"]);
        }),
    );

    test(
      "a claim that has seen its end is concluded by anybody, and no other is",
      (leases, execution) =>
        Effect.gen(function* () {
          const lease = yield* acquire(leases, execution);
          yield* leases.conclude(execution, "another nonce");
          assert.deepEqual(yield* kinds(execution), ["acquired"]);
          yield* leases.conclude(execution, lease.record.nonce);
          yield* leases.conclude(execution, lease.record.nonce);
          assert.deepEqual(yield* kinds(execution), ["acquired", "released"]);
          yield* assertShutOut(lease);
          const next = yield* acquire(leases, execution);
          assert.deepEqual([next.record.kind, next.epoch, next.attempt], ["acquired", 2, 0]);
          yield* leases.conclude(execution, lease.record.nonce);
          yield* work(next);
        }),
    );

    test("revoking what nobody holds is refused", (leases, execution) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(leases.revoke(execution, { by: "operator" }));
        assert.equal(error._tag, "LeaseNotHeld");
      }));

    test(
      "of many claims at once exactly one succeeds",
      (leases, execution) =>
        Effect.gen(function* () {
          const results = yield* Effect.forEach(
            Array.from({ length: 20 }),
            () => Effect.result(acquire(leases, execution)),
            { concurrency: "unbounded" },
          );
          assert.equal(results.filter((result) => result._tag === "Success").length, 1);
          assert.deepEqual(yield* kinds(execution), ["acquired"]);
        }),
    );

    test(
      "of many claims of a lapsed lease exactly one succeeds",
      (leases, execution) =>
        Effect.gen(function* () {
          yield* acquire(leases, execution, "1 second");
          const log = yield* Log;
          const { expiresAt } = Option.getOrThrow(yield* leases.current(execution));
          yield* until(log.tail(execution.shard), ({ at }) => at > expiresAt);
          const results = yield* Effect.forEach(
            Array.from({ length: 20 }),
            () => Effect.result(acquire(leases, execution)),
            { concurrency: "unbounded" },
          );
          assert.equal(results.filter((result) => result._tag === "Success").length, 1);
          assert.deepEqual(yield* kinds(execution), ["acquired", "expired", "reclaimed"]);
        }),
    );

    test(
      "every record of a claim carries its nonce, and no other claim has it",
      (leases, execution) =>
        Effect.gen(function* () {
          const log = yield* Log;
          const first = yield* acquire(leases, execution);
          yield* work(first);
          yield* leases.release(first);
          const second = yield* acquire(leases, execution);
          yield* work(second);
          const entries = yield* Stream.runCollect(log.read(executionFilter(execution, "log")));
          assert.deepEqual(
            entries.map((entry) => nonceOfId(entry.id ?? "")),
            [first.record.nonce, second.record.nonce],
          );
          assert.notEqual(first.record.nonce, second.record.nonce);
        }),
    );

    test(
      "a claim that expects to be the first goes on as any other if it is not",
      (leases, execution) =>
        Effect.gen(function* () {
          const fresh = { worker: uniqueWorker(), ttl: "30 seconds", fresh: true } as const;
          const first = yield* leases.acquire(execution, fresh);
          assert.equal((yield* Effect.flip(leases.acquire(execution, fresh)))._tag, "LeaseHeld");
          yield* leases.release(first);
          const second = yield* leases.acquire(execution, fresh);
          assert.deepEqual([first.epoch, second.epoch], [1, 2]);
          yield* work(second);
        }),
    );

    test(
      "a claim under which the execution ended is no claim any more, as if released",
      (leases, execution) =>
        Effect.gen(function* () {
          const ended = yield* acquire(leases, execution);
          yield* leases.renew(ended);
          const endedRevision = ended.fence.revision;
          const options = { worker: uniqueWorker(), ttl: "30 seconds" } as const;
          const early = { ...options, endedRevision: endedRevision - 1 };
          assert.equal((yield* Effect.flip(leases.acquire(execution, early)))._tag, "LeaseHeld");
          const next = yield* leases.acquire(execution, { ...options, endedRevision });
          assert.deepEqual(
            [next.record.kind, next.epoch, next.attempt, next.reclaims],
            ["acquired", 2, 0, 0],
          );
          yield* assertShutOut(ended);
          const late = yield* Effect.flip(leases.acquire(execution, { ...options, endedRevision }));
          assert.equal(late._tag, "LeaseHeld");
        }),
    );

    test(
      "reclaims are counted until the owner has come further, or gives up in good order",
      (leases, execution) =>
        Effect.gen(function* () {
          const reclaim = Effect.gen(function* () {
            yield* leases.revoke(execution, { by: "operator" });
            return yield* acquire(leases, execution);
          });
          assert.equal((yield* acquire(leases, execution)).reclaims, 0);
          assert.equal((yield* reclaim).reclaims, 1);
          const second = yield* reclaim;
          assert.equal(second.reclaims, 2);
          assert.equal((yield* leases.renew(second)).reclaims, 2);
          const third = yield* reclaim;
          assert.equal(third.reclaims, 3);
          const further = yield* leases.renew(third, { progress: true });
          assert.equal(further.reclaims, 0);
          assert.equal((yield* leases.renew(further)).reclaims, 0);
          const fourth = yield* reclaim;
          assert.equal(fourth.reclaims, 1);
          yield* leases.release(fourth);
          assert.equal((yield* acquire(leases, execution)).reclaims, 0);
          assert.deepEqual(
            (yield* history(execution)).map(({ kind, reclaims }) => [kind, reclaims ?? 0]),
            [
              ["acquired", 0],
              ["revoked", 0],
              ["reclaimed", 1],
              ["revoked", 1],
              ["reclaimed", 2],
              ["renewed", 2],
              ["revoked", 2],
              ["reclaimed", 3],
              ["renewed", 0],
              ["renewed", 0],
              ["revoked", 0],
              ["reclaimed", 1],
              ["released", 1],
              ["acquired", 0],
            ],
          );
        }),
    );

    test(
      "a lease outside the bounds is refused before anything is written",
      (leases, execution) =>
        Effect.gen(function* () {
          for (const ttl of ["999 millis", "61 seconds"] as const) {
            const error = yield* Effect.flip(
              leases.acquire(execution, { worker: uniqueWorker(), ttl }),
            );
            assert.equal(error._tag, "InvalidInput");
          }
          assert.deepEqual(yield* kinds(execution), []);
        }),
    );
  });

  describe(`${name}: session`, () => {
    test(
      "an owner whose session has ended loses its lease before the lease lapses",
      (leases, execution) =>
        Effect.gen(function* () {
          const sessions = yield* Sessions;
          const worker = uniqueWorker();
          const lease = yield* Effect.scoped(Effect.gen(function* () {
            yield* sessions.open({ worker, ttl: "3 seconds" });
            assert.equal(yield* sessions.isOpen(worker), true);
            const lease = yield* leases.acquire(execution, {
              worker,
              ttl: "60 seconds",
              session: true,
            });
            assert.equal(yield* leases.expireIfDue(execution), "held");
            return lease;
          }));
          assert.equal(yield* sessions.isOpen(worker), false);
          const next = yield* acquire(leases, execution);
          yield* assertShutOut(lease);
          yield* work(next);
          const [, expired] = yield* history(execution);
          assert.ok(expired?.kind === "expired" && expired.reason === "session-lost");
        }),
    );

    test("a session outlives its time to live by being renewed", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions;
        const log = yield* Log;
        const worker = uniqueWorker();
        yield* Effect.scoped(Effect.gen(function* () {
          const { at } = yield* log.tail(0);
          yield* sessions.open({ worker, ttl: "3 seconds" });
          yield* until(log.tail(0), (tail) => tail.at > at + 4_000);
          assert.equal(yield* sessions.isOpen(worker), true);
        }));
      }));
  });
};
