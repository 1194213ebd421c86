/** Every way of being stuck, made by hand, and whether the checker names it and mends it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { layer, layerMemory } from "../../actors/layer.ts";
import { neverStuck, type NeverStuckOptions } from "../../actors/never_stuck.ts";
import { Executions, type Named, type StartOptions } from "../../actors/executions.ts";
import { signal as defineSignal } from "../../actors/signal.ts";
import { ActorName, type ExecutionId, Timestamp } from "../../schema/ids.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { Leases } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { type Delivery, Mailboxes } from "../../streams/mailbox.ts";
import { executionAddress, executionFilter, keyedFilter } from "../../streams/subjects.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import * as Stages from "../conformance/engine/stage.ts";
import { type Run, tenant, uniqueWorker } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const { Stage, atOnce, resultOf, until, untilStatus, untilTrue } = Stages;
const go = defineSignal<string>("go");

/** What the checker says of these, and of nothing else. */
const stuck = (of: ReadonlyArray<Named>, options?: NeverStuckOptions) =>
  Effect.map(Stream.runCollect(neverStuck(options)), (found) =>
    found
      .filter(({ execution }) => of.some((named) => named.execution === execution))
      .map(({ execution, trouble }) => ({ execution, type: trouble.type })));

/** Acknowledgements are on their way for a moment, and until then they are none. */
const expectStuck = (of: Named, type: string, options?: NeverStuckOptions) =>
  Effect.map(
    until(
      `${of.execution} is stuck`,
      Effect.map(stuck([of], options), (found) => found.length > 0 && found),
    ),
    (found) => assert.deepEqual(found, [{ execution: of.execution, type }]),
  );

const expectSound = (...of: ReadonlyArray<Named>) =>
  Effect.map(stuck(of), (found) => assert.deepEqual(found, []));

const addressOf = ({ execution, tenant }: Named) =>
  Effect.map(Log, ({ layout }) => executionAddress(layout, tenant, execution));

/** Removes what lies under one kind of an execution's records. */
const lose = (of: Named, kind: "mail" | "timer") =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = yield* addressOf(of);
    const filter = kind === "timer" ? keyedFilter(address, kind) : executionFilter(address, kind);
    return yield* log.purge(filter, { upTo: (yield* log.tail(address.shard)).sequence });
  });

/** Starts one as the stage would, but is not bound to see it told alike in the end. */
const begin = (actor: { readonly name: string }, input?: unknown, options?: StartOptions) =>
  Effect.flatMap(
    Executions,
    (executions) =>
      executions.start(ActorName.make(actor.name), tenant, input, { unserved: true, ...options }),
  );

/** A worker that acknowledges what it should not. */
const acknowledge = (
  actor: { readonly name: string },
  count: number,
  handle: (delivery: Delivery) => void = (delivery) => delivery.ack(),
) =>
  Effect.scoped(Effect.gen(function* () {
    let taken = 0;
    const serving = yield* (yield* Mailboxes).serve({
      actors: [ActorName.make(actor.name)],
      worker: uniqueWorker(),
      lanes: [],
      capabilities: [],
    }, (delivery) => {
      taken++;
      handle(delivery);
    });
    yield* untilTrue("all was offered", () => taken >= count);
    yield* serving.stop;
  }));

const sleeper = (stage: InstanceType<typeof Stage>) =>
  stage.actor("sleeper", (context) => context.sleep("night", "1 hour"));

const waiter = (stage: InstanceType<typeof Stage>) =>
  stage.actor("waiter", (context) => context.wait(go));

type Play = (
  stage: InstanceType<typeof Stage>,
) => Effect.Effect<unknown, unknown, Stages.Services | Scope.Scope>;

const suite = (name: string, run: Run<Stages.Services>) => {
  const test = (title: string, play: Play) =>
    it(title, () => run(Effect.scoped(Effect.suspend(() => play(new Stage())))));

  describe(`never stuck on ${name}`, () => {
    test("what runs, waits, is delayed, paused or finished is not stuck", (stage) =>
      Effect.gen(function* () {
        const gate = Stages.gate();
        const child = stage.actor("child", (context) => context.wait(go));
        const parent = stage.actor("parent", (context) => context.call(child, undefined));
        const busy = stage.actor("busy", (context) => context.run("step", () => gate.passed));
        const patient = stage.actor(
          "patient",
          (context) => context.wait(go, { timeout: "1 hour" }),
        );
        const quick = stage.actor("quick", (context) => context.run("step", () => 1));
        const failing = stage.actor("failing", () => Promise.reject(new Error("no")));
        const retrying = stage.actor(
          "retrying",
          (context) =>
            context.run("step", () => Promise.reject(new Error("no")), {
              retry: { attempts: 2, delay: "1 hour" },
            }),
        );
        const actors = [child, parent, busy, patient, quick, failing, retrying, sleeper(stage)];
        yield* stage.work(actors, { residentGrace: atOnce });
        const suspended = yield* Effect.forEach(
          [parent, patient, sleeper(stage), retrying],
          (actor) => begin(actor),
        );
        for (const of of suspended) yield* untilStatus(of, "suspended");
        const running = yield* begin(busy);
        yield* untilStatus(running, "active");
        const delayed = yield* begin(quick, undefined, { delay: "1 hour" });
        yield* untilStatus(delayed, "delayed");
        const executions = yield* Executions;
        const paused = yield* begin(patient);
        yield* executions.pause(paused);
        yield* untilStatus(paused, "paused");
        const cancelled = yield* begin(sleeper(stage));
        yield* untilStatus(cancelled, "suspended");
        yield* executions.cancel(cancelled);
        yield* untilStatus(cancelled, "cancelled");
        const ended = yield* Effect.forEach([quick, failing], (actor) => begin(actor));
        for (const of of ended) yield* untilStatus(of, "completed", "failed");
        const unclaimed = yield* begin({ name: stage.name("nobody") });
        yield* expectSound(...suspended, running, delayed, paused, cancelled, ...ended, unclaimed);
        gate.open();
        yield* resultOf(running);
      }));

    test("a deadline whose schedule is lost is reported, and scheduled again", (stage) =>
      Effect.gen(function* () {
        yield* stage.work([sleeper(stage)], { residentGrace: atOnce });
        const of = yield* begin(sleeper(stage));
        yield* untilStatus(of, "suspended");
        assert.equal(yield* lose(of, "timer"), 1);
        yield* expectStuck(of, "missingTimer");
        yield* expectStuck(of, "missingTimer", { repair: true });
        yield* expectSound(of);
      }));

    test("a schedule that came due in vain is reported, and published again", (stage) =>
      Effect.gen(function* () {
        const nap = stage.actor("nap", (context) => context.sleep("nap", "2 seconds"));
        yield* stage.work([nap], { residentGrace: atOnce });
        const of = yield* begin(nap);
        yield* untilStatus(of, "suspended");
        const address = yield* addressOf(of);
        const log = yield* Log;
        const [schedule] = yield* Stream.runCollect(log.read(keyedFilter(address, "timer")));
        assert.ok(schedule !== undefined);
        yield* lose(of, "timer");
        // The server does not know it for a schedule, as if it had fallen due while the store was full.
        const { body } = schedule;
        yield* log.append(address, { kind: "timer", key: "nap", body });
        yield* expectStuck(of, "overdueTimer", { grace: "1 second" });
        yield* expectSound(of);
        yield* stuck([of], { grace: "1 second", repair: true });
        yield* resultOf(of);
        yield* expectSound(of);
      }));

    test("a start that was acknowledged and never claimed is reported, and mended", (stage) =>
      Effect.gen(function* () {
        const quick = stage.actor("quick", () => "done");
        const of = yield* begin(quick);
        yield* expectSound(of);
        yield* acknowledge(quick, 1);
        yield* expectStuck(of, "unattended", { repair: true });
        yield* expectSound(of);
        yield* stage.work([quick]);
        assert.equal(yield* resultOf(of), "done");
      }));

    test("an owner who has acknowledged everything is reported while it holds the lease", (stage) =>
      Effect.gen(function* () {
        const worker = yield* stage.work([waiter(stage)], { residentGrace: atOnce });
        const of = yield* begin(waiter(stage));
        yield* untilStatus(of, "suspended");
        yield* worker.leave;
        yield* expectSound(of);
        const address = yield* addressOf(of);
        yield* (yield* Leases).acquire(address, { worker: uniqueWorker(), ttl: "30 seconds" });
        yield* expectStuck(of, "unattended");
      }));

    test("a signal that was acknowledged and not recorded is reported, and mended", (stage) =>
      Effect.gen(function* () {
        const worker = yield* stage.work([waiter(stage)], { residentGrace: atOnce });
        const of = yield* begin(waiter(stage));
        yield* untilStatus(of, "suspended");
        yield* worker.leave;
        yield* Stages.signal(of, "go", "now");
        yield* expectSound(of);
        yield* acknowledge(waiter(stage), 1);
        yield* expectStuck(of, "lostMail", { repair: true });
        yield* stage.work([waiter(stage)]);
        assert.equal(yield* resultOf(of), "now");
        yield* expectSound(of);
      }));

    test("mail that no record must answer is missed as well", (stage) =>
      Effect.gen(function* () {
        const worker = yield* stage.work([waiter(stage)], { residentGrace: atOnce });
        const of = yield* begin(waiter(stage));
        yield* untilStatus(of, "suspended");
        yield* worker.leave;
        yield* (yield* Executions).cancel(of);
        yield* acknowledge(waiter(stage), 1);
        yield* expectStuck(of, "unattended");
      }));

    test("a parent whose child is gone is reported, and its child started again", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (context) => context.wait(go));
        const parent = stage.actor("parent", (context) => context.call(child, undefined));
        const worker = yield* stage.work([parent, child], { residentGrace: atOnce });
        const of = yield* begin(parent);
        const { waitingFor: [awaited] } = yield* untilStatus(of, "suspended");
        assert.ok(awaited?.kind === "call");
        const lost = { execution: awaited.execution as ExecutionId, tenant };
        yield* untilStatus(lost, "suspended");
        yield* worker.leave;
        const log = yield* Log;
        const address = yield* addressOf(lost);
        const upTo = (yield* log.tail(address.shard)).sequence;
        yield* log.purge(executionFilter(address), { upTo });
        yield* log.purge(executionFilter(address, "lease"), { upTo });
        yield* expectStuck(of, "lostChild", { repair: true });
        yield* stage.work([parent, child], { residentGrace: atOnce });
        yield* untilStatus(lost, "suspended").pipe(
          Effect.retry({ while: ({ _tag }) => _tag === "ExecutionNotFound" }),
        );
        yield* Stages.signal(lost, "go", "again");
        assert.equal(yield* resultOf(of), "again");
      }));

    test("mail for an execution that nobody has started is reported after a while", (stage) =>
      Effect.gen(function* () {
        const of = { execution: `${stage.name("early")}/e-1` as ExecutionId, tenant };
        const address = yield* addressOf(of);
        const log = yield* Log;
        const due = Timestamp.make(0);
        const body = mailRecord.encode({ kind: "timer", key: "early", due });
        yield* log.append(address, { kind: "mail", body });
        yield* log.append(address, { kind: "mail", body });
        yield* expectSound(of);
        yield* expectStuck(of, "neverStarted", { grace: "10 millis" });
      }));
  });
};

suite(
  "memory",
  (effect) => new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory())),
);

describe("never stuck on a server", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Stages.Services, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(layer({ servers: server.url, shards: 2 }));
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  suite("JetStream, bounded, 2 shards", (effect) => runtime.runPromise(effect));

  it("what the server does not tell is said to be unproven, after a while", () =>
    runtime.runPromise(Effect.gen(function* () {
      const stage = new Stage();
      const { name } = waiter(stage);
      // In one partition, so that one consumer offers both.
      const ids = Array.from({ length: 50 }, (_, i) => `w-${i}`);
      const { layout } = yield* Log;
      const placeOf = (id: string) => {
        const { shard, tail } = executionAddress(layout, tenant, `${name}/${id}` as ExecutionId);
        return `${shard} ${tail.slice(0, tail.indexOf("."))}`;
      };
      const [first, ...others] = ids;
      const second = others.find((id) => placeOf(id) === placeOf(first!));
      const kept = yield* begin({ name }, undefined, { id: first! });
      const acked = yield* begin({ name }, undefined, { id: second! });
      yield* acknowledge({ name }, 2, (delivery) => {
        if (delivery.execution === acked.execution) delivery.ack();
      });
      yield* expectSound(kept, acked);
      yield* expectStuck(acked, "unproven", { grace: "10 millis" });
    })));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
