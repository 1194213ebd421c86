/**
 * The options with which a trigger submits: those of a task, without what says when it is to begin or
 * to end, which would be said once and for all firings. Their shape is checked here, so that nothing
 * is kept that nobody meant; what the values mean is checked by whoever prepares the start.
 */
import * as Effect from "effect/Effect";
import * as Predicate from "effect/Predicate";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { InvalidInput } from "../schema/errors.ts";
import { Lane, shown } from "../schema/ids.ts";
import { Requires } from "../schema/route.ts";
import { BoundInput, QueuedInput, Safety } from "../schema/task.ts";
import type { StartOptions } from "./executions.ts";
import { Tags } from "./tags.ts";

/** What a trigger submits, beside its actor. */
export type TriggerSubmitOptions =
  & Omit<
    StartOptions,
    | "delay"
    | "deadline"
    | "parent"
    | "signals"
    | "unserved"
    | "policy"
    | "misfire"
    | "overlap"
    | "grace"
    | "lane"
  >
  & { readonly lane?: string };

type Fields = { readonly [Name in keyof Required<TriggerSubmitOptions>]: Schema.Top };

const optional = Schema.optional;
const Duration = Schema.Unknown;

/** A handle of an execution has much beside its id. */
const WithId = Schema.declare((given): given is { readonly id: string } =>
  Predicate.hasProperty(given, "id") && typeof given.id === "string"
);

const fields = {
  id: optional(Schema.String),
  after: optional(Schema.Array(Schema.Union([Schema.String, WithId]))),
  retry: optional(Schema.Struct({
    attempts: optional(Schema.Number),
    backoff: optional(Schema.Literals(["fixed", "exponential"])),
    delay: optional(Duration),
    factor: optional(Schema.Number),
    maxDelay: optional(Duration),
    jitter: optional(Schema.Boolean),
  })),
  timeout: optional(Duration),
  queue: optional(Schema.Union([Schema.String, QueuedInput])),
  budgets: optional(Schema.Array(Schema.Union([Schema.String, BoundInput]))),
  tags: optional(Tags),
  lane: optional(Lane),
  requires: optional(Requires),
  priority: optional(Schema.Number),
  safety: optional(Safety),
  description: optional(Schema.String),
} satisfies Fields;

const decode = Schema.decodeUnknownResult(Schema.Struct(fields));

/** The options as a start takes them, if they are none but these. */
export const submitOptionsOf = (
  given: unknown = {},
): Effect.Effect<StartOptions, InvalidInput> => {
  const decoded = decode(given, { onExcessProperty: "error" });
  if (Result.isSuccess(decoded)) return Effect.succeed(decoded.success as StartOptions);
  const why = decoded.failure.message.replace("Expected", "expected").replace(/\s+/g, " ");
  return Effect.fail(
    new InvalidInput({
      what: "then.options",
      value: shown(given),
      rule: `${why}; there are ${Object.keys(fields).join(", ")}`,
    }),
  );
};
