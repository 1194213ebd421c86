/**
 * How an execution ended, with what it returned or why it did not. `expired` and `skipped` are
 * outcomes of ours that the Completion family shows as `other`.
 */
import * as Schema from "effect/Schema";
import { Failure } from "./failure.ts";
import { Json } from "./json.ts";

const outcome = <const Type extends string, const Fields extends Schema.Struct.Fields>(
  type: Type,
  fields: Fields,
) => Schema.Struct({ type: Schema.tag(type), ...fields });

export const OutcomeRecord = Schema.Union([
  outcome("success", { value: Schema.optionalKey(Json) }),
  outcome("failure", { failure: Failure }),
  outcome("cancelled", { reason: Schema.optionalKey(Schema.String) }),
  outcome("expired", {}),
  outcome("skipped", { reason: Schema.optionalKey(Schema.String) }),
]).pipe(Schema.toTaggedUnion("type"));
export type OutcomeRecord = typeof OutcomeRecord.Type;
