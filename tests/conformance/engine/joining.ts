/** What `join` promises: the result of an execution that somebody else started, and nothing more. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { Executions } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { ChildFailed } from "../../../schema/execution_errors.ts";
import { ExecutionId } from "../../../schema/ids.ts";
import type { Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  verb,
} from "./stage.ts";

const go = defineSignal<number>("go");

export const joiningSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: joining`, () => {
    for (const residentGrace of ["5 seconds" as const, atOnce]) {
      test(`two who join one execution are both given its result (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          const one = stage.actor("one", (ctx) => ctx.wait(go));
          const guest = stage.actor("guest", async (ctx) => await ctx.join(one, "o-1") + 1);
          yield* stage.work([one, guest], { residentGrace });
          const started = yield* stage.start(one, undefined, { id: "o-1" });
          const guests = [yield* stage.start(guest), yield* stage.start(guest)];
          for (const each of guests) {
            const { waitingFor } = yield* until(
              "it waits for the other",
              Effect.map(describe(each), (found) => found.reason === "child" && found),
            );
            assert.ok(waitingFor[0]?.kind === "call");
            assert.equal(waitingFor[0].execution, started.execution);
          }
          yield* signal(started, "go", 41);
          for (const each of guests) assert.equal(yield* resultOf(each), 42);
        }));
    }

    test("one that has ended answers at once, also that it failed", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", (_, input: string) => {
          if (input === "bad") throw new RangeError("no");
          return input;
        });
        const guest = stage.actor("guest", async (ctx, id: string) => {
          try {
            return await ctx.join(one, id);
          } catch (error) {
            return error instanceof ChildFailed ? `${error.outcome}: ${error.failure?.name}` : "?";
          }
        });
        yield* stage.work([one, guest]);
        for (const input of ["good", "bad"]) {
          const started = yield* stage.start(one, input, { id: input });
          yield* untilStatus(started, input === "good" ? "completed" : "failed");
        }
        assert.equal(yield* resultOf(yield* stage.start(guest, "good")), "good");
        assert.equal(yield* resultOf(yield* stage.start(guest, "bad")), "failure: RangeError");
      }));

    test("who joins one that has ended leaves nothing in its mailbox", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", () => 20);
        const guest = stage.actor("guest", async (ctx) => await ctx.join(one, "o-1") + 1);
        yield* stage.work([one, guest]);
        const started = yield* stage.start(one, undefined, { id: "o-1" });
        yield* untilStatus(started, "completed");
        for (let n = 0; n < 3; n++) {
          assert.equal(yield* resultOf(yield* stage.start(guest)), 21);
        }
        const { history } = yield* Executions;
        const kinds = yield* Stream.runCollect(
          Stream.map(history(started), (each) => each.record.kind),
        );
        assert.ok(kinds.includes("done") && !kinds.includes("join"), kinds.join(" "));
      }));

    test("one that is to run again is waited for", (stage) =>
      Effect.gen(function* () {
        let isGood = false;
        const one = stage.actor("one", async (ctx) => {
          if (!isGood) throw new RangeError("no");
          return await ctx.wait(go);
        });
        const guest = stage.actor("guest", async (ctx) => await ctx.join(one, "o-1") + 1);
        yield* stage.work([one, guest]);
        const started = yield* stage.start(one, undefined, { id: "o-1" });
        yield* untilStatus(started, "failed");
        isGood = true;
        yield* verb((executions) => executions.retry(started));
        const asked = yield* stage.start(guest);
        yield* until(
          "it runs again",
          Effect.map(describe(started), ({ reason }) => reason === "signal"),
        );
        yield* signal(started, "go", 41);
        assert.equal(yield* resultOf(asked), 42);
      }));

    test("who joins one that was cancelled before it began is told how it ended", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", () => 1);
        const guest = stage.actor("guest", async (ctx) => {
          const error = await ctx.join(one, "o-1").catch((error: unknown) => error);
          return error instanceof ChildFailed ? error.outcome : "?";
        });
        yield* stage.work([guest]);
        const started = yield* stage.start(one, undefined, { id: "o-1" });
        yield* verb((executions) => executions.cancel(started));
        const asked = yield* stage.start(guest);
        yield* until(
          "it waits for the other",
          Effect.map(describe(asked), ({ reason }) => reason === "child"),
        );
        // All three messages are there when somebody takes it up.
        yield* stage.work([one]);
        assert.equal(yield* resultOf(asked), "cancelled");
      }));

    test("one that is not there is a failure, and is not started", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", () => 1);
        const guest = stage.actor("guest", async (ctx) => {
          const error = await ctx.join(one, "nobody").catch((error: unknown) => error);
          return error instanceof ChildFailed ? error.failure?.name : "?";
        });
        yield* stage.work([one, guest]);
        assert.equal(yield* resultOf(yield* stage.start(guest)), "ExecutionNotFound");
        const { execution, tenant } = {
          execution: ExecutionId.make(`${one.name}/nobody`),
          tenant: (yield* stage.start(guest)).tenant,
        };
        const missing = yield* Effect.flip(describe({ execution, tenant }));
        assert.equal((missing as { readonly _tag: string })._tag, "ExecutionNotFound");
      }));

    test("who joined and ends before leaves the other alone", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", (ctx) => ctx.wait(go));
        const guest = stage.actor("guest", (ctx) => ctx.join(one, "o-1"));
        yield* stage.work([one, guest]);
        const started = yield* stage.start(one, undefined, { id: "o-1" });
        const other = yield* stage.start(guest);
        yield* until(
          "it waits",
          Effect.map(describe(other), ({ reason }) => reason === "child"),
        );
        yield* verb((executions) => executions.cancel(other));
        yield* untilStatus(other, "cancelled");
        yield* signal(started, "go", 7);
        assert.equal(yield* resultOf(started), 7);
      }));
  });
};
