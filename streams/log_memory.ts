/**
 * The log in memory, for tests and simulation: the same verdicts as JetStream's for guards, message
 * ids, batches and lifetimes, decided in one synchronous step and timed by Effect's clock. It refuses
 * a stale fence in the same cases. It forgets everything with its scope and shares nothing between
 * processes.
 */
import { randomBytes } from "node:crypto";
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
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
  type Entry,
  Log,
  maxBatchSize,
  type Message,
} from "./log.ts";
import { randomMessageId } from "./message_id.ts";
import { type Address, type Filter, type Layout, matches, subjectOf } from "./subjects.ts";

export interface MemoryOptions {
  readonly layout: Layout;
  readonly longestLeaseMs?: number;
  readonly maxPayloadBytes?: number;
}

interface Shard {
  readonly entries: Array<Entry>;
  readonly bySubject: Map<string, Entry>;
  /** Message ids and what they stored, oldest first. */
  readonly ids: Map<string, Appended & { readonly at: number }>;
  readonly expiries: Map<Entry, number>;
  sequence: number;
  lastAt: number;
}

const make = Effect.fnUntraced(function* (options: MemoryOptions) {
  const { layout, longestLeaseMs = 60_000, maxPayloadBytes = 32 * 1024 * 1024 } = options;
  const duplicateWindowMs = longestLeaseMs + 10_000;
  const clock = yield* Clock.Clock;
  const shards: ReadonlyArray<Shard> = Array.from({ length: layout.shards }, () => ({
    entries: [],
    bySubject: new Map(),
    ids: new Map(),
    expiries: new Map(),
    sequence: 0,
    lastAt: 0,
  }));
  const stored = yield* Effect.acquireRelease(PubSub.unbounded<Entry>(), PubSub.shutdown);

  const store = (shard: Shard, entry: Omit<Entry, "sequence" | "at">, now: number): Entry => {
    shard.lastAt = Math.max(shard.lastAt, now);
    const complete = { ...entry, sequence: ++shard.sequence, at: shard.lastAt };
    shard.entries.push(complete);
    shard.bySubject.set(complete.subject, complete);
    PubSub.publishUnsafe(stored, complete);
    return complete;
  };

  const remove = (shard: Shard, entry: Entry) => {
    shard.entries.splice(shard.entries.indexOf(entry), 1);
    shard.expiries.delete(entry);
    if (shard.bySubject.get(entry.subject) === entry) shard.bySubject.delete(entry.subject);
  };

  /** Lifetimes end when somebody looks; the marker takes the place of the last record. */
  const expire = (shard: Shard, now: number) => {
    for (const [entry, at] of [...shard.expiries]) {
      if (at > now) continue;
      const wasLast = shard.bySubject.get(entry.subject) === entry;
      remove(shard, entry);
      if (!wasLast || entry.removed) continue;
      const { subject, shard: index } = entry;
      const marker = {
        shard: index,
        subject,
        id: undefined,
        removed: true,
        body: new Uint8Array(),
      };
      shard.expiries.set(store(shard, marker, now), now + 1_000);
    }
    for (const [id, appended] of shard.ids) {
      if (appended.at + duplicateWindowMs > now) break;
      shard.ids.delete(id);
    }
  };

  const at = (index: number): { readonly shard: Shard; readonly now: number } => {
    const shard = shards[index]!;
    const now = clock.currentTimeMillisUnsafe();
    expire(shard, now);
    return { shard, now };
  };

  const lastSequence = (shard: Shard, subject: string) =>
    shard.bySubject.get(subject)?.sequence ?? 0;

  const verdict = (
    shard: Shard,
    to: Address,
    message: Message,
    subject: string,
  ): AppendError | undefined => {
    const { guard } = message;
    if (message.body.length > maxPayloadBytes) {
      return new PayloadTooLarge({ sizeBytes: message.body.length, limitBytes: maxPayloadBytes });
    }
    if (guard instanceof Fence) {
      if (!guard.lost && lastSequence(shard, guard.subject) === guard.revision) return undefined;
      guard.lose();
      return new StaleFence({ execution: to.label, revision: guard.revision, landed: "no" });
    }
    const actual = lastSequence(shard, subject);
    if (guard === undefined || guard.after === actual) return undefined;
    return guard.after === 0
      ? new AlreadyExists({ subject, sequence: actual })
      : new SequenceConflict({ subject, expected: guard.after, actual });
  };

  /** A batch is judged as a whole before any of it is stored; only its first own-subject guard counts. */
  const commit = (
    to: Address,
    messages: ReadonlyArray<Message>,
  ): Result.Result<Appended, AppendError> => {
    const { shard, now } = at(to.shard);
    const placed = messages.map((message) => ({
      message,
      subject: subjectOf(to, message.kind, message.key),
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
    for (const { message, subject, id } of placed) {
      if (message.replaces === true) {
        for (const entry of shard.entries.filter((entry) => entry.subject === subject)) {
          remove(shard, entry);
        }
      }
      const entry = store(shard, {
        shard: to.shard,
        subject,
        id,
        removed: message.removes === true,
        body: message.body,
      }, now);
      shard.ids.set(id, { sequence: entry.sequence, duplicate: true, at: now });
      if (message.ttlSeconds !== undefined) {
        shard.expiries.set(entry, now + message.ttlSeconds * 1_000);
      }
      message.onStored?.(entry.sequence);
    }
    return Result.succeed({ sequence: first, duplicate: false });
  };

  const storedUnder = (filter: Filter, after: number, upTo: number) =>
    at(filter.shard).shard.entries.filter((entry) =>
      entry.sequence > after && entry.sequence <= upTo && matches(filter.subject, entry.subject)
    );

  return Log.of({
    layout,
    incarnation: randomBytes(8).toString("hex"),
    longestLeaseMs,
    append: (to, message) => Effect.suspend(() => Effect.fromResult(commit(to, [message]))),
    appendBatch: (to, messages) =>
      Effect.suspend(() =>
        messages.length === 0 || messages.length > maxBatchSize
          ? Effect.fail(new InvalidBatch({ size: messages.length, limit: maxBatchSize }))
          : Effect.fromResult(commit(to, messages))
      ),
    last: (of, kind) =>
      Effect.sync(() =>
        Option.fromUndefinedOr(at(of.shard).shard.bySubject.get(subjectOf(of, kind)))
      ),
    read: (filter, { after = 0, upTo = Infinity } = {}) =>
      Stream.suspend(() => Stream.fromIterable(storedUnder(filter, after, upTo))),
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
  });
});

export const layerMemory = (options: MemoryOptions): Layer.Layer<Log> =>
  Layer.effect(Log, make(options));
