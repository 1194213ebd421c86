/**
 * The moments at which engines of workflows have lost wakes: something lands while an execution is on
 * its way out of memory, or back, or while it ends. Each is met a thousand times (in the gate a
 * hundred), at other distances each time, by a clock that stands still while anything happens; whatever is found late is a failure.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
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
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { Executions } from "../../actors/executions.ts";
import { layerMemory } from "../../actors/layer.ts";
import { neverStuck } from "../../actors/never_stuck.ts";
import * as WeirWorkflowEngine from "../../actors/workflow_engine.ts";
import { ExecutionId, Tenant } from "../../schema/ids.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import * as Sessions from "../../streams/session.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { type Chance, chance, named } from "../chaos/seed.ts";

const interleavings = process.env["WEIR_TEST_FULL"] === "1" ? 1_000 : 100;
/** How many meet at once, each with its own distances. */
const together = 100;
/** By then a thing that waits is put out of memory; so that is where what races with it must land. */
const graceMs = 20;
/** What was told in time is done long before anybody looks after what was not. */
const longestMs = 5_000;

class Declined extends Schema.TaggedError<Declined>()("Declined", { code: Schema.Int }) {}

const Id = { id: Schema.String };
const byId = ({ id }: { readonly id: string }) => id;
const Approval = DurableDeferred.make("approval", { success: Schema.String });

type Services = WorkflowEngine | Executions;

interface Race {
  readonly workflows: Layer.Layer<never, never, WorkflowEngine>;
  /** What happens to one execution. */
  readonly drive: (id: string) => Effect.Effect<void, unknown, Services>;
}

/** What a worker reads and writes takes its time, and never as long as the last. */
const slowed = (log: Log["Service"], draw: Chance): Log["Service"] => {
  const slow = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.suspend(() => Effect.delay(effect, draw(5)));
  return Log.of({
    ...log,
    append: (to, message) => slow(log.append(to, message)),
    appendBatch: (to, messages) => slow(log.appendBatch(to, messages)),
    last: (of, kind, key) => slow(log.last(of, kind, key)),
    lastOfEach: (of, kinds) => slow(log.lastOfEach(of, kinds)),
    lastSequences: (of, kinds) => slow(log.lastSequences(of, kinds)),
    readThrough: (filter, options) => slow(log.readThrough(filter, options)),
  });
};

/** What each process has of its own, on the log as it sees it. */
const ofProcess = Layer.mergeAll(Leases.layer, ServerClock.layer).pipe(
  Layer.provideMerge(Sessions.layer),
);

const meet = (purpose: string, make: (draw: Chance) => Race) => {
  it(`${purpose}, ${interleavings} times (${named})`, async () => {
    const draw = chance(purpose);
    for (let batch = 0; batch < interleavings / together; batch++) {
      const clock = new VirtualClock(Date.UTC(2026, 0, 1));
      await clock.run(Effect.scoped(Effect.gen(function* () {
        const { workflows, drive } = make(draw);
        const shared = Context.merge(yield* Layer.build(layerMemory()), clock.context);
        const slow = Context.add(shared, Log, slowed(Context.get(shared, Log), draw));
        const worker = workflows.pipe(
          Layer.provide(
            WeirWorkflowEngine.layer({ residentGrace: graceMs, concurrency: together }),
          ),
          Layer.provide(ofProcess),
          Layer.provide(Layer.succeedContext(slow)),
        );
        yield* Layer.build(Layer.fresh(worker));
        const begun = clock.currentTimeMillisUnsafe();
        yield* Effect.forEach(
          Array.from({ length: together }, (_, n) => `${batch}-${n}`),
          (id) =>
            drive(id).pipe(
              Effect.timeout("10 minutes"),
              Effect.mapError((cause) => new Error(`execution ${id}`, { cause })),
            ),
          { concurrency: "unbounded", discard: true },
        ).pipe(
          Effect.provide(WeirWorkflowEngine.layerClient()),
          Effect.provideContext(shared),
        );
        const took = clock.currentTimeMillisUnsafe() - begun;
        assert.ok(took < longestMs, `the last was done after ${took} ms`);
        const stuck = yield* Stream.runCollect(neverStuck()).pipe(Effect.provideContext(shared));
        assert.deepEqual(stuck, []);
      })));
    }
  });
};

/** Around the moment at which what waits is put out of memory. */
const nearby = (draw: Chance) => Effect.suspend(() => Effect.sleep(draw(3 * graceMs)));

const approve = (workflow: Workflow.Any, executionId: string) =>
  DurableDeferred.succeed(Approval, {
    token: DurableDeferred.tokenFromExecutionId(Approval, { workflow, executionId }),
    value: "ana",
  });

const parked = <A, E, R>(poll: Effect.Effect<Option.Option<Workflow.Result<A, E>>, never, R>) =>
  Effect.repeat(poll, {
    until: (found) => Option.isSome(found) && found.value._tag === "Suspended",
    schedule: Schedule.spaced("5 millis"),
  });

const note = (name: string) =>
  Activity.make({ name, success: Schema.String, execute: Effect.succeed(name) });

describe("nothing is lost between two looks", () => {
  meet("a deferred is done while the workflow that waits for it is suspended", (draw) => {
    const Waits = Workflow.make("Waits", {
      payload: Id,
      success: Schema.String,
      idempotencyKey: byId,
    });
    return {
      workflows: Waits.toLayer(Effect.fnUntraced(function* () {
        yield* note("before");
        return yield* DurableDeferred.await(Approval);
      })),
      drive: Effect.fnUntraced(function* (id) {
        const execution = yield* Waits.execute({ id }, { discard: true });
        yield* nearby(draw);
        yield* approve(Waits, execution);
        assert.equal(yield* Waits.execute({ id }), "ana");
      }),
    };
  });

  meet("a child ends while its parent is suspended", (draw) => {
    const Child = Workflow.make("Child", {
      payload: { id: Schema.String, ms: Schema.Int },
      success: Schema.String,
      idempotencyKey: byId,
    });
    const Parent = Workflow.make("Parent", {
      payload: { id: Schema.String, ms: Schema.Int },
      success: Schema.String,
      idempotencyKey: byId,
    });
    return {
      workflows: Layer.merge(
        Child.toLayer(Effect.fnUntraced(function* ({ id, ms }) {
          yield* Activity.make({ name: "work", execute: Effect.sleep(ms) });
          return id;
        })),
        Parent.toLayer(Effect.fnUntraced(function* ({ id, ms }) {
          const first = yield* Child.execute({ id, ms });
          return `${first} ${yield* Child.execute({ id: `${id} again`, ms })}`;
        })),
      ),
      drive: Effect.fnUntraced(function* (id) {
        const result = yield* Parent.execute({ id, ms: draw(3 * graceMs) });
        assert.equal(result, `${id} ${id} again`);
      }),
    };
  });

  meet("a deferred is done when the clock that it races with strikes", (draw) => {
    const limitMs = 3 * graceMs;
    const Races = Workflow.make("Races", {
      payload: Id,
      success: Schema.Array(Schema.String),
      idempotencyKey: byId,
    });
    const Go = DurableDeferred.make("go", { success: Schema.String });
    return {
      workflows: Races.toLayer(Effect.fnUntraced(function* () {
        const winner = yield* DurableDeferred.raceAll({
          name: "winner",
          success: Schema.String,
          error: Schema.Never,
          effects: [
            DurableDeferred.await(Approval),
            Effect.as(
              DurableClock.sleep({ name: "limit", duration: limitMs, inMemoryThreshold: 0 }),
              "late",
            ),
          ],
        });
        // It computes, and is not to be taken for one that waits for what has lost.
        yield* Effect.sleep(4 * graceMs);
        const first = yield* Activity.make({
          name: "who has won",
          success: Schema.String,
          execute: Effect.succeed(winner),
        });
        yield* DurableDeferred.await(Go);
        return [first, winner];
      })),
      drive: Effect.fnUntraced(function* (id) {
        const execution = yield* Races.execute({ id }, { discard: true });
        yield* Effect.sleep(limitMs - 2 * graceMs + draw(4 * graceMs));
        yield* approve(Races, execution);
        // It is out of memory by then, or about to be, and decides the race anew.
        yield* Effect.sleep(7 * graceMs);
        yield* nearby(draw);
        const token = DurableDeferred.tokenFromExecutionId(Go, {
          workflow: Races,
          executionId: execution,
        });
        yield* DurableDeferred.succeed(Go, { token, value: "go" });
        const [first, again] = yield* Races.execute({ id });
        assert.ok(first === "ana" || first === "late", first);
        assert.equal(again, first);
      }),
    };
  });

  meet("an execution is told to go on while it is taken from its owner", (draw) => {
    const broken = new Map<string, number>();
    const Breaks = Workflow.make("Breaks", {
      payload: Id,
      success: Schema.String,
      idempotencyKey: byId,
      annotations: Context.make(Workflow.SuspendOnFailure, true),
    });
    return {
      workflows: Breaks.toLayer(Effect.fnUntraced(function* ({ id }) {
        yield* Activity.make({
          name: "breaks",
          execute: Effect.suspend(() => {
            const tries = (broken.get(id) ?? 0) + 1;
            broken.set(id, tries);
            return tries === 1 ? Effect.die("broken") : Effect.void;
          }),
        });
        return yield* DurableDeferred.await(Approval);
      })),
      drive: Effect.fnUntraced(function* (id) {
        const execution = yield* Breaks.execute({ id }, { discard: true });
        const of = {
          execution: ExecutionId.make(`Breaks/${execution}`),
          tenant: Tenant.make("default"),
        };
        const revoke = Effect.ignore((yield* Executions).revokeLease(of));
        yield* Effect.all([
          Effect.andThen(nearby(draw), revoke),
          Effect.andThen(nearby(draw), Breaks.resume(execution)),
          Effect.andThen(nearby(draw), approve(Breaks, execution)),
        ], { concurrency: "unbounded" });
        assert.equal(yield* Breaks.execute({ id }), "ana");
        assert.ok(broken.get(id)! <= 4, `${broken.get(id)} tries`);
      }),
    };
  });

  meet("what is interrupted while it works can still be suspended", (draw) => {
    const Torn = Workflow.make("Torn", {
      payload: { id: Schema.String, ms: Schema.Int, limitMs: Schema.Int },
      success: Schema.String,
      error: Declined,
      idempotencyKey: byId,
    });
    return {
      workflows: Torn.toLayer(Effect.fnUntraced(function* ({ ms, limitMs }) {
        const work = Activity.make({
          name: "work",
          success: Schema.String,
          execute: Effect.as(Effect.sleep(ms), "worked"),
        });
        const worked = yield* Effect.timeoutOption(work, limitMs);
        yield* DurableDeferred.await(Approval);
        return Option.getOrElse(worked, () => "torn");
      })),
      drive: Effect.fnUntraced(function* (id) {
        const ms = draw(2) === 0 ? 10 + draw(4) : 3_600_000;
        const payload = { id, ms, limitMs: 10 + draw(4) };
        const execution = yield* Torn.execute(payload, { discard: true });
        yield* parked(Torn.poll(execution));
        if (draw(2) === 0) {
          yield* approve(Torn, execution);
          const result = yield* Torn.execute(payload);
          assert.ok(result === "torn" || result === "worked", result);
        } else {
          yield* Torn.interrupt(execution);
          const exit = yield* Effect.exit(Torn.execute(payload));
          assert.ok(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), `${exit}`);
        }
      }),
    };
  });
});
