/**
 * Why a step or an execution failed, as it travels: enough to tell one cause from another and to
 * raise it again elsewhere. It holds what the error said of itself; classes and stacks stay where
 * they were.
 */
import * as Schema from "effect/Schema";
import { Json } from "./json.ts";

export const Failure = Schema.Struct({
  /** The tag or name of the error, by which programs tell causes apart. */
  name: Schema.String,
  message: Schema.String,
  code: Schema.optionalKey(Schema.String),
  /** Whether the same thing may succeed when it is tried again; true unless it says otherwise. */
  retryable: Schema.optionalKey(Schema.Boolean),
  /** The step, or the child, that raised it. */
  step: Schema.optionalKey(Schema.String),
  /** The error as its schema encoded it, or the fields that it carries. */
  data: Schema.optionalKey(Json),
});
export type Failure = typeof Failure.Type;
