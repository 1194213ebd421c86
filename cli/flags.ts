/** Arguments and flags that several commands take, each checked before anything is sent. */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import * as Argument from "effect/cli/Argument";
import * as Flag from "effect/cli/Flag";
import { ExecutionId, parse } from "../schema/ids.ts";
import type { Family } from "../streams/families.ts";
import { families } from "../streams/families/family.ts";
import { tenant } from "./root.ts";

export const id = Argument.String("id").pipe(
  Argument.withDescription("Id of the execution: its actor, a slash, and its name"),
);

const parseJson = (text: string): unknown => JSON.parse(text);

/** An optional JSON value. */
export const jsonArgument = (name: string, description: string) =>
  Argument.String(name).pipe(
    Argument.withMetavar("json"),
    Argument.withDescription(description),
    Argument.mapTryCatch(
      parseJson,
      (error) => `Expected JSON, like '{"cents":4200}' or '"text"': ${(error as Error).message}`,
    ),
    Argument.optional,
  );

/** An optional duration. */
export const duration = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(description),
    Flag.filterMap(
      (text) => Duration.fromInput(text as Duration.Input),
      () => `Expected a duration, like "5 minutes"`,
    ),
    Flag.optional,
  );

export const reason = Flag.String("reason").pipe(
  Flag.withMetavar("text"),
  Flag.withDescription("Why, for who looks later"),
  Flag.optional,
);

export const by = Flag.String("by").pipe(
  Flag.withMetavar("principal"),
  Flag.withDescription("On whose behalf, for who looks later"),
  Flag.optional,
);

/** A number of something, of which there is one at least. */
export const count = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("count"),
    Flag.withDescription(description),
    Flag.filter((count) => count >= 1, (count) => `Expected 1 or more, not ${count}`),
  );

export const limit = count("limit", "How many at most");

/** The families of events. */
export const familyNames = Object.keys(families) as ReadonlyArray<Family>;

/** A tag to look for: its name, or its name and what it says. */
export const tagQuery = Flag.String("tag").pipe(
  Flag.withMetavar("name[=value]"),
  Flag.withDescription("Those with this tag, with any value or this one"),
  Flag.filter((text) => /^[^=]/.test(text), () => "Expected the name of a tag, or name=value"),
  Flag.map((text) => {
    const at = text.indexOf("=");
    return at === -1 ? { name: text } : { name: text.slice(0, at), value: text.slice(at + 1) };
  }),
  Flag.optional,
);

/** An optional value as an optional property. */
export const given = <const Name extends string, A>(
  name: Name,
  value: Option.Option<A>,
): { readonly [N in Name]?: A } =>
  (Option.isSome(value) ? { [name]: value.value } : {}) as { readonly [N in Name]?: A };

/** Checks an optional text from the command line. */
export const checked = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  what: string,
  text: Option.Option<string>,
) => Effect.transposeOption(Option.map(text, (value) => parse(schema, what, value)));

/** An execution by its id, of the tenant that the flags name. */
export const named = Effect.fnUntraced(function* (text: string) {
  return { execution: yield* parse(ExecutionId, "execution id", text), tenant: yield* tenant };
});
