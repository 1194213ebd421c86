/**
 * Ledgers for callers that use promises: entries that are appended and read, and nothing else. It
 * checks plain strings and payloads; a left-out tenant is the connection's, as with every verb.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import type { LedgerEntry } from "../schema/access_event.ts";
import { LedgerEntryId, LedgerKey, LedgerKind, Principal } from "../schema/access_names.ts";
import { InvalidInput } from "../schema/errors.ts";
import { parse, Tenant } from "../schema/ids.ts";
import { type AppendedEntry, Ledgers, type ReadLedgerOptions } from "../streams/ledgers.ts";
import { checkJson } from "./engine/to_json.ts";
import { iterate } from "./iterate.ts";

interface OfTenant {
  readonly tenant?: string;
}

/** An entry as its author has it. */
export interface LedgerEntryInput extends OfTenant {
  readonly kind:
    | "audit"
    | "decision"
    | "relationship"
    | "incident"
    | (string & Record<never, never>);
  /** Any JSON, up to 64 KiB. */
  readonly payload: unknown;
  /** Whose entry it is; who acts as a principal always speaks for himself. */
  readonly by?: string;
  /** Makes a repeated append harmless, for ever. */
  readonly id?: string;
}

export interface LedgerVerbs {
  /** Appends an entry, unless one has its id already: then it says where that one is. */
  append(key: string, entry: LedgerEntryInput): Promise<AppendedEntry>;
  /** The entries behind a sequence, oldest first. */
  read(key: string, options?: ReadLedgerOptions & OfTenant): Promise<ReadonlyArray<LedgerEntry>>;
  /** The keys of the tenant's ledgers. */
  keys(options?: OfTenant): Promise<ReadonlyArray<string>>;
  /** The entries behind a sequence, and those to come. */
  follow(
    key: string,
    options?: { readonly after?: number } & OfTenant,
  ): AsyncIterable<LedgerEntry>;
}

export const makeLedgers = (
  runtime: ManagedRuntime.ManagedRuntime<Ledgers, unknown>,
  defaultTenant: Tenant,
): LedgerVerbs => {
  const tenantOf = (tenant: string | undefined) =>
    tenant === undefined ? Effect.succeed(defaultTenant) : parse(Tenant, "tenant", tenant);
  const keyOf = (key: string) => parse(LedgerKey, "ledger key", key);

  const payloadOf = Effect.fnUntraced(function* (payload: unknown) {
    const json = yield* checkJson("the payload of an entry", payload);
    if (json !== undefined) return json;
    const rule = "expected a JSON value";
    return yield* new InvalidInput({ what: "the payload of an entry", value: "undefined", rule });
  });

  return {
    append: (key, { kind, payload, by, id, tenant }) =>
      runtime.runPromise(Effect.gen(function* () {
        return yield* (yield* Ledgers).append(yield* tenantOf(tenant), yield* keyOf(key), {
          kind: yield* parse(LedgerKind, "kind of entry", kind),
          payload: yield* payloadOf(payload),
          ...(by === undefined ? {} : { by: yield* parse(Principal, "principal", by) }),
          ...(id === undefined ? {} : { id: yield* parse(LedgerEntryId, "entry id", id) }),
        });
      })),
    read: (key, { tenant, ...options } = {}) =>
      runtime.runPromise(Effect.gen(function* () {
        return yield* (yield* Ledgers).read(yield* tenantOf(tenant), yield* keyOf(key), options);
      })),
    keys: ({ tenant } = {}) =>
      runtime.runPromise(Effect.gen(function* () {
        return yield* (yield* Ledgers).keys(yield* tenantOf(tenant));
      })),
    follow: (key, { tenant, after = 0 } = {}) =>
      iterate(
        runtime,
        Stream.unwrap(Effect.gen(function* () {
          const ledgers = yield* Ledgers;
          return ledgers.follow(yield* tenantOf(tenant), yield* keyOf(key), { after });
        })),
      ),
  };
};
