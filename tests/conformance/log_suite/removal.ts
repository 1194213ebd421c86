/** What every log deletes when it is told to, and what it leaves. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { Log } from "../../../streams/log.ts";
import { executionAddress, executionFilter, keyedFilter } from "../../../streams/subjects.ts";
import { body, type Run, tenant, text, uniqueExecution } from "../subject_matter.ts";
import { logTest, stored } from "./log_case.ts";

export const removalSuite = (name: string, run: Run<Log>): void => {
  const test = logTest(run);

  describe(`${name}: removal`, () => {
    test(
      "a purge deletes up to its bound, and nothing of a later life",
      (log, address) =>
        Effect.gen(function* () {
          const other = executionAddress(log.layout, tenant, uniqueExecution());
          yield* log.append(address, { kind: "mail", body: body("start") });
          yield* log.append(other, { kind: "mail", body: body("theirs") });
          const { sequence } = yield* log.append(address, { kind: "done", body: body("end") });
          yield* log.append(address, { kind: "mail", body: body("new start") });
          const all = executionFilter(address);
          assert.equal(yield* log.purge(all, { upTo: sequence }), 2);
          assert.equal(yield* log.purge(all, { upTo: sequence }), 0);
          // A replica that has this has purged, too.
          yield* log.append(address, { kind: "log", body: body("new step") });
          assert.deepEqual((yield* stored(log, all)).map(text), ["new start", "new step"]);
          assert.deepEqual((yield* stored(log, executionFilter(other))).map(text), ["theirs"]);
          assert.ok(Option.isNone(yield* log.last(address, "done")));
        }),
    );

    test("a purge up to nothing deletes nothing", (log, address) =>
      Effect.gen(function* () {
        yield* log.append(address, { kind: "mail", body: body("start") });
        for (const upTo of [0, -1, NaN]) {
          assert.equal(yield* log.purge(executionFilter(address), { upTo }), 0);
        }
        assert.equal((yield* stored(log, executionFilter(address))).length, 1);
      }));

    test(
      "a purge beyond the tail deletes what there is, timers included",
      (log, address) =>
        Effect.gen(function* () {
          const at = (yield* log.tail(address.shard)).at + 300;
          for (const key of ["a", "b"]) {
            yield* log.append(address, { kind: "timer", key, body: body(key), schedule: { at } });
          }
          const timers = keyedFilter(address, "timer");
          assert.equal(yield* log.purge(timers, { upTo: Number.MAX_SAFE_INTEGER }), 2);
          const witness = { kind: "timer", key: "c", body: body("c"), schedule: { at } } as const;
          yield* log.append(address, witness);
          const mail = executionFilter(address, "mail");
          const found = yield* stored(log, mail).pipe(
            Effect.repeat({ until: (entries) => entries.length > 0 }),
            Effect.timeout("60 seconds"),
          );
          assert.deepEqual(found.map(text), ["c"]);
        }),
    );

    test(
      "of many who delete a record at once one does, and nobody fails",
      (log, address) =>
        Effect.gen(function* () {
          for (let round = 0; round < 10; round++) {
            const { sequence } = yield* log.append(address, { kind: "log", body: body("1") });
            const deleted = yield* Effect.forEach(
              Array.from({ length: 16 }),
              () => log.remove(address.shard, sequence),
              { concurrency: "unbounded" },
            );
            assert.equal(deleted.filter((isDeleted) => isDeleted).length, 1);
          }
        }),
    );

    test(
      "a record is deleted once, and the one before it is the last again",
      (log, address) =>
        Effect.gen(function* () {
          yield* log.append(address, { kind: "log", body: body("1") });
          const { sequence } = yield* log.append(address, { kind: "log", body: body("2") });
          assert.equal(yield* log.remove(address.shard, sequence), true);
          assert.equal(yield* log.remove(address.shard, sequence), false);
          const last = Option.getOrThrow(yield* log.last(address, "log"));
          assert.equal(text(last), "1");
          yield* log.append(address, {
            kind: "log",
            body: body("3"),
            guard: { after: last.sequence },
          });
          assert.deepEqual((yield* stored(log, executionFilter(address))).map(text), [
            "1",
            "3",
          ]);
        }),
    );
  });
};
