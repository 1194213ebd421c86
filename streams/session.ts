/**
 * Worker sessions: one key per worker that the server itself removes when it is no longer renewed.
 * They show who is there and give a fast verdict on an owner that died; they never decide who may
 * write, which only a fence does. A session that lapsed unnoticed is opened anew.
 */
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { AlreadyExists, SequenceConflict } from "../schema/errors.ts";
import type { WorkerInstanceId } from "../schema/ids.ts";
import {
  type SessionRecord,
  sessionRecord,
  type WorkerDescription,
  type WorkerLoad,
} from "../schema/session_record.ts";
import { type AppendError, type Entry, Log, type ReadError } from "./log.ts";
import { randomMessageId } from "./message_id.ts";
import { skippedRecords } from "./metrics.ts";
import { type Filter, type Layout, shardRoot, workerAddress } from "./subjects.ts";

export interface SessionOptions {
  readonly worker: WorkerInstanceId;
  /** How long the server keeps the session without a renewal; at least 3 seconds. */
  readonly ttl: Duration.Input;
  /** What others may know of the worker. */
  readonly description?: WorkerDescription;
  /** Asked at each renewal. */
  readonly load?: () => WorkerLoad;
}

/** The session of a worker that is there. */
export interface Session extends SessionRecord {
  /** When the server stored the last renewal, in milliseconds. */
  readonly at: number;
}

export class Sessions extends Context.Service<Sessions, {
  /** Keeps a session while the scope is open, and removes it at the end. */
  readonly open: (
    options: SessionOptions,
  ) => Effect.Effect<void, AppendError | ReadError, Scope.Scope>;
  /** Whether the server still has the worker's session. */
  readonly isOpen: (worker: WorkerInstanceId) => Effect.Effect<boolean, ReadError>;
  /** All that are open, in one read. */
  readonly list: Effect.Effect<ReadonlyArray<Session>, ReadError>;
  /**
   * All that are open, again when one comes or goes or says something else of itself, but for its
   * load; ends only with an error.
   */
  readonly changes: Stream.Stream<ReadonlyArray<Session>, ReadError>;
}>()("@weir/weir/streams/Sessions") {}

const isMoved = (error: AppendError | ReadError): error is AlreadyExists | SequenceConflict =>
  error._tag === "AlreadyExists" || error._tag === "SequenceConflict";

const sessionsFilter = (layout: Layout): Filter => ({
  shard: 0,
  subject: `$KV.${shardRoot(layout, 0)}.worker.*`,
});

/** A marker lives for a second, and whoever was away longer has to notice by himself. */
const overdueMs = 2_000;
const lookForOverdue = "1 second";

/** What is open as of the records so far, each with the local time at which it was heard of. */
type Heard = Map<
  string,
  { readonly session: Session; readonly heardAt: number; readonly says: string }
>;

const whatStays = ({ load: _, ...record }: SessionRecord): string => JSON.stringify(record);

/** Says whether that is news. */
const hear = (heard: Heard, entry: Entry, now: number) =>
  Effect.gen(function* () {
    if (entry.removed) return heard.delete(entry.subject);
    const record = yield* sessionRecord.decode(entry.body, entry);
    const says = whatStays(record);
    const isNews = says !== heard.get(entry.subject)?.says;
    heard.set(entry.subject, { session: { ...record, at: entry.at }, heardAt: now, says });
    return isNews;
  }).pipe(Effect.catch(() => Effect.as(Metric.update(skippedRecords, 1), false)));

const sessionsOf = (heard: Heard): ReadonlyArray<Session> =>
  Array.from(heard.values(), ({ session }) => session);

const make = Effect.gen(function* () {
  const log = yield* Log;

  const last = (worker: WorkerInstanceId) => log.last(workerAddress(log.layout, worker), "worker");

  const open = Effect.fn("Sessions.open")(function* (options: SessionOptions) {
    const { worker, ttl, description, load } = options;
    const address = workerAddress(log.layout, worker);
    const ttlSeconds = Math.max(3, Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(ttl))));
    let revision = 0;
    let lastId = "";
    const body = () =>
      sessionRecord.encode({
        kind: "session",
        worker,
        ttlMs: ttlSeconds * 1_000,
        ...description,
        ...(load === undefined ? {} : { load: load() }),
      });
    const write = Effect.suspend(() => {
      lastId = randomMessageId();
      return log.append(address, {
        kind: "worker",
        body: body(),
        id: lastId,
        guard: { after: revision },
        ttlSeconds,
        replaces: true,
      });
    }).pipe(Effect.tap(({ sequence }) => Effect.sync(() => revision = sequence)));
    const renew = write.pipe(
      Effect.catchIf(isMoved, () =>
        Effect.flatMap(last(worker), (found) => {
          revision = Option.match(found, { onNone: () => 0, onSome: (entry) => entry.sequence });
          return write;
        })),
      Effect.retry({ while: isMoved, times: 5 }),
    );
    yield* renew;
    const removeBehind = (after: number) =>
      Effect.asVoid(log.append(address, {
        kind: "worker",
        body: new Uint8Array(),
        removes: true,
        replaces: true,
        // For those who follow; whoever was away longer notices by himself.
        ttlSeconds: 1,
        guard: { after },
      }));
    const remove = Effect.suspend(() => removeBehind(revision)).pipe(
      // A renewal that was under way may be stored; nobody was told of it.
      Effect.catchIf(isMoved, () =>
        Effect.flatMap(
          last(worker),
          Option.match({
            onNone: () => Effect.void,
            onSome: ({ id, sequence }) => id === lastId ? removeBehind(sequence) : Effect.void,
          }),
        )),
    );
    // Without it the session lapses by itself.
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(remove, "2 seconds")));
    yield* renew.pipe(
      Effect.catch((error) => Effect.logWarning("a worker session could not be renewed", error)),
      Effect.schedule(Schedule.spaced(Duration.seconds(ttlSeconds / 3))),
      Effect.forkScoped,
    );
  });

  const isOpen = (worker: WorkerInstanceId) =>
    Effect.map(last(worker), Option.exists((entry) => !entry.removed));

  const list = Effect.gen(function* () {
    const heard: Heard = new Map();
    yield* Stream.runForEach(
      log.read(sessionsFilter(log.layout)),
      (entry) => hear(heard, entry, 0),
    );
    return sessionsOf(heard);
  });

  // The workers of one process follow them together.
  const changes = yield* Stream.suspend(() => {
    const heard: Heard = new Map();
    const news = Stream.mapEffect(
      log.follow(sessionsFilter(log.layout)),
      (entry) => Effect.flatMap(Clock.currentTimeMillis, (now) => hear(heard, entry, now)),
    );
    const overdue = Stream.mapEffect(
      Stream.tick(lookForOverdue),
      () =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const gone = [...heard].filter(([, { session, heardAt }]) =>
            heardAt + session.ttlMs + overdueMs < now
          );
          for (const [subject] of gone) heard.delete(subject);
          return gone.length > 0;
        }),
    );
    return Stream.merge(news, overdue).pipe(
      Stream.filter((changed) => changed),
      Stream.map(() => sessionsOf(heard)),
    );
  }).pipe(Stream.share({ capacity: 1, strategy: "sliding", replay: 1 }));

  return Sessions.of({ open, isOpen, list, changes });
});

export const layer: Layer.Layer<Sessions, never, Log> = Layer.effect(Sessions, make);
