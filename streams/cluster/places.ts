/**
 * Where Effect's cluster keeps what: all of a shard of the cluster, its lock included, is in one shard
 * of the log, since the server checks a fence only against its own stream. Names are part of the
 * stored format. This module talks to no server.
 */
import { createHash } from "node:crypto";
import {
  type Address,
  type Filter,
  hash,
  type Layout,
  shardRoot,
  subjectOf,
  tokenOfAny,
} from "../subjects.ts";

/** A shard of the cluster, as Effect's `ShardId` and its encoding have it. */
export interface ClusterShard {
  readonly group: string;
  readonly id: number;
}

/** An entity, as Effect's `EntityAddress` and its encoding have it. */
export interface EntityName {
  readonly shardId: ClusterShard;
  readonly entityType: string;
  readonly entityId: string;
}

const inFirst = (layout: Layout, tail: string, label: string): Address => ({
  shard: 0,
  root: shardRoot(layout, 0),
  tail,
  label,
});

/** A runner's session, in the first shard of the log; what others found out is under its `health`. */
export const runnerAddress = (layout: Layout, address: string): Address =>
  inFirst(layout, tokenOfAny(address), `runner ${address}`);

/** Runners, and what is known of their health. */
export const runnersFilter = (layout: Layout): Filter => ({
  shard: 0,
  subject: `$KV.${shardRoot(layout, 0)}.runner.>`,
});

/** What tells a shard of the cluster from all others; all that belongs to it lies below. */
export const shardKey = ({ group, id }: ClusterShard): string => `${tokenOfAny(group)}.${id}`;

/** The lock of the shard with a key. */
export const lockAddress = (layout: Layout, key: string): Address => {
  const shard = layout.shards === 1 ? 0 : hash(key) % layout.shards;
  return { shard, root: shardRoot(layout, shard), tail: key, label: `shard ${key}` };
};

/** All locks that are in one shard of the log. */
export const locksFilter = (layout: Layout, shard: number): Filter => ({
  shard,
  subject: `$KV.${shardRoot(layout, shard)}.lock.*.*`,
});

/** What all messages and replies of an entity have in front. */
export const entityAddress = (layout: Layout, name: EntityName): Address => {
  const { shardId, entityType, entityId } = name;
  const lock = lockAddress(layout, shardKey(shardId));
  return {
    ...lock,
    tail: `${lock.tail}.${tokenOfAny(entityType)}.${tokenOfAny(entityId)}`,
    label: `${entityType}/${entityId}`,
  };
};

/** The key of the shard that an entity, a message or a reply belongs to. */
export const shardKeyOf = ({ tail }: Address): string => tail.split(".", 2).join(".");

const below = (entity: Address, sort: string, name: string): Address => ({
  ...entity,
  tail: `${entity.tail}.${sort}.${name}`,
  label: `${sort} ${name} of ${entity.label}`,
});

/** A message to an entity, of which there is at most one of its sort for each request. */
export const callAddress = (
  entity: Address,
  sort: "request" | "ack" | "interrupt" | "reset",
  requestId: string,
): Address => below(entity, sort, requestId);

const digestOf = (primaryKey: string): string =>
  createHash("sha256").update(primaryKey, "utf16le").digest("hex");

/** A request that is the only one with its primary key. */
export const keyedCallAddress = (entity: Address, primaryKey: string): Address =>
  below(entity, "key", digestOf(primaryKey));

/** Where it is said that all which an entity was asked is gone. */
export const clearedAddress = (entity: Address): Address => below(entity, "cleared", "all");

/** The replies to a request, all on one subject, with the machine that asks in front. */
export const replyAddress = (entity: Address, machineId: number, requestId: string): Address =>
  below(entity, `${machineId}`, requestId);

/** All messages that are in one shard of the log. */
export const callsFilter = (layout: Layout, shard: number): Filter => ({
  shard,
  subject: `${shardRoot(layout, shard)}.call.>`,
});

/** The messages to the entities of one shard, or their replies. */
export const shardFilter = (layout: Layout, key: string, kind: "call" | "reply"): Filter => {
  const lock = lockAddress(layout, key);
  return { shard: lock.shard, subject: `${subjectOf(lock, kind)}.*.*.*.*` };
};

/** The messages to one entity, or its replies. */
export const entityFilter = (entity: Address, kind: "call" | "reply"): Filter => ({
  shard: entity.shard,
  subject: `${subjectOf(entity, kind)}.*.*`,
});

/** The replies in one shard of the log for one machine, or to one of its requests. */
export const machineRepliesFilter = (
  layout: Layout,
  shard: number,
  machineId: number,
  requestId = "*",
): Filter => ({
  shard,
  subject: `${shardRoot(layout, shard)}.reply.*.*.*.*.${machineId}.${requestId}`,
});

/** A request without a primary key, whatever entity it is for, in one shard of the log. */
export const requestFilter = (layout: Layout, shard: number, requestId: string): Filter => ({
  shard,
  subject: `${shardRoot(layout, shard)}.call.*.*.*.*.request.${requestId}`,
});

/** The request with a primary key, whatever shard it is in, in one shard of the log. */
export const primaryKeyFilter = (layout: Layout, shard: number, primaryKey: string): Filter => ({
  shard,
  subject: `${shardRoot(layout, shard)}.call.*.*.*.*.key.${digestOf(primaryKey)}`,
});

/** The entity that a message or a reply in some shard of the log is about, by its subject. */
export const entityOfSubject = (layout: Layout, shard: number, subject: string): Address => ({
  shard,
  root: shardRoot(layout, shard),
  tail: subject.split(".").slice(2, 6).join("."),
  label: subject,
});

/** A message to an entity, or the replies to one, by its subject. */
export const addressOfSubject = (entity: Address, subject: string): Address => ({
  ...entity,
  tail: subject.split(".").slice(2).join("."),
});

/** The request that a reply is to, by its subject. */
export const requestOfReply = (subject: string): string =>
  subject.slice(subject.lastIndexOf(".") + 1);
