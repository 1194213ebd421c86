import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import * as Cause from "effect/Cause";
import * as Cron from "effect/Cron";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import { Executions } from "../../actors/executions.ts";
import { layer as layerEngine, layerMemory } from "../../actors/layer.ts";
import * as DurableMailbox from "../../actors/workflow/durable_mailbox.ts";
import * as DurableState from "../../actors/workflow/durable_state.ts";
import { layerMemory as layerExtrasMemory } from "../../actors/workflow/extras_memory.ts";
import * as WorkflowCron from "../../actors/workflow/workflow_cron.ts";
import * as WorkflowRuns from "../../actors/workflow/workflow_runs.ts";
import * as WorkflowVersion from "../../actors/workflow/workflow_version.ts";
import * as WeirWorkflowEngine from "../../actors/workflow_engine.ts";
import { ExecutionId, Tenant } from "../../schema/ids.ts";
import * as ExecutionIndex from "../../streams/execution_index.ts";
import { workflowExtrasSuite } from "../../testing/suites/workflow_extras.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const brief = { residentGrace: "20 millis" } as const;

describe("the extras on Effect's own engine in memory", () => {
  workflowExtrasSuite("Effect", () => layerExtrasMemory, { it });
});

describe("the extras in memory", () => {
  workflowExtrasSuite(
    "memory",
    () => WeirWorkflowEngine.layer(brief).pipe(Layer.provide(layerMemory())),
    { it },
  );
});

describe("the extras on JetStream", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());
  workflowExtrasSuite(
    "JetStream",
    () =>
      WeirWorkflowEngine.layer(brief).pipe(
        Layer.provide(
          layerEngine({ servers: server.url, namespace: `t${randomUUID().slice(24)}` as never }),
        ),
      ),
    { it },
  );
});

describe("a workflow whose code is changed", () => {
  const Order = Workflow.make("Order", {
    payload: { id: Schema.String },
    success: Schema.Array(Schema.String),
    idempotencyKey: ({ id }) => id,
  });
  const Go = DurableDeferred.make("go", { success: Schema.String });
  const step = (name: string) =>
    Activity.make({ name, success: Schema.String, execute: Effect.succeed(name) });

  /** The body as it was, and as it is. */
  const before = Effect.gen(function* () {
    return [yield* step("begin"), yield* DurableDeferred.await(Go), yield* step("old")];
  });
  const now = Effect.gen(function* () {
    const begun = yield* step("begin");
    const isEarly = yield* WorkflowVersion.patched("check first");
    const checked = isEarly ? [yield* step("check")] : [];
    const gone = yield* DurableDeferred.await(Go);
    const isLate = yield* WorkflowVersion.patched("ship anew");
    const tax = yield* WorkflowVersion.version({ id: "tax", min: 1, max: 2 });
    return [begun, ...checked, gone, yield* step(isLate ? "new" : "old"), `tax ${tax}`];
  });
  type Body = typeof before | typeof now;

  /** Runs executions with a body until they wait or have ended. */
  const working = <A, E, R>(body: Body, effect: Effect.Effect<A, E, R>) =>
    Effect.provide(
      effect,
      Layer.fresh(
        Order.toLayer(() => body).pipe(
          Layer.provideMerge(WeirWorkflowEngine.layer(brief)),
        ),
      ),
    );
  const begin = Effect.fnUntraced(function* (id: string) {
    const executionId = yield* Order.execute({ id }, { discard: true });
    yield* Order.poll(executionId).pipe(
      Effect.repeat({
        until: (found) => Option.isSome(found) && found.value._tag === "Suspended",
        schedule: Schedule.spaced("10 millis"),
      }),
      Effect.timeout("30 seconds"),
    );
    return executionId;
  });
  const finish = Effect.fnUntraced(function* (id: string) {
    const token = yield* DurableDeferred.tokenFromPayload(Go, { workflow: Order, payload: { id } });
    yield* DurableDeferred.succeed(Go, { token, value: "go" });
    return yield* Order.execute({ id });
  });

  it("goes the old way where it was before, and the new one where it was not yet", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        yield* working(before, begin("1"));
        yield* working(now, begin("2"));
        const finishing = Effect.all([finish("1"), finish("2")]);
        const [old, anew] = yield* working(now, finishing);
        assert.deepEqual(old, ["begin", "go", "new", "tax 2"]);
        assert.deepEqual(anew, ["begin", "check", "go", "new", "tax 2"]);
      }).pipe(Effect.provide(layerMemory())),
    ));

  it("ends with a defect if it is at a version that the code does not know any more", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const versioned = (min: number, max: number) =>
          Effect.gen(function* () {
            yield* WorkflowVersion.version({ id: "tax", min, max });
            return [yield* DurableDeferred.await(Go)];
          });
        yield* working(versioned(1, 1), begin("1"));
        const exit = yield* Effect.exit(working(versioned(2, 3), finish("1")));
        assert.match(String(exit), /has version 1 of "tax"/);
      }).pipe(Effect.provide(layerMemory())),
    ));
});

describe("the runs of a workflow", () => {
  const Order = Workflow.make("Order", {
    payload: { id: Schema.String, at: Schema.Date },
    success: Schema.Date,
    error: Schema.Literal("refused"),
    idempotencyKey: ({ id }) => id,
  });
  const Ship = Workflow.make("Ship", {
    payload: { id: Schema.String },
    idempotencyKey: ({ id }) => id,
  });
  const Go = DurableDeferred.make("go", { success: Schema.String });
  const Notes = DurableMailbox.make("notes", { schema: Schema.String });
  const Phase = DurableState.make("phase", Schema.String);
  const live = Layer.merge(
    Ship.toLayer(() => Effect.void),
    Order.toLayer(Effect.fnUntraced(function* ({ id, at }) {
      yield* Activity.make({ name: "charge", success: Schema.Int, execute: Effect.succeed(7) });
      yield* DurableState.set(Phase, "charged");
      yield* DurableMailbox.take(Notes);
      yield* DurableClock.sleep({ name: "cool off", duration: 10, inMemoryThreshold: 0 });
      const go = yield* DurableDeferred.await(Go);
      yield* Ship.execute({ id });
      return go === "no" ? yield* Effect.fail("refused" as const) : at;
    })),
  );
  const at = new Date(1_700_000_000_000);
  const order = Effect.fnUntraced(function* (id: string, go: string) {
    const executionId = yield* Order.execute({ id, at }, { discard: true });
    const of = { workflow: Order, executionId };
    yield* DurableMailbox.offer(Notes, { ...of, value: "hello" });
    const token = DurableDeferred.tokenFromExecutionId(Go, of);
    yield* DurableDeferred.succeed(Go, { token, value: go });
    yield* Effect.exit(Order.execute({ id, at }));
    return of;
  });

  it("are listed, described and told in its own words, and their ends come behind a cursor", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        yield* Effect.forkChild(
          Effect.flatMap(ExecutionIndex.ExecutionIndex, (index) => index.project),
        );
        const good = yield* order("1", "yes");
        const bad = yield* order("2", "no");

        const ends = yield* WorkflowRuns.completions(Order, { after: "earliest" }).pipe(
          Stream.take(2),
          Stream.runCollect,
        );
        assert.deepEqual(ends.map(({ executionId }) => executionId), [
          good.executionId,
          bad.executionId,
        ]);
        assert.deepEqual(ends.map(({ exit }) => exit), [Exit.succeed(at), Exit.fail("refused")]);
        const [later] = yield* WorkflowRuns.completions(Order, { after: ends[0]!.cursor }).pipe(
          Stream.take(1),
          Stream.runCollect,
        );
        assert.deepEqual(later, ends[1]);

        const failed = yield* WorkflowRuns.list(Order, { status: "failed" }).pipe(
          Effect.repeat({
            until: ({ runs }) => runs.length > 0,
            schedule: Schedule.spaced("10 millis"),
          }),
          Effect.timeout("30 seconds"),
        );
        assert.deepEqual(failed.runs.map(({ executionId }) => executionId), [bad.executionId]);
        const page = yield* WorkflowRuns.list(Order, { limit: 1 });
        assert.equal(page.runs.length, 1);
        assert.ok(page.next !== undefined);
        const rest = yield* WorkflowRuns.list(Order, { limit: 1, from: page.next });
        assert.deepEqual(rest.runs.map(({ executionId }) => executionId), [good.executionId]);

        assert.equal((yield* WorkflowRuns.describe(good)).status, "completed");
        const events = yield* Stream.runCollect(WorkflowRuns.history(good));
        assert.deepEqual(events.map(({ type }) => type), [
          "started",
          "message",
          "deferred",
          "activity",
          "state",
          "clockSet",
          "clockFired",
          "childStarted",
          "childEnded",
          "ended",
        ]);
        const activity = events.find(({ type }) => type === "activity");
        assert.ok(activity?.type === "activity");
        assert.deepEqual([activity.name, activity.attempt, activity.exit], [
          "charge",
          1,
          Exit.succeed(7),
        ]);

        yield* WorkflowRuns.retry(bad);
        const waiting = {
          workflow: Order,
          executionId: yield* Order.execute({ id: "3", at }, { discard: true }),
        };
        yield* WorkflowRuns.cancel(waiting, { reason: "enough" });
        const more = yield* WorkflowRuns.completions(Order, { after: ends[1]!.cursor }).pipe(
          Stream.take(2),
          Stream.runCollect,
        );
        const endOf = (of: { readonly executionId: string }) =>
          more.find(({ executionId }) => executionId === of.executionId)?.exit;
        assert.deepEqual(endOf(bad), Exit.fail("refused"));
        assert.match(String(endOf(waiting)), /Interrupt/);
      }).pipe(
        Effect.provide(live),
        Effect.provide(WeirWorkflowEngine.layer(brief)),
        Effect.provide(layerMemory()),
      ),
    ));

  it("tell the ends of another tenant as they were there, though the engine is of one", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const Greeting = Workflow.make("Greeting", {
          payload: { name: Schema.String },
          success: Schema.String,
          idempotencyKey: ({ name }) => name,
        });
        const tenants = ["default", "acme"].map((tenant) => Tenant.make(tenant));
        for (const tenant of tenants) {
          yield* Greeting.execute({ name: "ana" }).pipe(
            Effect.provide(
              Greeting.toLayer(({ name }) => Effect.succeed(`${name} of ${tenant}`)).pipe(
                Layer.provideMerge(WeirWorkflowEngine.layer({ ...brief, tenant })),
                Layer.fresh,
              ),
            ),
          );
        }
        for (const tenant of tenants) {
          const [end] = yield* WorkflowRuns.completions(Greeting, { tenant, after: "earliest" })
            .pipe(Stream.take(1), Stream.runCollect, Effect.timeout("30 seconds"));
          assert.deepEqual(end?.exit, Exit.succeed(`ana of ${tenant}`));
        }
      }).pipe(
        Effect.provide(WeirWorkflowEngine.layer(brief)),
        Effect.provide(layerMemory()),
      ),
    ));
});

describe("the history of a workflow", () => {
  it("tells of what is no exit as a defect, as whoever waited for it was told", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const Go = DurableDeferred.make("go", { success: Schema.String });
        const Order = Workflow.make("Order", {
          payload: { id: Schema.String },
          success: Schema.String,
          idempotencyKey: ({ id }) => id,
        });
        yield* Effect.gen(function* () {
          const executionId = yield* Order.execute({ id: "1" }, { discard: true });
          const execution = ExecutionId.make(`Order/${executionId}`);
          const of = { execution, tenant: Tenant.make("default") };
          yield* (yield* Executions).signal(of, "deferred go", { by: "ana" });
          const exit = yield* Effect.exit(Order.execute({ id: "1" }));
          assert.match(String(exit), /not an exit/);
          const events = yield* Stream.runCollect(
            WorkflowRuns.history({ workflow: Order, executionId }),
          );
          assert.deepEqual(events.map(({ type }) => type), ["started", "deferred", "ended"]);
          const [, deferred] = events;
          assert.ok(deferred?.type === "deferred");
          assert.equal(deferred.name, "go");
          assert.match(JSON.stringify(deferred.exit), /Die.*not an exit/);
        }).pipe(Effect.provide(Order.toLayer(() => DurableDeferred.await(Go))));
      }).pipe(
        Effect.provide(WeirWorkflowEngine.layer(brief)),
        Effect.provide(layerMemory()),
      ),
    ));
});

describe("the history of a workflow whose names are like the engine's own", () => {
  it("tells them as they are", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const names = ["mail/1", "before the start", "'before the start"];
        const acts = ["done mail", "'done mail", "clock 1"];
        const Alike = Workflow.make("Alike", {
          payload: { id: Schema.String },
          idempotencyKey: ({ id }) => id,
        });
        const live = Alike.toLayer(Effect.fnUntraced(function* () {
          for (const name of names) {
            const deferred = DurableDeferred.make(name);
            const token = yield* DurableDeferred.token(deferred);
            yield* DurableDeferred.succeed(deferred, { token, value: undefined });
          }
          for (const name of acts) yield* Activity.make({ name, execute: Effect.void });
        }));
        const executionId = yield* Alike.executionId({ id: "1" });
        yield* Effect.provide(Alike.execute({ id: "1" }), live);
        const events = yield* Stream.runCollect(
          WorkflowRuns.history({ workflow: Alike, executionId }),
        );
        assert.deepEqual(
          events.flatMap((event) => "name" in event ? [[event.type, event.name]] : []),
          [
            ...names.map((name) => ["deferred", name]),
            ...acts.map((name) => ["activity", name]),
          ],
        );
      }).pipe(
        Effect.provide(WeirWorkflowEngine.layer(brief)),
        Effect.provide(layerMemory()),
      ),
    ));
});

describe("the ends of a workflow whose schema was changed", () => {
  const payload = { id: Schema.String };
  const idempotencyKey = ({ id }: { readonly id: string }) => id;
  const texts = Workflow.make("Order", { payload, success: Schema.String, idempotencyKey });
  const numbers = Workflow.make("Order", { payload, success: Schema.Int, idempotencyKey });

  it("are told all the same, those that it cannot read as defects", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        yield* Effect.provide(
          texts.execute({ id: "1" }),
          Layer.fresh(texts.toLayer(({ id }) => Effect.succeed(`text ${id}`))),
        );
        yield* Effect.provide(
          numbers.execute({ id: "2" }),
          Layer.fresh(numbers.toLayer(() => Effect.succeed(2))),
        );
        const ends = yield* WorkflowRuns.completions(numbers, { after: "earliest" }).pipe(
          Stream.take(2),
          Stream.runCollect,
          Effect.timeout("30 seconds"),
        );
        assert.match(String(ends[0]?.exit), /Die.*SchemaError/s);
        assert.deepEqual(ends[1]?.exit, Exit.succeed(2));
      }).pipe(
        Effect.provide(WeirWorkflowEngine.layer(brief)),
        Effect.provide(layerMemory()),
      ),
    ));
});

describe("what a workflow calls its own", () => {
  it("may be called like what every object has", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const Named = DurableState.make("constructor", Schema.Int);
        const Counts = Workflow.make("Counts", {
          payload: { id: Schema.String },
          success: Schema.Boolean,
          idempotencyKey: ({ id }) => id,
        });
        const live = Counts.toLayer(() => Effect.map(DurableState.get(Named), Option.isNone));
        assert.equal(yield* Effect.provide(Counts.execute({ id: "1" }), live), true);
      }).pipe(Effect.provide(layerExtrasMemory)),
    ));
});

describe("a calendar that has no day", () => {
  it("is refused before it is kept, so that a better one can begin", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const days: Array<string> = [];
        const Report = Workflow.make("Report", {
          payload: { day: Schema.String },
          idempotencyKey: ({ day }) => day,
        });
        const live = Report.toLayer(({ day }) => Effect.sync(() => void days.push(day)));
        const kept = (cron: string) =>
          WorkflowCron.layer(Report, {
            cron: Cron.parseUnsafe(cron),
            payload: (at) => ({ day: at.toISOString() }),
          }).pipe(Layer.provide(live));
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(kept("0 0 30 2 *"))));
        assert.ok(Exit.isFailure(exit));
        assert.match(Cause.pretty(exit.cause), /cron of Report/);
        yield* Layer.build(kept("* * * * * *"));
        yield* Effect.sync(() => days.length).pipe(
          Effect.repeat({ until: (count) => count > 0, schedule: Schedule.spaced("10 millis") }),
          Effect.timeout("30 seconds"),
        );
      }).pipe(
        Effect.scoped,
        Effect.provide(WeirWorkflowEngine.layer(brief)),
        Effect.provide(layerMemory()),
      ),
    ));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
