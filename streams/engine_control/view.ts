/**
 * What a process knows of engine control: all that is not open. While it hears of every change it
 * answers from memory; as soon as it may have missed one it knows nothing, and asks the leader each
 * time, so that no answer is older than one push, or than the follower's silence.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { controlRecord } from "../../schema/control_record.ts";
import { Connection } from "../connection.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import { controlFilter, scopeKey, type Standing, standingOf } from "./scope.ts";

/** What is not open, by the keys of scopes. */
export type Closed = ReadonlyMap<string, Standing>;

const listenAgainAfter = "1 second";

/** What was heard so far: of each scope the last, whichever way word of it came. */
class Heard {
  readonly closed = new Map<string, Standing>();
  readonly #revisions = new Map<string, number>();

  hear(standing: Standing): void {
    const key = scopeKey(standing);
    const { revision } = standing;
    if (revision <= (this.#revisions.get(key) ?? 0)) return;
    this.#revisions.set(key, revision);
    if (standing.state === "open") this.closed.delete(key);
    else this.closed.set(key, standing);
  }

  readonly take = (entry: Entry) =>
    Effect.map(
      controlRecord.decode(entry.body, entry),
      (record) => this.hear(standingOf(record, entry)),
    );
}

export const makeView = Effect.fnUntraced(function* (log: Log["Service"]) {
  const scope = yield* Effect.scope;
  const connection = yield* Effect.serviceOption(Connection);
  const filter = controlFilter(log.layout);
  const listeners = new Set<() => void>();
  let known: Heard | undefined;
  let away = Deferred.makeUnsafe<void>();
  let listening: Deferred.Deferred<void> | undefined;

  const tellAll = () => {
    for (const listener of listeners) listener();
  };

  const readUpTo = (upTo: number) =>
    Effect.gen(function* () {
      const heard = new Heard();
      yield* Stream.runForEach(log.read(filter, { upTo }), heard.take);
      return heard;
    });

  /** What is not open now, as the leader has it. */
  const read = Effect.flatMap(
    log.tail(0),
    ({ sequence }) => Effect.map(readUpTo(sequence), ({ closed }): Closed => closed),
  );

  const listen = (first: Deferred.Deferred<void>) =>
    Effect.gen(function* () {
      away = Deferred.makeUnsafe();
      const { sequence } = yield* log.tail(0);
      const heard = known = yield* readUpTo(sequence);
      tellAll();
      Deferred.doneUnsafe(first, Effect.void);
      yield* Effect.raceFirst(
        Stream.runForEach(
          log.follow(filter, { after: sequence }),
          (entry) => Effect.map(heard.take(entry), tellAll),
        ),
        Deferred.await(away),
      );
    }).pipe(
      Effect.ensuring(Effect.sync(() => known = undefined)),
      Effect.catch((error) => Effect.logWarning("engine control cannot be followed", error)),
      Effect.repeat(Schedule.spaced(listenAgainAfter)),
    );

  /** A process that asks nothing listens to nothing. */
  const begin = Effect.suspend(() => {
    if (listening !== undefined) return Effect.succeed(listening);
    const first = listening = Deferred.makeUnsafe<void>();
    return Effect.as(Effect.forkIn(listen(first), scope), first);
  });

  if (Option.isSome(connection)) {
    const missed = () => {
      known = undefined;
      Deferred.doneUnsafe(away, Effect.void);
    };
    yield* connection.value.listen({
      disconnected: missed,
      reconnected: () => undefined,
      closed: missed,
    });
  }

  /** What is not open: from memory, or else from the leader. */
  const closed: Effect.Effect<Closed, ReadError> = Effect.suspend(() =>
    known === undefined ? Effect.andThen(begin, read) : Effect.succeed(known.closed)
  );

  return {
    read,
    closed,
    /** Calls back after each change, from when everything is known on. */
    listen: (listener: () => void) =>
      Effect.gen(function* () {
        yield* Effect.acquireRelease(
          Effect.sync(() => listeners.add(listener)),
          () => Effect.sync(() => listeners.delete(listener)),
        );
        yield* Deferred.await(yield* begin);
      }),
    /** What is known without asking; nothing, while a change may have been missed. */
    known: (): Closed | undefined => known?.closed,
    /** For who has just made a change, and need not wait for word of it. */
    changed: (standing: Standing) => {
      known?.hear(standing);
      tellAll();
    },
  };
});
