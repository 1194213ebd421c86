/** Who may write for an execution, and what becomes of those who may not any more. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorContext } from "../../../actors/actor.ts";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { ExecutionId, Timestamp } from "../../../schema/ids.ts";
import { journalRecord } from "../../../schema/journal_record.ts";
import { mailRecord } from "../../../schema/mail_record.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log, type Message } from "../../../streams/log.ts";
import { executionAddress, executionFilter } from "../../../streams/subjects.ts";
import { type Run, uniqueWorker } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  historyOf,
  kindsOf,
  recordsOf,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  verb,
} from "./stage.ts";

const go = defineSignal<number>("go");

const addressOf = (of: Named) =>
  Effect.map(Log, ({ layout }) => executionAddress(layout, of.tenant, of.execution));

/** Everything that code may have its owner write, and how the code ends. */
const writes: Readonly<Record<string, (ctx: ActorContext) => Promise<unknown>>> = {
  "a step's result": (ctx) => ctx.run("charge", () => 1),
  "a step's failed try": (ctx) =>
    ctx.run("charge", (step) => {
      if (step.try === 1) throw new Error("no");
    }, { retry: { delay: "10 millis" } }),
  "a sleep": (ctx) => ctx.sleep("nap", "10 millis"),
  "a wait": (ctx) => ctx.wait(go, { timeout: "10 millis" }),
  "a spawned child": (ctx) =>
    ctx.spawn({ name: ctx.executionId.split("/")[0]!, run: () => {} }, "child", {
      id: `child of ${ctx.executionId.split("/")[1]}`,
      onParentEnd: "abandon",
    }).then(({ id }) => id),
  "the time": (ctx) => ctx.now().then((now) => now.getTime()),
  "a tag": (ctx) => ctx.tag("team.name", "x"),
  "a cell": (ctx) => ctx.state("phase").set("begun"),
  "its success": () => Promise.resolve("done"),
  "its failure": () => Promise.reject(new RangeError("no")),
};

/** A worker that claims what another holds, as after a pause of that one that was too long. */
const takeAway = (of: Named) =>
  Effect.gen(function* () {
    const leases = yield* Leases;
    const address = yield* addressOf(of);
    yield* leases.revoke(address, { by: "reconciler" });
    return yield* leases.acquire(address, { worker: uniqueWorker(), ttl: "10 seconds" });
  });

/** The records of an owner's journal, with the nonces of those who wrote them. */
const journalOf = (of: Named) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const entries = yield* log.readThrough(executionFilter(yield* addressOf(of)), { through: 0 });
    return entries.filter(({ subject }) => !/\.(mail|lease)\./.test(subject));
  });

export const owningSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: owning`, () => {
    test("seed 1: nothing that a former owner's code does is written, and it serves on", (stage) =>
      Effect.gen(function* () {
        const gates = new Map(Object.keys(writes).map((what) => [what, [gate(), gate()]] as const));
        const runs = new Map<string, number>();
        const writer = stage.actor("writer", async (ctx, what: string) => {
          if (what === "child") return;
          const count = (runs.get(what) ?? 0) + 1;
          runs.set(what, count);
          const [begun, goOn] = gates.get(what)!;
          begun!.open();
          if (count === 1) await goOn!.passed;
          return writes[what]!(ctx);
        });
        const worker = yield* stage.work([writer]);
        yield* Effect.forEach(Object.keys(writes), (what) =>
          Effect.gen(function* () {
            const started = yield* stage.start(writer, what);
            const [begun, goOn] = gates.get(what)!;
            yield* Effect.promise(() => begun!.passed);
            const thief = yield* takeAway(started);
            goOn!.open();
            // The former owner is refused, gives up, and asks the new one, which is not there.
            const exit = yield* Effect.exit(resultOf(started));
            assert.equal(exit._tag, what === "its failure" ? "Failure" : "Success", what);
            assert.equal(runs.get(what), 2, what);
            const claims = yield* recordsOf(started, "claimed");
            assert.deepEqual(claims.map(({ worker, attempt }) => [worker, attempt]), [
              [worker.identity, 2],
            ], what);
            const nonces = (yield* journalOf(started)).map(({ id }) => id!.split(".")[0]);
            assert.equal(new Set(nonces).size, 1, `${what}: ${nonces}`);
            assert.ok(!nonces.includes(thief.fence.nonce));
            const history = yield* historyOf(started);
            const keys = history.flatMap((record) =>
              "key" in record && "index" in record ? [`${record.kind} ${record.key}`] : []
            );
            assert.equal(new Set(keys).size, keys.length, `${what}: ${keys}`);
          }), { concurrency: "unbounded" });
        yield* until("all is let go", Effect.map(worker.resident, (count) => count === 0));
        assert.equal(yield* stage.play(writer, "child"), undefined);
      }));

    test("seed 1: a former owner's fence is refused on every subject of the execution", (stage) =>
      Effect.gen(function* () {
        const leases = yield* Leases;
        const log = yield* Log;
        const quick = stage.actor("quick", () => "done");
        const started = yield* stage.start(quick);
        const address = yield* addressOf(started);
        const stale = yield* leases.acquire(address, { worker: uniqueWorker(), ttl: "10 seconds" });
        const thief = yield* takeAway(started);
        const place = { life: started.life, index: 1, mail: started.life };
        const record = journalRecord.encode({
          kind: "step",
          ...place,
          key: "charge",
          result: { type: "value" },
          tries: 1,
          durationMs: 0,
        });
        const due = Timestamp.make(Date.UTC(2030, 0, 1));
        const timer = mailRecord.encode({ kind: "timer", life: started.life, key: "nap", due });
        const messages: ReadonlyArray<Message> = [
          ...(["log", "signal", "tag", "done", "snap"] as const).map((kind) => ({
            kind,
            body: record,
          })),
          { kind: "timer", key: "nap", schedule: { at: due }, body: timer },
        ];
        const before = yield* log.readThrough(executionFilter(address), { through: 0 });
        for (const message of messages) {
          const error = yield* errorOf(log.append(address, { ...message, guard: stale.fence }));
          assert.equal(error._tag, "StaleFence", message.kind);
        }
        assert.equal((yield* errorOf(leases.renew(stale)))._tag, "StaleFence");
        assert.equal((yield* errorOf(leases.release(stale)))._tag, "StaleFence");
        assert.deepEqual(yield* log.readThrough(executionFilter(address), { through: 0 }), before);
        yield* leases.release(thief);
        yield* stage.work([quick]);
        assert.equal(yield* resultOf(started), "done");
      }));

    test("seed 9: an end that its owner repeats is the same end; another's is refused", (stage) =>
      Effect.gen(function* () {
        const leases = yield* Leases;
        const log = yield* Log;
        const never = stage.actor("never", () => {});
        const started = yield* stage.start(never);
        const address = yield* addressOf(started);
        const owner = yield* leases.acquire(address, { worker: uniqueWorker(), ttl: "10 seconds" });
        const done = (value: string) =>
          journalRecord.encode({
            kind: "done",
            life: started.life,
            index: 1,
            mail: started.life,
            outcome: { type: "success", value },
            attempt: 0,
            startedAt: Timestamp.make(0),
          });
        const end = {
          kind: "done" as const,
          body: done("original"),
          id: owner.fence.nextId(),
          guard: owner.fence,
        };
        const first = yield* log.append(address, end);
        const second = yield* log.append(address, end);
        assert.deepEqual([first.duplicate, second], [false, { ...first, duplicate: true }]);
        yield* takeAway(started);
        const late = { kind: "done" as const, body: done("another"), guard: owner.fence };
        assert.equal((yield* errorOf(log.append(address, late)))._tag, "StaleFence");
        assert.equal(yield* resultOf(started), "original");
        assert.equal(yield* resultOf(started), "original");
        assert.deepEqual(yield* kindsOf(started), ["start", "done"]);
      }));

    test("a lease that an operator revokes ends with it; another worker goes on", (stage) =>
      Effect.gen(function* () {
        const attempts: Array<number> = [];
        const { open, passed } = gate();
        const slow = stage.actor("slow", async (ctx) => {
          attempts.push(ctx.attempt);
          await ctx.run("charge", () => 1);
          if (ctx.attempt === 0) await passed;
          return ctx.run("ship", () => ctx.attempt);
        });
        yield* stage.work([slow]);
        yield* stage.work([slow]);
        const started = yield* stage.start(slow);
        const { owner, epoch } = yield* until(
          "it has charged",
          Effect.map(
            describe(started),
            (found) => "charge" in found.steps && found.owner !== undefined ? found : undefined,
          ),
        );
        assert.ok(owner !== undefined);
        assert.equal(epoch, 1);
        yield* verb((verbs) => verbs.revokeLease(started, { reason: "stuck" }));
        assert.equal((yield* describe(started)).owner, undefined);
        const error = yield* errorOf(verb((verbs) => verbs.revokeLease(started)));
        assert.equal(error._tag, "LeaseNotHeld");
        open();
        assert.equal(yield* resultOf(started), 1);
        assert.deepEqual(attempts, [0, 1]);
        const found = yield* describe(started);
        assert.deepEqual([found.attempt, found.epoch], [1, 2]);
        assert.equal((yield* recordsOf(started, "step")).length, 2);
      }));

    test("who describes an execution sees its owner, and that nobody owns what is suspended", (stage) =>
      Effect.gen(function* () {
        const begun = gate();
        const { open, passed } = gate();
        const slow = stage.actor("slow", async (ctx) => {
          await ctx.run("slow", () => {
            begun.open();
            return passed;
          });
          await ctx.wait(go);
        });
        const worker = yield* stage.work([slow], { residentGrace: atOnce });
        const started = yield* stage.start(slow);
        yield* Effect.promise(() => begun.passed);
        const active = yield* describe(started);
        assert.deepEqual([active.status, active.owner, active.epoch, active.attempt], [
          "active",
          worker.identity,
          1,
          0,
        ]);
        assert.ok(active.leaseExpiresAt! > active.startedAt);
        open();
        const suspended = yield* untilStatus(started, "suspended");
        assert.deepEqual([suspended.owner, suspended.reason], [undefined, "signal"]);
        yield* signal(started, "go", 1);
        yield* resultOf(started);
        const { status, owner, outcome } = yield* describe(started);
        assert.deepEqual([status, owner, outcome], ["completed", undefined, { type: "success" }]);
      }));

    test("seed 2: what happened is one record each, in one order", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", () => 1);
        const all = stage.actor("all", async (ctx) => {
          await ctx.run("step", (step) => {
            if (step.try === 1) throw new Error("no");
          }, { retry: { delay: "1 milli" } });
          await ctx.now();
          await ctx.tag("team.name", "x");
          await ctx.state("phase").set(1);
          await ctx.wait(go);
          await ctx.sleep("nap", "10 millis");
          await ctx.call(child, undefined, { id: "c-1" });
        });
        yield* stage.work([all, child]);
        const started = yield* stage.start(all);
        yield* until(
          "it waits",
          Effect.map(describe(started), ({ reason }) => reason === "signal"),
        );
        yield* signal(started, "go", 1);
        yield* resultOf(started);
        stage.follow(ExecutionId.make(`${child.name}/c-1`));
        assert.deepEqual(yield* kindsOf(started), [
          "start",
          "stepFailed",
          "step",
          "noted",
          "tag",
          "cell",
          "waiting",
          "signal",
          "signal",
          "sleeping",
          "elapsed",
          "calling",
          "child",
          "done",
        ]);
        const numbers = (yield* historyOf(started)).flatMap((record) =>
          "index" in record ? [record.index] : []
        );
        assert.deepEqual(numbers, numbers.map((_, i) => i + 1));
      }));

    test("attack 1: a start that is offered again after the end runs nothing", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const once = stage.actor("once", (ctx) => ctx.run("charge", () => ++runs));
        yield* stage.work([once]);
        const started = yield* stage.start(once);
        assert.equal(yield* resultOf(started), 1);
        const log = yield* Log;
        yield* log.append(yield* addressOf(started), {
          kind: "mail",
          body: mailRecord.encode({ kind: "start", seed: "another" }),
        });
        assert.equal(yield* stage.play(once), 2);
        assert.deepEqual(yield* kindsOf(started), ["start", "step", "done"]);
        assert.equal(runs, 2);
      }));

    test("attack 4: a new life replays nothing of an old one that was not cleared away", (stage) =>
      Effect.gen(function* () {
        let charges = 0;
        let parcels = 0;
        const ship = stage.actor("ship", () => ++parcels);
        const order = stage.actor("order", async (ctx) => {
          const charged = await ctx.run("charge", () => ++charges);
          const parcel = await ctx.call(ship, undefined);
          return [charged, parcel, await ctx.wait(go, { timeout: "100 millis" }) ?? "none"];
        });
        yield* stage.work([order, ship]);
        const first = yield* stage.start(order, undefined, { id: "o-1" });
        yield* signal(first, "go", 1);
        assert.deepEqual(yield* resultOf(first), [1, 1, 1]);
        const log = yield* Log;
        const mail = executionFilter(yield* addressOf(first), "mail");
        yield* log.purge(mail, { upTo: Number.MAX_SAFE_INTEGER });
        const second = yield* stage.start(order, undefined, { id: "o-1" });
        assert.equal(second.created, true);
        assert.ok(second.life > first.life);
        assert.deepEqual(yield* resultOf(second), [2, 2, "none"]);
        assert.equal(charges, 2);
      }));
  });
};
