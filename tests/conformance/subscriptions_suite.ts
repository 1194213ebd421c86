/** The contract of `Subscriptions`, as it must be kept on every log. */
import { gapsSuite } from "./subscriptions/gaps.ts";
import { handingOutSuite } from "./subscriptions/handing_out.ts";
import type { Services } from "./subscriptions/matter.ts";
import { verbsSuite } from "./subscriptions/verbs.ts";
import type { Run } from "./subject_matter.ts";

export const subscriptionsSuite = (name: string, run: Run<Services>): void => {
  handingOutSuite(name, run);
  verbsSuite(name, run);
  gapsSuite(name, run);
};
