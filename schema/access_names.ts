/**
 * The names by which people and services are known to a namespace, and what they may be allowed to
 * do. What carries a brand has been checked. Which capability a verb needs is in `access.ts`.
 */
import * as Schema from "effect/Schema";
import { boundedText } from "./ids.ts";

const matching = (pattern: RegExp, expected: string) =>
  Schema.String.check(Schema.isPattern(pattern, { expected }));

/** Names a person or a service that asks for something. */
export const Principal = boundedText(128).pipe(Schema.brand("Principal"));
export type Principal = typeof Principal.Type;

/** Names what somebody may do: one that the verbs know, or one that an application asks about. */
export const CapabilityName = matching(
  /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/,
  "a capability: a letter, then up to 63 letters, digits, _ . : or -",
).pipe(Schema.brand("CapabilityName"));
export type CapabilityName = typeof CapabilityName.Type;

/** Names capabilities that somebody has together. */
export const RoleName = matching(
  /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/,
  "a role: a letter, then up to 63 letters, digits, _ . : or -",
).pipe(Schema.brand("RoleName"));
export type RoleName = typeof RoleName.Type;

/** What people call a tenant. */
export const TenantName = boundedText(200).pipe(Schema.brand("TenantName"));
export type TenantName = typeof TenantName.Type;

/** Names one ledger of a tenant, by what it is about: `order/o-1`, say. */
export const LedgerKey = boundedText(200).pipe(Schema.brand("LedgerKey"));
export type LedgerKey = typeof LedgerKey.Type;

/** Says what an entry is: `audit`, `decision`, `relationship`, `incident`, or a word of one's own. */
export const LedgerKind = matching(
  /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/,
  "a kind of entry: a letter, then up to 63 letters, digits, _ . : or -",
).pipe(Schema.brand("LedgerKind"));
export type LedgerKind = typeof LedgerKind.Type;

/** Names one entry of a ledger, so that appending it again appends nothing. */
export const LedgerEntryId = boundedText(128).pipe(Schema.brand("LedgerEntryId"));
export type LedgerEntryId = typeof LedgerEntryId.Type;
