/**
 * Sending the signals by which the runtime steers what it runs, whose names begin with `weir.`: to
 * schedules, and to who keeps a queue. `Executions` refuses them, and no door has this.
 */
import * as Context from "effect/Context";
import type { Executions } from "../executions.ts";

export class Steering extends Context.Service<Steering, {
  readonly signal: Executions["Service"]["signal"];
}>()("@weir/weir/actors/Steering") {}
