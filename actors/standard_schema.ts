/**
 * Checking values with whatever schema library a user has: Effect's Schema, or any that implements
 * Standard Schema. What passes here is what actors see; what does not never reaches the log.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { InvalidInput } from "../schema/errors.ts";
import { shown } from "../schema/ids.ts";
import { failureOf } from "./engine/failure_of.ts";

/** The part of the Standard Schema interface, version 1, that is used. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
    ) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<StandardIssue> };

export interface StandardIssue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

/** A schema whose values are JSON. */
export type AnySchema<A> = Schema.ConstraintDecoder<A> | StandardSchema<unknown, A>;

const isStandard = (schema: object): schema is StandardSchema => "~standard" in schema;

const placeOf = ({ path = [] }: StandardIssue): string =>
  path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");

/** Checks a value, or says what is wrong with it. */
export const check = <A>(
  schema: AnySchema<A>,
  what: string,
  value: unknown,
): Effect.Effect<A, InvalidInput> => {
  const standard = isStandard(schema)
    ? schema as StandardSchema<unknown, A>
    : Schema.toStandardSchemaV1(schema as never) as unknown as StandardSchema<unknown, A>;
  const refuse = (rule: string) => new InvalidInput({ what, value: shown(value), rule });
  return Effect.flatMap(
    Effect.tryPromise({
      try: async () => await standard["~standard"].validate(value),
      catch: (error) => {
        const { name, message } = failureOf(error);
        return refuse(`${name}: ${message}`);
      },
    }),
    (result) =>
      result.issues === undefined ? Effect.succeed(result.value) : Effect.fail(refuse(
        result.issues.map((issue) => {
          const place = placeOf(issue);
          return place === "" ? issue.message : `${place}: ${issue.message}`;
        }).join("; ").replace(/\s+/g, " "),
      )),
  );
};
