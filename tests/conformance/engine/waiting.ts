/** What `sleep` and `wait` promise: time that is not lost, and signals that come at any time. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorContext } from "../../../actors/actor.ts";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { ExecutionId, SignalId } from "../../../schema/ids.ts";
import { mailRecord } from "../../../schema/mail_record.ts";
import { Log } from "../../../streams/log.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import { type Run, tenant } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  recordsOf,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
} from "./stage.ts";

const go = defineSignal<number>("go");
const stop = defineSignal<string>("stop");

const graces = [["in memory", "5 seconds"], ["suspended", atOnce]] as const;

/** A signal with a key that the server has forgotten. */
const repeated = (to: Named, life: number, key: string, payload: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = executionAddress(log.layout, to.tenant, to.execution);
    return yield* log.append(address, {
      kind: "mail",
      body: mailRecord.encode({
        kind: "signal",
        life,
        signalId: SignalId.make("repeated"),
        name: "go",
        payload,
        key,
      }),
    });
  });

export const waitingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: waiting`, () => {
    for (const [what, residentGrace] of graces) {
      test(`a sleep lasts as long as it should, ${what}`, (stage) =>
        Effect.gen(function* () {
          const naps = stage.actor("naps", async (ctx) => {
            const from = await ctx.now();
            await ctx.sleep("nap", "250 millis");
            return (await ctx.now()).getTime() - from.getTime();
          });
          yield* stage.work([naps], { residentGrace });
          const lasted = Number(yield* stage.play(naps));
          assert.ok(lasted >= 250, `${lasted} ms`);
        }));

      test(`a wait is ended by its signal, ${what}`, (stage) =>
        Effect.gen(function* () {
          const waits = stage.actor("waits", (ctx) => ctx.wait(go));
          yield* stage.work([waits], { residentGrace });
          const started = yield* stage.start(waits);
          const found = yield* until(
            "it waits",
            Effect.map(describe(started), (found) => found.reason === "signal" ? found : undefined),
          );
          assert.match(found.why, /signal go/);
          yield* signal(started, "stop", "another");
          const sent = yield* signal(started, "go", 7);
          assert.equal(yield* sent.effect, "satisfied");
          assert.equal(yield* resultOf(started), 7);
        }));

      test(`a wait ends when its time is over, ${what}`, (stage) =>
        Effect.gen(function* () {
          const waits = stage.actor("waits", async (ctx) => {
            const none = await ctx.wait(go, { timeout: "150 millis" });
            const some = await ctx.wait(go, { name: "again", timeout: "1 hour" });
            return { none: none ?? "none", some };
          });
          yield* stage.work([waits], { residentGrace });
          const started = yield* stage.start(waits);
          yield* until(
            "the first wait is over",
            Effect.map(describe(started), ({ waitingFor }) =>
              waitingFor.some(({ key }) => key === "again")),
          );
          yield* signal(started, "go", 2);
          assert.deepEqual(yield* resultOf(started), { none: "none", some: 2 });
        }));

      test(`signals that come before their wait are found by it, oldest first, ${what}`, (stage) =>
        Effect.gen(function* () {
          const waits = stage.actor("waits", async (ctx) => {
            const first = await ctx.wait(stop);
            return [first, await ctx.wait(go), await ctx.wait(go), await ctx.wait(go)];
          });
          yield* stage.work([waits], { residentGrace });
          const started = yield* stage.start(waits);
          const early = yield* signal(started, "go", 1);
          assert.equal(yield* early.effect, "buffered");
          const second = yield* signal(started, "go", 2);
          assert.equal(yield* second.effect, "buffered");
          const { buffered } = yield* describe(started);
          assert.deepEqual(buffered.map(({ name }) => name), ["go", "go"]);
          yield* signal(started, "stop", "now");
          const third = yield* signal(started, "go", 3);
          yield* third.effect;
          assert.deepEqual(yield* resultOf(started), ["now", 1, 2, 3]);
          assert.equal((yield* describe(started)).signals, 4);
        }));
    }

    test("a signal that came before any worker is not lost", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(go, { timeout: "1 hour" }));
        const started = yield* stage.start(waits);
        yield* signal(started, "go", 1);
        yield* stage.work([waits]);
        assert.equal(yield* resultOf(started), 1);
      }));

    test("a repeated signal is one signal", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", async (ctx) => [
          await ctx.wait(go),
          await ctx.wait(go, { name: "second", timeout: "200 millis" }) ?? "none",
        ]);
        yield* stage.work([waits], { residentGrace: atOnce });
        const started = yield* stage.start(waits);
        const first = yield* signal(started, "go", 1, "k-1");
        const second = yield* signal(started, "go", 1, "k-1");
        assert.equal(second.signalId, first.signalId);
        assert.deepEqual(yield* resultOf(started), [1, "none"]);
        assert.equal((yield* describe(started)).signals, 1);
      }));

    test("a signal that is repeated after days is known by its key", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", async (ctx) => [
          await ctx.wait(go),
          await ctx.wait(stop),
          await ctx.wait(go, { name: "second", timeout: "100 millis" }) ?? "none",
        ]);
        yield* stage.work([waits], { residentGrace: atOnce });
        const started = yield* stage.start(waits);
        yield* untilStatus(started, "suspended");
        yield* (yield* signal(started, "go", 1, "k-1")).effect;
        yield* until(
          "it waits for the next",
          Effect.map(describe(started), ({ waitingFor }) => waitingFor[0]?.key === "stop"),
        );
        yield* repeated(started, started.life, "k-1", 99);
        yield* (yield* signal(started, "stop", "on")).effect;
        assert.deepEqual(yield* resultOf(started), [1, "on", "none"]);
        const effects = (yield* recordsOf(started, "signal")).map(({ effect }) => effect);
        assert.deepEqual(effects, ["satisfied", "deduped", "satisfied"]);
        assert.equal((yield* describe(started)).signals, 2);
      }));

    test("a signal that comes while the step before its wait runs is kept for it", (stage) =>
      Effect.gen(function* () {
        const { open, passed } = gate();
        const waits = stage.actor("waits", async (ctx) => {
          await ctx.run("slow", () => passed);
          return ctx.wait(go);
        });
        yield* stage.work([waits]);
        const started = yield* stage.start(waits);
        const sent = yield* signal(started, "go", 5);
        assert.equal(yield* sent.effect, "buffered");
        open();
        assert.equal(yield* resultOf(started), 5);
      }));

    test("two waits for one signal take one each, in the order in which they began", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) =>
          Promise.all([
            ctx.wait(go, { name: "first" }),
            ctx.wait(go, { name: "second" }),
          ]));
        yield* stage.work([waits], { residentGrace: atOnce });
        const started = yield* stage.start(waits);
        yield* untilStatus(started, "suspended");
        yield* signal(started, "go", 1);
        yield* signal(started, "go", 2);
        assert.deepEqual(yield* resultOf(started), [1, 2]);
      }));

    test("a signal to an execution that has ended is refused, with how it ended", (stage) =>
      Effect.gen(function* () {
        const done = stage.actor("done", () => {});
        yield* stage.work([done]);
        const started = yield* stage.start(done);
        yield* resultOf(started);
        const error = yield* errorOf(signal(started, "go", 1));
        assert.ok(error._tag === "ExecutionEnded");
        assert.deepEqual([error.outcome, error.attempt, error.retryable], ["success", 0, false]);
      }));

    test("a signal to an execution that there is not is refused", () =>
      Effect.gen(function* () {
        const nobody = { execution: ExecutionId.make("order/nobody"), tenant };
        assert.equal((yield* errorOf(signal(nobody, "go", 1)))._tag, "ExecutionNotFound");
      }));

    test("seed 8: signals before, during and after a suspension: none lost, none twice", (stage) =>
      Effect.gen(function* () {
        const counts = stage.actor("counts", async (ctx, expected: number) => {
          const seen: Array<number> = [];
          for (let i = 0; i < expected; i++) seen.push(await ctx.wait(go));
          return seen;
        });
        yield* stage.work([counts], { residentGrace: "8 millis" });
        yield* Effect.forEach(
          Array.from({ length: 25 }, (_, i) => i),
          (pause) =>
            Effect.gen(function* () {
              const sent = [0, 1, 2, 3];
              const started = yield* stage.start(counts, sent.length);
              for (const payload of sent) {
                yield* signal(started, "go", payload, `key ${payload}`);
                if (payload % 2 === 0) yield* signal(started, "go", payload, `key ${payload}`);
                yield* Effect.sleep(pause);
              }
              assert.deepEqual(yield* resultOf(started), sent);
              assert.equal((yield* describe(started)).signals, sent.length);
            }),
          { concurrency: 25 },
        );
      }));

    test("what is started with signals has them, also if it was there before", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", async (ctx) => [
          await ctx.wait(go),
          await ctx.wait(go),
          await ctx.wait(stop),
        ]);
        const first = { name: "go", payload: 1, key: "k-1" };
        const started = yield* stage.start(waits, undefined, {
          id: "same",
          signals: [first, { name: "go", payload: 2 }],
        });
        yield* stage.work([waits], { residentGrace: atOnce });
        const again = yield* stage.start(waits, undefined, {
          id: "same",
          signals: [first, { name: "stop", payload: "now" }],
        });
        assert.deepEqual([started.created, again.created], [true, false]);
        assert.deepEqual(yield* resultOf(started), [1, 2, "now"]);
        assert.equal((yield* describe(started)).signals, 3);
      }));

    test("attack 3: mail that came before any start does not keep the start out", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", async (ctx) => [
          await ctx.run("charge", () => 1),
          await ctx.wait(go, { timeout: "200 millis" }) ?? "none",
        ]);
        yield* stage.work([waits], { residentGrace: atOnce });
        const of = {
          execution: ExecutionId.make(`${waits.name}/early`),
          tenant,
        };
        yield* repeated(of, 7, "of another life", 1);
        const started = yield* stage.start(waits, undefined, { id: "early" });
        assert.equal(started.created, true);
        assert.deepEqual(yield* resultOf(started), [1, "none"]);
        assert.equal((yield* describe(started)).signals, 0);
      }));

    test("attack 5: keys of one execution mean nothing to another", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(go));
        yield* stage.work([waits]);
        const started = yield* Effect.forEach([1, 2, 3], () => stage.start(waits));
        for (const [i, of] of started.entries()) yield* signal(of, "go", i, "same key");
        const found = yield* Effect.forEach(started, (of) => resultOf(of));
        assert.deepEqual(found, [0, 1, 2]);
      }));

    test("a signal has 64 KiB at most", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", async (ctx: ActorContext) =>
          (await ctx.wait(defineSignal<string>("text"))).length);
        yield* stage.work([waits]);
        const started = yield* stage.start(waits);
        const limit = 64 * 1024 - '""'.length;
        const error = yield* errorOf(signal(started, "text", "x".repeat(limit + 1)));
        assert.equal(error._tag, "InvalidInput");
        yield* signal(started, "text", "x".repeat(limit));
        assert.equal(yield* resultOf(started), limit);
      }));
  });
};
