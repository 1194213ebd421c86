/**
 * Workflows whose worker dies at each record that it writes, before it is stored and behind it:
 * another finishes what was begun, and everybody learns what they would have learned.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { layerMemory } from "../../actors/layer.ts";
import { neverStuck } from "../../actors/never_stuck.ts";
import * as WeirWorkflowEngine from "../../actors/workflow_engine.ts";
import * as Leases from "../../streams/lease.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import * as Sessions from "../../streams/session.ts";
import { type Moment, MortalProcess } from "../../testing/process.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";

class Declined extends Schema.TaggedError<Declined>()("Declined", { code: Schema.Int }) {}

const Id = { id: Schema.String };
const byId = ({ id }: { readonly id: string }) => id;
const payload = { id: "1" };

/** A program: its workflows, and what somebody else does with them. */
interface Program {
  readonly title: string;
  readonly make: (ran: Array<string>) => {
    readonly workflows: Layer.Layer<never, never, WorkflowEngine>;
    readonly drive: Effect.Effect<unknown, unknown, WorkflowEngine>;
  };
}

const note = (ran: Array<string>, what: string) => Effect.sync(() => void ran.push(what));

const act = (ran: Array<string>, name: string) =>
  Activity.make({ name, success: Schema.String, execute: Effect.as(note(ran, name), name) });

const Approval = DurableDeferred.make("approval", { success: Schema.String });

const programs: ReadonlyArray<Program> = [
  {
    title: "activities, a deferred and a clock",
    make: (ran) => {
      const Order = Workflow.make("Order", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
      });
      return {
        workflows: Order.toLayer(Effect.fnUntraced(function* () {
          const receipt = yield* act(ran, "charge");
          const by = yield* DurableDeferred.await(Approval);
          yield* DurableClock.sleep({ name: "cool off", duration: "70 seconds" });
          return `${receipt} ${by} ${yield* act(ran, "ship")}`;
        })),
        drive: Effect.gen(function* () {
          yield* Order.execute(payload, { discard: true });
          const token = yield* DurableDeferred.tokenFromPayload(Approval, {
            workflow: Order,
            payload,
          });
          yield* DurableDeferred.succeed(Approval, { token, value: "ana" });
          return yield* Order.execute(payload);
        }),
      };
    },
  },
  {
    title: "a failure that is compensated",
    make: (ran) => {
      const Trip = Workflow.make("Trip", { payload: Id, error: Declined, idempotencyKey: byId });
      const book = (what: string) =>
        act(ran, what).pipe(Trip.withCompensation(() => note(ran, `cancel ${what}`)));
      return {
        workflows: Trip.toLayer(Effect.fnUntraced(function* () {
          yield* book("flight");
          yield* book("hotel");
          return yield* Activity.make({
            name: "pay",
            error: Declined,
            execute: new Declined({ code: 7 }),
          });
        })),
        drive: Trip.execute(payload),
      };
    },
  },
  {
    title: "children at once, one of which fails",
    make: (ran) => {
      const Child = Workflow.make("Child", {
        payload: { n: Schema.Int },
        success: Schema.Int,
        error: Declined,
        idempotencyKey: ({ n }) => `${n}`,
      });
      const Parent = Workflow.make("Parent", {
        payload: Id,
        success: Schema.Array(Schema.Int),
        idempotencyKey: byId,
      });
      return {
        workflows: Layer.merge(
          Child.toLayer(Effect.fnUntraced(function* ({ n }) {
            yield* act(ran, `child ${n}`);
            return n < 0 ? yield* new Declined({ code: n }) : n;
          })),
          Parent.toLayer(() =>
            Effect.all(
              [1, -2, 3].map((n) =>
                Child.execute({ n }).pipe(
                  Effect.catchTag("Declined", ({ code }) => Effect.succeed(10 * code)),
                )
              ),
              { concurrency: "unbounded" },
            )
          ),
        ),
        drive: Parent.execute(payload),
      };
    },
  },
  {
    title: "a clock that wins a race, and what follows from it",
    make: (ran) => {
      const Raced = Workflow.make("Raced", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
      });
      return {
        workflows: Raced.toLayer(Effect.fnUntraced(function* () {
          const winner = yield* DurableDeferred.raceAll({
            name: "winner",
            success: Schema.String,
            error: Schema.Never,
            effects: [
              DurableDeferred.await(Approval),
              Effect.as(DurableClock.sleep({ name: "limit", duration: "2 minutes" }), "late"),
            ],
          });
          yield* act(ran, winner);
          return winner;
        })),
        drive: Raced.execute(payload),
      };
    },
  },
  {
    title: "an interruption while it waits",
    make: (ran) => {
      const Held = Workflow.make("Held", { payload: Id, idempotencyKey: byId });
      return {
        workflows: Held.toLayer(Effect.fnUntraced(function* () {
          yield* act(ran, "book").pipe(Held.withCompensation(() => note(ran, "cancel")));
          yield* DurableDeferred.await(Approval);
        })),
        drive: Effect.gen(function* () {
          const id = yield* Held.execute(payload, { discard: true });
          yield* Effect.repeat(Held.poll(id), {
            until: (found) => Option.isSome(found) && found.value._tag === "Suspended",
            schedule: Schedule.spaced("1 second"),
          });
          yield* Held.interrupt(id);
          return yield* Held.execute(payload);
        }),
      };
    },
  },
];

const shown = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? JSON.stringify(exit.value)
    : Cause.hasInterruptsOnly(exit.cause)
    ? "interrupted"
    : String(Cause.squash(exit.cause));

const options = { residentGrace: "20 millis" } as const;
const ofProcess = Layer.mergeAll(Leases.layer, ServerClock.layer).pipe(
  Layer.provideMerge(Sessions.layer),
);

/** Runs a program whose first worker dies at a place; says what came of it. */
const play = ({ make }: Program, place?: { readonly append: number; readonly moment: Moment }) => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  return clock.run(Effect.scoped(Effect.gen(function* () {
    const ran: Array<string> = [];
    const { workflows, drive } = make(ran);
    const shared = Context.merge(yield* Layer.build(layerMemory()), clock.context);
    /** It may die while it begins; and what is dead is not asked to end. */
    const begin = (process: MortalProcess) =>
      Effect.forkDetach(
        Layer.build(Layer.fresh(
          workflows.pipe(
            Layer.provide(WeirWorkflowEngine.layer(options)),
            Layer.provide(ofProcess),
            Layer.provide(Layer.succeedContext(Context.merge(shared, process.services))),
          ),
        )).pipe(
          Effect.provideContext(process.services),
          Scope.provide(Scope.makeUnsafe()),
        ),
      );
    const first = new MortalProcess(shared);
    if (place !== undefined) void first.killAt({ append: place.append }, place.moment);
    yield* begin(first);
    yield* Effect.sync(() => first.isDead).pipe(
      Effect.repeat({ until: (isDead) => isDead, schedule: Schedule.spaced("1 second") }),
      Effect.andThen(begin(new MortalProcess(shared))),
      Effect.forkScoped,
    );
    const exit = yield* Effect.exit(drive).pipe(
      Effect.provide(WeirWorkflowEngine.layerClient()),
      Effect.provideContext(shared),
    );
    const stuck = yield* Stream.runCollect(neverStuck()).pipe(Effect.provideContext(shared));
    assert.deepEqual(stuck, []);
    return { result: shown(exit), ran, appends: first.appends, isDead: first.isDead };
  })));
};

describe("workflows whose worker dies", () => {
  for (const program of programs) {
    it(`${program.title}: at each record, before and behind it`, async () => {
      const undisturbed = await play(program);
      assert.ok(undisturbed.appends > 5 && !undisturbed.isDead);
      const expected = [...new Set(undisturbed.ran)].sort();
      for (let append = 1; append <= undisturbed.appends; append++) {
        for (const moment of ["before", "after"] as const) {
          const { result, ran, isDead } = await play(program, { append, moment });
          const where = `${moment} record ${append}`;
          assert.ok(isDead, where);
          assert.equal(result, undisturbed.result, where);
          assert.deepEqual([...new Set(ran)].sort(), expected, where);
          // What was under way when it died is all that happens again.
          assert.ok(ran.length <= undisturbed.ran.length + 3, `${where}: ${ran}`);
        }
      }
    });
  }
});
