/**
 * What executions, workers and actors do, as it must be on every log. A log's test file calls it with
 * the engine on that log; nothing here knows which one it is.
 */
import { attemptsSuite } from "./engine/attempts.ts";
import { childrenSuite } from "./engine/children.ts";
import { listingSuite } from "./engine/listing.ts";
import { oneLogSuite } from "./engine/one_log.ts";
import { outboxSuite } from "./engine/outbox.ts";
import { outputSuite } from "./engine/output.ts";
import { owningSuite } from "./engine/owning.ts";
import { recordedSuite } from "./engine/recorded.ts";
import { refusingSuite } from "./engine/refusing.ts";
import { snapshotsSuite } from "./engine/snapshots.ts";
import type { Services } from "./engine/stage.ts";
import { startingSuite } from "./engine/starting.ts";
import { stepsSuite } from "./engine/steps.ts";
import { stoppingSuite } from "./engine/stopping.ts";
import { waitingSuite } from "./engine/waiting.ts";
import type { Run } from "./subject_matter.ts";

export const engineSuite = (name: string, run: Run<Services>): void => {
  startingSuite(name, run);
  refusingSuite(name, run);
  stepsSuite(name, run);
  waitingSuite(name, run);
  childrenSuite(name, run);
  recordedSuite(name, run);
  stoppingSuite(name, run);
  attemptsSuite(name, run);
  owningSuite(name, run);
  snapshotsSuite(name, run);
  outputSuite(name, run);
  outboxSuite(name, run);
  oneLogSuite(name, run);
  listingSuite(name, run);
};
