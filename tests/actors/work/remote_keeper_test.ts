/** Who keeps remote workers, on a clock that has the time for it, and whoever dies at whatever record. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schedule from "effect/Schedule";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { layerMemory } from "../../../actors/layer.ts";
import * as Post from "../../../actors/engine/post.ts";
import { Executions } from "../../../actors/executions.ts";
import { neverStuck } from "../../../actors/never_stuck.ts";
import { remoteActor } from "../../../actors/remote_actor.ts";
import { makeWorker } from "../../../actors/verbs.ts";
import { ActorName, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import type { RemoteStep } from "../../../schema/remote_protocol.ts";
import * as Leases from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import * as Sessions from "../../../streams/session.ts";
import { type Moment, MortalProcess } from "../../../testing/process.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import { arrive, refusedAs, say } from "../../conformance/engine/remote_client.ts";
import {
  engineTests,
  resultOf,
  type Services,
  untilStatus,
} from "../../conformance/engine/stage.ts";
import type { Run } from "../../conformance/subject_matter.ts";

const run: Run<Services> = (effect) =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory()));

const acme = Tenant.make("acme");
const image = { identity: "w", capabilities: ["image"] } as const;
const resize = remoteActor<unknown, unknown>("resize", { capabilities: ["image"] });

const errandsNow = Effect.flatMap(Log, (log) => Post.make(log).errands.read(acme));
const recordOf = (identity: string) =>
  Effect.flatMap(
    Log,
    (log) => Post.make(log).errands.remote(acme, WorkerInstanceId.make(identity)),
  );

describe("who keeps remote workers", () => {
  const test = engineTests(run);

  test("takes all that it had from who says nothing for three of his intervals, and says so", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, { ...image, heartbeatMs: 10_000 });
      const started = yield* stage.start(resize, 1, { tenant: acme });
      const step = yield* worker.claim;
      const at = yield* worker.say("heartbeat", { steps: [step].map(pick) });
      assert.deepEqual(at, { ok: true, lost: [] });
      yield* Effect.sleep("29 seconds");
      assert.equal((yield* recordOf("w"))?.remote.state, "registered");
      yield* Effect.sleep("2 seconds");
      const gone = yield* recordOf("w");
      assert.deepEqual([gone?.remote.state, gone?.remote.why], ["gone", "silent"]);
      const [errand] = (yield* errandsNow).errands;
      const { state, reclaims, why } = errand!.errand!;
      assert.deepEqual({ state, reclaims, why }, { state: "waiting", reclaims: 1, why: "gone" });
      assert.equal(refusedAs(yield* worker.say("claim")), "not_registered");
      const next = yield* arrive(acme, { ...image, identity: "next" });
      yield* next.of(yield* next.claim).finish("next");
      assert.equal(yield* resultOf(started), "next");
    }));

  test("leaves it to who says that he is there, and records that once a minute", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, { ...image, heartbeatMs: 5_000 });
      const started = yield* stage.start(resize, 1, { tenant: acme });
      const step = yield* worker.claim;
      let stored = 0;
      let last: number | undefined;
      for (let beat = 0; beat < 240; beat++) {
        yield* Effect.sleep("5 seconds");
        const answer = yield* worker.say("heartbeat", { steps: [step].map(pick) });
        assert.deepEqual(answer, { ok: true, lost: [] });
        const known = yield* recordOf("w");
        assert.ok(known!.sequences.length <= 3, `${known!.sequences.length} records`);
        if (known!.sequences.at(-1) !== last) stored++;
        last = known!.sequences.at(-1);
      }
      assert.ok(stored >= 15 && stored <= 22, `${stored} records in 20 minutes`);
      yield* worker.of(step).finish("late");
      assert.equal(yield* resultOf(started), "late");
    }));

  test("takes a step back that its worker says nothing of, though he is there", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, { ...image, heartbeatMs: 5_000 });
      yield* stage.start(resize, 1, { tenant: acme, id: "1" });
      const lost = yield* worker.claim;
      for (let beat = 0; beat < 7; beat++) {
        yield* Effect.sleep("5 seconds");
        yield* worker.say("heartbeat");
      }
      const again = yield* worker.claim;
      assert.deepEqual([again.step, again.fence], [lost.step, lost.fence + 1]);
      yield* worker.of(again).finish();
    }));

  test("forgets what has ended, and keeps nothing of it in the log", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, image);
      const started = yield* stage.start(resize, 1, { tenant: acme });
      const step = yield* worker.claim;
      yield* worker.of(step).finish("done");
      yield* resultOf(started);
      yield* worker.say("deregister");
      assert.equal((yield* errandsNow).errands.length, 1);
      yield* Effect.sleep("3 minutes");
      assert.deepEqual((yield* errandsNow).errands, []);
      assert.equal(yield* recordOf("w"), undefined);
    }));

  test("gives what waits to all who ask for it without waiting", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, image);
      const ids = Array.from({ length: 8 }, (_, index) => `${index}`);
      for (const id of ids) yield* stage.start(resize, 1, { tenant: acme, id });
      const first = yield* Effect.forEach(ids, () => worker.claim);
      for (const each of first) yield* worker.of(each).say("release");
      const given = yield* Effect.forEach(ids, () => worker.say("claim"), {
        concurrency: "unbounded",
      });
      const steps = given.map(({ step }) => step?.step);
      assert.deepEqual(steps.toSorted(), first.map(({ step }) => step).toSorted());
      assert.deepEqual(yield* worker.say("claim"), { ok: true, step: null });
    }));

  test("takes no progress that leaves no room for what becomes of the step", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, image);
      const started = yield* stage.start(resize, 1, { tenant: acme, id: "full" });
      const report = (step: RemoteStep, size: number) =>
        Effect.map(worker.of(step).say("report", { progress: "p".repeat(size) }), refusedAs);
      const first = yield* worker.claim;
      let taken = 0;
      for (let by = 1024 * 1024; by >= 1; by /= 2) {
        if ((yield* report(first, taken + by)) === "accepted") taken += by;
      }
      assert.ok(taken > 1_030_000, `${taken}`);
      assert.equal(yield* report(first, taken), "accepted");
      assert.ok((yield* worker.of(first).say("release")).ok);
      const silent = yield* arrive(acme, {
        identity: "n".repeat(128),
        capabilities: ["image"],
        heartbeatMs: 5_000,
      });
      const lost = yield* silent.claim;
      assert.equal(String(lost.progress).length, taken);
      yield* Effect.sleep("20 seconds");
      const again = yield* worker.claim;
      assert.deepEqual([String(again.progress).length, again.fence], [taken, 3]);
      assert.ok((yield* worker.of(again).finish("o".repeat(1_000_000))).ok);
      assert.equal(String(yield* resultOf(started)).length, 1_000_000);
    }));

  test("takes no progress that it could not hand out with the input", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, image);
      const started = yield* stage.start(resize, "i".repeat(600_000), { tenant: acme });
      const step = yield* worker.claim;
      for (const [size, expected] of [[600_000, "too_large"], [400_000, "accepted"]] as const) {
        const answer = yield* worker.of(step).say("report", { progress: "p".repeat(size) });
        assert.equal(refusedAs(answer), expected);
        assert.doesNotMatch(JSON.stringify(answer), /raise maxPayloadBytes/);
      }
      yield* worker.of(step).say("release");
      const again = yield* worker.claim;
      assert.equal(String(again.progress).length, 400_000);
      yield* worker.of(again).finish("done");
      assert.equal(yield* resultOf(started), "done");
    }));

  test("hands out without its progress what has no room for both", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize], { remotes: false });
      const log = yield* Log;
      const { errands } = Post.make(log);
      const inputs = { record: 1, answer: "i".repeat(600_000) };
      const started = yield* Effect.forEach(
        Object.entries(inputs),
        ([id, input]) => stage.start(resize, input, { tenant: acme, id }),
      );
      for (const each of started) yield* untilStatus(each, "suspended");
      for (const { errand } of (yield* errandsNow).errands) {
        const spare = log.maxMessageBytes - errands.said({ ...errand!, progress: "" }).body.length;
        const size = errand!.execution.endsWith("record") ? spare : 600_000;
        const message = errands.said({ ...errand!, progress: "p".repeat(size) });
        yield* log.append(message.of!, message);
      }
      yield* stage.work([], { remotes: true });
      const worker = yield* arrive(acme, image);
      for (const _ of started) {
        const step = yield* worker.claim;
        assert.equal(step.progress, null);
        yield* worker.of(step).finish("done");
      }
      for (const each of started) assert.equal(yield* resultOf(each), "done");
    }));

  test("finds out what was entered late for an execution that had ended", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const started = yield* stage.start(resize, 1, { tenant: acme });
      const worker = yield* arrive(acme, image);
      yield* worker.of(yield* worker.claim).finish("done");
      yield* resultOf(started);
      const { errands } = Post.make(yield* Log);
      const [ended] = (yield* errands.read(acme)).errands;
      const { worker: _, session: _session, outcome: _outcome, ...rest } = ended!.errand!;
      const late = { ...rest, capabilities: ["none"], state: "waiting", fence: 0 } as const;
      yield* errands.enter({ ...late, turn: "0.0.7" });
      yield* errands.enter({ ...late, execution: "resize/none" as never });
      yield* Effect.sleep("5 minutes");
      assert.deepEqual((yield* errands.read(acme)).errands, []);
    }));
});

describe("who keeps remote workers where payloads are small", () => {
  const small = { maxPayloadBytes: 20_000 };
  const test = engineTests((effect) =>
    new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory(small)))
  );

  test("takes no output that its execution could not be told", (stage) =>
    Effect.gen(function* () {
      yield* stage.work([resize]);
      const worker = yield* arrive(acme, image);
      const started = yield* stage.start(resize, 1, { tenant: acme });
      const step = yield* worker.claim;
      assert.equal(refusedAs(yield* worker.of(step).finish("o".repeat(20_000))), "too_large");
      // The largest that is taken has more around it than what follows from it.
      let size = 19_900;
      while (!(yield* worker.of(step).finish("o".repeat(size))).ok) size -= 10;
      assert.ok(size > 19_000, `${size}`);
      assert.equal(String(yield* resultOf(started)).length, size);
    }));
});

const pick = ({ step, fence }: RemoteStep) => ({ step, fence });

const ofProcess = Layer.mergeAll(Leases.layer, ServerClock.layer).pipe(
  Layer.provideMerge(Sessions.layer),
);

const inputs = ["a", "b", "c"];

/** Has a remote worker do three things, of which he loses the second to another. */
const drive = Effect.gen(function* () {
  const executions = yield* Executions;
  const worker = yield* arrive(acme, { ...image, heartbeatMs: 5_000 });
  const started = yield* Effect.forEach(
    inputs,
    (id) => executions.start(ActorName.make("resize"), acme, id, { id, unserved: true }),
  );
  /** Whether somebody was told that this is done, by execution. */
  const finished: Record<string, Array<string>> = {};
  const fences: Record<string, Array<number>> = {};
  let lost = 0;
  let he = worker;
  yield* Effect.gen(function* () {
    const answer = yield* say(acme, "claim", { session: he.session, waitMs: 1_000 }, 3_000);
    if (!answer.ok) {
      assert.equal(answer.error.code, "not_registered");
      he = yield* arrive(acme, { ...image, heartbeatMs: 5_000 });
      return false;
    }
    const step: RemoteStep | null = answer.step;
    if (step !== null) {
      (fences[step.step] ??= []).push(step.fence);
      if (step.input === "b" && lost++ === 0) {
        const before = he;
        he = yield* arrive(acme, { ...image, heartbeatMs: 5_000 });
        const late = yield* before.of(step).finish("lost");
        assert.equal(refusedAs(late), "not_registered");
        return false;
      }
      const said = yield* he.of(step).finish(`${step.input}!`);
      if (said.ok) (finished[step.execution] ??= []).push(step.step);
      else assert.ok(["lease_lost", "not_registered"].includes(said.error.code), said.error.code);
    }
    return Object.keys(finished).length === inputs.length;
  }).pipe(
    Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("100 millis") }),
    Effect.timeout("10 minutes"),
  );
  const results = yield* Effect.forEach(started, (each) => resultOf(each));
  assert.deepEqual(results, inputs.map((input) => `${input}!`));
  for (const steps of Object.values(finished)) assert.equal(steps.length, 1);
  for (const each of Object.values(fences)) {
    assert.deepEqual(each, [...new Set(each)].sort((a, b) => a - b));
  }
});

/** Plays that while the first process dies at a record, and another comes. */
const play = (place?: { readonly append: number; readonly moment: Moment }) => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  return clock.run(Effect.scoped(Effect.gen(function* () {
    const shared = Context.merge(yield* Layer.build(layerMemory()), clock.context);
    const begin = (identity: string, process: MortalProcess) =>
      Effect.forkDetach(
        makeWorker([resize], { identity, residentGrace: "20 millis" }).pipe(
          Effect.provide(
            ofProcess.pipe(
              Layer.provideMerge(Layer.succeedContext(Context.merge(shared, process.services))),
            ),
          ),
          Scope.provide(Scope.makeUnsafe()),
        ),
      );
    const first = new MortalProcess(shared);
    if (place !== undefined) void first.killAt({ append: place.append }, place.moment);
    yield* begin("first", first);
    yield* Effect.sync(() => first.isDead).pipe(
      Effect.repeat({ until: (isDead) => isDead, schedule: Schedule.spaced("1 second") }),
      Effect.andThen(Effect.suspend(() => begin("second", new MortalProcess(shared)))),
      Effect.forkScoped,
    );
    yield* drive.pipe(Effect.timeout("1 hour"), Effect.provideContext(shared));
    const stuck = yield* Stream.runCollect(neverStuck()).pipe(Effect.provideContext(shared));
    assert.deepEqual(stuck, []);
    return { appends: first.appends, isDead: first.isDead };
  })));
};

describe("remote workers whose keeper dies", () => {
  it("at each record, before it is stored and behind it: all is done, and each told once", async () => {
    const { appends } = await play();
    assert.ok(appends > 20, `${appends} appends`);
    let died = 0;
    for (let append = 1; append <= appends; append++) {
      for (const moment of ["before", "after"] as const) {
        const { isDead } = await play({ append, moment }).catch((cause) => {
          throw new Error(`${moment} record ${append}`, { cause });
        });
        if (isDead) died++;
      }
    }
    assert.ok(died > appends, `${died} died`);
  });
});
