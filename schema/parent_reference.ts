/**
 * Where a child reports to: one life of the execution that called it, and the key of the call there.
 */
import * as Schema from "effect/Schema";
import { ExecutionId, Tenant } from "./ids.ts";
import { Route } from "./route.ts";

export const ParentReference = Schema.Struct({
  execution: ExecutionId,
  tenant: Tenant,
  /** The sequence of the parent's start. */
  life: Schema.Natural,
  key: Schema.String,
  /** Which of the parent's operations it is; a later attempt may call the same child again. */
  call: Schema.optionalKey(Schema.Natural),
  /** The route by which the parent is reached, so that the answer needs no look-up. */
  route: Schema.optionalKey(Route),
});
export type ParentReference = typeof ParentReference.Type;
