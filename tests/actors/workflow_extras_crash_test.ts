/**
 * A workflow with a mailbox, a state, an update and several runs, whose worker dies at each record
 * that it writes: no message is lost or taken twice, and every request has its one answer.
 */
import { describe } from "node:test";
import * as Cron from "effect/Cron";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as Workflow from "effect/workflow/Workflow";
import * as ContinueAsNew from "../../actors/workflow/continue_as_new.ts";
import * as DurableMailbox from "../../actors/workflow/durable_mailbox.ts";
import * as DurableState from "../../actors/workflow/durable_state.ts";
import * as DurableUpdate from "../../actors/workflow/durable_update.ts";
import * as WorkflowCron from "../../actors/workflow/workflow_cron.ts";
import * as WorkflowVersion from "../../actors/workflow/workflow_version.ts";
import { type CrashProgram, itEndsAlike, type Ran } from "../fixtures/workflow_crash.ts";

const Items = DurableMailbox.make("items", { schema: Schema.String });
const Basket = DurableState.make("basket", Schema.String);
const Pay = DurableUpdate.make("pay", {
  payload: Schema.Struct({ cents: Schema.Int }),
  success: Schema.String,
  error: Schema.Literal("too little"),
});

const act = (ran: Ran, name: string) =>
  Activity.make({
    name,
    success: Schema.String,
    execute: Effect.sync(() => (ran.push(name), name)),
  });

const order: CrashProgram = {
  title: "messages, a state, requests and two runs",
  make: (ran) => {
    const Order = Workflow.make("Order", {
      payload: { id: Schema.String, round: Schema.Int, items: Schema.String },
      success: Schema.String,
      idempotencyKey: ({ id }) => id,
    });
    const first = { id: "1", round: 0, items: "" };
    return {
      workflows: Order.toLayer(Effect.fnUntraced(function* ({ id, round, items }) {
        const isPatched = yield* WorkflowVersion.patched("receipts");
        const item = round === 0
          ? yield* DurableMailbox.takeOption(Items, { within: "5 seconds" })
          : Option.some(yield* DurableMailbox.take(Items));
        const basket = items + Option.getOrElse(item, () => "-");
        yield* DurableState.set(Basket, basket);
        yield* DurableUpdate.handle(
          Pay,
          Effect.fnUntraced(function* ({ cents }, request) {
            const receipt = yield* act(ran, `${request} for ${cents}`);
            yield* DurableClock.sleep({ name: request, duration: 5_000, inMemoryThreshold: 0 });
            return cents < 5 ? yield* Effect.fail("too little" as const) : receipt;
          }),
        );
        if (round === 1) return `${basket} ${isPatched}`;
        const next = { id, round: round + 1, items: basket };
        return yield* ContinueAsNew.continueAsNew(Order, next);
      })),
      drive: Effect.gen(function* () {
        const executionId = yield* Order.execute(first, { discard: true });
        const to = { workflow: Order, executionId };
        const shows = (expected: string) =>
          Effect.repeat(DurableState.read(Basket, to), {
            until: (found) => Option.isSome(found) && found.value === expected,
            schedule: Schedule.spaced("2 seconds"),
          });
        const offer = (value: string) =>
          DurableMailbox.offer(Items, { ...to, value, id: value }).pipe(
            // Whoever is not sure says it again.
            Effect.repeat({ times: 1 }),
          );
        const pay = (cents: number, id: string) =>
          Effect.exit(DurableUpdate.request(Pay, { ...to, payload: { cents }, id }));
        yield* shows("-");
        yield* offer("a");
        const little = yield* pay(3, "first");
        yield* offer("b");
        const enough = yield* pay(7, "second");
        const again = yield* pay(7, "second");
        const result = yield* Order.execute(first);
        return [little, enough, again].map(String).concat(result);
      }),
    };
  },
};

const calendar: CrashProgram = {
  title: "a calendar",
  make: (ran) => {
    const Report = Workflow.make("Report", {
      payload: { at: Schema.String },
      success: Schema.String,
      idempotencyKey: ({ at }) => at,
    });
    const times = ["2026-01-01T00:00:20.000Z", "2026-01-01T00:00:40.000Z"];
    return {
      workflows: WorkflowCron.layer(Report, {
        cron: Cron.parseUnsafe("*/20 * * * * *", "UTC"),
        payload: (at) => ({ at: at.toISOString() }),
      }).pipe(Layer.provideMerge(Report.toLayer(({ at }) =>
        // Whoever takes long to learn of these has more of them.
        times.includes(at) ? act(ran, at) : Effect.succeed(at)
      ))),
      drive: Effect.forEach(times, (at) =>
        Effect.gen(function* () {
          const executionId = yield* Report.executionId({ at });
          const found = yield* Effect.repeat(Report.poll(executionId), {
            until: Option.isSome,
            schedule: Schedule.spaced("2 seconds"),
          });
          return String(Option.getOrThrow(found));
        })),
    };
  },
};

describe("a workflow with extras whose worker dies", () => {
  itEndsAlike(order);
  itEndsAlike(calendar);
});
