/**
 * The errands of a tenant and its remote workers, in the log: each is the last record under its
 * subject. Whoever runs the execution enters an errand and withdraws it; all else is written under the
 * fence of the execution that keeps the tenant's remote workers. It decides nothing.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { type ErrandRecord, errandRecord } from "../schema/errand_record.ts";
import { ExecutionId, type Tenant, type WorkerInstanceId } from "../schema/ids.ts";
import { type RemoteRecord, remoteRecord } from "../schema/remote_record.ts";
import type { RecordCodec } from "../schema/record.ts";
import type { AppendError, Entry, Log, Message, ReadError, RemoveError } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { queueTenant, type Turn } from "./seats.ts";
import {
  type Address,
  errandAddress,
  executionAddress,
  remoteAddress,
  remotesFilter,
  tailOfSubject,
} from "./subjects.ts";

/** The actor of the executions that keep remote workers, one for each tenant. */
export const remoteKeeper = "weir-remotes";

export const remoteKeeperOf = (tenant: Tenant): ExecutionId =>
  ExecutionId.make(`${remoteKeeper}/${tenant}`);

/** What has become of an errand: its record, or that it was withdrawn. */
export interface ErrandChange {
  /** The name of the errand, as its subject has it. */
  readonly step: string;
  readonly sequence: number;
  readonly errand: ErrandRecord | undefined;
}

/** An errand as the log has it, with all that the log has of it, in order. */
export interface KeptErrand {
  readonly step: string;
  readonly errand: ErrandRecord | undefined;
  /** Once it is withdrawn, nothing undoes that. */
  readonly isWithdrawn: boolean;
  readonly sequences: ReadonlyArray<number>;
}

/** A registration with all that the log has of it. */
export interface KeptRemote {
  readonly remote: RemoteRecord;
  /** When the last of them was stored. */
  readonly at: number;
  readonly sequences: ReadonlyArray<number>;
}

const nameOf = ({ execution, life, turn }: Omit<Turn, "tenant">): string =>
  `${execution} ${life} ${turn}`;

const readable = <A>(codec: RecordCodec<A>, entry: Entry): Effect.Effect<ReadonlyArray<A>> =>
  codec.decode(entry.body, entry).pipe(
    Effect.map((record) => [record]),
    Effect.catch(() => Effect.as(Metric.update(skippedRecords, 1), [])),
  );

export const make = (log: Log["Service"]) => {
  const keeperOf = (tenant: Tenant): Address =>
    executionAddress(log.layout, queueTenant, remoteKeeperOf(tenant));
  const addressOf = (turn: Turn): Address =>
    errandAddress(keeperOf(turn.tenant), turn.tenant, nameOf(turn));
  const stepOf = (turn: Turn): string => addressOf(turn).tail.split(".")[1]!;

  /** Enters an errand, unless it was entered before, or withdrawn. */
  const enter = (errand: ErrandRecord): Effect.Effect<void, AppendError> =>
    log.append(addressOf(errand), {
      kind: "errand",
      body: errandRecord.encode(errand),
      guard: { after: 0 },
    }).pipe(
      Effect.asVoid,
      Effect.catchTag("AlreadyExists", () => Effect.void),
      Effect.catchTag("SequenceConflict", () => Effect.void),
    );

  const withdraw = (turn: Turn): Effect.Effect<void, AppendError> =>
    Effect.asVoid(
      log.append(addressOf(turn), { kind: "errand", body: new Uint8Array(), removes: true }),
    );

  /** The records that the keeper appends. */
  const said = (errand: ErrandRecord): Message => ({
    kind: "errand",
    of: addressOf(errand),
    body: errandRecord.encode(errand),
  });
  const told = (remote: RemoteRecord): Message => ({
    kind: "remote",
    of: remoteAddress(keeperOf(remote.tenant), remote.tenant, remote.worker),
    body: remoteRecord.encode(remote),
  });

  /** Removes records, in this order. */
  const remove = (
    tenant: Tenant,
    sequences: ReadonlyArray<number>,
  ): Effect.Effect<void, RemoveError> => {
    const { shard } = keeperOf(tenant);
    return Effect.forEach(sequences, (sequence) => log.remove(shard, sequence), { discard: true });
  };

  const changeOf = (entry: Entry): Effect.Effect<ReadonlyArray<ErrandChange>> => {
    const { subject, sequence, removed } = entry;
    const step = tailOfSubject(subject).split(".")[1]!;
    return removed ? Effect.succeed([{ step, sequence, errand: undefined }]) : Effect.map(
      readable(errandRecord, entry),
      (read) => read.map((errand) => ({ step, sequence, errand })),
    );
  };

  /** The errands of a tenant, and the sequence up to which that is known. */
  const read = Effect.fnUntraced(function* (tenant: Tenant) {
    const filter = remotesFilter(keeperOf(tenant), "errand", tenant);
    const { sequence: through } = yield* log.tail(filter.shard);
    const entries = yield* log.readThrough(filter, { through });
    const last = new Map<string, KeptErrand>();
    for (const { step, sequence, errand } of (yield* Effect.forEach(entries, changeOf)).flat()) {
      const before = last.get(step);
      last.set(step, {
        step,
        errand: errand ?? before?.errand,
        isWithdrawn: before?.isWithdrawn === true || errand === undefined,
        // That it was withdrawn is removed last.
        sequences: before?.isWithdrawn === true
          ? [...before.sequences.slice(0, -1), sequence, ...before.sequences.slice(-1)]
          : [...before?.sequences ?? [], sequence],
      });
    }
    return {
      errands: [...last.values()],
      through: Math.max(through, entries.at(-1)?.sequence ?? 0),
    };
  });

  const follow = (tenant: Tenant, after: number): Stream.Stream<ErrandChange, ReadError> =>
    log.follow(remotesFilter(keeperOf(tenant), "errand", tenant), { after }).pipe(
      Stream.mapEffect(changeOf),
      Stream.flatMap(Stream.fromIterable),
    );

  /** An errand as it is now; nothing if it is not there, or was withdrawn. */
  const find = (turn: Turn): Effect.Effect<ErrandRecord | undefined, ReadError> =>
    Effect.flatMap(
      log.last(addressOf(turn), "errand"),
      (last) =>
        Option.isNone(last) || last.value.removed
          ? Effect.undefined
          : Effect.map(readable(errandRecord, last.value), ([errand]) => errand),
    );

  /** The remote workers of a tenant, those that are gone as well, for a while. */
  const remotes = Effect.fnUntraced(function* (tenant: Tenant) {
    const filter = remotesFilter(keeperOf(tenant), "remote", tenant);
    const { sequence: through } = yield* log.tail(filter.shard);
    const last = new Map<string, KeptRemote>();
    for (const entry of yield* log.readThrough(filter, { through })) {
      for (const remote of yield* readable(remoteRecord, entry)) {
        const sequences = [...last.get(remote.worker)?.sequences ?? [], entry.sequence];
        last.set(remote.worker, { remote, at: entry.at, sequences });
      }
    }
    return [...last.values()];
  });

  /** Those that are registered. */
  const registered = (tenant: Tenant): Effect.Effect<ReadonlyArray<KeptRemote>, ReadError> =>
    Effect.map(remotes(tenant), (all) => all.filter(({ remote }) => remote.state !== "gone"));

  /** One of them, whether it is registered or gone. */
  const remote = (tenant: Tenant, worker: WorkerInstanceId) =>
    Effect.map(
      remotes(tenant),
      (all) => all.find((each) => each.remote.worker === worker),
    );

  return {
    keeperOf,
    stepOf,
    enter,
    withdraw,
    said,
    told,
    remove,
    read,
    follow,
    find,
    remotes,
    registered,
    remote,
  };
};

export type Errands = ReturnType<typeof make>;
