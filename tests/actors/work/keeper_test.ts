/** What a keeper finds out by looking: seats that nobody gives up, on a clock that has the time for it. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { layerMemory } from "../../../actors/layer.ts";
import * as Queues from "../../../actors/queues.ts";
import * as Post from "../../../actors/engine/post.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { Lane, Timestamp } from "../../../schema/ids.ts";
import type { SeatRecord } from "../../../schema/seat_record.ts";
import { EngineControl } from "../../../streams/engine_control.ts";
import { Log } from "../../../streams/log.ts";
import { kindOfSubject } from "../../../streams/subjects.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import {
  atOnce,
  describe as described,
  engineTests,
  errorOf,
  resultOf,
  type Services,
  signal,
  Stage,
  untilStatus,
} from "../../conformance/engine/stage.ts";
import type { Run } from "../../conformance/subject_matter.ts";

const run: Run<Services> = (effect) =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory()));

const go = defineSignal("go");
const kept = { queues: true } as const;

const seatsOf = (queue: string) => Effect.flatMap(Log, (log) => Post.make(log).seats.taken(queue));

/** Longer than it takes until the keeper looks around. */
const muchLater = Effect.sleep("3 minutes");

/** Takes a seat as a worker would who stood still in between. */
const takeLate = (
  queue: string,
  seat: Pick<SeatRecord, "tenant" | "execution" | "life" | "turn">,
) =>
  Effect.gen(function* () {
    const { seats } = Post.make(yield* Log);
    yield* seats.enter(queue, {
      kind: "seat",
      state: "waiting",
      key: "k",
      priority: 0,
      since: Timestamp.make(0),
      ...seat,
    });
  });

/** What is done with seats is heard of a while after it was stored. */
const hearingSeatsLate = (log: Log["Service"]): Log["Service"] =>
  Log.of({
    ...log,
    follow: (filter, options) =>
      kindOfSubject(filter.subject) === "seat"
        ? Stream.mapEffect(log.follow(filter, options), (entry) =>
          Effect.as(Effect.sleep("3 seconds"), entry))
        : log.follow(filter, options),
  });

describe("a keeper", () => {
  const test = engineTests(run);

  test("lets in nobody beside one who is paused before it hears that he was let in", (stage) =>
    Effect.gen(function* () {
      const hold = stage.actor("hold", (ctx) => ctx.wait(go));
      const lane = Lane.make("slow");
      yield* stage.work([hold], {
        ...kept,
        lanes: [lane, Lane.make("default")],
        residentGrace: atOnce,
      }).pipe(Effect.updateService(Log, hearingSeatsLate));
      const queue = { name: stage.name("q"), key: "k" };
      const first = yield* stage.start(hold, undefined, { id: "first", queue, lane });
      const second = yield* stage.start(hold, undefined, { id: "second", queue });
      yield* untilStatus(first, "suspended");
      const states = Effect.map(seatsOf(queue.name), (seats) => seats.map(({ state }) => state));
      const control = yield* EngineControl;
      yield* control.change({ lane }, "paused");
      yield* muchLater;
      assert.deepEqual(yield* states, ["admitted", "waiting"]);
      yield* control.change({ lane }, "open");
      yield* signal(first, "go");
      yield* signal(second, "go");
      yield* resultOf(first);
      yield* resultOf(second);
    }));

  test("lets nobody of a key begin before his time because it is told something", (stage) =>
    Effect.gen(function* () {
      let ran = 0;
      const brief = stage.actor("brief", () => ++ran);
      yield* stage.work([brief], kept);
      const queue = { name: stage.name("q"), key: "k" };
      yield* Queues.configure(queue.name, { perKey: 9, keyRate: { count: 6, per: "1 hour" } });
      for (let i = 0; i < 9; i++) yield* stage.start(brief, undefined, { id: `b-${i}`, queue });
      yield* Effect.sleep("1 minute");
      const atFirst = ran;
      yield* Queues.steerTenants(queue.name, "pause", ["somebody-else"]);
      yield* Effect.sleep("1 minute");
      // It begins with room for one, whoever keeps it.
      assert.deepEqual([atFirst, ran], [1, 2]);
      yield* Effect.sleep("10 hours");
      assert.equal(ran, 9);
    }));

  test("gives up the seat that is taken late for what has ended", (stage) =>
    Effect.gen(function* () {
      const brief = stage.actor("brief", () => "done");
      yield* stage.work([brief], kept);
      const queue = { name: stage.name("q"), key: "k" };
      const ended = yield* stage.start(brief, undefined, { id: "ended", queue });
      yield* resultOf(ended);
      yield* muchLater;
      yield* takeLate(queue.name, { ...ended, turn: "run 0" });
      yield* muchLater;
      assert.deepEqual(yield* seatsOf(queue.name), []);
      yield* resultOf(yield* stage.start(brief, undefined, { id: "next", queue }));
    }));

  test("gives up the seat of a turn that is over, and none that is somebody's still", (stage) =>
    Effect.gen(function* () {
      const hold = stage.actor("hold", (ctx) => ctx.wait(go));
      yield* stage.work([hold], kept);
      const queue = { name: stage.name("q"), key: "k" };
      const holder = yield* stage.start(hold, undefined, { id: "holder", queue });
      yield* untilStatus(holder, "suspended");
      yield* takeLate(queue.name, { ...holder, turn: "run 9" });
      yield* Effect.sleep("10 minutes");
      assert.deepEqual(
        (yield* seatsOf(queue.name)).map(({ state, turn }) => [state, turn]),
        [["admitted", "run 0"], ["waiting", "run 9"]],
      );
      yield* signal(holder, "go");
      yield* resultOf(holder);
      yield* muchLater;
      assert.deepEqual(yield* seatsOf(queue.name), []);
    }));

  test("gives up the seat of what is gone, and of what came by its name since", (stage) =>
    Effect.gen(function* () {
      const brief = stage.actor("brief", () => "done", { keep: "10 seconds" });
      const hold = stage.actor("hold", (ctx) => ctx.wait(go));
      yield* stage.work([brief, hold], kept);
      const queue = { name: stage.name("q"), key: "k" };
      const gone = yield* new Stage().start(brief, undefined, { id: "gone", queue });
      yield* resultOf(gone);
      yield* Effect.sleep("1 hour");
      assert.equal((yield* errorOf(described(gone)))._tag, "ExecutionNotFound");
      yield* takeLate(queue.name, { ...gone, turn: "run 0" });
      const other = yield* stage.start(hold, undefined, { id: "other" });
      yield* takeLate(queue.name, { ...other, life: other.life - 1, turn: "run 0" });
      yield* muchLater;
      yield* muchLater;
      assert.deepEqual(yield* seatsOf(queue.name), []);
      yield* signal(other, "go");
      yield* resultOf(other);
    }));
});
