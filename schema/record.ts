/**
 * How a stored body looks: one JSON object that begins with its format version `v` and its `kind`.
 * A version that this release does not know fails loudly and is never taken for something else;
 * unknown fields are ignored, so a release may add some without a new version. It does not check what
 * it encodes: values come from constructors that did.
 */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { CorruptRecord, UnsupportedRecordVersion } from "./errors.ts";
import { parseStored } from "./json.ts";
import { sealedWith } from "./sealed_record.ts";

/** Where a record was found, for the error that says it cannot be read. */
export interface RecordLocation {
  readonly subject: string;
  readonly sequence: number;
}

/** Bodies of one or several kinds that share a version. */
export interface RecordCodec<Read, Write = Read> {
  readonly encode: (value: Write) => Uint8Array;
  readonly decode: (
    body: Uint8Array,
    location: RecordLocation,
  ) => Effect.Effect<Read, CorruptRecord | UnsupportedRecordVersion>;
}

const isHeader = Schema.is(Schema.Struct({
  v: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  kind: Schema.String,
}));

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A codec for a schema whose `kind` tells its members apart; it must read all versions so far. */
export const record = <
  S extends Schema.ConstraintCodec<{ readonly kind: string }, { readonly kind: string }>,
>(version: number, schema: S): RecordCodec<S["Type"], S["Encoded"]> => {
  const decodeFields = Schema.decodeUnknownResult(schema);
  return {
    encode: ({ kind, ...fields }) =>
      encoder.encode(JSON.stringify({ v: version, kind, ...fields })),
    decode: (body, { subject, sequence }) => {
      const corrupt = (reason: string) =>
        Effect.fail(new CorruptRecord({ subject, sequence, reason }));
      let json: unknown;
      try {
        json = parseStored(decoder.decode(body));
      } catch (error) {
        return corrupt(`it is not JSON in UTF-8 (${error})`);
      }
      if (!isHeader(json)) return corrupt("it is not an object with a version v and a kind");
      if (json.v > version) {
        return Effect.fail(
          new UnsupportedRecordVersion({
            kind: json.kind,
            version: json.v,
            supported: version,
            key: sealedWith(body)?.key,
          }),
        );
      }
      const decoded = decodeFields(json);
      return Result.isSuccess(decoded)
        ? Effect.succeed(decoded.success)
        : corrupt(decoded.failure.message.replace(/\s+/g, " "));
    },
  };
};
