/** What every log answers to those who must not miss anything: readThrough, first, lastOfEach. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { Log } from "../../../streams/log.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import { executionFilter, type Kind } from "../../../streams/subjects.ts";
import { body, type Run, text } from "../subject_matter.ts";
import { claim, logTest } from "./log_case.ts";

export const wholeReadSuite = (name: string, run: Run<Log>): void => {
  const test = logTest(run);

  describe(`${name}: whole reads`, () => {
    test(
      "reading through a record shows all behind another, across kinds",
      (log, address) =>
        Effect.gen(function* () {
          const sequences: Array<number> = [];
          for (const kind of ["mail", "log", "signal", "done"] as const) {
            sequences.push((yield* log.append(address, { kind, body: body(kind) })).sequence);
          }
          const all = executionFilter(address);
          const through = sequences[3]!;
          const read = Effect.fnUntraced(function* (options: { after?: number; through: number }) {
            return (yield* log.readThrough(all, options)).map(text);
          });
          assert.deepEqual(yield* read({ through }), ["mail", "log", "signal", "done"]);
          assert.deepEqual(yield* read({ after: sequences[1]!, through }), ["signal", "done"]);
          assert.deepEqual(yield* read({ after: through, through }), []);
          assert.deepEqual(
            (yield* log.readThrough(executionFilter(address, "log"), { through })).map(text),
            ["log"],
          );
        }),
    );

    test(
      "reading through a record of another execution shows all there is",
      (log, address) =>
        Effect.gen(function* () {
          const other = { ...address, tail: `${address.tail}-other` };
          yield* log.append(address, { kind: "log", body: body("mine") });
          const { sequence } = yield* log.append(other, { kind: "log", body: body("theirs") });
          const all = executionFilter(address);
          assert.deepEqual((yield* log.readThrough(all, { through: sequence })).map(text), [
            "mine",
          ]);
        }),
    );

    test("a history of several pages is read whole", (log, address) =>
      Effect.gen(function* () {
        const bodies = Array.from({ length: 700 }, (_, i) => String(i));
        const { sequence } = yield* log.appendBatch(
          address,
          bodies.map((each) => ({ kind: "log", body: body(each) })),
        );
        const entries = yield* log.readThrough(executionFilter(address), {
          through: sequence + 699,
        });
        assert.deepEqual(entries.map(text), bodies);
      }));

    test(
      "the last of several kinds is found in one look, and of none nothing",
      (log, address) =>
        Effect.gen(function* () {
          const guard = yield* claim(log, address, 0);
          yield* log.append(address, { kind: "log", body: body("1"), guard });
          yield* log.append(address, { kind: "mail", body: body("start") });
          yield* log.append(address, { kind: "log", body: body("2"), guard });
          const kinds: ReadonlyArray<Kind> = ["done", "log", "lease", "mail"];
          const last = yield* log.lastOfEach(address, kinds);
          assert.deepEqual(
            [...last].map(([kind, entry]) => [kind, text(entry)]).sort(),
            [["lease", "claim"], ["log", "2"], ["mail", "start"]],
          );
          assert.equal((yield* log.lastOfEach(address, ["done", "tag"])).size, 0);
          assert.equal((yield* log.lastOfEach(address, [])).size, 0);
        }),
    );

    test(
      "the first record of a subject is found, and of none nothing",
      (log, address) =>
        Effect.gen(function* () {
          assert.ok(Option.isNone(yield* log.first(address, "log")));
          yield* log.append(address, { kind: "mail", body: body("start") });
          yield* log.append(address, { kind: "log", body: body("1") });
          yield* log.append(address, { kind: "log", body: body("2") });
          assert.equal(text(Option.getOrThrow(yield* log.first(address, "log"))), "1");
        }),
    );

    test("the server's clock lies between two looks at the tail, to the length of a look", (
      log,
      address,
    ) =>
      Effect.gen(function* () {
        const clock = yield* ServerClock.ServerClock;
        const { at: before } = yield* log.tail(address.shard);
        const began = yield* Clock.currentTimeMillis;
        const now = yield* clock.now;
        const { at: after } = yield* log.tail(address.shard);
        const toleranceMs = (yield* Clock.currentTimeMillis) - began + 1;
        assert.ok(now >= before - toleranceMs && now <= after + toleranceMs);
      }).pipe(Effect.provide(ServerClock.layer)));
  });
};
