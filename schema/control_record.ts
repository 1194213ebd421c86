/**
 * What the engine is to do with the executions of a tenant, a lane, or all, from one change to the
 * next: each record says what holds since, and what held before, so that the last one is enough to
 * obey and each of them tells what it changed. Who obeys it, and when, is not said here.
 */
import * as Schema from "effect/Schema";
import { Principal } from "./access_names.ts";
import { boundedText, Lane, Tenant } from "./ids.ts";
import { record } from "./record.ts";

/**
 * Two things in one word: whether work is taken up, and whether starts are accepted.
 *
 * | state      | work is taken up | starts are accepted |
 * | ---------- | ---------------- | ------------------- |
 * | `open`     | yes              | yes                 |
 * | `paused`   | no               | yes, and kept       |
 * | `draining` | yes              | no                  |
 * | `disabled` | no               | no                  |
 */
export const EngineState = Schema.Literals(["open", "paused", "draining", "disabled"]);
export type EngineState = typeof EngineState.Type;

/** Whether work is taken up, and goes on after it has waited. */
export const takesUp = (state: EngineState): boolean => state === "open" || state === "draining";

/** Whether new executions may be started. */
export const accepts = (state: EngineState): boolean => state === "open" || state === "paused";

/** Why somebody changed it. */
export const ControlReason = boundedText(500);

export const ControlRecord = Schema.Struct({
  kind: Schema.tag("control"),
  /** Left out: all tenants. */
  tenant: Schema.optionalKey(Tenant),
  /** Left out: all lanes; `default` is that of executions which name none. */
  lane: Schema.optionalKey(Lane),
  state: EngineState,
  before: EngineState,
  reason: Schema.optionalKey(ControlReason),
  /** Who changed it, if that was done for somebody. */
  by: Schema.optionalKey(Principal),
});
export type ControlRecord = typeof ControlRecord.Type;

/** The body of the bucket key `control.<tenant>.<lane>`. */
export const controlRecord = record(1, ControlRecord);
