/**
 * What the outbox is called in a database: its table, the indexes that go with it, and the channel
 * on which it is announced that there is something to do. Every name goes into SQL quoted, whatever
 * it holds. It does not look whether they exist.
 */
import * as Effect from "effect/Effect";
import { InvalidInput } from "../../../schema/errors.ts";

export interface PostgresNames {
  /** Where the table is; where the database looks first, if left out. */
  readonly schema?: string;
  /** `weir_outbox`, unless said otherwise. */
  readonly table?: string;
  /** Which `LISTEN` hears of news; like the table, unless said otherwise. */
  readonly channel?: string;
}

/** Ready for SQL. */
export interface QuotedNames {
  readonly table: string;
  /** The name that belongs to the table and is in its schema. */
  readonly index: (suffix: string) => string;
  /** As `LISTEN` takes it. */
  readonly channel: string;
  /** As a function takes it. */
  readonly channelText: string;
  readonly tableText: string;
}

/** PostgreSQL cuts longer names without an error. */
const longestBytes = 63;
const longestSuffixBytes = 16;

const bytes = (name: string): number => new TextEncoder().encode(name).length;

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** In the one form that means the same under every setting of the database. */
const quoteText = (text: string): string =>
  text.includes("\\")
    ? ` E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;

const check = Effect.fnUntraced(function* (what: string, name: string, limitBytes: number) {
  const isFine = name.length > 0 && !name.includes("\0") && bytes(name) <= limitBytes;
  if (isFine) return name;
  return yield* new InvalidInput({
    what,
    value: name,
    rule: `a name in PostgreSQL has 1 to ${limitBytes} bytes here, and no zero among them`,
  });
});

export const quoteNames = Effect.fnUntraced(function* (
  names: PostgresNames = {},
): Effect.fn.Return<QuotedNames, InvalidInput> {
  const table = yield* check(
    "the table of the outbox",
    names.table ?? "weir_outbox",
    longestBytes - longestSuffixBytes,
  );
  const channel = yield* check(
    "the channel of the outbox",
    names.channel ?? table,
    longestBytes,
  );
  const prefix = names.schema === undefined
    ? ""
    : `${quoteName(yield* check("the schema of the outbox", names.schema, longestBytes))}.`;
  const qualified = `${prefix}${quoteName(table)}`;
  return {
    table: qualified,
    index: (suffix) => quoteName(`${table}_${suffix}`),
    channel: quoteName(channel),
    channelText: quoteText(channel),
    tableText: quoteText(qualified),
  };
});
