/**
 * Worker sessions: one key per worker that the server itself removes when it is no longer renewed.
 * They show who is there and give a fast verdict on an owner that died; they never decide who may
 * write, which only a fence does. A session that lapsed unnoticed is opened anew.
 */
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import type { AlreadyExists, SequenceConflict } from "../schema/errors.ts";
import type { WorkerInstanceId } from "../schema/ids.ts";
import { sessionRecord } from "../schema/session_record.ts";
import { type AppendError, Log, type ReadError } from "./log.ts";
import { workerAddress } from "./subjects.ts";

export interface SessionOptions {
  readonly worker: WorkerInstanceId;
  /** How long the server keeps the session without a renewal; at least 3 seconds. */
  readonly ttl: Duration.Input;
}

export class Sessions extends Context.Service<Sessions, {
  /** Keeps a session while the scope is open, and removes it at the end. */
  readonly open: (
    options: SessionOptions,
  ) => Effect.Effect<void, AppendError | ReadError, Scope.Scope>;
  /** Whether the server still has the worker's session. */
  readonly isOpen: (worker: WorkerInstanceId) => Effect.Effect<boolean, ReadError>;
}>()("@weir/weir/streams/Sessions") {}

const isMoved = (error: AppendError | ReadError): error is AlreadyExists | SequenceConflict =>
  error._tag === "AlreadyExists" || error._tag === "SequenceConflict";

const make = Effect.gen(function* () {
  const log = yield* Log;

  const last = (worker: WorkerInstanceId) => log.last(workerAddress(log.layout, worker), "worker");

  const open = Effect.fn("Sessions.open")(function* ({ worker, ttl }: SessionOptions) {
    const address = workerAddress(log.layout, worker);
    const ttlSeconds = Math.max(3, Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(ttl))));
    let revision = 0;
    const body = sessionRecord.encode({ kind: "session", worker, ttlMs: ttlSeconds * 1_000 });
    const write = Effect.suspend(() =>
      log.append(address, {
        kind: "worker",
        body,
        guard: { after: revision },
        ttlSeconds,
        replaces: true,
      })
    ).pipe(Effect.tap(({ sequence }) => Effect.sync(() => revision = sequence)));
    const renew = write.pipe(
      Effect.catchIf(isMoved, () =>
        Effect.flatMap(last(worker), (found) => {
          revision = Option.match(found, { onNone: () => 0, onSome: (entry) => entry.sequence });
          return write;
        })),
      Effect.retry({ while: isMoved, times: 5 }),
    );
    yield* renew;
    yield* Effect.addFinalizer(() =>
      log.append(address, {
        kind: "worker",
        body: new Uint8Array(),
        removes: true,
        guard: { after: revision },
      }).pipe(Effect.ignore)
    );
    yield* renew.pipe(
      Effect.catch((error) => Effect.logWarning("a worker session could not be renewed", error)),
      Effect.schedule(Schedule.spaced(Duration.seconds(ttlSeconds / 3))),
      Effect.forkScoped,
    );
  });

  const isOpen = (worker: WorkerInstanceId) =>
    Effect.map(last(worker), Option.exists((entry) => !entry.removed));

  return Sessions.of({ open, isOpen });
});

export const layer: Layer.Layer<Sessions, never, Log> = Layer.effect(Sessions, make);
