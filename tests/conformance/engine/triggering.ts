/** What triggers promise: each fires for what it waits for, once, whoever keeps it and whoever dies. */
import assert from "node:assert/strict";
import { suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import * as Triggers from "../../../actors/triggers.ts";
import { BudgetName } from "../../../schema/budget.ts";
import { type Tenant } from "../../../schema/ids.ts";
import { workOfTrigger } from "../../../schema/work_events_of_trigger.ts";
import { Budgets } from "../../../streams/budgets.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import * as Streams from "../../../streams/triggers.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  historyOf,
  resultOf,
  type Services,
  signal,
  type Stage,
  until,
  untilStatus,
} from "./stage.ts";

const go = defineSignal<unknown>("go");
const kept = { triggers: true } as const;

const create = (of: Tenant, options: Parameters<typeof Triggers.create>[1]) =>
  Triggers.create(of, options);

const untilFired = (of: Tenant, id: string, times = 1) =>
  until(
    `${id} has fired ${times} times`,
    Effect.map(
      Triggers.describe(of, id),
      (found) => found.fired === times && found.acting === undefined ? found : undefined,
    ),
  );

/** Takes the lease of who keeps the triggers of a tenant away. */
const depose = (of: Tenant) =>
  Effect.gen(function* () {
    const { keeperOf } = Streams.make(yield* Log);
    yield* (yield* Leases).revoke(keeperOf(of), { by: "operator" });
  }).pipe(Effect.catchTag("LeaseNotHeld", () => Effect.void));

const signalsOf = (of: Named) =>
  Effect.map(
    historyOf(of),
    (records) =>
      records.flatMap((record) =>
        record.kind === "signal" && !("index" in record) ? [record.payload] : []
      ),
  );

export const triggeringSuite = (
  name: string,
  run: Run<Services>,
): void => {
  const test = engineTests(run);
  suite(`${name}: triggering`, () => {
    test("one fires once, one that stands each time, for the events behind it alone", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(defineSignal("end")));
        yield* stage.work([waits], kept);
        const tenant = uniqueTenant();
        const once = yield* stage.start(waits, undefined, { id: "once", tenant });
        const each = yield* stage.start(waits, undefined, { id: "each", tenant });
        yield* Triggers.emit(tenant, "paid", 0);
        const when = { event: "paid" } as const;
        const at = (of: Named) => ({ signal: of.execution, name: go });
        yield* create(tenant, { id: "once", when, then: at(once) });
        yield* create(tenant, { id: "each", when, then: at(each), standing: true });
        yield* Triggers.emit(tenant, "other", -1);
        for (const n of [1, 2, 3]) {
          const sent = yield* Triggers.emit(tenant, "paid", n, { id: `paid-${n}` });
          const again = yield* Triggers.emit(tenant, "paid", n, { id: `paid-${n}` });
          assert.deepEqual([sent.emitted, again], [true, { ...sent, emitted: false }]);
        }
        yield* untilFired(tenant, "each", 3);
        assert.equal((yield* untilFired(tenant, "once")).state, "over");
        assert.deepEqual(yield* signalsOf(once), [1]);
        assert.deepEqual(yield* signalsOf(each), [1, 2, 3]);
        assert.equal((yield* Triggers.cancel(tenant, "each")).state, "cancelled");
        assert.equal((yield* Triggers.cancel(tenant, "once")).state, "over");
        yield* Triggers.emit(tenant, "paid", 4);
        yield* create(tenant, { id: "last", when, then: at(each) });
        yield* Triggers.emit(tenant, "paid", 5);
        yield* untilFired(tenant, "last");
        assert.deepEqual(yield* signalsOf(each), [1, 2, 3, 5]);
        for (const waiting of [once, each]) yield* signal(waiting, "end");
        for (const waiting of [once, each]) yield* resultOf(waiting);
      }));

    test("an end makes one fire that came before it, and one that comes after", (stage) =>
      Effect.gen(function* () {
        const brief = stage.actor("brief", (_, input) => input);
        const flaky = stage.actor("flaky", (): void => {
          throw new Error("never");
        });
        yield* stage.work([brief, flaky], kept);
        const tenant = uniqueTenant();
        const late = (id: string) => stage.start(brief, id, { id, tenant, delay: "30 days" });
        const [before, after, failed, any] = [
          yield* late("before"),
          yield* late("after"),
          yield* late("failed"),
          yield* late("any"),
        ];
        const first = `${brief.name}/first`;
        yield* create(tenant, {
          id: "before",
          when: { completed: first },
          then: { promote: { id: before.execution } },
        });
        yield* create(tenant, {
          id: "any",
          when: { completed: { actor: brief } },
          then: { promote: any.execution },
        });
        yield* create(tenant, {
          id: "failed",
          when: { completed: { actor: flaky.name }, outcome: "failure" },
          then: { promote: failed.execution },
        });
        yield* resultOf(yield* stage.start(brief, 1, { id: "first", tenant }));
        assert.equal(yield* resultOf(before), "before");
        assert.equal(yield* resultOf(any), "any");
        yield* create(tenant, {
          id: "after",
          when: { completed: first, outcome: "success" },
          then: { promote: after.execution },
        });
        assert.equal(yield* resultOf(after), "after");
        assert.equal((yield* Triggers.describe(tenant, "failed")).fired, 0);
        yield* errorOf(resultOf(yield* stage.start(flaky, undefined, { tenant })));
        assert.equal(yield* resultOf(failed), "failed");
      }));

    test("a state makes it fire that an execution is in, and each into which it comes", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", async (ctx) => {
          for (const i of [1, 2]) await ctx.wait(go, { name: `wait ${i}` });
        });
        const told = stage.actor("told", (ctx) => ctx.wait(defineSignal("end")));
        yield* stage.work([waits, told], { ...kept, residentGrace: atOnce });
        const tenant = uniqueTenant();
        const listener = yield* stage.start(told, undefined, { id: "l", tenant });
        const watched = yield* stage.start(waits, undefined, { id: "w", tenant });
        yield* untilStatus(watched, "suspended");
        const then = { signal: listener.execution, name: "state" };
        const state = watched.execution;
        yield* create(tenant, {
          id: "suspended",
          when: { state, is: "suspended" },
          then,
          standing: true,
        });
        yield* create(tenant, { id: "completed", when: { state, is: "completed" }, then });
        yield* create(tenant, { id: "failed", when: { state, is: "failed" }, then });
        yield* untilFired(tenant, "suspended", 1);
        yield* signal(watched, "go");
        yield* untilFired(tenant, "suspended", 2);
        yield* signal(watched, "go");
        yield* resultOf(watched);
        yield* untilFired(tenant, "completed");
        assert.equal((yield* Triggers.describe(tenant, "failed")).fired, 0);
        assert.equal((yield* Triggers.describe(tenant, "suspended")).fired, 2);
        yield* signal(listener, "end");
        yield* resultOf(listener);
      }));

    test("a budget makes it fire when usage comes to a part of it from below", (stage) =>
      Effect.gen(function* () {
        const told = stage.actor("told", (ctx) => ctx.wait(defineSignal("end")));
        yield* stage.work([told], kept);
        const tenant = uniqueTenant();
        const budgets = yield* Budgets;
        const budget = BudgetName.make("tokens");
        const listener = yield* stage.start(told, undefined, { id: "l", tenant });
        const spend = (token: number) => budgets.consume(tenant, [budget], { token });
        yield* budgets.allocate(tenant, budget, { token: 100 });
        yield* spend(90);
        yield* create(tenant, {
          id: "most",
          when: { budget, dimension: "token", percent: 80 },
          then: { signal: listener.execution, name: "most" },
          standing: true,
        });
        const usedBy = (of: Named) =>
          Effect.map(
            signalsOf(of),
            (sent) => sent.map((what) => (what as { readonly used: number }).used),
          );
        yield* spend(5);
        yield* budgets.reset(tenant, budget);
        yield* spend(79);
        yield* spend(1);
        yield* spend(1);
        yield* untilFired(tenant, "most", 1);
        yield* budgets.replenish(tenant, budget, { token: 200 });
        yield* spend(150);
        yield* spend(20);
        yield* untilFired(tenant, "most", 2);
        yield* depose(tenant);
        yield* spend(20);
        yield* budgets.reset(tenant, budget);
        yield* spend(161);
        yield* untilFired(tenant, "most", 3);
        assert.deepEqual(yield* usedBy(listener), [80, 170, 161]);
        yield* signal(listener, "end");
        yield* resultOf(listener);
      }));

    test("what happens while nobody keeps it is made up for, once", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(defineSignal("end")));
        const brief = stageBrief(stage);
        const first = yield* stage.work([waits, brief], kept);
        const tenant = uniqueTenant();
        const told = yield* stage.start(waits, undefined, { id: "told", tenant });
        const then = { signal: told.execution, name: go };
        yield* create(tenant, { id: "e", when: { event: "e" }, then, standing: true });
        const execution = `${brief.name}/b`;
        yield* create(tenant, { id: "c", when: { completed: execution }, then });
        yield* create(tenant, { id: "s", when: { state: execution, is: "completed" }, then });
        yield* Triggers.emit(tenant, "e", 1);
        yield* untilFired(tenant, "e", 1);
        yield* first.leave;
        yield* stage.work([waits, brief]);
        yield* Triggers.emit(tenant, "e", 2);
        yield* resultOf(yield* stage.start(brief, undefined, { id: "b", tenant }));
        yield* stage.work([], kept);
        yield* untilFired(tenant, "e", 2);
        yield* untilFired(tenant, "c", 1);
        yield* untilFired(tenant, "s", 1);
        yield* depose(tenant);
        yield* Triggers.emit(tenant, "e", 3);
        yield* untilFired(tenant, "e", 3);
        const sent = yield* signalsOf(told);
        assert.equal(sent.length, 5);
        assert.deepEqual(sent.filter((each) => typeof each === "number"), [1, 2, 3]);
        yield* signal(told, "end");
        yield* resultOf(told);
      }));

    test("a task is submitted with what has happened, and no circle goes on for ever", (stage) =>
      Effect.gen(function* () {
        const echo = stage.actor("echo", (_, input) => input);
        yield* stage.work([echo], kept);
        const tenant = uniqueTenant();
        yield* create(tenant, {
          id: "paid",
          when: { event: "paid" },
          then: { submit: echo, options: { id: "invoice", tags: { "by.whom": "trigger" } } },
        });
        yield* Triggers.emit(tenant, "paid", { cents: 4200 });
        yield* untilFired(tenant, "paid");
        const invoice = { execution: `${echo.name}/invoice` as Named["execution"], tenant };
        assert.deepEqual(yield* resultOf(invoice), { cents: 4200 });
        assert.deepEqual((yield* describe(invoice)).tags, { "by.whom": "trigger" });

        yield* create(tenant, {
          id: "circle",
          when: { completed: { actor: echo } },
          then: { submit: echo, input: "again" },
          standing: true,
        });
        yield* resultOf(yield* stage.start(echo, "first", { id: "first", tenant }));
        const found = yield* until(
          "it goes on no more",
          Effect.map(
            Triggers.describe(tenant, "circle"),
            (found) => found.refused === undefined ? undefined : found,
          ),
        );
        assert.deepEqual([found.fired, found.state], [50, "active"]);
      }));

    test("what can never be done is told, and keeps no other from firing", (stage) =>
      Effect.gen(function* () {
        const brief = stageBrief(stage);
        yield* stage.work([brief], kept);
        const tenant = uniqueTenant();
        const ended = yield* stage.start(brief, undefined, { id: "ended", tenant });
        yield* resultOf(ended);
        const when = { event: "e" } as const;
        yield* create(tenant, {
          id: "ended",
          when,
          then: { signal: ended.execution, name: go, payload: 1 },
        });
        yield* create(tenant, { id: "nobody", when, then: { promote: "nobody/there" } });
        yield* Triggers.emit(tenant, "e");
        const failureOf = (id: string) =>
          Effect.map(untilFired(tenant, id), ({ last }) => last?.failure?.name);
        assert.equal(yield* failureOf("ended"), "ExecutionEnded");
        assert.equal(yield* failureOf("nobody"), "ExecutionNotFound");
      }));

    test("each transition is told once as work", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(defineSignal("end")));
        yield* stage.work([waits], kept);
        const tenant = uniqueTenant();
        const told = yield* stage.start(waits, undefined, { id: "told", tenant });
        const then = { signal: told.execution, name: go };
        const when = { event: "e" } as const;
        const of = { id: "t", when, then, standing: true };
        assert.equal((yield* create(tenant, of)).created, true);
        assert.equal((yield* create(tenant, of)).created, false);
        for (const n of [1, 2]) {
          yield* Triggers.emit(tenant, "e", n);
          yield* untilFired(tenant, "t", n);
        }
        for (let i = 0; i < 2; i++) yield* Triggers.cancel(tenant, "t");
        const log = yield* Log;
        const filter = Streams.triggersFilter(log.layout, tenant);
        const { sequence } = yield* log.tail(filter.shard);
        const records = yield* Streams.make(log).follow(tenant, 0).pipe(
          Stream.takeUntil(({ record }) => record?.change.type === "cancelled"),
          Stream.runCollect,
        );
        assert.ok(records.every((record) => record.sequence <= sequence));
        assert.deepEqual(
          records.flatMap(({ record }) => workOfTrigger(record!).map(({ kind }) => kind)),
          [
            "subscriptionCreated",
            "subscriptionTriggered",
            "subscriptionTriggered",
            "subscriptionCanceled",
          ],
        );
        yield* signal(told, "end");
        yield* resultOf(told);
      }));

    test("one that fires for ever leaves no more than its last firings behind", (stage) =>
      Effect.gen(function* () {
        yield* stage.work([], kept);
        const tenant = uniqueTenant();
        const then = { promote: "nobody/there" };
        yield* create(tenant, { id: "t", when: { event: "e" }, then, standing: true });
        yield* Effect.forEach(Array.from({ length: 130 }), () => Triggers.emit(tenant, "e"), {
          concurrency: "unbounded",
        });
        yield* untilFired(tenant, "t", 130);
        const log = yield* Log;
        const filter = Streams.triggersFilter(log.layout, tenant);
        const { sequence: through } = yield* log.tail(filter.shard);
        assert.equal((yield* log.readThrough(filter, { through })).length, 5);
      }));

    test("nonsense is refused before it is stored, and so is what nobody would keep", (stage) =>
      Effect.gen(function* () {
        const brief = stageBrief(stage);
        yield* stage.work([brief], kept);
        const tenant = uniqueTenant();
        const good = { when: { event: "e" }, then: { promote: "a/b" } };
        const bad: ReadonlyArray<object> = [
          { ...good, id: "" },
          { ...good, when: { event: "" } },
          { ...good, when: { event: "e", state: "a/b" } },
          { ...good, when: { state: "a/b", is: "asleep" } },
          { ...good, when: { completed: "no actor" } },
          { ...good, when: { budget: "b", dimension: "d", percent: 101 } },
          { ...good, then: { promote: "weir-queue/q" } },
          { ...good, then: { promote: "a/b", signal: "a/b", name: "x" } },
          { ...good, then: { signal: "a/b", name: "weir.schedule" } },
          { ...good, then: { signal: "a/b", name: "x", payload: "y".repeat(70_000) } },
          { ...good, then: { submit: brief, options: { id: "i" } }, standing: true },
          { ...good, then: { submit: brief, options: 5 } },
          { ...good, then: { submit: brief, options: null } },
          { ...good, then: {} },
        ];
        for (const each of bad) {
          const error = yield* errorOf(create(tenant, each as typeof good));
          assert.equal(error._tag, "InvalidInput", JSON.stringify(each));
        }
        const unknown = { ...good, then: { submit: "nobody" } };
        assert.equal((yield* errorOf(create(tenant, unknown)))._tag, "UnknownActor");
        assert.deepEqual(yield* Triggers.list(tenant), []);
        for (const look of [Triggers.describe(tenant, "t"), Triggers.cancel(tenant, "t")]) {
          assert.equal((yield* errorOf(look))._tag, "TriggerNotFound");
        }
      }));
  });
};

const stageBrief = (stage: Stage) => stage.actor("brief", () => "done");
