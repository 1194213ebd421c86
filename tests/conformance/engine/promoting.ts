/** What `promote` promises: whoever waits for its time begins, and waits for all else as before. */
import assert from "node:assert/strict";
import { suite } from "node:test";
import * as Effect from "effect/Effect";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import type { Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  historyOf,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  untilTrue,
  verb,
} from "./stage.ts";

const go = defineSignal<number>("go");
const kept = { queues: true } as const;

const promote = (of: Named) => verb((verbs) => verbs.promote(of));
const untilReason = (of: Named, reason: string) =>
  until(
    `${of.execution} waits because of ${reason}`,
    Effect.map(describe(of), (found) => found.reason === reason),
  );

export const promotingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: promoting`, () => {
    test("what waits for its delay begins, once, and stays begun", (stage) =>
      Effect.gen(function* () {
        let begun = 0;
        const brief = stage.actor("brief", async (ctx) => {
          await ctx.run("begin", () => void begun++);
          return ctx.wait(go);
        });
        yield* stage.work([brief], { residentGrace: atOnce });
        const late = yield* stage.start(brief, undefined, { delay: "30 days" });
        yield* untilStatus(late, "delayed");
        yield* promote(late);
        yield* untilStatus(late, "suspended");
        yield* promote(late);
        yield* signal(late, "go", 7);
        assert.equal(yield* resultOf(late), 7);
        assert.equal(begun, 1);
        const told = (yield* historyOf(late)).map(({ kind }) => kind as string);
        assert.ok(!told.includes("timer"));
      }));

    for (const residentGrace of ["1 hour", atOnce] as const) {
      test(`what waits to be tried again is tried (${residentGrace} in memory)`, (stage) =>
        Effect.gen(function* () {
          let tries = 0;
          const flaky = stage.actor("flaky", () => {
            if (++tries < 3) throw new Error("not yet");
            return tries;
          });
          yield* stage.work([flaky], { residentGrace });
          const retry = {
            attempts: 5,
            backoff: "fixed",
            delay: "30 minutes",
            jitter: false,
          } as const;
          const failing = yield* stage.start(flaky, undefined, { retry });
          for (const failed of [1, 2]) {
            yield* until(
              `${failed} failed`,
              Effect.map(
                describe(failing),
                ({ attempt, retryAt }) => attempt === failed && retryAt !== undefined,
              ),
            );
            yield* promote(failing);
          }
          assert.equal(yield* resultOf(failing), 3);
        }));
    }

    test("what comes after others, or waits for its turn, still does", (stage) =>
      Effect.gen(function* () {
        const order: Array<string> = [];
        const hold = stage.actor("hold", async (ctx) => {
          await ctx.run("begin", () => void order.push(ctx.executionId.split("/")[1]!));
          return ctx.wait(go);
        });
        yield* stage.work([hold], { ...kept, residentGrace: atOnce });
        const queue = { name: stage.name("q"), key: "k" };
        const first = yield* stage.start(hold, undefined, { id: "first", queue });
        yield* untilTrue("the first has begun", () => order.length === 1);
        const before = yield* stage.start(hold, undefined, { id: "before" });
        const behind = yield* stage.start(hold, undefined, {
          id: "behind",
          after: [before.execution],
          queue,
          delay: "30 days",
        });
        yield* untilStatus(behind, "delayed");
        yield* promote(behind);
        yield* untilReason(behind, "child");
        yield* signal(before, "go");
        yield* untilReason(behind, "queue");
        yield* promote(behind);
        assert.ok(!order.includes("behind"));
        yield* signal(first, "go");
        yield* untilTrue("it has begun", () => order.includes("behind"));
        yield* signal(behind, "go", 1);
        assert.equal(yield* resultOf(behind), 1);
      }));

    test("nothing that has ended or that is a schedule is promoted", (stage) =>
      Effect.gen(function* () {
        const brief = stage.actor("brief", () => "done");
        yield* stage.work([brief]);
        const ended = yield* stage.start(brief);
        yield* resultOf(ended);
        assert.equal((yield* errorOf(promote(ended)))._tag, "ExecutionEnded");
        const schedule = yield* stage.start(brief, undefined, {
          id: "s",
          policy: { type: "repeat", count: 2, interval: "30 days" },
        });
        assert.equal((yield* errorOf(promote(schedule)))._tag, "InvalidInput");
        yield* verb((verbs) => verbs.cancel(schedule, { force: true }));
        yield* untilStatus(schedule, "cancelled");
      }));
  });
};
