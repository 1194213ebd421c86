/** The contract of `Sessions` as the list of workers that are there. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { ActorName, Lane } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { layer, Sessions } from "../../streams/session.ts";
import { subjectOf, workerAddress } from "../../streams/subjects.ts";
import { body, type Run, uniqueWorker } from "./subject_matter.ts";

const description = {
  actors: [ActorName.make("order")],
  lanes: [Lane.make("gpu")],
  capabilities: ["cuda"],
  host: "host-1",
  pid: 7,
  version: "1.2.3",
};

export const sessionSuite = (name: string, run: Run<Log | Sessions>): void => {
  const test = (
    title: string,
    effect: (sessions: Sessions["Service"]) => Effect.Effect<unknown, unknown, Log | Sessions>,
  ) => it(title, () => run(Effect.asVoid(Effect.flatMap(Sessions, effect))));

  describe(`${name}: sessions`, () => {
    test("those that are open are listed, with what their workers say of themselves", (sessions) =>
      Effect.gen(function* () {
        const [plain, described] = [uniqueWorker(), uniqueWorker()];
        const of = (worker: string) =>
          Effect.map(sessions.list, (all) => all.find((session) => session.worker === worker));
        yield* Effect.scoped(Effect.gen(function* () {
          const { at } = yield* (yield* Log).tail(0);
          yield* sessions.open({ worker: plain, ttl: "3 seconds" });
          let running = 1;
          const load = () => ({ resident: 5, running: running++, concurrency: 9 });
          yield* sessions.open({ worker: described, ttl: "3 seconds", description, load });
          const { at: storedAt, ...record } = (yield* of(described))!;
          assert.deepEqual(record, {
            kind: "session",
            worker: described,
            ttlMs: 3_000,
            ...description,
            load: { resident: 5, running: 1, concurrency: 9 },
          });
          assert.ok(storedAt >= at);
          assert.deepEqual((yield* of(plain))?.actors, undefined);
          const renewed = yield* of(described).pipe(
            Effect.repeat({
              until: (session) => session?.load?.running === 2,
              schedule: Schedule.spaced("20 millis"),
            }),
            Effect.timeout("60 seconds"),
          );
          assert.ok(renewed!.at > storedAt);
        }));
        assert.equal(yield* of(plain), undefined);
        assert.equal(yield* of(described), undefined);
      }));

    test("who comes and goes is told to those who watch", (sessions) =>
      Effect.gen(function* () {
        const [first, second] = [uniqueWorker(), uniqueWorker()];
        const watch = (sees: (workers: ReadonlyArray<string>) => boolean) =>
          sessions.changes.pipe(
            Stream.map((all) => all.map(({ worker }) => worker)),
            Stream.filter(sees),
            Stream.runHead,
            Effect.timeout("60 seconds"),
            Effect.forkChild({ startImmediately: true }),
          );
        yield* Effect.scoped(Effect.gen(function* () {
          yield* sessions.open({ worker: first, ttl: "30 seconds" });
          const both = yield* watch((all) => all.includes(first) && all.includes(second));
          yield* Effect.scoped(Effect.gen(function* () {
            yield* sessions.open({ worker: second, ttl: "30 seconds" });
            yield* Fiber.join(both);
            const gone = yield* watch((all) => all.includes(first) && !all.includes(second));
            return gone;
          })).pipe(Effect.flatMap(Fiber.join));
        }));
      }));

    test("of a worker that has gone, nothing stays", (sessions) =>
      Effect.gen(function* () {
        const log = yield* Log;
        const worker = uniqueWorker();
        const address = workerAddress(log.layout, worker);
        const filter = { shard: address.shard, subject: subjectOf(address, "worker") };
        yield* Effect.scoped(sessions.open({ worker, ttl: "30 seconds" }));
        assert.equal(yield* sessions.isOpen(worker), false);
        yield* log.next(filter, 0).pipe(
          Effect.repeat({ until: Option.isNone, schedule: Schedule.spaced("20 millis") }),
          Effect.timeout("15 seconds"),
        );
      }));

    test("of a worker that goes while it renews its session, nothing stays", (sessions) =>
      Effect.gen(function* () {
        const log = yield* Log;
        const worker = uniqueWorker();
        const stored = yield* Deferred.make<void>();
        let writes = 0;
        const untold = Log.of({
          ...log,
          append: (to, message) => {
            const appended = log.append(to, message);
            const isRenewal = message.kind === "worker" && message.removes !== true && writes++ > 0;
            return isRenewal
              ? Effect.tap(
                appended,
                Effect.andThen(Deferred.succeed(stored, undefined), Effect.never),
              )
              : appended;
          },
        });
        yield* Effect.gen(function* () {
          yield* (yield* Sessions).open({ worker, ttl: "3 seconds" });
          yield* Deferred.await(stored);
        }).pipe(
          Effect.scoped,
          Effect.provide(Layer.fresh(layer).pipe(Layer.provide(Layer.succeed(Log, untold)))),
        );
        assert.equal(yield* sessions.isOpen(worker), false);
      }));

    test("a record that is none of ours is passed over", (sessions) =>
      Effect.gen(function* () {
        const log = yield* Log;
        const [worker, foreign] = [uniqueWorker(), uniqueWorker()];
        yield* log.append(workerAddress(log.layout, foreign), {
          kind: "worker",
          body: body(`{"v":1,"kind":"session","worker":7}`),
        });
        yield* Effect.scoped(Effect.gen(function* () {
          yield* sessions.open({ worker, ttl: "30 seconds" });
          const workers = (yield* sessions.list).map((session) => session.worker);
          assert.ok(workers.includes(worker) && !workers.includes(foreign));
        }));
      }));
  });
};
