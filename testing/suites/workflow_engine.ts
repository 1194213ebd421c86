/** What is asked of Effect's `WorkflowEngine`, whoever implements it. */
import type * as Layer from "effect/Layer";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { cases, type SuiteOptions } from "./suite.ts";
import { activityCases } from "./workflow_engine/activities.ts";
import { childCases } from "./workflow_engine/children.ts";
import { clockCases } from "./workflow_engine/clocks.ts";
import { compensationCases } from "./workflow_engine/compensation.ts";
import { deferredCases } from "./workflow_engine/deferreds.ts";
import { interruptionCases } from "./workflow_engine/interruption.ts";
import { proxyCases } from "./workflow_engine/proxies.ts";
import { raceCases } from "./workflow_engine/races.ts";
import { resultCases } from "./workflow_engine/results.ts";
import { suspensionCases } from "./workflow_engine/suspension.ts";

export const workflowEngineSuite = (
  name: string,
  makeLayer: () => Layer.Layer<WorkflowEngine, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases<WorkflowEngine>(name, makeLayer, options);
  resultCases(test);
  activityCases(test);
  compensationCases(test);
  deferredCases(test);
  clockCases(test);
  raceCases(test);
  childCases(test);
  interruptionCases(test);
  suspensionCases(test);
  proxyCases(test);
};
