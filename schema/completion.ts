/**
 * The Completion family: how executions ended. An outcome that a later release adds arrives as
 * `{ type: "other", raw }`.
 */
import * as Schema from "effect/Schema";
import { familyFields } from "./family.ts";
import { literalsOrOther } from "./other.ts";

/** How an execution ended. */
export const Outcome = literalsOrOther(["success", "failure", "cancelled"]);
export type Outcome = typeof Outcome.Type;

/** The end of one execution. */
export const CompletionEvent = Schema.Struct({ ...familyFields, outcome: Outcome });
export type CompletionEvent = typeof CompletionEvent.Type;
