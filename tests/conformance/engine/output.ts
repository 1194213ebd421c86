/** What executions emit while they run, and what those see who follow it. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Stream from "effect/Stream";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { decodeCursor, encodeCursor, type ShardPosition } from "../../../schema/cursor.ts";
import type { OutputFrame } from "../../../streams/output.ts";
import { Log } from "../../../streams/log.ts";
import { executionAddress, keyedFilter } from "../../../streams/subjects.ts";
import { body, type Run } from "../subject_matter.ts";
import {
  atOnce,
  engineTests,
  errorOf,
  gate,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  untilTrue,
  verb,
  wake,
} from "./stage.ts";

const go = defineSignal("go");
const more = defineSignal<boolean>("more");

const follow = (of: Named, name: string, after?: string) =>
  Stream.unwrap(
    verb((executions) =>
      Effect.succeed(executions.output(of, name, after === undefined ? {} : { after }))
    ),
  );

/** All frames of an output, up to the end of the execution. */
const outputOf = (of: Named, name: string, after?: string) =>
  Effect.timeoutOrElse(Stream.runCollect(follow(of, name, after)), {
    duration: "60 seconds",
    orElse: () => Effect.die(new Error(`${name} of ${of.execution} is not closed`)),
  });

const framesOf = (frames: ReadonlyArray<OutputFrame>) => frames.map(({ frame }) => frame);

/** What a frame says of its origin. */
const place = ({ frame, step = "", index, number }: OutputFrame) => [frame, step, index, number];

const range = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i);

/** What a reader who heeds restarts has in the end. */
const settled = (frames: ReadonlyArray<OutputFrame>) => {
  let kept: ReadonlyArray<OutputFrame> = [];
  for (const next of frames) {
    kept = next.index === 0 ? kept.filter(({ step }) => step !== next.step) : kept;
    kept = [...kept, next];
  }
  return framesOf(kept);
};

export const outputSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: output`, () => {
    test("frames come as they are given, in order, and the output ends with the execution", (stage) =>
      Effect.gen(function* () {
        const [half, whole] = [gate(), gate()];
        const writer = stage.actor("writer", async (ctx) => {
          await ctx.emit("tokens", "begin");
          await ctx.run("write", async ({ emit }) => {
            await emit("tokens", "a");
            await half.passed;
            await emit("tokens", "b");
            await whole.passed;
            await emit("tokens", "c");
          });
          await ctx.emit("tokens", { end: [1, null, true] });
          await ctx.emit("progress", 100);
        });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        const seen: Array<OutputFrame> = [];
        const reader = yield* Effect.forkChild(
          Stream.runForEach(follow(started, "tokens"), (frame) =>
            Effect.sync(() => {
              seen.push(frame);
            })),
        );
        yield* untilTrue("the first two are seen", () => seen.length === 2);
        half.open();
        yield* untilTrue("and the third", () => seen.length === 3);
        whole.open();
        yield* Fiber.join(reader);
        assert.deepEqual(seen.map(place), [
          ["begin", "", 0, 1],
          ["a", "write", 0, 2],
          ["b", "write", 1, 3],
          ["c", "write", 2, 4],
          [{ end: [1, null, true] }, "", 1, 5],
        ]);
        assert.ok(seen.every(({ at }, i) => i === 0 || at >= seen[i - 1]!.at));
        assert.deepEqual(yield* outputOf(started, "tokens"), seen);
        assert.deepEqual(framesOf(yield* outputOf(started, "progress")), [100]);
        assert.deepEqual(yield* outputOf(started, "none"), []);
      }));

    test("it stays open while the execution is suspended, and a replay gives nothing twice", (stage) =>
      Effect.gen(function* () {
        const runs: Array<number> = [];
        const writer = stage.actor("writer", async (ctx) => {
          runs.push(runs.length);
          await ctx.emit("log", "one");
          await ctx.run("step", ({ emit }) => emit("log", "step"));
          await ctx.wait(go);
          await ctx.emit("log", "two");
          await ctx.wait(go, { name: "again" });
          await ctx.emit("log", "three");
        });
        yield* stage.work([writer], { residentGrace: atOnce });
        const started = yield* stage.start(writer);
        const reader = yield* Effect.forkChild(outputOf(started, "log"));
        yield* wake(started, "go");
        yield* wake(started, "go");
        assert.deepEqual((yield* Fiber.join(reader)).map(place), [
          ["one", "", 0, 1],
          ["step", "step", 0, 2],
          ["two", "", 1, 3],
          ["three", "", 2, 4],
        ]);
        assert.ok(runs.length > 1);
      }));

    test("what the context emits within a step is the step's", (stage) =>
      Effect.gen(function* () {
        const writer = stage.actor("writer", async (ctx) => {
          const write = (name: string) =>
            ctx.run(name, async () => {
              await ctx.emit("tokens", `${name} 1`);
              await new Promise((resolve) => setTimeout(resolve, 1));
              await ctx.emit("tokens", `${name} 2`);
            });
          await write("first");
          await ctx.emit("tokens", "between");
          await ctx.wait(go);
          await Promise.all([write("left"), write("right")]);
          await ctx.emit("tokens", "last");
        });
        yield* stage.work([writer], { residentGrace: atOnce });
        const started = yield* stage.start(writer);
        yield* wake(started, "go");
        yield* resultOf(started);
        const sorted = (yield* outputOf(started, "tokens"))
          .map(({ frame, step = "", index }) => [step, index, frame])
          .sort();
        assert.deepEqual(sorted, [
          ["", 0, "between"],
          ["", 1, "last"],
          ["first", 0, "first 1"],
          ["first", 1, "first 2"],
          ["left", 0, "left 1"],
          ["left", 1, "left 2"],
          ["right", 0, "right 1"],
          ["right", 1, "right 2"],
        ]);
      }));

    test("a step that is tried again begins again, and says so", (stage) =>
      Effect.gen(function* () {
        const writer = stage.actor("writer", (ctx) =>
          ctx.run("write", async (step) => {
            for (const word of ["he", "said", "no"]) {
              await step.emit("words", `${word} ${step.try}`);
            }
            if (step.try < 3) throw new Error("again");
          }, { retry: { delay: "10 millis" } }));
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        const frames = yield* outputOf(started, "words");
        assert.deepEqual(frames.map(({ index }) => index), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert.deepEqual(settled(frames), ["he 3", "said 3", "no 3"]);
      }));

    test("an execution that is taken from its owner goes on with the output", (stage) =>
      Effect.gen(function* () {
        const halted = gate();
        const lost: Array<{ readonly code: string }> = [];
        let runs = 0;
        const writer = stage.actor("writer", async (ctx) => {
          await ctx.emit("tokens", "own 1");
          await ctx.emit("tokens", "own 2");
          await ctx.run("write", async ({ emit }) => {
            const mine = ++runs;
            await emit("tokens", `first of ${mine}`);
            if (mine === 1) {
              await halted.passed;
              for (let i = 0; i < 5_000 && lost.length === 0; i++) {
                await emit("tokens", "too late").catch((error) => lost.push(error));
              }
            }
            await emit("tokens", `last of ${mine}`);
          });
          await ctx.emit("tokens", "own 3");
        });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        const seen: Array<OutputFrame> = [];
        const reader = yield* Effect.forkChild(
          Stream.runForEach(follow(started, "tokens"), (frame) =>
            Effect.sync(() => {
              seen.push(frame);
            })),
        );
        yield* untilTrue("the first run emits", () => seen.length === 3);
        yield* verb((executions) => executions.revokeLease(started));
        halted.open();
        yield* Fiber.join(reader);
        yield* untilTrue("the first run is told", () => lost.length > 0);
        assert.equal(lost[0]!.code, "WEIR_OUTPUT_CLOSED");
        assert.deepEqual(seen.map(place), [
          ["own 1", "", 0, 1],
          ["own 2", "", 1, 2],
          ["first of 1", "write", 0, 3],
          ["first of 2", "write", 0, 4],
          ["last of 2", "write", 1, 5],
          ["own 3", "", 2, 6],
        ]);
        assert.deepEqual(settled(seen), ["own 1", "own 2", "first of 2", "last of 2", "own 3"]);
        assert.ok(seen[3]!.attempt > seen[2]!.attempt);
      }));

    test("an attempt that failed is followed by one that gives anew what it runs anew", (stage) =>
      Effect.gen(function* () {
        let fails = true;
        const writer = stage.actor("writer", async (ctx) => {
          await ctx.emit("tokens", `attempt ${ctx.attempt}`);
          await ctx.run("kept", ({ emit }) => emit("tokens", "kept"));
          if (fails) {
            fails = false;
            await ctx.emit("tokens", "giving up");
            throw new Error("no");
          }
          await ctx.emit("tokens", "done");
        }, { retry: { attempts: 2, delay: "10 millis" } });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        const frames = yield* outputOf(started, "tokens");
        const [first, , , second] = frames;
        assert.deepEqual(frames.map(place), [
          [`attempt ${first!.attempt}`, "", 0, 1],
          ["kept", "kept", 0, 2],
          ["giving up", "", 1, 3],
          [`attempt ${second!.attempt}`, "", 0, 4],
          ["done", "", 1, 5],
        ]);
        assert.ok(second!.attempt > first!.attempt);
        assert.deepEqual(settled(frames), ["kept", `attempt ${second!.attempt}`, "done"]);

        const behind = yield* verb((executions) => executions.retry(started, { from: "start" }));
        yield* resultOf(started, behind);
        const again = yield* outputOf(started, "tokens");
        assert.deepEqual(again.slice(0, 5), frames);
        assert.deepEqual(
          again.slice(5).map(({ index, number, step = "" }) => [step, index, number]),
          [
            ["", 0, 6],
            ["kept", 0, 7],
            ["", 1, 8],
          ],
        );
      }));

    test("what is no frame is refused, and leaves no gap", (stage) =>
      Effect.gen(function* () {
        const refused: Array<{ readonly _tag: string }> = [];
        const circle: Array<unknown> = [];
        circle.push(circle);
        let nested: unknown = 1;
        for (let i = 0; i < 501; i++) nested = [nested];
        const writer = stage.actor("writer", async (ctx) => {
          const emit = (output: string, frame: unknown) =>
            ctx.emit(output, frame).catch((error) => {
              refused.push(error);
            });
          await emit("tokens", 1);
          for (const frame of [undefined, () => 1, 1n, NaN, circle, nested]) {
            await emit("tokens", frame);
          }
          await emit("tokens", "x".repeat(64 * 1024));
          for (const output of ["", "x".repeat(65), "\ud800"]) await emit(output, 1);
          await emit("tokens", "x".repeat(64 * 1024 - 2));
          await emit("a.b *>/ü", 2);
        });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        assert.deepEqual((yield* outputOf(started, "tokens")).map(({ index }) => index), [0, 1]);
        assert.deepEqual(framesOf(yield* outputOf(started, "a.b *>/ü")), [2]);
        assert.deepEqual(refused.map(({ _tag }) => _tag), [
          ...range(6).map(() => "InvalidInput"),
          "PayloadTooLarge",
          ...range(3).map(() => "InvalidInput"),
        ]);
        assert.equal((yield* errorOf(outputOf(started, "")))._tag, "InvalidInput");
      }));

    test("a source that gives to too many outputs is refused, and goes on with those it has", (stage) =>
      Effect.gen(function* () {
        const refused: Array<unknown> = [];
        const writer = stage.actor("writer", async (ctx) => {
          const fill = async (source: string, emit: (output: string, frame: string) => unknown) => {
            for (const i of range(64)) await emit(`${i}`, source);
            await Promise.resolve(emit("64", source)).catch((error) => refused.push(error._tag));
            await emit("0", `${source} again`);
          };
          await fill("own", (output, frame) => ctx.emit(output, frame));
          await ctx.run("write", ({ emit }) => fill("step", emit));
          await ctx.wait(go);
        });
        yield* stage.work([writer], { residentGrace: atOnce });
        const started = yield* stage.start(writer);
        yield* untilStatus(started, "suspended");
        // A replay is refused the same.
        yield* signal(started, "go");
        yield* resultOf(started);
        assert.deepEqual(refused, ["InvalidInput", "InvalidInput", "InvalidInput"]);
        const all = ["own", "own again", "step", "step again"];
        assert.deepEqual(framesOf(yield* outputOf(started, "0")), all);
        assert.deepEqual(framesOf(yield* outputOf(started, "63")), ["own", "step"]);
        assert.deepEqual(yield* outputOf(started, "64"), []);
      }));

    test("what others publish there is passed over by readers and by the next owner", (stage) =>
      Effect.gen(function* () {
        const log = yield* Log;
        const writer = stage.actor("writer", async (ctx) => {
          await ctx.emit("tokens", "one");
          await ctx.wait(go);
          await ctx.emit("tokens", "two");
        });
        yield* stage.work([writer], { residentGrace: atOnce });
        const started = yield* stage.start(writer);
        const reader = yield* Effect.forkChild(outputOf(started, "tokens"));
        yield* untilStatus(started, "suspended");
        const address = executionAddress(log.layout, started.tenant, started.execution);
        const [stored] = yield* Stream.runCollect(log.read(keyedFilter(address, "out", "tokens")));
        for (
          const message of [
            { body: stored!.body },
            { body: body("{}"), id: "somebody.1" },
            { body: body(""), id: "somebody.2" },
          ]
        ) yield* log.append(address, { kind: "out", key: "tokens", ...message });
        yield* wake(started, "go");
        assert.deepEqual((yield* Fiber.join(reader)).map(place), [
          ["one", "", 0, 1],
          ["two", "", 1, 2],
        ]);
      }));

    test("a step that is over emits nothing more", (stage) =>
      Effect.gen(function* () {
        const refused: Array<{ readonly _tag: string; readonly code: string }> = [];
        const writer = stage.actor("writer", async (ctx) => {
          let late: (frame: string) => Promise<void> = () => Promise.resolve();
          await ctx.run("write", async ({ emit }) => {
            late = (frame) => emit("tokens", frame);
            await emit("tokens", "in time");
          });
          await late("late").catch((error) => refused.push(error));
          await ctx.emit("tokens", "behind");
        });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        assert.deepEqual(framesOf(yield* outputOf(started, "tokens")), ["in time", "behind"]);
        assert.deepEqual(refused.map(({ code }) => code), ["WEIR_OUTPUT_CLOSED"]);
      }));

    test("frames for whose room nobody waits are stored, in order, before what is recorded next", (stage) =>
      Effect.gen(function* () {
        const log = yield* Log;
        const count = 1_500;
        const writer = stage.actor("writer", async (ctx) => {
          for (const i of range(count)) void ctx.emit("numbers", i);
          await ctx.run("write", ({ emit }) => {
            for (const i of range(count, count)) void emit("numbers", i);
          });
          await ctx.wait(go);
        });
        yield* stage.work([writer], { residentGrace: atOnce });
        const started = yield* stage.start(writer);
        yield* untilStatus(started, "suspended");
        const address = executionAddress(log.layout, started.tenant, started.execution);
        const step = yield* until(
          "the step is recorded",
          Effect.map(log.lastSequences(address, ["log"]), (found) => found.get("log")),
        );
        const numbers = yield* Stream.runCollect(
          log.read(keyedFilter(address, "out", "numbers"), { upTo: step }),
        );
        assert.equal(numbers.length, 2 * count);
        yield* signal(started, "go");
        assert.deepEqual(framesOf(yield* outputOf(started, "numbers")), range(2 * count));
      }));

    test("a reader goes on from any cursor, and from now", (stage) =>
      Effect.gen(function* () {
        const writer = stage.actor("writer", async (ctx) => {
          for (const i of range(20)) await ctx.emit("numbers", i);
          for (let i = 20; await ctx.wait(more); i++) await ctx.emit("numbers", i);
        });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        const first = yield* Stream.runCollect(Stream.take(follow(started, "numbers"), 20));
        const readers = yield* Effect.forkChild(
          Effect.forEach(
            first,
            ({ cursor }) => Effect.map(outputOf(started, "numbers", cursor), framesOf),
            { concurrency: "unbounded" },
          ),
        );
        const seen: Array<unknown> = [];
        const fresh = yield* Effect.forkChild(
          Stream.runForEach(follow(started, "numbers", "now"), ({ frame }) =>
            Effect.sync(() => {
              seen.push(frame);
            })),
        );
        yield* until(
          "the reader that begins now has seen something",
          Effect.map(signal(started, "more", true), () => seen.length > 0),
        );
        yield* signal(started, "more", false);
        yield* Fiber.join(fresh);
        const all = framesOf(yield* outputOf(started, "numbers", "earliest"));
        assert.deepEqual(all, range(all.length));
        assert.ok(all.length > 20);
        assert.deepEqual(seen, all.slice(-seen.length));
        assert.ok(seen.length <= all.length - 20);
        assert.deepEqual(yield* Fiber.join(readers), first.map((_, i) => all.slice(i + 1)));
        for (const i of [0, 9, 19]) {
          const rest = yield* outputOf(started, "numbers", first[i]!.cursor);
          assert.deepEqual(framesOf(rest), all.slice(i + 1));
        }
      }));

    test("a cursor that the log cannot honour is refused", (stage) =>
      Effect.gen(function* () {
        const writer = stage.actor("writer", (ctx) => ctx.emit("tokens", 1));
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        const [frame] = yield* outputOf(started, "tokens");
        const position = yield* decodeCursor(frame!.cursor);
        const shards = (change: { readonly sequence: number }) =>
          position.shards.map((shard) => ({ ...shard, ...change }));
        const reasons = {
          "malformed": "not a cursor",
          "other-incarnation": encodeCursor({ ...position, incarnation: "0123456789abcdef" }),
          "shard-mismatch": encodeCursor({
            ...position,
            shards: [...position.shards, ...position.shards],
          }),
          "newer-than-tail": encodeCursor({ ...position, shards: shards({ sequence: 1e12 }) }),
        };
        for (const [reason, cursor] of Object.entries(reasons)) {
          const error = yield* errorOf(outputOf(started, "tokens", cursor));
          assert.equal(error._tag === "InvalidCursor" && error.reason, reason);
        }
        // One of `now` has the time of the server, and one of `earliest` none.
        const at = (change: (time: number) => Partial<ShardPosition>) =>
          encodeCursor({
            ...position,
            shards: position.shards.map((shard) => ({ ...shard, ...change(shard.at) })),
          });
        const damaged = at((time) => ({ at: Math.max(0, time - 1) }));
        const error = yield* errorOf(outputOf(started, "tokens", damaged));
        assert.equal(error._tag === "InvalidCursor" && error.reason, "reissued");
        assert.deepEqual(yield* outputOf(started, "tokens", at((time) => ({ at: time + 5 }))), []);
        const zero = at(() => ({ sequence: 0, at: 0 }));
        assert.deepEqual(framesOf(yield* outputOf(started, "tokens", zero)), [1]);
      }));

    test("many readers see the same, and one that is slow holds up nobody and misses nothing", (stage) =>
      Effect.gen(function* () {
        const count = 1_000;
        const read = gate();
        const writer = stage.actor("writer", async (ctx) => {
          await ctx.run("write", async ({ emit }) => {
            for (const i of range(count)) await emit("numbers", i);
          });
        });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        const paused = yield* Effect.forkChild(
          Stream.runCollect(
            Stream.mapEffect(
              follow(started, "numbers"),
              ({ frame }) => Effect.as(Effect.promise(() => read.passed), frame),
            ),
          ),
        );
        const readers = yield* Effect.forEach(
          range(50),
          () => outputOf(started, "numbers"),
          { concurrency: "unbounded" },
        );
        for (const frames of readers) assert.deepEqual(framesOf(frames), range(count));
        read.open();
        assert.deepEqual(yield* Fiber.join(paused), range(count));
      }));

    test("an output keeps its newest frames, and what is left of one leaps in number", (stage) =>
      Effect.gen(function* () {
        const [kept, surplus] = [10_000, 700];
        const writer = stage.actor("writer", async (ctx) => {
          await ctx.emit("few", "first");
          await ctx.run("write", async ({ emit }) => {
            for (const i of range(kept + surplus)) await emit("numbers", i);
          });
          await ctx.run("large", async ({ emit }) => {
            for (const i of range(400)) await emit("large", `${i} ${"x".repeat(60_000)}`);
          });
        });
        yield* stage.work([writer]);
        const started = yield* stage.start(writer);
        yield* resultOf(started);
        const frames = yield* outputOf(started, "numbers");
        const dropped = kept + surplus - frames.length;
        assert.ok(frames.length >= kept && frames.length <= kept + 64 + 256, `${frames.length}`);
        assert.deepEqual(framesOf(frames), range(frames.length, dropped));
        assert.equal(frames[0]!.number, dropped + 1);
        assert.deepEqual(framesOf(yield* outputOf(started, "few")), ["first"]);
        const large = yield* outputOf(started, "large");
        assert.ok(large.length > 250 && large.length < 330, `${large.length}`);
        assert.equal(large.at(-1)!.number, 400);
      }));
  });
};
