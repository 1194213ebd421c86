/**
 * Where everything lives: which stream and partition an execution belongs to, and the subject of
 * each kind of record. The hash and the order of tokens are part of the stored format and never
 * change for a namespace. This module builds and reads names; it talks to no server.
 */
import { createHash } from "node:crypto";
import * as Schema from "effect/Schema";
import type { Namespace, SubscriptionName, WorkerInstanceId } from "../schema/ids.ts";
import { ExecutionId, executionIdentity, executionText, Tenant } from "../schema/ids.ts";
import { decodeToken, encodeToken } from "../schema/token.ts";

/** The counts that fix where an execution lives; stored with the namespace, and enforced. */
export interface Layout {
  readonly namespace: Namespace;
  readonly shards: number;
  readonly parts: number;
}

/** The kinds that are keys of the KV bucket; the stream is one, so `nats kv` shows them. */
export const bucketKinds = [
  "lease",
  "worker",
  "floor",
  "subscription",
  "store",
  "runner",
  "lock",
  "budget",
  "tenant",
  "grant",
  "seat",
  "control",
  "trigger",
  "errand",
  "remote",
  "cipher",
] as const;

/** The kinds that are plain subjects under the namespace. */
export const subjectKinds = [
  "mail",
  "log",
  "snap",
  "done",
  "signal",
  "tag",
  "event",
  "index",
  "out",
  "timer",
  "lane",
  "gc",
  "outbox",
  "dead",
  "queue",
  "try",
  "ids",
  "entries",
  "call",
  "reply",
  "spend",
  "ledger",
  "emitted",
] as const;

export type Kind = typeof bucketKinds[number] | typeof subjectKinds[number];

/** One execution, or one worker, as the log knows it. */
export interface Address {
  readonly shard: number;
  /** The subject root of its shard. */
  readonly root: string;
  /** Everything in a subject behind the kind. */
  readonly tail: string;
  /** What a person calls it. */
  readonly label: string;
}

/** What a reader asks for: subjects of one shard under a single filter. */
export interface Filter {
  readonly shard: number;
  readonly subject: string;
}

const isTenant = Schema.is(Tenant);
const isExecutionId = Schema.is(ExecutionId);

/** The stand-in for an actor in the subject of an execution that names none. */
const noActor = "_";

/** The subject root of a shard. A namespace cannot contain "-", so roots never overlap. */
export const shardRoot = (layout: Layout, shard: number): string =>
  shard === 0 ? layout.namespace : `${layout.namespace}-${shard}`;

/** The stream of a shard, which is a KV bucket of the same name. */
export const streamName = (layout: Layout, shard: number): string =>
  `KV_${shardRoot(layout, shard)}`;

/** The subjects of a shard's stream. */
export const streamSubjects = (layout: Layout, shard: number): ReadonlyArray<string> => {
  const root = shardRoot(layout, shard);
  return [`$KV.${root}.>`, `${root}.>`];
};

/** FNV-1a over ASCII, finished with murmur's mixer, since bare FNV clusters short names. */
export const hash = (text: string): number => {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  }
  return mix(h);
};

const mix = (value: number): number => {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

/** The address of an execution. */
export const executionAddress = (
  layout: Layout,
  tenant: Tenant,
  execution: ExecutionId,
): Address => {
  const { actor, name } = executionIdentity(execution);
  const path = `${actor ?? noActor}.${encodeToken(tenant)}.${encodeToken(name)}`;
  const h = hash(path);
  const shard = layout.shards === 1 ? 0 : mix(h ^ 0x9e3779b9) % layout.shards;
  return {
    shard,
    root: shardRoot(layout, shard),
    tail: `${h % layout.parts}.${path}`,
    label: execution,
  };
};

/** The address of a worker's session, kept in the first shard. */
export const workerAddress = (layout: Layout, worker: WorkerInstanceId): Address => ({
  shard: 0,
  root: shardRoot(layout, 0),
  tail: encodeToken(worker),
  label: `worker ${worker}`,
});

/** Where a shard keeps up to where its families may have gaps. */
export const floorAddress = (layout: Layout, shard: number): Address => ({
  shard,
  root: shardRoot(layout, shard),
  tail: "families",
  label: `the floors of shard ${shard}`,
});

/** Where a durable subscription of a family is recorded, in the first shard. */
export const subscriptionAddress = (
  layout: Layout,
  family: string,
  name: SubscriptionName,
): Address => ({
  shard: 0,
  root: shardRoot(layout, 0),
  tail: `${family}.${name}`,
  label: `subscription ${name} of ${family}`,
});

/** An event of the outbox, by its token or id, in the shard of something. */
export const outboxAddress = (
  { shard, root }: Pick<Address, "shard" | "root">,
  tenant: Tenant,
  name: string,
): Address => ({
  shard,
  root,
  tail: `${encodeToken(tenant)}.${encodeToken(name)}`,
  label: `event ${name}`,
});

/** Where a shard keeps up to where its outbox has nothing left to publish. */
export const outboxFloorAddress = (layout: Layout, shard: number): Address => ({
  shard,
  root: shardRoot(layout, shard),
  tail: "outbox",
  label: `the outbox's floor of shard ${shard}`,
});

/** Where it stands that a namespace has been sealed with a cipher, in the first shard. */
export const cipherAddress = (layout: Layout, id: string): Address => ({
  shard: 0,
  root: shardRoot(layout, 0),
  tail: id,
  label: `cipher ${id}`,
});

/** All ciphers that a namespace has been sealed with. */
export const cipherFilter = (layout: Layout): Filter => ({
  shard: 0,
  subject: `$KV.${shardRoot(layout, 0)}.cipher.*`,
});

/** The events of the outbox in one shard, or its dead letters. */
export const outboxFilter = (layout: Layout, shard: number, kind: "outbox" | "dead"): Filter => ({
  shard,
  subject: `${shardRoot(layout, shard)}.${kind}.*.*`,
});

/** Where the event or dead letter of a subject lies, if the subject is of one. */
export const outboxAddressOf = (
  layout: Layout,
  shard: number,
  subject: string,
): Address | undefined => {
  const [, , tenant, name, ...rest] = subject.split(".");
  if (tenant === undefined || name === undefined || rest.length > 0) return undefined;
  const label = decodeToken(name);
  return label === undefined || decodeToken(tenant) === undefined ? undefined : {
    shard,
    root: shardRoot(layout, shard),
    tail: `${tenant}.${name}`,
    label: `event ${label}`,
  };
};

const longestReadable = 200;

/** Any text as a token: itself, if it can be, or else its hash, which no encoded text looks like. */
export const tokenOfAny = (text: string): string => {
  const isPlain = text.length > 0 && text.length <= longestReadable && text.isWellFormed();
  const token = isPlain ? encodeToken(text) : "";
  return token.length > 0 && token.length <= 3 * longestReadable
    ? token
    : `=h${createHash("sha256").update(text, "utf16le").digest("hex")}`;
};

/** A value that a program keeps in a store of its own, for some use. */
export const storeAddress = (
  layout: Layout,
  use: string,
  store: string,
  key: string,
): Address => {
  const tail = `${use}.${tokenOfAny(store)}.${tokenOfAny(key)}`;
  const shard = layout.shards === 1 ? 0 : hash(tail) % layout.shards;
  return { shard, root: shardRoot(layout, shard), tail, label: `${key} in ${store}` };
};

/** An element of a queue; all of a queue are in one shard. */
export const queueAddress = (layout: Layout, queue: string, id: string): Address => {
  const name = tokenOfAny(queue);
  const shard = layout.shards === 1 ? 0 : hash(name) % layout.shards;
  return {
    shard,
    root: shardRoot(layout, shard),
    tail: `${name}.${tokenOfAny(id)}`,
    label: `${id} in the queue ${queue}`,
  };
};

/** The elements of a queue, of whatever id. */
export const queueFilter = (layout: Layout, queue: string): Filter => {
  const { shard, root } = queueAddress(layout, queue, "any");
  return { shard, subject: `${root}.queue.${tokenOfAny(queue)}.*` };
};

/** What became of the elements of all queues in one shard. */
export const triesFilter = (layout: Layout, shard: number): Filter => ({
  shard,
  subject: `${shardRoot(layout, shard)}.try.*.*`,
});

/** Where the element is that a subject speaks of. */
export const queueAddressOf = (layout: Layout, shard: number, subject: string): Address => ({
  shard,
  root: shardRoot(layout, shard),
  tail: subject.split(".").slice(2).join("."),
  label: subject,
});

/** A seat in a queue; all of a queue are in the shard of the execution that keeps it. */
export const seatAddress = (
  { shard, root }: Pick<Address, "shard" | "root">,
  queue: string,
  seat: string,
): Address => ({
  shard,
  root,
  tail: `${tokenOfAny(queue)}.${tokenOfAny(seat)}`,
  label: `a seat in the queue ${queue}`,
});

/** The seats of a queue. */
export const seatFilter = (
  { shard, root }: Pick<Address, "shard" | "root">,
  queue: string,
): Filter => ({ shard, subject: `$KV.${root}.seat.${tokenOfAny(queue)}.*` });

/** An errand of a tenant; they are in the shard of the execution that keeps its workers. */
export const errandAddress = (
  { shard, root }: Pick<Address, "shard" | "root">,
  tenant: Tenant,
  errand: string,
): Address => ({
  shard,
  root,
  tail: `${encodeToken(tenant)}.${tokenOfAny(errand)}`,
  label: `the errand ${errand}`,
});

/** The registration of a remote worker, in the same shard. */
export const remoteAddress = (
  { shard, root }: Pick<Address, "shard" | "root">,
  tenant: Tenant,
  worker: WorkerInstanceId,
): Address => ({
  shard,
  root,
  tail: `${encodeToken(tenant)}.${encodeToken(worker)}`,
  label: `the remote worker ${worker}`,
});

/** All errands of a tenant, or all registrations. */
export const remotesFilter = (
  { shard, root }: Pick<Address, "shard" | "root">,
  kind: "errand" | "remote",
  tenant: Tenant,
): Filter => ({ shard, subject: `$KV.${root}.${kind}.${encodeToken(tenant)}.*` });

/** A store of an event log, by its names; all that is in it is in one shard. */
export const eventLogAddress = (
  layout: Layout,
  use: string,
  names: ReadonlyArray<string>,
): Address => {
  const tail = [use, ...names.map(tokenOfAny)].join(".");
  const shard = layout.shards === 1 ? 0 : hash(tail) % layout.shards;
  return {
    shard,
    root: shardRoot(layout, shard),
    tail,
    label: `the event log ${names.join("/")}`,
  };
};

/** All values of a store that are in one shard. */
export const storeFilter = (
  layout: Layout,
  shard: number,
  use: string,
  store: string,
): Filter => ({
  shard,
  subject: `$KV.${shardRoot(layout, shard)}.store.${use}.${tokenOfAny(store)}.*`,
});

const inBucket: ReadonlySet<string> = new Set(bucketKinds);

/** Whether `nats kv` shows records of this kind. */
export const isBucketKind = (kind: Kind): boolean => inBucket.has(kind);

/** The subject of one kind of record at an address; timers, lanes and outputs add their key. */
export const subjectOf = (address: Address, kind: Kind, key?: string): string => {
  const subject = isBucketKind(kind)
    ? `$KV.${address.root}.${kind}.${address.tail}`
    : `${address.root}.${kind}.${address.tail}`;
  return key === undefined ? subject : `${subject}.${encodeToken(key)}`;
};

/** One kind of record, or all plain kinds, of one execution. */
export const executionFilter = (address: Address, kind?: Kind): Filter => ({
  shard: address.shard,
  subject: kind === undefined ? `${address.root}.*.${address.tail}` : subjectOf(address, kind),
});

/** The records of an execution's keyed kind, such as its timers, under all keys or one. */
export const keyedFilter = (address: Address, kind: Kind, key?: string): Filter => ({
  shard: address.shard,
  subject: key === undefined ? `${subjectOf(address, kind)}.*` : subjectOf(address, kind, key),
});

/** The records of all keyed kinds of an execution, under all keys. */
export const everyKeyedFilter = (address: Address): Filter => ({
  shard: address.shard,
  subject: `${address.root}.*.${address.tail}.*`,
});

const scheduleKinds = ["timer", "gc"] as const;

/** All that the server is to fire in one shard. */
export const everyScheduleFilter = (layout: Layout, shard: number): ReadonlyArray<Filter> =>
  scheduleKinds.map((kind) => ({
    shard,
    subject: `${shardRoot(layout, shard)}.${kind}.*.*.*.*.*`,
  }));

/** The kind and the key of a schedule's subject, if it is ours. */
export const scheduleKey = (
  subject: string,
): { readonly kind: typeof scheduleKinds[number]; readonly key: string } | undefined => {
  const kind = scheduleKinds.find((kind) => kind === kindOfSubject(subject));
  const key = decodeToken(subject.split(".")[6] ?? "");
  return kind === undefined || key === undefined ? undefined : { kind, key };
};

/** One kind of record of every execution in one shard, or of a tenant's. */
export const tenantFilter = (
  layout: Layout,
  shard: number,
  kind: Kind,
  tenant?: Tenant,
): Filter => {
  const tail = `*.*.${tenant === undefined ? "*" : encodeToken(tenant)}.*`;
  const root = shardRoot(layout, shard);
  return { shard, subject: subjectOf({ shard, root, tail, label: kind }, kind) };
};

/** All records of one shard, of whatever kind. */
export const everythingFilter = (shard: number): Filter => ({ shard, subject: ">" });

/** Where the kind of a subject begins, if it is one of ours. */
const startOfKind = (subject: string): number =>
  subject.indexOf(".", subject.startsWith("$KV.") ? 4 : 0) + 1;

/** The kind of record that a subject holds, if it is one of ours. */
export const kindOfSubject = (subject: string): string | undefined => {
  const start = startOfKind(subject);
  if (start === 0) return undefined;
  const end = subject.indexOf(".", start);
  return end === -1 ? subject.slice(start) : subject.slice(start, end);
};

/** Everything behind the kind; nothing, if there is no such thing. */
export const tailOfSubject = (subject: string): string => {
  const end = subject.indexOf(".", startOfKind(subject));
  return end === -1 ? "" : subject.slice(end + 1);
};

/** Partition, actor, tenant and name, as a subject has them. */
const placeTokens = (subject: string): ReadonlyArray<string> => {
  const tokens = subject.split(".");
  const start = tokens[0] === "$KV" ? 3 : 2;
  return tokens.slice(start, start + 4);
};

/** The execution that a subject speaks of, or nothing for a subject that is not ours. */
export const executionOfSubject = (
  subject: string,
): { readonly tenant: string; readonly execution: string } | undefined => {
  const [, actor, tenantToken, nameToken] = placeTokens(subject);
  if (actor === undefined || tenantToken === undefined || nameToken === undefined) return undefined;
  const tenant = decodeToken(tenantToken);
  const name = decodeToken(nameToken);
  if (tenant === undefined || name === undefined) return undefined;
  const execution = executionText(actor === noActor ? undefined : actor, name);
  return { tenant, execution };
};

/** An execution by its names, and where it is. */
export interface Placed {
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  readonly address: Address;
}

/** The execution that a subject speaks of, if the subject stands where it belongs. */
export const placedBySubject = (
  layout: Layout,
  shard: number,
  subject: string,
): Placed | undefined => {
  const found = executionOfSubject(subject);
  if (found === undefined) return undefined;
  const { tenant, execution } = found;
  if (!isTenant(tenant) || !isExecutionId(execution)) return undefined;
  const address = executionAddress(layout, tenant, execution);
  const isInPlace = address.shard === shard && address.tail === placeTokens(subject).join(".");
  return isInPlace ? { tenant, execution, address } : undefined;
};

/** The address of the execution that a subject speaks of, if the subject stands where it belongs. */
export const addressOfSubject = (
  layout: Layout,
  shard: number,
  subject: string,
): Address | undefined => placedBySubject(layout, shard, subject)?.address;

/** Whether a subject lies under a filter with `*` and `>` wildcards. Nothing is allocated for it. */
export const matches = (filter: string, subject: string): boolean => {
  let want = 0;
  let have = 0;
  for (;;) {
    const wantDot = filter.indexOf(".", want);
    const haveDot = subject.indexOf(".", have);
    const wantEnd = wantDot === -1 ? filter.length : wantDot;
    const haveEnd = haveDot === -1 ? subject.length : haveDot;
    const wild = wantEnd - want === 1 ? filter[want] : undefined;
    if (wild === ">") return true;
    if (wild !== "*") {
      if (wantEnd - want !== haveEnd - have) return false;
      for (let i = 0; i < wantEnd - want; i++) {
        if (filter.charCodeAt(want + i) !== subject.charCodeAt(have + i)) return false;
      }
    }
    if (wantDot === -1 || haveDot === -1) return wantDot === haveDot;
    want = wantDot + 1;
    have = haveDot + 1;
  }
};
