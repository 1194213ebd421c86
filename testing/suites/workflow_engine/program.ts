/** What the cases of the workflow suite are made of: activities that note that they ran, and waits. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import type * as Workflow from "effect/workflow/Workflow";

export class Declined extends Schema.TaggedError<Declined>()("Declined", { code: Schema.Int }) {}

export const Id = { id: Schema.String };
export const byId = ({ id }: { readonly id: string }) => id;

/** What somebody outside decides. */
export const Approval = DurableDeferred.make("approval", {
  success: Schema.Struct({ by: Schema.String }),
  error: Declined,
});

/** Whether what is done again, since a worker died, is noted once: set where workers die. */
export const NotedOnce = Context.Reference<boolean>("@weir/weir/testing/NotedOnce", {
  defaultValue: () => false,
});

export const note = (list: Array<string>, what: string): Effect.Effect<void> =>
  Effect.map(NotedOnce, (isOnce) => {
    if (!isOnce || !list.includes(what)) list.push(what);
  });

/** An activity that notes that it ran. */
export const act = (list: Array<string>, name: string) =>
  Activity.make({ name, success: Schema.String, execute: Effect.as(note(list, name), name) });

/** Looks until something is so. */
export const until = <A, R>(look: Effect.Effect<A, never, R>, isSo: (found: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: isSo, schedule: Schedule.spaced("10 millis") }),
    Effect.timeout("30 seconds"),
  );

/** Looks until an execution is parked. */
export const parked = <A, E, R>(
  poll: Effect.Effect<Option.Option<Workflow.Result<A, E>>, never, R>,
) => until(poll, (found) => Option.isSome(found) && found.value._tag === "Suspended");

export const assertInterrupted = (exit: Exit.Exit<unknown, unknown>): void =>
  assert.ok(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), `${exit}`);

/** Approves what a workflow waits for. */
export const approve = <W extends Workflow.Any>(
  workflow: W,
  payload: Workflow.PayloadSchema<W>["~type.make.in"],
  by: string,
) =>
  Effect.flatMap(
    DurableDeferred.tokenFromPayload(Approval, { workflow, payload }),
    (token) => DurableDeferred.succeed(Approval, { token, value: { by } }),
  );

export const assertDeclined = (exit: Exit.Exit<unknown, unknown>, code: number): void => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined;
  assert.ok(error instanceof Declined, `${exit}`);
  assert.equal(error.code, code);
};
