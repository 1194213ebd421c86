/** Workflows as a program on `effect/workflow` has them; they know nothing of the engine below. */
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import { wallMs } from "../clock.ts";

const byId = ({ id }: { readonly id: string }) => id;

/** How many activities have run in this process. */
let performed = 0;
export const activitiesPerformed = (): number => performed;

const act = (i: number) =>
  Activity.make({
    name: `step-${i}`,
    success: Schema.Int,
    execute: Effect.sync(() => {
      performed++;
      return i;
    }),
  });

const activities = Effect.fnUntraced(function* (count: number) {
  let sum = 0;
  for (let i = 1; i <= count; i++) sum += yield* act(i);
  return sum;
});

/** So many activities, one after another. */
export const Steps = Workflow.make("Steps", {
  payload: { id: Schema.String, count: Schema.Int },
  success: Schema.Int,
  idempotencyKey: byId,
});

export const Go = DurableDeferred.make("go");

/** Waits behind its activities until it is told to go on; when it was done. */
export const Waiter = Workflow.make("Waiter", {
  payload: { id: Schema.String, count: Schema.Int },
  success: Schema.Struct({ sum: Schema.Int, doneAtMs: Schema.Number }),
  idempotencyKey: byId,
});

export const sleepMs = 1_000;

/** How late its sleep has ended. */
export const Sleeper = Workflow.make("Sleeper", {
  payload: { id: Schema.String },
  success: Schema.Number,
  idempotencyKey: byId,
});

/** When sleepers of this process fell asleep, since they may be run again behind their sleep. */
const asleepSince = new Map<string, number>();

export const layerWorkflows = Layer.mergeAll(
  Steps.toLayer(({ count }) => activities(count)),
  Waiter.toLayer(Effect.fnUntraced(function* ({ count }) {
    const sum = yield* activities(count);
    yield* DurableDeferred.await(Go);
    return { sum, doneAtMs: wallMs() };
  })),
  Sleeper.toLayer(Effect.fnUntraced(function* ({ id }) {
    const since = asleepSince.get(id) ?? wallMs();
    asleepSince.set(id, since);
    yield* DurableClock.sleep({ name: "nap", duration: sleepMs, inMemoryThreshold: 0 });
    return wallMs() - since - sleepMs;
  })),
);
