/**
 * What remote actors promise: each step is given to one worker at a time, who loses it when he is
 * silent, and what he says then counts for nothing.
 */
import assert from "node:assert/strict";
import { suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { remoteActor, type RemoteActorOptions } from "../../../actors/remote_actor.ts";
import * as Post from "../../../actors/engine/post.ts";
import { remoteKeeperOf } from "../../../streams/errands.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { queueTenant } from "../../../streams/seats.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import { arrive, refusedAs, sayOnce } from "./remote_client.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  resultOf,
  type Services,
  type Stage,
  until,
  untilStatus,
  verb,
} from "./stage.ts";

// deno-lint-ignore no-explicit-any -- whatever it is given and gives
const remote = (stage: Stage, options: RemoteActorOptions<any, any, never> = {}) =>
  // deno-lint-ignore no-explicit-any -- the same
  remoteActor<any, any>(stage.name("remote"), { capabilities: ["image"], ...options });

const image = { identity: "w", capabilities: ["image"] } as const;

const untilReason = (
  of: Parameters<typeof describe>[0],
  reason: string,
  why: RegExp,
) =>
  until(
    `${reason}: ${why}`,
    Effect.map(describe(of), (found) => found.reason === reason && why.test(found.why)),
  );

/** Takes the lease of whoever keeps a tenant's remote workers away. */
const depose = (tenant: ReturnType<typeof uniqueTenant>) =>
  Effect.gen(function* () {
    const post = Post.make(yield* Log);
    yield* (yield* Leases).revoke(post.addressOf(remoteKeeperOf(tenant), queueTenant), {
      by: "operator",
    });
  });

export const remotingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: remote actors`, () => {
    for (const residentGrace of ["5 seconds" as const, atOnce]) {
      test(`a worker claims, reports and finishes, and may say so again (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          const tenant = uniqueTenant();
          const resize = remote(stage);
          yield* stage.work([resize], { residentGrace });
          const worker = yield* arrive(tenant, image);
          const started = yield* stage.start(resize, { width: 7 }, { tenant });
          const step = yield* worker.claim;
          assert.deepEqual(
            [step.name, step.execution, step.tenant, step.input, step.fence, step.progress],
            [resize.name, started.execution, tenant, { width: 7 }, 1, null],
          );
          yield* untilReason(started, "remote", /the remote worker w has it/);
          const his = worker.of(step);
          yield* his.say("report", { progress: "half" });
          assert.deepEqual(
            yield* worker.say("heartbeat", { steps: [{ step: step.step, fence: 1 }] }),
            { ok: true, lost: [] },
          );
          // Who is not answered soon says it again, while it is being stored.
          const said = [his.finish({ url: "small" }), his.finish({ url: "small" })];
          assert.deepEqual(
            yield* Effect.all([...said, his.finish({ url: "late" })], { concurrency: 3 }),
            Array(3).fill({ ok: true }),
          );
          assert.deepEqual(yield* his.finish({ url: "late" }), { ok: true });
          assert.deepEqual(yield* resultOf(started), { url: "small" });
          assert.equal(refusedAs(yield* his.say("report", { progress: 1 })), "lease_lost");
          yield* worker.claimNothing;
        }));
    }

    test("what nobody can do says what is missing, and goes to who can as soon as he is there", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { capabilities: ["image", "gpu"], department: "lab" });
        yield* stage.work([resize], { residentGrace: atOnce });
        const started = yield* stage.start(resize, 1, { tenant });
        yield* untilReason(started, "capability", /no remote worker of the department lab/);
        const other = yield* arrive(tenant, {
          ...image,
          identity: "other",
          capabilities: ["image", "gpu"],
          department: "field",
        });
        const weak = yield* arrive(tenant, { ...image, identity: "weak", department: "lab" });
        yield* untilReason(started, "capability", /lab has the capability gpu/);
        yield* other.claimNothing;
        yield* weak.claimNothing;
        // It says anew what it can do, and what it had stays its own.
        const again = yield* weak.say("register", {
          identity: "weak",
          capabilities: ["gpu", "image"],
          department: "lab",
          heartbeatMs: 60_000,
        });
        assert.equal(again.session, weak.session);
        const step = yield* weak.claim;
        yield* weak.of(step).finish("done");
        assert.equal(yield* resultOf(started), "done");
      }));

    test("who is silent loses it to another, who goes on from there; his word counts no more", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 second" });
        yield* stage.work([resize]);
        const frozen = yield* arrive(tenant, image);
        const started = yield* stage.start(resize, 1, { tenant });
        const first = yield* frozen.claim;
        yield* frozen.of(first).say("report", { progress: [1, 2] });
        const next = yield* arrive(tenant, { ...image, identity: "next" });
        const second = yield* next.claim;
        assert.deepEqual(
          [second.step, second.fence, second.progress],
          [first.step, 2, [1, 2]],
        );
        assert.deepEqual(
          yield* frozen.say("heartbeat", { steps: [{ step: first.step, fence: 1 }] }),
          { ok: true, lost: [first.step] },
        );
        for (const each of ["finish", "release"]) {
          assert.equal(refusedAs(yield* frozen.of(first).say(each)), "lease_lost", each);
        }
        const failed = yield* frozen.of(first).say("fail", { error: { message: "too late" } });
        assert.equal(refusedAs(failed), "lease_lost");
        yield* next.of(second).finish("second");
        assert.equal(refusedAs(yield* frozen.of(first).finish("first")), "lease_lost");
        assert.equal(yield* resultOf(started), "second");
      }));

    test("who comes again under his name loses what he had before at once", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 hour" });
        yield* stage.work([resize]);
        const before = yield* arrive(tenant, image);
        const started = yield* stage.start(resize, 1, { tenant });
        const lost = yield* before.claim;
        const after = yield* arrive(tenant, image);
        const step = yield* after.claim;
        assert.deepEqual([step.step, step.fence], [lost.step, 2]);
        assert.equal(refusedAs(yield* before.of(lost).finish("old")), "not_registered");
        yield* after.of(step).finish("new");
        assert.equal(yield* resultOf(started), "new");
      }));

    test("who leaves, or gives it back, has it given to others and not counted", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 hour", maxReclaims: 0 });
        yield* stage.work([resize]);
        const started = yield* stage.start(resize, 1, { tenant });
        const a = yield* arrive(tenant, { ...image, identity: "a" });
        const first = yield* a.claim;
        assert.equal(refusedAs(yield* a.of(first).say("release")), "accepted");
        const second = yield* a.claim;
        assert.equal(refusedAs(yield* a.say("deregister")), "accepted");
        assert.equal(refusedAs(yield* a.of(second).finish("gone")), "not_registered");
        const b = yield* arrive(tenant, { ...image, identity: "b" });
        const third = yield* b.claim;
        assert.deepEqual([first, second, third].map(({ fence }) => fence), [1, 2, 3]);
        yield* b.of(third).finish("b");
        assert.equal(yield* resultOf(started), "b");
      }));

    test("what is lost too often is given up, as what kills its workers", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 hour", maxReclaims: 2 });
        yield* stage.work([resize], { residentGrace: atOnce });
        const started = yield* stage.start(resize, 1, { tenant });
        for (let fence = 1; fence <= 3; fence++) {
          const worker = yield* arrive(tenant, image);
          assert.equal((yield* worker.claim).fence, fence);
        }
        yield* arrive(tenant, image);
        const error = yield* errorOf(resultOf(started));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "max_reclaims_exceeded");
      }));

    test("what fails is tried again as the actor says, if it may be", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { retry: { attempts: 3, delay: "1 millis" } });
        yield* stage.work([resize], { residentGrace: atOnce });
        const worker = yield* arrive(tenant, image);
        const started = yield* stage.start(resize, 1, { tenant });
        const first = yield* worker.claim;
        yield* worker.of(first).say("fail", { error: { message: "busy" } });
        const second = yield* worker.claim;
        assert.notEqual(second.step, first.step);
        assert.deepEqual([first.attempt, second.attempt], [0, 1]);
        const error = { name: "Unreadable", message: "no picture", retryable: false };
        yield* worker.of(second).say("fail", { error });
        const ended = yield* errorOf(resultOf(started));
        assert.ok(ended._tag === "ExecutionFailed");
        const { name, message, retryable } = ended.failure;
        assert.deepEqual({ name, message, retryable }, error);
      }));

    test("nobody works on what is cancelled, or goes on with it", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 hour" });
        yield* stage.work([resize], { residentGrace: atOnce });
        for (const force of [true, false]) {
          const waits = yield* stage.start(resize, 1, { tenant, id: `waits-${force}` });
          yield* untilStatus(waits, "suspended");
          yield* verb((verbs) => verbs.cancel(waits, { force }));
          yield* untilStatus(waits, "cancelled");
        }
        const worker = yield* arrive(tenant, image);
        yield* worker.claimNothing;
        const runs = yield* stage.start(resize, 1, { tenant, id: "runs" });
        const { step, fence } = yield* worker.claim;
        yield* verb((verbs) => verbs.cancel(runs));
        yield* untilStatus(runs, "cancelled");
        yield* until(
          "he is told",
          Effect.map(
            worker.say("heartbeat", { steps: [{ step, fence }] }),
            ({ lost }) => lost.length === 1,
          ),
        );
        assert.equal(refusedAs(yield* worker.say("finish", { step, fence })), "lease_lost");
      }));

    test("an attempt whose time is over is taken from its worker, and the next is another step", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 hour" });
        yield* stage.work([resize], { residentGrace: atOnce });
        const worker = yield* arrive(tenant, image);
        const started = yield* stage.start(resize, 1, {
          tenant,
          timeout: "1 second",
          retry: { attempts: 2, delay: "1 millis" },
        });
        const slow = yield* worker.claim;
        const again = yield* worker.claim;
        assert.notEqual(again.step, slow.step);
        assert.equal(refusedAs(yield* worker.of(slow).finish("late")), "lease_lost");
        yield* worker.of(again).finish("in time");
        assert.equal(yield* resultOf(started), "in time");
        const { waitingFor } = yield* describe(started);
        assert.deepEqual(waitingFor, []);
      }));

    test("who keeps them next knows who is there, what waits, and who has what", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 hour" });
        yield* stage.work([resize]);
        yield* stage.work([resize]);
        const worker = yield* arrive(tenant, image);
        const has = yield* stage.start(resize, 1, { tenant, id: "has" });
        const first = yield* worker.claim;
        yield* depose(tenant);
        const waits = yield* stage.start(resize, 2, { tenant, id: "waits" });
        const second = yield* worker.claim;
        yield* depose(tenant);
        yield* worker.of(first).finish("one");
        yield* depose(tenant);
        yield* worker.of(second).finish("two");
        assert.deepEqual([yield* resultOf(has), yield* resultOf(waits)], ["one", "two"]);
        assert.deepEqual(yield* worker.of(second).finish("two"), { ok: true });
      }));

    test("the more urgent comes first, and what was taken back before what came later", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage, { leaseTtl: "1 hour" });
        yield* stage.work([resize], { residentGrace: atOnce });
        for (const [id, priority] of [["a", 0], ["b", 0], ["c", 5]] as const) {
          const started = yield* stage.start(resize, id, { tenant, id, priority });
          yield* untilReason(started, "capability", /no remote worker is registered/);
        }
        const worker = yield* arrive(tenant, image);
        const c = yield* worker.claim;
        const a = yield* worker.claim;
        yield* worker.of(a).say("release");
        const again = yield* worker.claim;
        const b = yield* worker.claim;
        assert.deepEqual([c, a, again, b].map(({ input }) => input), ["c", "a", "a", "b"]);
        for (const step of [c, again, b]) yield* worker.of(step).finish();
      }));

    test("nonsense is refused, and what is another's is not there", (stage) =>
      Effect.gen(function* () {
        const [tenant, stranger] = [uniqueTenant(), uniqueTenant()];
        const resize = remote(stage, { leaseTtl: "1 hour" });
        yield* stage.work([resize]);
        const worker = yield* arrive(tenant, image);
        const other = yield* arrive(stranger, image);
        const started = yield* stage.start(resize, 1, { tenant });
        const step = yield* worker.claim;
        const codeOf = (verb: string, body: string) =>
          Effect.map(sayOnce(tenant, verb, body), refusedAs);
        const registering = { ...image, heartbeatMs: 2_000 };
        for (
          const [verb, body] of [
            ["register", "no json"],
            ["register", "null"],
            ["register", JSON.stringify({ ...registering, capabilites: [] })],
            ["register", JSON.stringify({ ...registering, tenant: stranger })],
            ["register", JSON.stringify({ ...registering, heartbeatMs: 10 })],
            ["register", JSON.stringify({ ...registering, identity: "" })],
            ["register", JSON.stringify({ ...registering, capabilities: ["a b"] })],
            ["register", JSON.stringify({ ...registering, capabilities: ["a,b"] })],
            ["register", JSON.stringify({ ...registering, capabilities: ["a\u0007"] })],
            [
              "register",
              JSON.stringify({ ...registering, capabilities: Array(257).fill("a") }),
            ],
            [
              "register",
              JSON.stringify({ ...registering, capabilities: ["a".repeat(4_097)] }),
            ],
            ["claim", JSON.stringify({ session: worker.session, waitMs: 30_001 })],
            ["finish", JSON.stringify({ session: worker.session, step: step.step })],
            ["finish", JSON.stringify({ session: worker.session, ...step })],
            ["steal", "{}"],
          ] as const
        ) assert.equal(yield* codeOf(verb, body), "invalid_request", `${verb} ${body}`);
        const { session } = other;
        const named = { step: step.step, fence: 1 };
        assert.equal(
          yield* codeOf("finish", JSON.stringify({ session, ...named })),
          "not_registered",
        );
        assert.equal(refusedAs(yield* other.say("finish", named)), "lease_lost");
        const rival = yield* arrive(tenant, { ...image, identity: "rival" });
        assert.deepEqual((yield* rival.say("heartbeat", { steps: [named] })).lost, [step.step]);
        for (const each of ["finish", "release"]) {
          assert.equal(refusedAs(yield* rival.say(each, named)), "lease_lost");
        }
        for (const fence of [0, 2]) {
          assert.equal(refusedAs(yield* worker.say("finish", { ...named, fence })), "lease_lost");
        }
        yield* other.claimNothing;
        yield* worker.of(step).finish("own");
        assert.equal(yield* resultOf(started), "own");
      }));

    test("what is too large to be handed out fails, and keeps nobody from the rest", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage);
        yield* stage.work([resize]);
        const worker = yield* arrive(tenant, image);
        const claiming = yield* Effect.forkChild(worker.claim);
        const large = yield* stage.start(resize, "x".repeat(1_100_000), { tenant, id: "large" });
        const error = yield* errorOf(resultOf(large));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "PayloadTooLarge");
        const small = yield* stage.start(resize, "x", { tenant, id: "small" });
        yield* worker.of(yield* Fiber.join(claiming)).finish("small");
        assert.equal(yield* resultOf(small), "small");
      }));

    test("what a parent asks of a remote actor is a child like any other", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const resize = remote(stage);
        const parent = stage.actor("parent", async (ctx) => {
          const sizes = await Promise.all(
            [1, 2].map((size) =>
              ctx.call(resize, size, { name: `size-${size}`, id: `of-${size}` })
            ),
          );
          return sizes.join();
        });
        yield* stage.work([resize, parent], { residentGrace: atOnce });
        const worker = yield* arrive(tenant, image);
        const started = yield* stage.start(parent, undefined, { tenant });
        for (let i = 0; i < 2; i++) {
          const step = yield* worker.claim;
          yield* worker.of(step).finish(Number(step.input) * 10);
        }
        assert.equal(yield* resultOf(started), "10,20");
      }));
  });
};
