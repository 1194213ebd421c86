/** What every log does with schedules: when their bodies come to the mailbox, and when they do not. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import type { Log, Message } from "../../../streams/log.ts";
import {
  type Address,
  executionFilter,
  keyedFilter,
  subjectOf,
} from "../../../streams/subjects.ts";
import { body, type Run, text } from "../subject_matter.ts";
import { claim, collect, logTest, move, stored } from "./log_case.ts";

const hourMs = 3_600_000;

const schedule = (key: string, what: string, at: number): Message => ({
  kind: "timer",
  key,
  body: body(what),
  schedule: { at },
});

const unschedule = (key: string): Message => ({
  kind: "timer",
  key,
  body: new Uint8Array(),
  unschedules: true,
});

/** The server's time, from the record that it stored last. */
const now = (log: Log["Service"], { shard }: Address) =>
  Effect.map(log.tail(shard), ({ at }) => at);

/** The first so many messages of the mailbox, once they are there. */
const mail = (log: Log["Service"], address: Address, count: number) =>
  log.follow(executionFilter(address, "mail")).pipe(
    Stream.take(count),
    collect,
    Effect.timeout("60 seconds"),
  );

/** Schedules that have neither fired nor been taken back. */
const pending = (log: Log["Service"], address: Address) =>
  Effect.map(
    stored(log, keyedFilter(address, "timer")),
    (entries) => entries.filter((entry) => !entry.removed).map(text),
  );

export const scheduleSuite = (name: string, run: Run<Log>): void => {
  const test = logTest(run);

  describe(`${name}: schedule`, () => {
    test(
      "a body comes to the mailbox when it is due, byte for byte",
      (log, address) =>
        Effect.gen(function* () {
          const bytes = new Uint8Array(512).map((_, i) => i);
          const at = (yield* now(log, address)) + 400;
          const { sequence } = yield* log.append(address, {
            kind: "timer",
            key: "sleep 1",
            body: bytes,
            schedule: { at },
            id: `${address.tail}-timer`,
          });
          const [fired] = yield* mail(log, address, 1);
          assert.deepEqual([...fired!.body], [...bytes]);
          assert.equal(fired!.subject, subjectOf(address, "mail"));
          assert.deepEqual([fired!.id, fired!.removed], [undefined, false]);
          assert.ok(fired!.sequence > sequence);
          assert.ok(fired!.at >= at, `fired ${at - fired!.at} ms early`);
          assert.deepEqual(yield* pending(log, address), []);
        }),
    );

    test("what was due long ago comes at once, and what is due in the far future stays", (
      log,
      address,
    ) =>
      Effect.gen(function* () {
        yield* log.append(address, schedule("late", "late", 0));
        yield* log.append(address, schedule("far", "far", Number.MAX_SAFE_INTEGER));
        assert.deepEqual((yield* mail(log, address, 1)).map(text), ["late"]);
        assert.deepEqual(yield* pending(log, address), ["far"]);
      }));

    test(
      "each key has one schedule, which the next replaces",
      (log, address) =>
        Effect.gen(function* () {
          const at = yield* now(log, address);
          yield* log.append(address, schedule("a", "first", at + hourMs));
          yield* log.append(address, schedule("b", "other", at + hourMs));
          yield* log.append(address, schedule("a", "second", at + 100));
          assert.deepEqual(yield* pending(log, address), ["other", "second"]);
          assert.deepEqual((yield* mail(log, address, 1)).map(text), ["second"]);
          assert.deepEqual(yield* pending(log, address), ["other"]);
        }),
    );

    test(
      "a schedule that was put off does not come at its former time",
      (log, address) =>
        Effect.gen(function* () {
          const at = yield* now(log, address);
          yield* log.append(address, schedule("a", "early", at + 700));
          yield* log.append(address, schedule("a", "put off", at + hourMs));
          yield* log.append(address, schedule("b", "witness", at + 900));
          assert.deepEqual((yield* mail(log, address, 1)).map(text), ["witness"]);
          assert.deepEqual(yield* pending(log, address), ["put off"]);
        }),
    );

    test(
      "what was taken back does not come, and nothing remains of it",
      (log, address) =>
        Effect.gen(function* () {
          const at = yield* now(log, address);
          yield* log.append(address, schedule("a", "taken back", at + 700));
          yield* log.append(address, unschedule("a"));
          assert.deepEqual(yield* pending(log, address), []);
          yield* log.append(address, schedule("b", "witness", at + 900));
          assert.deepEqual((yield* mail(log, address, 1)).map(text), ["witness"]);
          yield* stored(log, keyedFilter(address, "timer")).pipe(
            Effect.repeat({
              until: (entries) => entries.length === 0,
              schedule: Schedule.spaced("50 millis"),
            }),
            Effect.timeout("60 seconds"),
          );
        }),
    );

    test(
      "taking back what has fired, or never was, is harmless",
      (log, address) =>
        Effect.gen(function* () {
          yield* log.append(address, unschedule("a"));
          yield* log.append(address, schedule("a", "1", yield* now(log, address)));
          yield* mail(log, address, 1);
          yield* log.append(address, unschedule("a"));
          yield* log.append(address, schedule("a", "2", yield* now(log, address)));
          assert.deepEqual((yield* mail(log, address, 2)).map(text), ["1", "2"]);
          assert.deepEqual(yield* pending(log, address), []);
        }),
    );

    test(
      "a stale owner neither schedules nor takes back",
      (log, address) =>
        Effect.gen(function* () {
          const at = yield* now(log, address);
          const guard = yield* claim(log, address, 0);
          yield* log.append(address, { ...schedule("a", "mine", at + hourMs), guard });
          yield* move(log, address, guard);
          for (const message of [schedule("a", "stale", at), unschedule("a")]) {
            const error = yield* Effect.flip(log.append(address, { ...message, guard }));
            assert.equal(error._tag, "StaleFence");
          }
          assert.deepEqual(yield* pending(log, address), ["mine"]);
        }),
    );

    test(
      "the same id schedules once, also when it has fired since",
      (log, address) =>
        Effect.gen(function* () {
          const at = yield* now(log, address);
          const message = { ...schedule("a", "once", at), id: `${address.tail}-once` };
          const { sequence } = yield* log.append(address, message);
          yield* mail(log, address, 1);
          const again = yield* log.append(address, message);
          assert.deepEqual(again, { sequence, duplicate: true });
          yield* log.append(address, schedule("b", "witness", at));
          assert.deepEqual((yield* mail(log, address, 2)).map(text), ["once", "witness"]);
        }),
    );

    test(
      "a batch records, schedules and takes back in one step",
      (log, address) =>
        Effect.gen(function* () {
          const at = yield* now(log, address);
          const guard = yield* claim(log, address, 0);
          yield* log.append(address, { ...schedule("a", "old", at + hourMs), guard });
          const { sequence } = yield* log.appendBatch(address, [
            { ...schedule("b", "new", at), guard },
            { ...unschedule("a"), guard },
            { kind: "log", body: body("step"), guard },
          ]);
          const [step] = yield* stored(log, executionFilter(address, "log"));
          assert.equal(step!.sequence, sequence + 2);
          assert.deepEqual((yield* mail(log, address, 1)).map(text), ["new"]);
          assert.deepEqual(yield* pending(log, address), []);
        }),
    );

    test("a body too large for a message comes whole", (log, address) =>
      Effect.gen(function* () {
        const large = new Uint8Array(300 * 1024).map((_, i) => i * 7);
        const at = yield* now(log, address);
        yield* log.append(address, { ...schedule("a", "", at), body: large });
        const [fired] = yield* mail(log, address, 1);
        assert.ok(Buffer.from(large).equals(fired!.body));
      }));
  });
};
