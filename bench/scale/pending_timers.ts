/**
 * Executions that sleep and are in nobody's memory, as their owners would have left them: stored by
 * the same layers, with the schedule that the server keeps for each, and without the engine. No worker
 * has their code, and none of them wakes up before all is over.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Post from "../../actors/engine/post.ts";
import { ExecutionId, Tenant, Timestamp, WorkerInstanceId } from "../../schema/ids.ts";
import { journalRecord } from "../../schema/journal_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { Leases } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { unserved } from "../engine/actors.ts";

export const tenant = Tenant.make("default");
export const nameOf = (i: number): string => `t-${i}`;

const key = "nap";
const inDay = 24 * 60 * 60 * 1_000;
const atOnce = 512;

/** Stores so many; the last one when all the others are there. */
export const storeTimers = (count: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const leases = yield* Leases;
    const post = Post.make(log);
    const worker = WorkerInstanceId.make(randomUUID());
    const due = Timestamp.make(Date.now() + inDay);
    const store = Effect.fnUntraced(function* (i: number) {
      const execution = ExecutionId.make(`${unserved.name}/${nameOf(i)}`);
      const to = post.addressOf(execution, tenant);
      const { life } = yield* post.start(to, { kind: "start", seed: randomUUID(), input: inDay });
      const lease = yield* leases.acquire(to, {
        worker,
        ttl: "30 seconds",
        session: true,
        fresh: true,
      });
      const sleeping = { kind: "sleeping", life, index: 1, mail: life, key, due } as const;
      yield* log.append(to, {
        kind: "log",
        body: journalRecord.encode(sleeping),
        guard: lease.fence,
      });
      yield* log.append(to, {
        kind: "timer",
        key,
        schedule: { at: due },
        body: mailRecord.encode({ kind: "timer", life, key, due }),
        guard: lease.fence,
      });
      yield* leases.release(lease, { atRest: true });
    });
    yield* Effect.forEach(Array.from({ length: count - 1 }, (_, i) => i), store, {
      concurrency: atOnce,
      discard: true,
    });
    yield* store(count - 1);
  });
