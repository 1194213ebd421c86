/**
 * What every event of the four families carries: where it stands in the log, which execution it is
 * about, and when the server stored it. Families are open: an event of a type that this release does
 * not know keeps its own fields in `raw`. How events are read is not said here.
 */
import * as Schema from "effect/Schema";
import * as SchemaGetter from "effect/SchemaGetter";
import { Cursor } from "./cursor.ts";
import { ExecutionId, Tenant, Timestamp } from "./ids.ts";
import { objectOfUnknownType } from "./other.ts";

/** The fields common to all family events. */
export const familyFields = {
  /** Resumes behind this event. */
  cursor: Cursor,
  executionId: ExecutionId,
  tenant: Schema.optionalKey(Tenant),
  at: Timestamp,
};

/** An event of one known type. */
export const familyEvent = <const Type extends string, const Fields extends Schema.Struct.Fields>(
  type: Type,
  fields: Fields,
) => Schema.Struct({ type: Schema.tag(type), ...familyFields, ...fields });

const common = Object.keys(familyFields);

const OnWire = Schema.StructWithRest(
  Schema.Struct({
    cursor: Schema.String,
    executionId: Schema.String,
    tenant: Schema.optionalKey(Schema.String),
    at: Schema.Number,
  }),
  [Schema.JsonObject],
);

/** An event of any other type; `raw` holds its fields, without the common ones. */
export const otherFamilyEvent = (known: ReadonlyArray<string>) =>
  Schema.Struct({
    type: Schema.tag("other"),
    ...familyFields,
    raw: objectOfUnknownType(known).check(
      Schema.makeFilter<Schema.JsonObject>(
        (raw) => !common.some((field) => Object.hasOwn(raw, field)),
        { expected: `fields other than ${common.join(", ")}` },
      ),
    ),
  }).pipe(Schema.encodeTo(
    OnWire,
    {
      decode: SchemaGetter.transform(({ cursor, executionId, tenant, at, ...raw }) => ({
        type: "other" as const,
        cursor,
        executionId,
        ...(tenant === undefined ? {} : { tenant }),
        at,
        raw,
      })),
      encode: SchemaGetter.transform(({ type: _, raw, ...fields }) => ({ ...raw, ...fields })),
    },
  ));
