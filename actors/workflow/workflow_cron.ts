/**
 * Starting a workflow by a calendar: one execution for each tick, however many processes there are,
 * and none left out by a crash. The calendar is itself a workflow, which sleeps until the next tick,
 * starts what is due under the id that the payload gives it, and goes on as the next.
 */
import * as Cause from "effect/Cause";
import * as Clock from "effect/Clock";
import * as Cron from "effect/Cron";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { InvalidInput } from "../../schema/errors.ts";
import { continueAsNew } from "./continue_as_new.ts";
import type { WorkflowExtras } from "./workflow_extras.ts";

export interface CronOptions<W extends Workflow.Any> {
  readonly cron: Cron.Cron;
  /** The payload for a tick, whose idempotency key must be the tick's own. */
  readonly payload: (at: Date) => Workflow.PayloadSchema<W>["~type.make.in"];
  /** What the calendar is called; after the workflow, if left out. */
  readonly name?: string;
  /** Which ticks are made up for that came while nobody ran: all of them, or the last alone. */
  readonly missed?: "all" | "last";
}

/** The last tick up to a time, which is not before one that is known. */
const lastTick = (cron: Cron.Cron, known: number, now: number): number =>
  Math.max(known, Cron.prev(cron, Cron.next(cron, new Date(now))).getTime());

/** Keeps a calendar, together with all others who keep it. */
export const layer = <W extends Workflow.Any>(
  workflow: W,
  { cron, payload, name = workflow._tag, missed = "all" }: CronOptions<W>,
): Layer.Layer<
  never,
  never,
  WorkflowEngine | WorkflowExtras | Workflow.RequirementsClient<W>
> => {
  const Calendar = Workflow.make(`cron-${name}`, {
    payload: { after: Schema.Number },
    idempotencyKey: () => name,
  });
  const { execute } = workflow as unknown as Workflow.AnyWithProps;

  const start = (tick: number) =>
    Effect.suspend(() =>
      execute.call(workflow, payload(new Date(tick)), { discard: true, detached: true })
    ).pipe(
      // One that cannot be started must not keep the others from it.
      Effect.catchCause((cause) =>
        Cause.hasInterrupts(cause)
          ? Effect.failCause(cause)
          : Effect.logError(`${name} could not be started for ${new Date(tick)}`, cause)
      ),
    ) as Effect.Effect<void, never, Workflow.RequirementsClient<W>>;

  const live = Calendar.toLayer(Effect.fnUntraced(function* ({ after }) {
    const next = Cron.next(cron, new Date(after)).getTime();
    // Not recorded: the clock is, by its first schedule, and a deadline that is over is not awaited.
    const rest = next - (yield* Clock.currentTimeMillis);
    yield* DurableClock.sleep({
      name: `${next}`,
      duration: Math.max(rest, 0),
      inMemoryThreshold: 0,
    });
    const tick = missed === "all" ? next : yield* Activity.make({
      name: `${next}`,
      success: Schema.Number,
      execute: Effect.map(Clock.currentTimeMillis, (now) => lastTick(cron, next, now)),
    });
    yield* start(tick);
    return yield* continueAsNew(Calendar, { after: tick });
  }));

  const begin = Effect.flatMap(
    Clock.currentTimeMillis,
    (after) => Calendar.execute({ after }, { discard: true }),
  );
  // Before the calendar is served: one that has no tick would end it, and with it all that come later.
  const check = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.try({
      try: () => Cron.next(cron, new Date(now)),
      catch: () =>
        new InvalidInput({
          what: `cron of ${name}`,
          value: String(cron),
          rule: "expected one that comes true some day",
        }),
    })).pipe(Effect.orDie);
  const kept = Layer.effectDiscard(begin).pipe(Layer.provideMerge(live));
  return Layer.unwrap(Effect.as(check, kept)) as Layer.Layer<
    never,
    never,
    WorkflowEngine | WorkflowExtras | Workflow.RequirementsClient<W>
  >;
};
