/**
 * Taking and giving up the locks of shards. A lock is one key, moved by compare-and-set only: it is
 * taken from nobody, or from a session that the server does not have any more, and given up by the
 * very revision under which it was taken, so that a release never drops what was taken again. When a
 * session ends is not decided here.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { clusterRunnerRecord, shardLockRecord } from "../../schema/cluster_runner_record.ts";
import { Fence } from "../fence.ts";
import type { AppendError, Entry, Log } from "../log.ts";
import { subjectOf } from "../subjects.ts";
import { lockAddress, locksFilter, runnerAddress } from "./places.ts";
import type { ShardLocks } from "./shard_locks.ts";

/** Under what a lock is taken. */
export interface Holder {
  readonly address: string;
  readonly session: string;
}

/** What a lock says, and the revision that it says it with. */
interface Known {
  readonly holder: Holder | undefined;
  readonly revision: number;
}

const free: Known = { holder: undefined, revision: 0 };

const takenAtOnce = 64;

const isMoved = ({ _tag }: AppendError): boolean =>
  _tag === "SequenceConflict" || _tag === "AlreadyExists" || _tag === "StaleFence";

const isSame = (one: Holder, other: Holder): boolean =>
  one.session === other.session && one.address === other.address;

export const make = (log: Log["Service"], locks: ShardLocks["Service"]) => {
  const { layout } = log;
  /** When somebody last said that the shard is still wanted. */
  const wantedAt = new Map<string, number>();
  let taken = 0;

  const known = Effect.fnUntraced(function* (entry: Entry) {
    const revision = entry.sequence;
    if (entry.removed) return { holder: undefined, revision };
    const record = yield* shardLockRecord.decode(entry.body, entry);
    return { holder: record.kind === "locked" ? record : undefined, revision };
  });

  const allKnown = Effect.fnUntraced(function* (shards: Iterable<number>) {
    const found = new Map<string, Known>();
    for (const shard of shards) {
      const filter = locksFilter(layout, shard);
      // What a lagging replica lacks is refused when the lock is taken, and asked for again.
      for (const entry of yield* log.readThrough(filter, { through: 0 })) {
        found.set(entry.subject, yield* known(entry));
      }
    }
    return found;
  });

  /** Whether the server has no such session, which is for the leader to say. */
  const isOver = Effect.fnUntraced(function* ({ address, session }: Holder) {
    const found = yield* log.last(runnerAddress(layout, address), "runner");
    if (Option.isNone(found) || found.value.removed) return true;
    const record = yield* clusterRunnerRecord.decode(found.value.body, found.value);
    return record.kind !== "runner" || record.session !== session;
  });

  const take = Effect.fnUntraced(function* (
    shard: string,
    { address, session }: Holder,
    after: number,
  ) {
    const at = lockAddress(layout, shard);
    const fence = new Fence(subjectOf(at, "lock"), `${session}:${taken++}`, 0);
    yield* log.append(at, {
      kind: "lock",
      body: shardLockRecord.encode({ kind: "locked", address, session }),
      guard: { after },
      id: fence.nextId(),
      replaces: true,
      // Also when nobody waits for the answer any more: then the lock is wanted no more, and released.
      onStored: (revision) => {
        fence.advance(revision);
        locks.hold(shard, fence);
      },
    });
  });

  const isHeld = (shard: string): boolean => locks.fenceOf(shard)?.lost === false;
  const holdsAny = (): boolean => locks.held().size > 0;

  const want = (shards: Iterable<string>) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      for (const shard of shards) wantedAt.set(shard, now);
    });

  /** Takes what can be had of the shards. */
  const acquire = Effect.fnUntraced(function* (shards: ReadonlyArray<string>, holder: Holder) {
    yield* want(shards);
    const missing = shards.filter((shard) => !isHeld(shard)).map((shard) => ({
      shard,
      at: lockAddress(layout, shard),
    }));
    if (missing.length === 0) return;
    const found = yield* allKnown(new Set(missing.map(({ at }) => at.shard)));
    const claims = missing.map(({ shard, at }) => ({
      shard,
      ...(found.get(subjectOf(at, "lock")) ?? free),
    }));
    const others = new Map<string, Holder>();
    for (const { holder: other } of claims) {
      if (other !== undefined && !isSame(other, holder)) others.set(other.session, other);
    }
    const living = new Set<string>();
    for (const other of others.values()) {
      if (!(yield* isOver(other))) living.add(other.session);
    }
    yield* Effect.forEach(
      claims.filter(({ holder }) => holder === undefined || !living.has(holder.session)),
      ({ shard, revision }) =>
        Effect.catchIf(take(shard, holder, revision), isMoved, () => Effect.void),
      { concurrency: takenAtOnce, discard: true },
    );
  });

  const release = Effect.fnUntraced(function* (shard: string) {
    const fence = locks.fenceOf(shard);
    if (fence === undefined) return;
    const drop = () => {
      fence.lose();
      locks.drop(shard, fence);
    };
    yield* log.append(lockAddress(layout, shard), {
      kind: "lock",
      body: shardLockRecord.encode({ kind: "unlocked" }),
      guard: fence,
      replaces: true,
      onStored: drop,
    }).pipe(Effect.catchTag("StaleFence", () => Effect.sync(drop)));
    wantedAt.delete(shard);
  });

  const releaseAll = Effect.suspend(() =>
    Effect.forEach([...locks.held().keys()], release, { concurrency: takenAtOnce, discard: true })
  );

  /** Gives up what was taken for somebody who did not wait for it, and never asked again. */
  const releaseUnwanted = Effect.fnUntraced(function* (forMs: number) {
    const now = yield* Clock.currentTimeMillis;
    for (const shard of locks.held().keys()) {
      if ((wantedAt.get(shard) ?? 0) + forMs < now) yield* release(shard);
    }
  });

  /** The session is over, and with it whatever was held under it. */
  const loseAll = (): void => {
    for (const [shard, fence] of locks.held()) {
      fence.lose();
      locks.drop(shard, fence);
    }
  };

  return { acquire, want, isHeld, holdsAny, release, releaseAll, releaseUnwanted, loseAll };
};
