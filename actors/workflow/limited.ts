/**
 * Waiting for a message only so long. Whether it came in time is recorded, since at the next run of
 * the body it will be there in any case.
 */
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import type { Channel } from "./workflow_body.ts";
import { WorkflowExtras } from "./workflow_extras.ts";

/** How long to wait: for a time, or until a deferred is done. */
export type Limit =
  | { readonly within: Duration.Input }
  | { readonly until: DurableDeferred.DurableDeferred<Schema.Top, Schema.Top> };

/** Whether the next message of a channel comes in time. */
export const isWithin = Effect.fnUntraced(function* (
  channelName: string,
  channel: Channel,
  limit: Limit,
) {
  const { receive } = yield* WorkflowExtras;
  const name = `${channelName}/${channel.limited++}`;
  const over = "within" in limit
    ? DurableClock.sleep({ name, duration: limit.within, inMemoryThreshold: 0 })
    : Effect.exit(DurableDeferred.await(limit.until));
  return yield* DurableDeferred.raceAll({
    name,
    success: Schema.Boolean,
    error: Schema.Never,
    effects: [Effect.as(receive(channelName, channel.taken), true), Effect.as(over, false)],
  });
});
