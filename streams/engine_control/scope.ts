/**
 * Of whom engine control speaks: one tenant or all, one lane or all. It builds names, and says which
 * of several changes an execution has to obey; it reads and writes nothing.
 */
import { createHash } from "node:crypto";
import { type ControlRecord, type EngineState } from "../../schema/control_record.ts";
import type { Lane, Tenant } from "../../schema/ids.ts";
import { encodeToken } from "../../schema/token.ts";
import type { Entry } from "../log.ts";
import { type Address, type Filter, type Layout, shardRoot, subjectOf } from "../subjects.ts";

/** What is left out is meant as a whole. */
export interface Scope {
  readonly tenant?: Tenant;
  readonly lane?: Lane;
}

/** What holds of a scope, since when, and by whom. */
export interface Standing extends Scope {
  readonly state: EngineState;
  /** When it was last changed; 0 if it never was. */
  readonly since: number;
  /** The record of that. */
  readonly revision: number;
  readonly reason?: string;
  readonly by?: string;
}

/** No encoded text looks like this. */
const allToken = "=all";

const tokenOf = (part: string | undefined): string =>
  part === undefined ? allToken : encodeToken(part);

export const scopeOf = ({ tenant, lane }: Scope): Scope => ({
  ...(tenant === undefined ? {} : { tenant }),
  ...(lane === undefined ? {} : { lane }),
});

/** Everything first, then the lanes of all, then tenant by tenant, each with its lanes. */
export const scopeKey = ({ tenant, lane }: Scope): string =>
  `${tenant === undefined ? "" : `1${tenant}`}\n${lane === undefined ? "" : `1${lane}`}`;

/** A short name for what is kept back because of a scope: its work, or what starts more of it. */
export const keptName = (scope: Scope, what: "work" | "starts"): string =>
  createHash("sha256").update(`${what}\n${scopeKey(scope)}`).digest("base64url").slice(0, 22);

const inFirstShard = (layout: Layout, tail: string, label: string): Address => ({
  shard: 0,
  root: shardRoot(layout, 0),
  tail,
  label,
});

export const controlAddress = (layout: Layout, { tenant, lane }: Scope): Address =>
  inFirstShard(layout, `${tokenOf(tenant)}.${tokenOf(lane)}`, "engine control");

export const controlFilter = (layout: Layout): Filter => ({
  shard: 0,
  subject: subjectOf(inFirstShard(layout, "*.*", "engine control"), "control"),
});

/** What a record says holds since. */
export const standingOf = (
  { tenant, lane, state, reason, by }: ControlRecord,
  { at, sequence }: Pick<Entry, "at" | "sequence">,
): Standing => ({
  ...(tenant === undefined ? {} : { tenant }),
  ...(lane === undefined ? {} : { lane }),
  state,
  since: at,
  revision: sequence,
  ...(reason === undefined ? {} : { reason }),
  ...(by === undefined ? {} : { by }),
});

/** The scopes that something of a tenant is part of, the largest first; its lane may not be known. */
export const scopesOf = (tenant: Tenant, lane: Lane | undefined): ReadonlyArray<Scope> => [
  {},
  { tenant },
  ...(lane === undefined ? [] : [{ lane }, { tenant, lane }]),
];
