/**
 * How the end of an execution reaches the janitor when it has been kept long enough: by a schedule
 * that the server fires into a subject of its own, where the message stays until the janitor has
 * removed it. Nobody looks for executions that are due. What is removed then is not decided here. In
 * the same way it is heard that a budget has room for those who wait for it.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { ExecutionId, Tenant, Timestamp } from "../schema/ids.ts";
import type { BudgetName } from "../schema/budget.ts";
import { type BudgetBell, budgetBell } from "../schema/budget_record.ts";
import type { UnsupportedRecordVersion } from "../schema/errors.ts";
import type { RecordCodec } from "../schema/record.ts";
import { type RetentionRecord, retentionRecord } from "../schema/retention_record.ts";
import { budgetOfBell } from "./budgets/places.ts";
import type { AppendError, Entry, Log, ReadError } from "./log.ts";
import { type Address, addressOfSubject, executionOfSubject, type Layout } from "./subjects.ts";

/** An execution that has been kept long enough, unless it has run again. */
export interface Expiry extends RetentionRecord {
  readonly address: Address;
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  /** Of the message that says so: what was stored of the execution up to here may go. */
  readonly sequence: number;
}

/** A budget that has room again for those who wait, or an interval of which is over. */
export interface Bell extends BudgetBell {
  readonly shard: number;
  readonly tenant: Tenant;
  readonly budget: BudgetName;
  /** Of the message that says so: who waited before it is meant. */
  readonly sequence: number;
}

/** Something that some worker has to see to. */
export type Due = Expiry | Bell;

export class Expiries extends Context.Service<Expiries, {
  /**
   * Has what is due handled, some of one shard at a time, and whatever is given back again later.
   * Any number of processes may serve; each message is with one of them, until it is handled or that
   * one is silent. Ends only with its fiber.
   */
  readonly serve: <E extends { readonly message: string }>(
    handle: (due: ReadonlyArray<Due>) => Effect.Effect<ReadonlyArray<Due>, E>,
  ) => Effect.Effect<never>;
}>()("@weir/weir/streams/Expiries") {}

/** How long a janitor may be silent about a message before another is given it. */
export const janitorWaitMs = 30_000;
/** After which what could not be handled is handled again. */
export const handleAgainMs = 1_000;
/** The most that is handled together. */
export const handledTogether = 64;

/**
 * Has an execution removed some day. To be repeated until it is known to be stored; each end has a
 * schedule of its own, so that no deadline replaces another.
 */
export const removeLater = (
  log: Log["Service"],
  address: Address,
  { life, end, at }: Omit<RetentionRecord, "kind"> & { readonly at: Timestamp },
): Effect.Effect<void, AppendError> =>
  Effect.asVoid(log.append(address, {
    kind: "gc",
    key: String(end),
    schedule: { at, into: "gc" },
    body: retentionRecord.encode({ kind: "retention", life, end }),
  }));

/** What a body says; nothing if it is not ours. One of a later release is for those who can read it. */
const said = <A>(
  codec: RecordCodec<A>,
  entry: Entry,
): Effect.Effect<A | undefined, UnsupportedRecordVersion> =>
  Effect.catchTag(codec.decode(entry.body, entry), "CorruptRecord", () => Effect.undefined);

/** What a message on a `gc` subject says of an execution; nothing if it is not ours. */
const expiryOf = Effect.fnUntraced(function* (
  layout: Layout,
  entry: Entry,
): Effect.fn.Return<Expiry | undefined, UnsupportedRecordVersion> {
  const address = addressOfSubject(layout, entry.shard, entry.subject);
  const named = executionOfSubject(entry.subject);
  if (address === undefined || named === undefined) return undefined;
  const record = yield* said(retentionRecord, entry);
  return record === undefined ? undefined : {
    address,
    // An address was found, so both have been checked.
    tenant: named.tenant as Tenant,
    execution: named.execution as ExecutionId,
    ...record,
    sequence: entry.sequence,
  };
});

/** What a message on a `gc` subject says, of an execution or of a budget; nothing if it is not ours. */
export const dueOf = Effect.fnUntraced(function* (
  layout: Layout,
  entry: Entry,
): Effect.fn.Return<Due | undefined, UnsupportedRecordVersion> {
  const named = budgetOfBell(entry.subject);
  if (named === undefined) return yield* expiryOf(layout, entry);
  const record = yield* said(budgetBell, entry);
  return record && { ...named, ...record, shard: entry.shard, sequence: entry.sequence };
});

/** What the janitor was last told of an execution, and is not done with. */
export const lastExpiry = (
  log: Log["Service"],
  address: Address,
): Effect.Effect<Expiry | undefined, ReadError> =>
  Effect.flatMap(
    log.last(address, "gc"),
    Option.match({
      onNone: () => Effect.undefined,
      onSome: (entry) => expiryOf(log.layout, entry),
    }),
  );
