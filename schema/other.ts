/**
 * Values that this release does not know, kept as they came. A newer producer never breaks an older
 * reader, and what it said is written back unchanged. What is known never hides in here: each value
 * has one form.
 */
import * as Schema from "effect/Schema";
import * as SchemaGetter from "effect/SchemaGetter";

/** One of the known literals, or `{ type: "other", raw }` with any other wire value. */
export const literalsOrOther = <const Known extends ReadonlyArray<string>>(known: Known) => {
  const isUnknown = (raw: Schema.Json) => typeof raw !== "string" || !known.includes(raw);
  const expected = `a value other than ${known.join(", ")}`;
  const Other = Schema.Struct({
    type: Schema.tag("other"),
    raw: Schema.Json.check(Schema.makeFilter(isUnknown, { expected })),
  });
  return Schema.Union([
    Schema.Literals(known),
    Other.pipe(Schema.encodeTo(Schema.Json, {
      decode: SchemaGetter.transform((raw) => ({ type: "other" as const, raw })),
      encode: SchemaGetter.transform(({ raw }) => raw),
    })),
  ]);
};

/** A wire object whose `type`, or what it has in place of it, is none of the known ones. */
export const objectOfUnknownType = (known: ReadonlyArray<string>, field = "type") =>
  Schema.JsonObject.check(
    Schema.makeFilter<Schema.JsonObject>(
      ({ [field]: type }) => typeof type !== "string" || !known.includes(type),
      { expected: `an object of a ${field} other than ${known.join(", ")}` },
    ),
  );
