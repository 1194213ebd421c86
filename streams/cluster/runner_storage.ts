/**
 * Effect's `RunnerStorage` on the log. A runner keeps one key alive, which the server removes when it
 * is not renewed; the locks of shards name that session, and their revisions are what replies are
 * fenced with. So a refresh is one write however many shards there are, and a runner that stood still
 * writes nothing, whatever it believes.
 */
import { randomUUID } from "node:crypto";
import { PersistenceError } from "effect/cluster/ClusterError";
import { makeEncoded, RunnerStorage } from "effect/cluster/RunnerStorage";
import { fromStringEncoded } from "effect/cluster/ShardId";
import { ShardingConfig } from "effect/cluster/ShardingConfig";
import * as Clock from "effect/Clock";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Semaphore from "effect/Semaphore";
import {
  type ClusterRunnerRecord,
  clusterRunnerRecord,
} from "../../schema/cluster_runner_record.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { type AppendError, type Entry, Log, type ReadError } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { hash, subjectOf } from "../subjects.ts";
import { runnerAddress, runnersFilter, shardKey } from "./places.ts";
import { make as makeLocking } from "./shard_locking.ts";
import { ShardLocks } from "./shard_locks.ts";

/** Effect's ids have 10 bits for the machine. */
const machines = 1024;
/** For so long a renewal answers for all who ask; each request's last reply does. */
const renewedForMs = 1_000;
const healthSeconds = 24 * 60 * 60;

/** The registration of this process. */
interface Session {
  readonly address: string;
  readonly session: string;
  readonly machineId: number;
  readonly runner: string;
  readonly healthy: boolean;
  readonly leaving?: boolean;
}

type RunnerRecord = Extract<ClusterRunnerRecord, { readonly kind: "runner" }>;

const isMoved = ({ _tag }: { readonly _tag: string }): boolean =>
  _tag === "AlreadyExists" || _tag === "SequenceConflict";

/** The key of a shard that Effect calls `group:id`. */
const keyOf = (shard: string): string => shardKey(fromStringEncoded(shard));

const failed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(effect, (cause) => new PersistenceError({ cause }));

const make = Effect.gen(function* () {
  const log = yield* Log;
  const { layout } = log;
  const locking = makeLocking(log, yield* ShardLocks);
  const { shardLockExpiration } = yield* ShardingConfig;
  const ttlSeconds = Math.max(
    1,
    Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(shardLockExpiration))),
  );
  /** Who renews, registers or leaves does so after the others. */
  const turn = yield* Semaphore.make(1);
  let current: Session | undefined;
  let revision = 0;
  let renewedAt = -Infinity;

  const read = (entry: Entry): Effect.Effect<ClusterRunnerRecord | undefined, ReadError> =>
    entry.removed ? Effect.undefined : Effect.catchTag(
      clusterRunnerRecord.decode(entry.body, entry),
      "CorruptRecord",
      () => Effect.as(Metric.update(skippedRecords, 1), undefined),
    );

  const look = Effect.fnUntraced(function* (address: string) {
    const found = Option.getOrUndefined(yield* log.last(runnerAddress(layout, address), "runner"));
    const record = found === undefined ? undefined : yield* read(found);
    return { record, revision: found?.sequence ?? 0 };
  });

  /** All keys under `runner`, and at least what was written up to a sequence. */
  const everything = Effect.fnUntraced(function* (through: number) {
    const records = new Map<string, ClusterRunnerRecord>();
    const revisions = new Map<string, number>();
    for (const entry of yield* log.readThrough(runnersFilter(layout), { through })) {
      const record = yield* read(entry);
      revisions.set(entry.subject, entry.sequence);
      if (record === undefined) records.delete(entry.subject);
      else records.set(entry.subject, record);
    }
    return { records, revisions };
  });

  const recordOf = ({ leaving, ...session }: Session) =>
    clusterRunnerRecord.encode({
      kind: "runner",
      ...session,
      ...(leaving === true ? { leaving } : {}),
    });

  const keep = (session: Session, at: number, sequence: number) => {
    current = session;
    revision = sequence;
    renewedAt = at;
  };

  /** Writes the session on what it was known to be. */
  const write = Effect.fnUntraced(function* (session: Session) {
    const at = yield* Clock.currentTimeMillis;
    const { sequence } = yield* log.append(runnerAddress(layout, session.address), {
      kind: "runner",
      body: recordOf(session),
      guard: { after: revision },
      ttlSeconds,
      replaces: true,
    });
    keep(session, at, sequence);
  });

  const lapse = Effect.sync(() => {
    current = undefined;
    renewedAt = -Infinity;
    locking.loseAll();
  });

  /** Extends the session, if the server still has it; says whether it has. */
  const renew = (session: Session): Effect.Effect<boolean, AppendError | ReadError> =>
    Effect.as(write(session), true).pipe(
      Effect.catchIf(isMoved, () =>
        Effect.gen(function* () {
          // Perhaps it was this one, whose answer was lost.
          const found = yield* look(session.address);
          if (found.record?.kind !== "runner" || found.record.session !== session.session) {
            yield* Effect.logWarning(
              `The session of the runner ${session.address} has ended; it holds no shard any more`,
            );
            yield* lapse;
            return false;
          }
          revision = found.revision;
          yield* write(session);
          return true;
        })),
    );

  /** A session that has just been renewed is not renewed again, unless that is asked for. */
  const renewOnce = (address: string, always: boolean) =>
    turn.withPermit(Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis;
      if (current?.address !== address) {
        if (always) yield* look(address);
        return false;
      }
      return (!always && now < renewedAt + renewedForMs) || (yield* renew(current));
    }));

  /** The machine ids that runners have, apart from one. */
  const machineIdsOf = (records: ReadonlyMap<string, ClusterRunnerRecord>, apart?: string) =>
    new Set(
      Array.from(
        records.values(),
        (record) => record.kind === "runner" && record.session !== apart && record.machineId,
      ),
    );

  /**
   * Says which machine id it takes, and then looks: of two who take the same, whoever wrote later sees
   * the other, and takes another one.
   */
  const registerAnew = Effect.fnUntraced(function* (
    address: string,
    runner: string,
    healthy: boolean,
  ) {
    yield* lapse;
    const place = subjectOf(runnerAddress(layout, address), "runner");
    const session = randomUUID();
    const start = hash(session);
    let { records, revisions } = yield* everything(0);
    revision = revisions.get(place) ?? 0;
    let taken = machineIdsOf(records);
    for (;;) {
      const machineId = Array.from({ length: machines }, (_, i) => (start + i) % machines)
        .find((id) => !taken.has(id));
      if (machineId === undefined) {
        const rule =
          `at most ${machines} run at once, since Effect's ids tell no more of them apart`;
        return yield* new InvalidInput({ what: "runner", value: address, rule });
      }
      yield* write({ address, session, machineId, runner, healthy });
      ({ records, revisions } = yield* everything(revision));
      const others = machineIdsOf(records, session);
      if (!others.has(machineId)) return machineId;
      taken = others;
    }
    // Nobody is to go by an id that was not looked at.
  }, Effect.onError(() => lapse));

  const remove = Effect.fnUntraced(function* (address: string, after: number) {
    yield* log.append(runnerAddress(layout, address), {
      kind: "runner",
      body: new Uint8Array(),
      guard: { after },
      removes: true,
      replaces: true,
      ttlSeconds: 1,
    });
  });

  /** The key of a runner that leaves goes with its last lock, which others may take from then on. */
  const leave = Effect.suspend(() => {
    if (current?.leaving !== true || locking.holdsAny()) return Effect.void;
    return Effect.andThen(remove(current.address, revision), lapse).pipe(
      Effect.catchIf(isMoved, () => lapse),
    );
  });

  const isHeld = (shard: string): boolean => locking.isHeld(keyOf(shard));

  return makeEncoded({
    // 1 read.
    getRunners: Effect.gen(function* () {
      const { records } = yield* everything(current === undefined ? 0 : revision);
      const healths = new Map<string, boolean>();
      const runners: Array<RunnerRecord> = [];
      for (const record of records.values()) {
        if (record.kind === "health") healths.set(record.session, record.healthy);
        if (record.kind === "runner" && record.leaving !== true) runners.push(record);
      }
      return runners.map(({ session, runner, healthy }) =>
        [runner, healths.get(session) ?? healthy] as const
      );
    }).pipe(failed),

    // 2 reads and 1 write; 1 write if it is registered already.
    register: (address, runner, healthy) =>
      turn.withPermit(Effect.gen(function* () {
        if (current?.address === address) {
          const { machineId, session } = current;
          const again = { address, session, machineId, runner, healthy };
          if (yield* renew(again)) return machineId;
        }
        return yield* Effect.retry(registerAnew(address, runner, healthy), { while: isMoved });
      })).pipe(failed),

    unregister: (address) =>
      turn.withPermit(Effect.gen(function* () {
        if (current?.address === address) {
          if (yield* renew({ ...current, leaving: true })) yield* leave;
          return;
        }
        const found = yield* look(address);
        if (found.record?.kind !== "runner") return;
        yield* Effect.catchIf(remove(address, found.revision), isMoved, () => Effect.void);
      })).pipe(failed),

    setRunnerHealth: Effect.fnUntraced(function* (address, healthy) {
      const { record } = yield* look(address);
      if (record?.kind !== "runner") return;
      yield* log.append(runnerAddress(layout, address), {
        kind: "runner",
        key: "health",
        body: clusterRunnerRecord.encode({ kind: "health", session: record.session, healthy }),
        replaces: true,
        ttlSeconds: healthSeconds,
      });
    }, failed),

    // 1 read for each shard of the log, 1 write for each lock, and 1 read for each runner that died.
    acquire: (address, shards) =>
      Effect.suspend(() =>
        current?.address === address && current.leaving !== true
          ? locking.acquire(shards.map(keyOf), current)
          : Effect.void
      ).pipe(Effect.map(() => shards.filter(isHeld)), failed),

    // 1 write, or none if there was one within the last second; always 1 if there are no shards.
    refresh: Effect.fnUntraced(function* (address, shards) {
      if (!(yield* renewOnce(address, shards.length === 0))) return [];
      yield* locking.want(shards.map(keyOf));
      yield* locking.releaseUnwanted(ttlSeconds * 1_000);
      return shards.filter(isHeld);
    }, failed),

    // 1 write.
    release: (address, shard) =>
      Effect.suspend(() =>
        current?.address === address
          ? Effect.andThen(locking.release(keyOf(shard)), leave)
          : Effect.void
      ).pipe(failed),

    // 1 write for each lock.
    releaseAll: (address) =>
      Effect.suspend(() =>
        current?.address === address ? Effect.andThen(locking.releaseAll, leave) : Effect.void
      ).pipe(failed),
  });
});

/** The runners of the namespace; this process is at most one of them. */
export const layer: Layer.Layer<RunnerStorage, never, Log | ShardLocks | ShardingConfig> = Layer
  .effect(RunnerStorage, make);
