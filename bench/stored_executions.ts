/** Executions as clients and owners would have left them, stored past Weir, as fast as may be. */
import { headers } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import { ExecutionId, LeaseId, Tenant, Timestamp, WorkerInstanceId } from "../schema/ids.ts";
import { journalRecord } from "../schema/journal_record.ts";
import { leaseRecord } from "../schema/lease_record.ts";
import { mailRecord } from "../schema/mail_record.ts";
import * as Connection from "../streams/connection.ts";
import { Log } from "../streams/log.ts";
import { executionAddress, type Kind, subjectOf } from "../streams/subjects.ts";

export const tenant = Tenant.make("acme");
export const small = Tenant.make("small");
const pick = <A>(from: ReadonlyArray<A>, i: number): A => from[i % from.length]!;

/** One in so many is of the small tenant, of a rare actor, failed, or still suspended. */
const smallEvery = 5_000;
const rareEvery = 10_000;
const failedEvery = 1_000;
const suspendedEvery = 100;

/** Publishes start, claim and end of so many executions. */
export const storeExecutions = (size: number) =>
  Effect.gen(function* () {
    const { layout } = yield* Log;
    const { nats } = yield* Connection.Connection;
    const common = {
      leaseId: LeaseId.make("l"),
      workerInstanceId: WorkerInstanceId.make("w"),
      epoch: 1,
      attempt: 0,
      ttlMs: 30_000,
      nonce: "n",
    };
    yield* Effect.promise(async () => {
      let sequence = 0;
      const publish = async (subject: string, id: string, body: Uint8Array) => {
        const fields = headers();
        fields.set("Nats-Msg-Id", id);
        if (++sequence % 1_000 === 0) {
          await nats.request(subject, body, { headers: fields, timeout: 30_000 });
        } else nats.publish(subject, body, { headers: fields });
      };
      for (let i = 0; i < size; i++) {
        const actor = i % rareEvery === rareEvery - 1 ? "audit" : pick(["order", "refund"], i >> 1);
        const owner = i % smallEvery === smallEvery - 2 ? small : tenant;
        const address = executionAddress(layout, owner, ExecutionId.make(`${actor}/o-${i}`));
        const send = (kind: Kind, id: string, body: Uint8Array) =>
          publish(subjectOf(address, kind), id, body);
        const life = sequence + 1;
        const tags = { team: pick(["checkout", "search", "billing", "risk"], i), batch: `b-${i}` };
        await send(
          "mail",
          `s${i}`,
          mailRecord.encode({
            kind: "start",
            seed: `seed-${i}`,
            input: { id: i },
            tags: i % 10 === 0 ? tags : { team: tags.team },
          }),
        );
        await send("lease", `n${i}.0`, leaseRecord.encode({ ...common, kind: "acquired" }));
        if (i % suspendedEvery === 7) {
          await send("lease", `n${i}.1`, leaseRecord.encode({ ...common, kind: "released" }));
          continue;
        }
        await send(
          "done",
          `n${i}.1`,
          journalRecord.encode({
            kind: "done",
            life,
            index: 1,
            mail: life,
            attempt: 0,
            startedAt: Timestamp.make(Date.now()),
            outcome: i % failedEvery === 5
              ? { type: "failure", failure: { name: "Broken", message: "it broke" } }
              : { type: "success", value: i },
          }),
        );
      }
      await nats.flush();
    });
  });
