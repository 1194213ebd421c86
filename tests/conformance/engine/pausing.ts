/**
 * What pausing, draining and disabling the engine promise: nothing is taken up, nothing is lost, and
 * everything goes on by itself. What an execution is in the middle of goes on until it waits.
 */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { Principal } from "../../../schema/access_names.ts";
import type { EngineState } from "../../../schema/control_record.ts";
import { Lane, type Tenant } from "../../../schema/ids.ts";
import { EngineControl, type Scope } from "../../../streams/engine_control.ts";
import { controlAddress } from "../../../streams/engine_control/scope.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { executionAddress, executionFilter, keyedFilter } from "../../../streams/subjects.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  untilTrue,
  verb,
} from "./stage.ts";

const go = defineSignal<number>("go");

const change = (scope: Scope, state: EngineState, reason?: string) =>
  Effect.flatMap(EngineControl, (control) =>
    control.change(scope, state, {
      by: Principal.make("ana"),
      ...(reason === undefined ? {} : { reason }),
    }));

/** Has something stand so while it is looked at, and everything go on in the end. */
const whileIt = <A, E, R>(scope: Scope, state: EngineState, look: Effect.Effect<A, E, R>) =>
  Effect.andThen(change(scope, state), look).pipe(
    Effect.ensuring(Effect.orDie(change(scope, "open"))),
  );

/** Wake-ups that are kept back, or were. */
const wakesOf = ({ execution, tenant }: Named) =>
  Effect.flatMap(Log, (log) =>
    Effect.map(
      Stream.runCollect(
        log.read(keyedFilter(executionAddress(log.layout, tenant, execution), "lane")),
      ),
      (entries) => Array.from(entries).length,
    ));

const untilKept = (of: Named, wakes = 1) =>
  until(`${of.execution} is kept back`, Effect.map(wakesOf(of), (found) => found >= wakes));

const isOwned = ({ execution, tenant }: Named) =>
  Effect.gen(function* () {
    const { layout } = yield* Log;
    const lease = yield* (yield* Leases).current(executionAddress(layout, tenant, execution));
    return Option.isSome(lease) && lease.value.held;
  });

const mailOf = ({ execution, tenant }: Named) =>
  Effect.flatMap(Log, (log) =>
    Effect.map(
      Stream.runCollect(
        log.read(executionFilter(executionAddress(log.layout, tenant, execution), "mail")),
      ),
      (entries) => Array.from(entries).length,
    ));

const scopes: ReadonlyArray<readonly [string, (tenant: Tenant, lane: Lane) => Scope]> = [
  ["namespace", () => ({})],
  ["tenant", (tenant) => ({ tenant })],
  ["lane", (_, lane) => ({ lane })],
  ["lane of a tenant", (tenant, lane) => ({ tenant, lane })],
];

export const pausingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: pausing`, () => {
    for (const [what, scopeOf] of scopes) {
      test(`nothing of a paused ${what} is begun, what is under way ends, and all go on`, (stage) =>
        Effect.gen(function* () {
          const tenant = uniqueTenant();
          const lane = Lane.make(stage.name("gpu"));
          const begun: Array<string> = [];
          const { passed, open } = gate();
          const job = stage.actor("job", async (ctx, n: number) => {
            await ctx.run("begin", () => void begun.push(ctx.executionId));
            if (n === 0) await ctx.run("work", () => passed);
            await ctx.run("end", () => {});
            return n;
          });
          const lanes = [lane, Lane.make("default")];
          yield* stage.work([job], { lanes });
          yield* stage.work([job], { lanes });
          const start = (n: number) => stage.start(job, n, { id: `${n}`, tenant, lane });
          const first = yield* start(0);
          yield* untilTrue("the first has begun", () => begun.length === 1);
          const scope = scopeOf(tenant, lane);
          const waiting = yield* whileIt(
            scope,
            "paused",
            Effect.gen(function* () {
              const waiting = [yield* start(1), yield* start(2), yield* start(3)];
              for (const each of waiting) yield* untilKept(each);
              open();
              assert.equal(yield* resultOf(first), 0);
              const { status, reason, why, heldBy } = yield* describe(waiting[0]!);
              assert.deepEqual([status, reason, heldBy?.state], ["waiting", "paused", "paused"]);
              assert.deepEqual([heldBy?.tenant, heldBy?.lane], [scope.tenant, scope.lane]);
              assert.match(why, / is paused by ana since /);
              assert.equal(begun.length, 1);
              return waiting;
            }),
          );
          for (const [i, each] of waiting.entries()) assert.equal(yield* resultOf(each), i + 1);
          assert.equal(begun.length, 4);
          assert.equal((yield* describe(waiting[0]!)).heldBy, undefined);
        }));
    }

    test("what is paused is nobody else's business", (stage) =>
      Effect.gen(function* () {
        const [paused, other] = [uniqueTenant(), uniqueTenant()];
        const gpu = Lane.make(stage.name("gpu"));
        const cpu = Lane.make(stage.name("cpu"));
        const echo = stage.actor("echo", (_, n: number) => n);
        yield* stage.work([echo], { lanes: [gpu, cpu] });
        yield* stage.work([echo]);
        const kept = yield* whileIt(
          { tenant: paused },
          "paused",
          Effect.gen(function* () {
            const kept = yield* stage.start(echo, 1, { tenant: paused });
            yield* untilKept(kept);
            const [free, onLane] = [
              yield* stage.start(echo, 2, { tenant: other }),
              yield* stage.start(echo, 3, { tenant: other, lane: gpu }),
            ];
            assert.deepEqual([yield* resultOf(free), yield* resultOf(onLane)], [2, 3]);
            return kept;
          }),
        );
        assert.equal(yield* resultOf(kept), 1);
        yield* whileIt(
          { tenant: paused, lane: gpu },
          "disabled",
          Effect.gen(function* () {
            const free = [
              yield* stage.start(echo, 4, { tenant: paused }),
              yield* stage.start(echo, 5, { tenant: paused, lane: cpu }),
              yield* stage.start(echo, 6, { tenant: other, lane: gpu }),
            ];
            for (const [i, each] of free.entries()) assert.equal(yield* resultOf(each), 4 + i);
          }),
        );
        const inDefault = yield* whileIt(
          { lane: Lane.make("default") },
          "paused",
          Effect.gen(function* () {
            const inDefault = yield* stage.start(echo, 7, { tenant: other });
            yield* untilKept(inDefault);
            const onLane = yield* stage.start(echo, 8, { tenant: other, lane: gpu });
            assert.equal(yield* resultOf(onLane), 8);
            return inDefault;
          }),
        );
        assert.equal(yield* resultOf(inDefault), 7);
      }));

    for (const residentGrace of ["1 hour" as const, atOnce]) {
      test(`a sleep, a retry and a signal that come meanwhile count once (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          const tenant = uniqueTenant();
          const seen: Array<string> = [];
          const note = (what: string) => () => void seen.push(what);
          const sleeps = stage.actor("sleeps", async (ctx) => {
            await ctx.sleep("nap", "1 second");
            await ctx.run("woke", note("slept"));
          });
          let flaky = 0;
          const retries = stage.actor("retries", async (ctx) => {
            await ctx.run("flaky", (step) => {
              flaky = step.try;
              if (step.try === 1) throw new Error("busy");
              seen.push("retried");
            }, { retry: { delay: "1 second" } });
          });
          let attempts = 0;
          const again = stage.actor("again", async (ctx) => {
            await ctx.run("try", () => void attempts++);
            if (ctx.attempt === 0) throw new Error("once more");
            await ctx.run("done", note("again"));
          }, { retry: { attempts: 3, delay: "1 second" } });
          const waits = stage.actor("waits", async (ctx) => {
            const n = await ctx.wait(go);
            await ctx.run("heard", note("signalled"));
            return n;
          });
          yield* stage.work([sleeps, retries, again, waits], { residentGrace });
          const all: Array<Named> = [];
          for (const each of [sleeps, retries, again, waits]) {
            all.push(yield* stage.start(each, undefined, { tenant }));
          }
          const waiting = all[3]!;
          yield* untilTrue("both have failed", () => attempts === 1 && flaky === 1);
          for (const [i, awaited] of [[0, "timer"], [3, "signal"]] as const) {
            yield* until(
              "it waits",
              Effect.map(describe(all[i]!), ({ reason }) => reason === awaited),
            );
          }
          yield* whileIt(
            { tenant },
            "paused",
            Effect.gen(function* () {
              yield* until(
                "nobody owns them",
                Effect.map(Effect.forEach(all, isOwned), (owned) => !owned.includes(true)),
              );
              yield* signal(waiting, "go", 7);
              for (const each of all) yield* untilKept(each);
              assert.deepEqual(seen, []);
              const { status, reason } = yield* describe(waiting);
              assert.deepEqual([status, reason], ["suspended", "paused"]);
            }),
          );
          for (const each of all.slice(0, 3)) yield* resultOf(each);
          assert.equal(yield* resultOf(waiting), 7);
          assert.deepEqual(seen.sort(), ["again", "retried", "signalled", "slept"]);
          assert.deepEqual([attempts, flaky], [1, 2]);
        }));
    }

    test("what is under way hears of signals, and goes no further than its next wait", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const seen: Array<string> = [];
        const { passed, open } = gate();
        const job = stage.actor("job", async (ctx) => {
          await ctx.run("long", async () => {
            seen.push("long");
            await passed;
          });
          const first = await ctx.wait(go);
          await ctx.run("between", () => void seen.push("between"));
          await ctx.sleep("nap", "1 millis");
          await ctx.run("after", () => void seen.push("after"));
          return first;
        });
        yield* stage.work([job], { residentGrace: "1 hour" });
        const started = yield* stage.start(job, undefined, { tenant });
        yield* untilTrue("it is under way", () => seen.length === 1);
        yield* whileIt(
          { tenant },
          "paused",
          Effect.gen(function* () {
            yield* (yield* signal(started, "go", 3)).effect;
            open();
            yield* until("it is let go", Effect.map(isOwned(started), (owned) => !owned));
            assert.deepEqual(seen, ["long", "between"]);
          }),
        );
        assert.equal(yield* resultOf(started), 3);
        assert.deepEqual(seen, ["long", "between", "after"]);
      }));

    test("who is paused again and again, and by several, loses nothing", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const lane = Lane.make(stage.name("gpu"));
        let ran = 0;
        const echo = stage.actor("echo", (ctx) => ctx.run("count", () => ++ran));
        const waits = stage.actor("waits", (ctx) => ctx.wait(go));
        yield* stage.work([echo, waits], { lanes: [lane], residentGrace: atOnce });
        const waiting = yield* stage.start(waits, undefined, { tenant, lane });
        yield* untilStatus(waiting, "suspended");
        yield* change({ tenant }, "paused");
        const started = yield* stage.start(echo, undefined, { tenant, lane });
        yield* signal(waiting, "go", 5);
        yield* untilKept(started);
        yield* untilKept(waiting);
        // The lane closes before the tenant opens: what comes back is kept for another reason.
        yield* change({ lane }, "disabled");
        yield* change({ tenant }, "open");
        yield* untilKept(started, 2);
        yield* untilKept(waiting, 2);
        yield* change({ tenant }, "paused");
        yield* change({ lane }, "open");
        yield* untilKept(started, 3);
        yield* untilKept(waiting, 3);
        assert.equal(ran, 0);
        yield* change({ tenant }, "open");
        assert.equal(yield* resultOf(started), 1);
        assert.equal(yield* resultOf(waiting), 5);
        assert.equal(ran, 1);
      }));

    test("who is cancelled while it is paused ends, if that needs none of its code", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const undone: Array<string> = [];
        let begun = 0;
        const job = stage.actor("job", async (ctx) => {
          await ctx.run("begin", () => void begun++);
          try {
            await ctx.wait(go);
          } catch (error) {
            await ctx.run("undo", () => void undone.push(ctx.executionId));
            throw error;
          }
        });
        yield* stage.work([job], { residentGrace: atOnce });
        const polite = yield* stage.start(job, undefined, { id: "polite", tenant });
        const forced = yield* stage.start(job, undefined, { id: "forced", tenant });
        for (const each of [polite, forced]) yield* untilStatus(each, "suspended");
        yield* whileIt(
          { tenant },
          "paused",
          Effect.gen(function* () {
            const unbegun = yield* stage.start(job, undefined, { id: "unbegun", tenant });
            yield* untilKept(unbegun);
            yield* verb((verbs) => verbs.cancel(unbegun));
            assert.equal((yield* errorOf(resultOf(unbegun)))._tag, "ExecutionCancelled");
            yield* verb((verbs) => verbs.cancel(forced, { force: true }));
            assert.equal((yield* errorOf(resultOf(forced)))._tag, "ExecutionCancelled");
            yield* verb((verbs) => verbs.cancel(polite));
            yield* untilKept(polite);
            assert.deepEqual([begun, undone], [2, []]);
          }),
        );
        assert.equal((yield* errorOf(resultOf(polite)))._tag, "ExecutionCancelled");
        assert.deepEqual([begun, undone], [2, [polite.execution]]);
      }));

    test("a worker that comes to a paused tenant obeys from its first message", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        let ran = 0;
        const echo = stage.actor("echo", (ctx) => ctx.run("count", () => ++ran));
        yield* change({ tenant }, "paused");
        const started = yield* stage.start(echo, undefined, { tenant });
        yield* stage.work([echo]);
        yield* untilKept(started);
        assert.equal(ran, 0);
        yield* change({ tenant }, "open");
        assert.equal(yield* resultOf(started), 1);
      }));

    test("a worker that hears late loses nothing that it should not have been offered", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        let ran = 0;
        const echo = stage.actor("echo", (ctx) => ctx.run("count", () => ++ran));
        yield* change({ tenant }, "paused");
        const control = yield* EngineControl;
        const prompt = yield* stage.work([echo]);
        const first = yield* stage.start(echo, undefined, { tenant });
        yield* untilKept(first);
        // He takes what is kept back for open until he looks at what he was given.
        yield* stage.work([echo]).pipe(
          Effect.provideService(EngineControl, { ...control, known: () => new Map() }),
        );
        const second = yield* stage.start(echo, undefined, { tenant });
        yield* untilKept(second);
        yield* prompt.leave;
        yield* Effect.sleep("3 seconds");
        assert.equal(ran, 0);
        yield* change({ tenant }, "open");
        yield* resultOf(first);
        yield* resultOf(second);
        assert.equal(ran, 2);
      }));

    test("what drains takes nothing new, and comes to its end", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const echo = stage.actor("echo", (_, n: number) => n);
        const parent = stage.actor("parent", async (ctx) => {
          const n = await ctx.wait(go);
          await ctx.sleep("nap", "10 millis");
          return await ctx.call(echo, n);
        });
        yield* stage.work([parent, echo], { residentGrace: atOnce });
        const started = yield* stage.start(parent, undefined, { id: "one", tenant });
        const ended = yield* stage.start(echo, 1, { id: "ended", tenant });
        yield* resultOf(ended);
        for (const state of ["draining", "disabled"] as const) {
          yield* change({ tenant }, state, "end of contract");
          const refused = yield* errorOf(stage.start(parent, undefined, { id: "two", tenant }));
          assert.equal(refused._tag, "IntakeClosed");
          assert.ok(refused._tag === "IntakeClosed");
          assert.deepEqual([refused.state, refused.tenant, refused.by], [state, tenant, "ana"]);
          assert.match(refused.message, /end of contract/);
          assert.equal(yield* mailOf({ execution: refused.execution as never, tenant }), 0);
          const again = yield* stage.start(parent, undefined, { id: "one", tenant });
          assert.deepEqual([again.created, again.life], [false, started.life]);
          const retried = yield* errorOf(verb((verbs) => verbs.retry(ended)));
          assert.equal(retried._tag, "IntakeClosed");
        }
        yield* change({ tenant }, "draining");
        yield* signal(started, "go", 4);
        assert.equal(yield* resultOf(started), 4);
        yield* change({ tenant }, "open");
        assert.equal(yield* resultOf(yield* stage.start(echo, 9, { tenant })), 9);
      }));

    test("a schedule waits while nothing new is accepted, and obeys its misfire policy", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const ran: Array<string> = [];
        const quick = stage.actor("quick", (ctx) => ctx.run("run", () => void ran.push("run")));
        yield* stage.work([quick], { residentGrace: atOnce });
        const policy = { type: "repeat", count: 4, interval: "1 second" } as const;
        const schedule = yield* stage.start(quick, undefined, {
          id: "often",
          tenant,
          policy,
          misfire: { type: "skip" },
          grace: "1 second",
        });
        yield* untilTrue("the first has run", () => ran.length === 1);
        yield* whileIt(
          { tenant },
          "paused",
          Effect.gen(function* () {
            yield* untilKept(schedule);
            yield* Effect.sleep("3 seconds");
            yield* change({ tenant }, "draining");
            yield* untilKept(schedule, 2);
            assert.equal(ran.length, 1);
          }),
        );
        const summary = yield* resultOf(schedule) as Effect.Effect<never>;
        const { created, skipped } = summary as { created: number; skipped: number };
        assert.deepEqual([created + skipped, created, ran.length], [4, created, created]);
        assert.ok(skipped >= 2, `${skipped} were skipped`);
      }));

    test("who is paused keeps nobody else from a queue, and loses no place in it", (stage) =>
      Effect.gen(function* () {
        const [paused, other] = [uniqueTenant(), uniqueTenant()];
        const order: Array<string> = [];
        const job = stage.actor("job", async (ctx) => {
          await ctx.run("enter", () => void order.push(ctx.executionId.split("/")[1]!));
          await ctx.wait(go);
        });
        const gpu = Lane.make(stage.name("gpu"));
        const lanes = [gpu, Lane.make("default")];
        yield* stage.work([job], { queues: true, lanes });
        const queue = { name: stage.name("q"), key: "k" };
        const start = (id: string, of: Tenant, lane?: Lane) =>
          stage.start(job, undefined, {
            id,
            tenant: of,
            queue: { ...queue, key: of === paused ? "p" : "o" },
            ...(lane === undefined ? {} : { lane }),
          });
        const waitsInQueue = (of: Named) =>
          until("it waits", Effect.map(describe(of), ({ reason }) => reason === "queue"));
        const first = yield* start("first", paused);
        yield* untilTrue("it has begun", () => order.length === 1);
        const second = yield* start("second", paused);
        yield* waitsInQueue(second);
        const onLane = yield* start("on lane", other, gpu);
        yield* untilTrue("it has begun", () => order.length === 2);
        const next = yield* start("next", other, gpu);
        yield* waitsInQueue(next);
        const last = yield* start("last", other);
        yield* waitsInQueue(last);
        yield* change({ tenant: paused }, "paused");
        yield* change({ lane: gpu }, "paused");
        // He ends as soon as he goes on, which is not yet; who holds no seat is asked nothing.
        yield* verb((verbs) => verbs.cancel(first, { force: true }));
        yield* verb((verbs) => verbs.cancel(onLane, { force: true }));
        yield* untilTrue("the last has begun", () => order.length === 3);
        assert.deepEqual(order, ["first", "on lane", "last"]);
        yield* signal(last, "go", 1);
        yield* resultOf(last);
        yield* change({ tenant: paused }, "open");
        yield* change({ lane: gpu }, "open");
        for (const each of [second, next]) {
          yield* signal(each, "go", 1);
          yield* resultOf(each);
        }
        assert.equal(order.length, 5);
      }));

    test("each change is one record, and told once", (stage) =>
      Effect.gen(function* () {
        const tenant = uniqueTenant();
        const lane = Lane.make(stage.name("gpu"));
        const scope = { tenant, lane };
        const control = yield* EngineControl;
        const changes = yield* Effect.all(
          Array.from({ length: 8 }, () => change(scope, "paused", "storm")),
          { concurrency: "unbounded" },
        );
        assert.equal(changes.filter(({ changed }) => changed).length, 1);
        for (
          const state of ["disabled", "draining", "draining", "paused", "open", "open"] as const
        ) {
          yield* change(scope, state);
        }
        const log = yield* Log;
        const records = yield* Stream.runCollect(log.read({
          shard: 0,
          subject: `$KV.${log.layout.namespace}.control.${controlAddress(log.layout, scope).tail}`,
        }));
        assert.equal(Array.from(records).length, 5);
        const told = (yield* control.history({ tenant })).filter((event) =>
          "lane" in event && event.lane === lane
        );
        assert.deepEqual(
          told.map(({ kind }) => kind),
          ["enginePaused", "engineResumed", "enginePaused", "engineResumed"],
        );
        const [first] = told;
        assert.ok(first?.kind === "enginePaused");
        assert.deepEqual([first.reason, first.actorId, first.tenantId], ["storm", "ana", tenant]);
      }));

    test("what is not open is listed by tenant and lane", (stage) =>
      Effect.gen(function* () {
        const control = yield* EngineControl;
        const tenant = uniqueTenant();
        const lanes = ["b", "a"].map((name) => Lane.make(stage.name(name)));
        const all: ReadonlyArray<Scope> = [
          ...lanes.map((lane) => ({ tenant, lane })),
          { lane: lanes[0]! },
          { tenant },
          { tenant: uniqueTenant() },
        ];
        for (const scope of all) yield* change(scope, "draining");
        const mine = (yield* control.list({ tenant })).filter(({ lane, tenant: of }) =>
          of === tenant || lane === lanes[0]
        );
        assert.deepEqual(mine.map(({ tenant: of, lane }) => [of === tenant, lane]), [
          [false, lanes[0]],
          [true, undefined],
          [true, lanes[1]],
          [true, lanes[0]],
        ]);
        for (const scope of all) yield* change(scope, "open");
        assert.deepEqual(
          (yield* control.list({ allTenants: true })).filter(({ tenant: of }) => of === tenant),
          [],
        );
      }));
  });
};
