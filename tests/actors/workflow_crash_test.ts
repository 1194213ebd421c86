/**
 * Workflows whose worker dies at each record that it writes, before it is stored and behind it:
 * another finishes what was begun, and everybody learns what they would have learned.
 */
import { describe } from "node:test";
import { itEndsAlike } from "../fixtures/workflow_crash.ts";
import { workflowPrograms } from "../fixtures/workflow_programs.ts";

describe("workflows whose worker dies", () => {
  for (const program of workflowPrograms) itEndsAlike(program);
});
