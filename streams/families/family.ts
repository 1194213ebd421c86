/**
 * The four families: which records each is made of, under which subject they lie, and how one
 * becomes an event. What a later release writes comes out as `other`, and what is no record at all
 * as nothing, so that no entry ever ends a stream. Nothing is read here.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import type { Cursor } from "../../schema/cursor.ts";
import { UnsupportedRecordVersion } from "../../schema/errors.ts";
import type { FloorKind } from "../../schema/floor_record.ts";
import { sealedVersion, sealedWith } from "../../schema/sealed_record.ts";
import type { Entry } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import type { Family, FamilyEvents, FamilyFilter } from "../families.ts";
import {
  executionAddress,
  executionFilter,
  type Filter,
  type Layout,
  tenantFilter,
} from "../subjects.ts";
import { completion, instanceTag, leaseHistory, signalDelivery } from "./event.ts";

/** What of a filter a subject can say. */
export type SubjectFilter = Pick<FamilyFilter, "tenant" | "executionId">;

/** An event that lacks only its cursor. */
export type Uncursored<F extends Family> = (cursor: Cursor) => FamilyEvents[F];

export interface FamilyDefinition<F extends Family> {
  readonly kind: FloorKind;
  /** The event of an entry; nothing for one that no release of Weir wrote. */
  readonly decode: (layout: Layout, entry: Entry) => Uncursored<F> | undefined;
}

export const families: { readonly [F in Family]: FamilyDefinition<F> } = {
  leaseHistory: { kind: "lease", decode: leaseHistory },
  completions: { kind: "done", decode: completion },
  signalDeliveries: { kind: "signal", decode: signalDelivery },
  instanceTags: { kind: "tag", decode: instanceTag },
};

/**
 * Where a family's records lie, shard by shard; of one execution they lie in one shard alone, and an
 * execution without its tenant is no filter.
 */
export const familyFilters = (
  family: Family,
  layout: Layout,
  { tenant, executionId }: SubjectFilter = {},
): ReadonlyArray<Filter> => {
  const { kind } = families[family];
  if (tenant !== undefined && executionId !== undefined) {
    return [executionFilter(executionAddress(layout, tenant, executionId), kind)];
  }
  return Array.from(
    { length: layout.shards },
    (_, shard) => tenantFilter(layout, shard, kind, tenant),
  );
};

/** The event of an entry; what is passed over is counted, but for what others can open. */
export const decodeEntry = <F extends Family>(
  family: F,
  layout: Layout,
  entry: Entry,
): Effect.Effect<Uncursored<F> | undefined, UnsupportedRecordVersion> => {
  const key = sealedWith(entry.body)?.key;
  if (key !== undefined) {
    const { kind } = families[family];
    return Effect.fail(
      new UnsupportedRecordVersion({ kind, version: sealedVersion, supported: 1, key }),
    );
  }
  const event = families[family].decode(layout, entry);
  return event === undefined
    ? Effect.as(Metric.update(skippedRecords, 1), undefined)
    : Effect.succeed(event);
};
