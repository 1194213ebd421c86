/**
 * What a NATS user of one tenant may do without Weir, as the lists that nats-server takes: no more
 * than the capabilities allow, on the tenant's own subjects alone, and reads only by requests whose
 * subject says what is read. Servers check subjects and neither headers nor where answers go, so this
 * is no wall against malice; see `docs/access.md`.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { CapabilityName } from "../schema/access_names.ts";
import { InvalidInput } from "../schema/errors.ts";
import { Namespace, parse, Tenant } from "../schema/ids.ts";
import { encodeToken } from "../schema/token.ts";
import { type Layout, shardRoot, streamName } from "./subjects.ts";

export interface NatsPermissionsOptions {
  readonly tenant: string;
  /** What the user may do; `roles` has those of each role. */
  readonly capabilities: ReadonlyArray<string>;
  /** `weir`, if left out. */
  readonly namespace?: string;
  /** How many shards the namespace has; 1, if left out. */
  readonly shards?: number;
  /** Where the user receives answers, for itself alone; `_INBOX_<tenant>`, if left out. */
  readonly inboxPrefix?: string;
}

/** Subjects of which one may use these, or none. */
export type NatsSubjects =
  | { readonly allow: ReadonlyArray<string> }
  | { readonly deny: readonly [">"] };

/** The `permissions` of a user, as nats-server's configuration has them. */
export interface NatsPermissions {
  readonly publish: NatsSubjects;
  readonly subscribe: NatsSubjects;
}

/** An empty list of what is allowed would allow everything. */
const only = (allow: ReadonlyArray<string>): NatsSubjects =>
  allow.length === 0 ? { deny: [">"] } : { allow };

/** What an execution leaves for others to read. */
const executionKinds = ["mail", "log", "done", "signal", "tag", "event"] as const;

/** What a tenant may read in a shard, as subjects. */
const readable = (layout: Layout, shard: number, tenant: string): ReadonlyArray<string> => {
  const root = shardRoot(layout, shard);
  const ofFirst = shard === 0
    ? [`$KV.${root}.tenant.${tenant}`, `$KV.${root}.grant.${tenant}.*`]
    : [];
  return [
    ...executionKinds.map((kind) => `${root}.${kind}.*.*.${tenant}.*`),
    `${root}.out.*.*.${tenant}.*.*`,
    `${root}.ledger.${tenant}.*`,
    `$KV.${root}.lease.*.*.${tenant}.*`,
    ...ofFirst,
  ];
};

/** What a message to an execution may ask for needs all of these: a server cannot tell them apart. */
const neededForMail = ["submit", "cancel"];

const Shards = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 }));
const Capabilities = Schema.Array(CapabilityName);

/** A subject without wildcards. */
const InboxPrefix = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*$/, {
    expected: "a prefix for inboxes: tokens of letters, digits, _, = or -",
  }),
);

/** The inbox that a tenant's users have, unless another is named. */
const inboxPrefixOf = (tenant: string): string => `_INBOX_${encodeToken(tenant)}`;

const check = Effect.fnUntraced(function* (options: NatsPermissionsOptions) {
  const tenant = yield* parse(Tenant, "tenant", options.tenant);
  const inbox = options.inboxPrefix ?? inboxPrefixOf(tenant);
  // The common prefix would show the answers of everybody.
  if (inbox === "_INBOX") {
    return yield* new InvalidInput({
      what: "inbox prefix",
      value: inbox,
      rule: "it is everybody's",
    });
  }
  return {
    tenant: encodeToken(tenant),
    namespace: yield* parse(Namespace, "namespace", options.namespace ?? "weir"),
    shards: yield* parse(Shards, "shards", options.shards ?? 1),
    held: yield* parse(Capabilities, "capabilities", options.capabilities),
    inbox: yield* parse(InboxPrefix, "inbox prefix", inbox),
  };
});

/** What a tenant's user may send to, what it may hear, and where it is answered. */
export const tenantSubjects = (options: NatsPermissionsOptions) => {
  const { tenant, inbox, namespace, shards: count, held: names } = Effect.runSync(check(options));
  const held: ReadonlySet<string> = new Set(names);
  const layout: Layout = { namespace, shards: count, parts: 1 };
  const shards = Array.from({ length: count }, (_, shard) => shard);
  const seen = (of: (shard: number, subject: string) => string) =>
    held.has("read")
      ? shards.flatMap((shard) => readable(layout, shard, tenant).map((each) => of(shard, each)))
      : [];
  const mail = neededForMail.every((each) => held.has(each))
    ? shards.map((shard) => `${shardRoot(layout, shard)}.mail.*.*.${tenant}.*`)
    : [];
  // Who executes is a remote worker.
  const work = held.has("execute") ? [`${namespace}-remote.${tenant}.*`] : [];
  const reads = seen((shard, subject) =>
    `$JS.API.DIRECT.GET.${streamName(layout, shard)}.${subject}`
  );
  return { sent: [...mail, ...work, ...reads], heard: seen((_, subject) => subject), inbox };
};

/**
 * What a raw NATS user of one tenant may publish and subscribe to.
 *
 * **Example** (An auditor who looks with any NATS client)
 *
 * ```ts
 * import { natsPermissions } from "@weir/weir";
 *
 * const { publish, subscribe } = natsPermissions({ tenant: "acme", capabilities: ["read"] });
 * console.log({ publish, subscribe });
 * ```
 */
export const natsPermissions = (options: NatsPermissionsOptions): NatsPermissions => {
  const { sent, heard, inbox } = tenantSubjects(options);
  return { publish: only(sent), subscribe: only([`${inbox}.>`, ...heard]) };
};
