/**
 * What a ledger holds: entries, of which none is ever changed or deleted. Beside them it is marked
 * that the ledger is there, and that an id is taken, each under a subject of its own.
 */
import * as Schema from "effect/Schema";
import { LedgerEntryId, LedgerKey, LedgerKind, Principal } from "./access_names.ts";
import { Tenant } from "./ids.ts";
import { Json } from "./json.ts";
import { record } from "./record.ts";

export const LedgerRecord = Schema.Struct({
  kind: Schema.tag("entry"),
  tenant: Tenant,
  key: LedgerKey,
  id: LedgerEntryId,
  /** What sort of entry it is. */
  entry: LedgerKind,
  by: Schema.optionalKey(Principal),
  payload: Json,
});
export type LedgerRecord = typeof LedgerRecord.Type;

/** The bodies under `<ns>.ledger.<tenant>.<key>`. */
export const ledgerRecord = record(1, LedgerRecord);

/** The bodies of marks, one token below. */
export const ledgerMark = record(
  1,
  Schema.Union([
    Schema.Struct({ kind: Schema.tag("ledger"), key: LedgerKey }),
    /** The entry is the record before this one. */
    Schema.Struct({ kind: Schema.tag("entryId"), id: LedgerEntryId }),
  ]),
);
