/** The JSON of a schema, as the primitives of workflows store values. */
import * as Schema from "effect/Schema";

export const jsonOf = <S extends Schema.Top>(
  schema: S,
): Schema.Codec<S["Type"], Schema.Json, S["DecodingServices"], S["EncodingServices"]> =>
  Schema.toCodecJson(schema) as never;
