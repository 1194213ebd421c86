/**
 * The log in memory, for tests and simulation: the same verdicts as JetStream's for guards, message
 * ids, batches and lifetimes, decided in one synchronous step and timed by Effect's clock. It refuses
 * a stale fence in the same cases. It forgets everything with its scope and shares nothing between
 * processes.
 */
import { randomBytes } from "node:crypto";
import * as Clock from "effect/Clock";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as FiberMap from "effect/FiberMap";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as PubSub from "effect/PubSub";
import * as Result from "effect/Result";
import * as Stream from "effect/Stream";
import {
  AlreadyExists,
  InvalidBatch,
  PayloadTooLarge,
  SequenceConflict,
  StaleFence,
} from "../schema/errors.ts";
import { Fence } from "./fence.ts";
import {
  type Appended,
  type AppendError,
  defaultMaxPayloadBytes,
  type Entry,
  Log,
  maxBatchSize,
  type Message,
} from "./log.ts";
import { MemoryShard } from "./log/memory_shard.ts";
import { asStored } from "./log/schedule.ts";
import { randomMessageId } from "./message_id.ts";
import {
  type Address,
  type Filter,
  isBucketKind,
  type Kind,
  type Layout,
  matches,
  subjectOf,
} from "./subjects.ts";

/** As a server has it that is not told otherwise. */
const maxMessageBytes = 1024 * 1024 - 4_096;

export interface MemoryOptions {
  readonly layout: Layout;
  readonly longestLeaseMs?: number;
  readonly maxPayloadBytes?: number;
}

type Schedule = NonNullable<Message["schedule"]>;

interface Shard {
  readonly records: MemoryShard;
  /** Message ids and what they stored, oldest first. */
  readonly ids: Map<string, Appended & { readonly at: number }>;
  /** When the lifetimes of records end, and the first time at which one does. */
  readonly expiries: Map<Entry, number>;
  nextExpiry: number;
  sequence: number;
  lastAt: number;
}

const followsOf = ({ guard }: Message): Pick<Entry, "follows"> =>
  guard === undefined || guard instanceof Fence || guard.subject !== undefined
    ? {}
    : { follows: guard.after };

const make = Effect.fnUntraced(function* (options: MemoryOptions) {
  const { layout, longestLeaseMs = 60_000, maxPayloadBytes = defaultMaxPayloadBytes } = options;
  const duplicateWindowMs = longestLeaseMs + 10_000;
  const clock = yield* Clock.Clock;
  const shards: ReadonlyArray<Shard> = Array.from({ length: layout.shards }, () => ({
    records: new MemoryShard(),
    ids: new Map(),
    expiries: new Map(),
    nextExpiry: Infinity,
    sequence: 0,
    lastAt: 0,
  }));
  const stored = yield* Effect.acquireRelease(PubSub.unbounded<Entry>(), PubSub.shutdown);
  /** One for each pending schedule, by its subject. */
  const timers = yield* FiberMap.make<string>();
  const runTimer = yield* FiberMap.runtime(timers)();

  const store = (shard: Shard, entry: Omit<Entry, "sequence" | "at">, now: number): Entry => {
    shard.lastAt = Math.max(shard.lastAt, now);
    const complete = { ...entry, sequence: ++shard.sequence, at: shard.lastAt };
    shard.records.add(complete);
    PubSub.publishUnsafe(stored, complete);
    return complete;
  };

  const drop = (shard: Shard, entry: Entry) => {
    shard.records.remove(entry);
    shard.expiries.delete(entry);
    Option.getOrUndefined(FiberMap.getUnsafe(timers, entry.subject))?.interruptUnsafe();
  };

  const expireAt = (shard: Shard, entry: Entry, at: number) => {
    shard.expiries.set(entry, at);
    shard.nextExpiry = Math.min(shard.nextExpiry, at);
  };

  /** Lifetimes end when somebody looks; the marker takes the place of the last record. */
  const expire = (shard: Shard, now: number) => {
    for (const [id, appended] of shard.ids) {
      if (appended.at + duplicateWindowMs > now) break;
      shard.ids.delete(id);
    }
    if (shard.nextExpiry > now) return;
    const expiries = [...shard.expiries];
    shard.nextExpiry = Infinity;
    for (const [entry, at] of expiries) {
      if (at > now) {
        shard.nextExpiry = Math.min(shard.nextExpiry, at);
        continue;
      }
      const { subject, shard: index } = entry;
      const wasLast = shard.records.last(subject) === entry;
      drop(shard, entry);
      if (!wasLast || entry.removed) continue;
      const marker = {
        shard: index,
        subject,
        id: undefined,
        removed: true,
        body: new Uint8Array(),
      };
      expireAt(shard, store(shard, marker, now), now + 1_000);
    }
  };

  const at = (index: number): { readonly shard: Shard; readonly now: number } => {
    const shard = shards[index]!;
    const now = Math.floor(clock.currentTimeMillisUnsafe());
    expire(shard, now);
    return { shard, now };
  };

  /** Puts the body of a schedule where it is to be when it is due, unless it is gone by then. */
  const fireWhenDue = (
    to: Address,
    schedule: Entry,
    { at: due, into = "mail" }: Schedule,
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { shard, now } = at(to.shard);
      if (now < due) {
        const rest = clock.sleep(Duration.millis(due - now));
        return Effect.andThen(rest, fireWhenDue(to, schedule, { at: due, into }));
      }
      if (shard.records.at(schedule.sequence) === schedule) {
        const { body } = schedule;
        const fired = { shard: to.shard, subject: subjectOf(to, into), removed: false, body };
        shard.records.remove(schedule);
        store(shard, { ...fired, id: undefined }, now);
      }
      return Effect.void;
    });

  const lastSequence = (shard: Shard, subject: string) =>
    shard.records.last(subject)?.sequence ?? 0;

  const verdict = (
    shard: Shard,
    to: Address,
    message: Message,
    subject: string,
  ): AppendError | undefined => {
    const { guard } = message;
    const isFixed = message.replaces === true || isBucketKind(message.kind);
    const limitBytes = isFixed ? maxMessageBytes : maxPayloadBytes;
    if (message.body.length > limitBytes) {
      const sizeBytes = message.body.length;
      return new PayloadTooLarge({ sizeBytes, limitBytes, ...(isFixed ? { isFixed } : {}) });
    }
    if (guard instanceof Fence) {
      if (!guard.lost && lastSequence(shard, guard.subject) === guard.revision) return undefined;
      guard.lose();
      return new StaleFence({ execution: to.label, revision: guard.revision, landed: "no" });
    }
    if (guard === undefined) return undefined;
    const guarded = guard.subject ?? subject;
    const actual = lastSequence(shard, guarded);
    if (guard.after === actual) return undefined;
    return guard.after === 0
      ? new AlreadyExists({ subject: guarded, sequence: actual })
      : new SequenceConflict({ subject: guarded, expected: guard.after, actual });
  };

  /** A batch is judged as a whole before any of it is stored; only its first own-subject guard counts. */
  const commit = (
    to: Address,
    messages: ReadonlyArray<Message>,
  ): Result.Result<Appended, AppendError> => {
    const { shard, now } = at(to.shard);
    const placed = messages.map(asStored).map((message) => ({
      message,
      subject: subjectOf(message.of ?? to, message.kind, message.key),
      id: message.id ??
        (message.guard instanceof Fence ? message.guard.nextId() : randomMessageId()),
    }));
    for (const { message, subject } of placed) {
      const error = verdict(shard, to, message, subject);
      if (error !== undefined) return Result.fail(error);
    }
    const known = shard.ids.get(placed[0]!.id);
    if (known !== undefined) return Result.succeed({ sequence: known.sequence, duplicate: true });
    const first = shard.sequence + 1;
    const schedules: Array<readonly [of: Address, entry: Entry, due: Schedule]> = [];
    for (const { message, subject, id } of placed) {
      if (message.replaces === true || message.schedule !== undefined) {
        for (const entry of shard.records.under(subject, 0, Infinity)) drop(shard, entry);
      }
      const entry = store(shard, {
        shard: to.shard,
        subject,
        id,
        removed: message.removes === true,
        body: message.body,
        ...followsOf(message),
      }, now);
      shard.ids.set(id, { sequence: entry.sequence, duplicate: true, at: now });
      if (message.ttlSeconds !== undefined) {
        expireAt(shard, entry, now + message.ttlSeconds * 1_000);
      }
      if (message.schedule !== undefined) {
        schedules.push([message.of ?? to, entry, message.schedule]);
      }
      message.onStored?.(entry.sequence);
    }
    for (const [of, entry, due] of schedules) {
      runTimer(entry.subject, fireWhenDue(of, entry, due));
    }
    return Result.succeed({ sequence: first, duplicate: false });
  };

  const storedUnder = (filter: Filter, after: number, upTo: number) =>
    at(filter.shard).shard.records.under(filter.subject, after, upTo);

  const last = (of: Address, kind: Kind, key?: string) =>
    at(of.shard).shard.records.last(subjectOf(of, kind, key));

  return Log.of({
    layout,
    incarnation: randomBytes(8).toString("hex"),
    longestLeaseMs,
    maxPayloadBytes,
    maxMessageBytes,
    append: (to, message) => Effect.suspend(() => Effect.fromResult(commit(to, [message]))),
    appendBatch: (to, messages) =>
      Effect.suspend(() =>
        messages.length === 0 || messages.length > maxBatchSize
          ? Effect.fail(new InvalidBatch({ size: messages.length, limit: maxBatchSize }))
          : Effect.fromResult(commit(to, messages))
      ),
    first: (of, kind, key) =>
      Effect.sync(() =>
        Option.fromUndefinedOr(at(of.shard).shard.records.first(subjectOf(of, kind, key)))
      ),
    last: (of, kind, key) => Effect.sync(() => Option.fromUndefinedOr(last(of, kind, key))),
    lastOfEach: (of, kinds) =>
      Effect.sync(() =>
        new Map(kinds.flatMap((kind) => {
          const entry = last(of, kind);
          return entry === undefined ? [] : [[kind, entry] as const];
        }))
      ),
    lastSequences: (of, kinds) =>
      Effect.sync(() =>
        new Map(kinds.flatMap((kind) => {
          const entry = last(of, kind);
          return entry === undefined ? [] : [[kind, entry.sequence] as const];
        }))
      ),
    next: (filter, after) =>
      Effect.sync(() => Option.fromUndefinedOr(storedUnder(filter, after, Infinity)[0])),
    read: (filter, { after = 0, upTo = Infinity } = {}) =>
      Stream.suspend(() => Stream.fromIterable(storedUnder(filter, after, upTo))),
    readThrough: (filter, { after = 0 }) => Effect.sync(() => storedUnder(filter, after, Infinity)),
    follow: (filter, { after = 0, upTo = Infinity } = {}) =>
      Stream.unwrap(Effect.map(PubSub.subscribe(stored), (news) => {
        const known = storedUnder(filter, after, Infinity);
        const reached = known.at(-1)?.sequence ?? after;
        return Stream.concat(
          Stream.fromIterable(known),
          Stream.fromSubscription(news).pipe(
            Stream.filter((entry) =>
              entry.shard === filter.shard && entry.sequence > reached &&
              matches(filter.subject, entry.subject)
            ),
          ),
        ).pipe(Stream.takeWhile((entry) => entry.sequence <= upTo));
      })),
    tail: (index) =>
      Effect.sync(() => {
        const { shard, now } = at(index);
        return { sequence: shard.sequence, at: Math.max(now, shard.lastAt) };
      }),
    purge: (filter, { upTo }) =>
      Effect.sync(() => {
        const { shard } = at(filter.shard);
        const entries = shard.records.under(filter.subject, 0, upTo);
        // The last of a subject is looked for anew with each, and found at once from the end.
        for (const entry of entries.reverse()) drop(shard, entry);
        return entries.length;
      }),
    dropPayloads: () => Effect.succeed(true),
    healSchedules: Effect.never,
    remove: (index, sequence) =>
      Effect.sync(() => {
        const { shard } = at(index);
        const entry = shard.records.at(sequence);
        if (entry !== undefined) drop(shard, entry);
        return entry !== undefined;
      }),
  });
});

export const layerMemory = (options: MemoryOptions): Layer.Layer<Log> =>
  Layer.effect(Log, make(options));
