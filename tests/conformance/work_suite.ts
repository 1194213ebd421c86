/**
 * What there is for work beyond single executions - tasks, queues, budgets, triggers, routing, remote
 * actors and the control of the engine - as it must be on every log.
 */
import { budgetingSuite } from "./engine/budgeting.ts";
import { joiningSuite } from "./engine/joining.ts";
import { pausingSuite } from "./engine/pausing.ts";
import { promotingSuite } from "./engine/promoting.ts";
import { queueingSuite } from "./engine/queueing.ts";
import { remotingSuite } from "./engine/remoting.ts";
import { routingSuite } from "./engine/routing.ts";
import { toldAsWorkSuite } from "./engine/told_as_work.ts";
import { togetherSuite } from "./engine/together.ts";
import { triggeringSuite } from "./engine/triggering.ts";
import type { Services } from "./engine/stage.ts";
import type { Run } from "./subject_matter.ts";

export const workSuite = (name: string, run: Run<Services>): void => {
  joiningSuite(name, run);
  togetherSuite(name, run);
  queueingSuite(name, run);
  promotingSuite(name, run);
  triggeringSuite(name, run);
  budgetingSuite(name, run);
  routingSuite(name, run);
  remotingSuite(name, run);
  pausingSuite(name, run);
  toldAsWorkSuite(name, run);
};
