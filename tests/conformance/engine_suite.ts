/**
 * What executions, workers and actors do, as it must be on every log. A log's test file calls it with
 * the engine on that log; nothing here knows which one it is.
 */
import type { Services } from "./engine/stage.ts";
import { startingSuite } from "./engine/starting.ts";
import { stepsSuite } from "./engine/steps.ts";
import { waitingSuite } from "./engine/waiting.ts";
import type { Run } from "./subject_matter.ts";

export const engineSuite = (name: string, run: Run<Services>): void => {
  startingSuite(name, run);
  stepsSuite(name, run);
  waitingSuite(name, run);
};
