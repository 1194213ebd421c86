/**
 * How long executions are kept after their end: what their actor says, unless the worker says
 * otherwise for their tenant. It is settled with the end, and recorded with it; a later setting
 * changes nothing about what has ended.
 */
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import { keptFor } from "../schema/duration.ts";
import type { InvalidInput } from "../schema/errors.ts";
import type { Tenant } from "../schema/ids.ts";

/** How long something is kept. */
export type Keep = Duration.Input | "forever";

export interface KeepOptions {
  /** For actors that do not say it themselves; 7 days, if left out. */
  readonly default?: Keep;
  /** For all executions of a tenant, whatever their actor says. */
  readonly tenants?: Readonly<Record<string, Keep>>;
}

const defaultKeep: Keep = "7 days";

/** In milliseconds; nothing that is kept for so long ever goes. */
const forever = Infinity;

const millisOf = (keep: Keep): Effect.Effect<number, InvalidInput> =>
  keep === "forever" ? Effect.succeed(forever) : keptFor("keep", keep);

/** For how many milliseconds an execution is kept; `Infinity` means for ever. */
export type KeepMs = (tenant: Tenant, actor: string) => number;

export const makeKeep = Effect.fnUntraced(function* (
  options: KeepOptions,
  actors: ReadonlyArray<{ readonly name: string; readonly keep?: Keep }>,
): Effect.fn.Return<KeepMs, InvalidInput> {
  const otherwise = yield* millisOf(options.default ?? defaultKeep);
  const byTenant = new Map<string, number>();
  for (const [tenant, keep] of Object.entries(options.tenants ?? {})) {
    byTenant.set(tenant, yield* millisOf(keep));
  }
  const byActor = new Map<string, number>();
  for (const { name, keep } of actors) {
    if (keep !== undefined) byActor.set(name, yield* millisOf(keep));
  }
  return (tenant, actor) => byTenant.get(tenant) ?? byActor.get(actor) ?? otherwise;
});
