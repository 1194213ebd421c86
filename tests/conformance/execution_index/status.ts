/** What a listing says of an execution, whatever happens to it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { ActorName, SignalId, Timestamp } from "../../../schema/ids.ts";
import { ExecutionIndex, type ExecutionStatus } from "../../../streams/execution_index.ts";
import { Log } from "../../../streams/log.ts";
import type { Run } from "../subject_matter.ts";
import {
  claim,
  end,
  eventually,
  listAll,
  newTenant,
  projecting,
  release,
  run,
  send,
  type Services,
  start,
  type Subject,
  write,
} from "./matter.ts";

const failure = { name: "Broken", message: "it broke" };

/** The status shown, which is also the only one that the execution is found by. */
const shows = (subject: Subject, status: ExecutionStatus) =>
  Effect.gen(function* () {
    const shown = Effect.map(
      listAll({ tenant: subject.tenant }),
      (all) => all.map((e) => e.status),
    );
    yield* eventually(shown, [status]);
    const found = yield* listAll({ tenant: subject.tenant, status });
    assert.deepEqual(found.map(({ execution }) => execution), [subject.execution]);
  });

/** Another execution of the same shard, so that its life is another. */
const strangerOf = (subject: Subject) =>
  Effect.suspend(() => start(newTenant())).pipe(
    Effect.repeat({ until: ({ address }) => address.shard === subject.address.shard }),
  );

export const statusSuite = (name: string, runTest: Run<Services>): void => {
  const test = (title: string, effect: () => Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => runTest(Effect.asVoid(projecting(Effect.suspend(effect)))));

  describe(`${name}: status`, () => {
    test("an execution waits, is active, is suspended, and completes", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant());
        yield* shows(subject, "waiting");
        const first = yield* claim(subject);
        yield* shows(subject, "active");
        yield* write(subject, first, {
          kind: "waiting",
          key: "approval",
          signal: "approval",
        });
        yield* release(first);
        yield* shows(subject, "suspended");
        const second = yield* claim(subject);
        yield* shows(subject, "active");
        yield* end(subject, second, { type: "success" });
        yield* shows(subject, "completed");
      }));

    for (
      const [outcome, status] of [
        [{ type: "success" }, "completed"],
        [{ type: "failure", failure }, "failed"],
        [{ type: "cancelled" }, "cancelled"],
        [{ type: "expired" }, "expired"],
        [{ type: "skipped" }, "skipped"],
      ] as const
    ) {
      test(`one that ended with ${outcome.type} is ${status}`, () =>
        Effect.gen(function* () {
          const subject = yield* start(newTenant());
          yield* run(subject, outcome);
          yield* shows(subject, status);
        }));
    }

    test("a start that is set for later is delayed until its time is announced", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant(), undefined, { notBefore: 9_000_000_000_000 });
        yield* shows(subject, "delayed");
        yield* send(subject.address, { kind: "timer", key: "delay", due: Timestamp.make(1) });
        yield* shows(subject, "waiting");
      }));

    test("one that is to be tried again later is delayed, and suspended when it then waits", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant());
        const first = yield* claim(subject);
        yield* write(subject, first, {
          kind: "attemptFailed",
          failure,
          retryAt: Timestamp.make(1),
        });
        yield* release(first);
        yield* shows(subject, "delayed");
        const second = yield* claim(subject);
        yield* shows(subject, "active");
        yield* write(subject, second, { kind: "sleeping", key: "nap", due: Timestamp.make(1) });
        yield* release(second);
        yield* shows(subject, "suspended");
      }));

    test("what is promoted is delayed no more", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant(), undefined, { notBefore: 9_000_000_000_000 });
        yield* shows(subject, "delayed");
        yield* send(subject.address, { kind: "promote" });
        yield* shows(subject, "waiting");
      }));

    test("a pause shows once the owner has let go, and a resume undoes it", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant());
        const lease = yield* claim(subject);
        yield* send(subject.address, { kind: "pause" });
        yield* shows(subject, "active");
        yield* release(lease);
        yield* shows(subject, "paused");
        yield* send(subject.address, { kind: "resume" });
        yield* shows(subject, "suspended");
      }));

    test("a pause before the first owner shows, and an end is an end in spite of it", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant());
        yield* send(subject.address, { kind: "pause" });
        yield* shows(subject, "paused");
        yield* run(subject, { type: "cancelled" });
        yield* shows(subject, "cancelled");
      }));

    test("who claims a finished execution changes nothing, and who replays it does", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant());
        yield* run(subject, { type: "failure", failure });
        const lease = yield* claim(subject);
        yield* send(subject.address, {
          kind: "signal",
          signalId: SignalId.make("late"),
          name: "late",
        });
        yield* shows(subject, "failed");
        yield* write(subject, lease, { kind: "replayed", from: "failure" });
        yield* shows(subject, "active");
        const [running] = yield* listAll({ tenant: subject.tenant });
        assert.equal(running?.endedAt, undefined);
        yield* end(subject, lease, { type: "success" });
        yield* shows(subject, "completed");
      }));

    test("a record of another life, or of no owner, changes nothing", () =>
      Effect.gen(function* () {
        const subject = yield* start(newTenant());
        const stranger = yield* strangerOf(subject);
        const lease = yield* claim(subject);
        yield* end({ ...subject, life: stranger.life }, lease, { type: "success" });
        yield* end({ ...subject, life: subject.life + 1 }, lease, { type: "success" });
        yield* send(subject.address, { kind: "pause", life: subject.life + 1 });
        const log = yield* Log;
        const body = new TextEncoder().encode(
          `{"v":1,"kind":"done","life":${subject.life},"index":1,"mail":1,` +
            `"outcome":{"type":"success"},"attempt":0,"startedAt":0}`,
        );
        yield* log.append(subject.address, { kind: "done", body });
        yield* release(lease);
        yield* shows(subject, "suspended");
        yield* shows(stranger, "waiting");
      }));

    test("what cannot be read is passed over", () =>
      Effect.gen(function* () {
        const log = yield* Log;
        const subject = yield* start(newTenant());
        const garbage = new TextEncoder().encode(`{"v":1,"kind":"pause","life":"x"}`);
        yield* log.append(subject.address, { kind: "mail", body: garbage });
        yield* log.append(subject.address, { kind: "mail", body: garbage.subarray(3) });
        const lease = yield* claim(subject);
        yield* log.append(subject.address, {
          kind: "tag",
          body: garbage.subarray(0, 5),
          guard: lease.fence,
        });
        yield* shows(subject, "active");
      }));

    test("a page tells when, by whom and as what it started, and when it ended", () =>
      Effect.gen(function* () {
        const log = yield* Log;
        const tenant = newTenant();
        const subject = yield* start(tenant, "order/o-1", { tags: { team: "checkout" } });
        yield* run(subject);
        yield* shows(subject, "completed");
        const at = (kind: "mail" | "done") =>
          Effect.map(
            log.last(subject.address, kind),
            (entry) => entry._tag === "Some" ? Timestamp.make(entry.value.at) : assert.fail(),
          );
        const index = yield* ExecutionIndex;
        const page = yield* index.list({ tenant, limit: 10 });
        assert.deepEqual(page.executions, [{
          execution: subject.execution,
          tenant,
          life: subject.life,
          status: "completed",
          startedAt: yield* at("mail"),
          endedAt: yield* at("done"),
          actor: ActorName.make("order"),
          tags: { team: "checkout" },
        }]);
        assert.equal(page.next, undefined);
      }));

    test("asOf catches up with a log in which nothing happens any more", () =>
      Effect.gen(function* () {
        const log = yield* Log;
        const index = yield* ExecutionIndex;
        const subject = yield* start(newTenant());
        const { at } = yield* log.tail(subject.address.shard);
        const isCurrent = Effect.map(
          index.list({ tenant: subject.tenant, limit: 1 }),
          ({ asOf, executions }) => asOf >= at && executions.length === 1,
        );
        yield* eventually(isCurrent, true);
      }));
  });
};
