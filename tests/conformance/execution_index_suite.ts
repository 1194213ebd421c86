/**
 * The contract of `ExecutionIndex`, as it must be kept on every log. A log's test file calls it with
 * the log and its surroundings; nothing here knows which one it is.
 */
import { forgettingSuite } from "./execution_index/forgetting.ts";
import type { Services } from "./execution_index/matter.ts";
import { querySuite } from "./execution_index/query.ts";
import { statusSuite } from "./execution_index/status.ts";
import type { Run } from "./subject_matter.ts";

export const executionIndexSuite = (name: string, run: Run<Services>): void => {
  statusSuite(name, run);
  querySuite(name, run);
  forgettingSuite(name, run);
};
