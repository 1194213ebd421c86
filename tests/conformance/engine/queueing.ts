/** What queues promise: no more than may hold a key at once, whoever dies, and that everybody's turn comes. */
import assert from "node:assert/strict";
import { suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type { ActorContext } from "../../../actors/actor.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import * as Post from "../../../actors/engine/post.ts";
import type { ActorName } from "../../../schema/ids.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { queueActor, queueExecution, queueTenant } from "../../../streams/seats.ts";
import { type Run, tenant } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  resultOf,
  type Services,
  signal,
  type Stage,
  until,
  untilStatus,
  untilTrue,
  verb,
} from "./stage.ts";

const go = defineSignal("go");
const kept = { queues: true } as const;

const seatsOf = (queue: string) => Effect.flatMap(Log, (log) => Post.make(log).seats.taken(queue));

const untilEmpty = (queue: string) =>
  until(`nobody has a seat in ${queue}`, Effect.map(seatsOf(queue), ({ length }) => length === 0));

/** Counts who is inside at once, and in what order they came. */
const room = () => {
  let inside = 0;
  const seen = { most: 0, order: new Array<string>() };
  return {
    seen,
    enter: (who: string) => {
      seen.order.push(who);
      seen.most = Math.max(seen.most, ++inside);
    },
    leave: () => void inside--,
  };
};

/** Runs until it is told to go on. */
const holding = (stage: Stage) => {
  const { seen, enter, leave } = room();
  const inside = async (ctx: ActorContext) => {
    await ctx.run("enter", () => enter(ctx.executionId.split("/")[1]!));
    await ctx.wait(go);
    await ctx.run("leave", leave);
  };
  return { seen, inside, hold: stage.actor("hold", inside) };
};

const waitsInQueue = (of: Parameters<typeof describe>[0]) =>
  until("it waits in its queue", Effect.map(describe(of), ({ reason }) => reason === "queue"));

/** Takes the lease of a queue's keeper away. */
const depose = (queue: string) =>
  Effect.gen(function* () {
    const post = Post.make(yield* Log);
    yield* (yield* Leases).revoke(post.addressOf(queueExecution(queue), queueTenant), {
      by: "operator",
    });
  }).pipe(Effect.catchTag("LeaseNotHeld", () => Effect.void));

export const queueingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: queueing`, () => {
    for (const residentGrace of ["5 seconds" as const, atOnce]) {
      test(`one of a key runs at a time, and the others in their order (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          const { seen, hold } = holding(stage);
          yield* stage.work([hold], { ...kept, residentGrace });
          const queue = { name: stage.name("q"), key: "k" };
          const started = [];
          for (const id of ["a", "b", "c"]) {
            const one = yield* stage.start(hold, undefined, { id, queue });
            if (id === "a") yield* untilTrue("it has begun", () => seen.order.length === 1);
            else yield* waitsInQueue(one);
            started.push(one);
          }
          const other = yield* stage.start(hold, undefined, {
            id: "other",
            queue: { ...queue, key: "other" },
          });
          yield* untilTrue("another key does not wait", () => seen.order.includes("other"));
          for (const each of [other, ...started]) {
            yield* signal(each, "go");
            yield* resultOf(each);
          }
          assert.deepEqual(seen.order, ["a", "other", "b", "c"]);
          yield* untilEmpty(queue.name);
        }));
    }

    test("who is cancelled while it waits gives its seat up, by force as well", (stage) =>
      Effect.gen(function* () {
        const { seen, hold } = holding(stage);
        yield* stage.work([hold], { ...kept, residentGrace: atOnce });
        const queue = { name: stage.name("q"), key: "k" };
        const first = yield* stage.start(hold, undefined, { id: "first", queue });
        yield* untilTrue("it has begun", () => seen.order.length === 1);
        for (const force of [true, false]) {
          const waits = yield* stage.start(hold, undefined, { id: `forced-${force}`, queue });
          yield* waitsInQueue(waits);
          yield* verb((verbs) => verbs.cancel(waits, { force }));
          yield* untilStatus(waits, "cancelled");
        }
        const last = yield* stage.start(hold, undefined, { id: "last", queue });
        yield* waitsInQueue(last);
        yield* signal(first, "go");
        yield* signal(last, "go");
        yield* resultOf(last);
        assert.deepEqual(seen.order, ["first", "last"]);
        yield* untilEmpty(queue.name);
      }));

    test("what is run again takes a new turn, and whoever keeps the queue next knows", (stage) =>
      Effect.gen(function* () {
        const { seen, hold, inside } = holding(stage);
        let runs = 0;
        const flaky = stage.actor("flaky", async (ctx) => {
          if (runs++ === 0) throw new Error("not yet");
          await inside(ctx);
        });
        yield* stage.work([hold, flaky], kept);
        const queue = { name: stage.name("q"), key: "k" };
        const again = yield* stage.start(flaky, undefined, { id: "again", queue });
        yield* errorOf(resultOf(again));
        const first = yield* stage.start(hold, undefined, { id: "first", queue });
        yield* untilTrue("the first has begun", () => seen.order.includes("first"));
        const behind = yield* verb((verbs) => verbs.retry(again));
        yield* waitsInQueue(again);
        yield* signal(first, "go");
        yield* untilTrue("it has begun again", () => seen.order.includes("again"));
        yield* depose(queue.name);
        const last = yield* stage.start(hold, undefined, { id: "last", queue });
        const other = { ...queue, key: "other" };
        const passing = yield* stage.start(hold, undefined, { id: "passing", queue: other });
        yield* untilTrue("somebody keeps the queue", () => seen.order.includes("passing"));
        for (const each of [passing, again, last]) yield* signal(each, "go");
        yield* resultOf(again, behind);
        yield* resultOf(last);
        assert.deepEqual(seen.order, ["first", "again", "passing", "last"]);
        yield* untilEmpty(queue.name);
      }));

    test("a keeper that is deposed lets in nobody twice, and forgets nobody", (stage) =>
      Effect.gen(function* () {
        const { seen, enter, leave } = room();
        const brief = stage.actor("brief", async (ctx) => {
          await ctx.run("enter", () => enter(ctx.executionId));
          await ctx.sleep("work", "10 millis");
          await ctx.run("leave", leave);
        });
        yield* stage.work([brief], kept);
        yield* stage.work([brief], kept);
        const queue = { name: stage.name("q"), key: "k" };
        const started = [];
        for (let i = 0; i < 6; i++) {
          started.push(yield* stage.start(brief, undefined, { id: `${i}`, queue }));
        }
        for (const [i, each] of started.entries()) {
          if (i % 3 === 0) yield* depose(queue.name);
          yield* resultOf(each);
        }
        assert.deepEqual([seen.most, new Set(seen.order).size], [1, 6]);
        yield* untilEmpty(queue.name);
      }));

    test("a turn that comes for a seat which was given up is taken back", (stage) =>
      Effect.gen(function* () {
        const { seen, hold } = holding(stage);
        yield* stage.work([hold], kept);
        const queue = { name: stage.name("q"), key: "k" };
        const first = yield* stage.start(hold, undefined, { id: "first", queue });
        yield* untilTrue("it has begun", () => seen.order.length === 1);
        const log = yield* Log;
        const { seats } = Post.make(log);
        const [seat] = yield* seatsOf(queue.name);
        // As if its keeper had decided before it heard of the end, and stored that behind it.
        yield* log.append(
          seats.keeperOf(queue.name),
          seats.admitted(queue.name, { ...seat!, turn: "run 7" }),
        );
        const second = yield* stage.start(hold, undefined, { id: "second", queue });
        yield* signal(first, "go");
        yield* signal(second, "go");
        yield* resultOf(second);
        yield* untilEmpty(queue.name);
      }));

    test("nobody but the runtime keeps queues, or says whose turn it is", (stage) =>
      Effect.gen(function* () {
        const { hold } = holding(stage);
        const worker = yield* Effect.exit(stage.work([{ ...hold, name: queueActor }]));
        assert.ok(Exit.isFailure(worker));
        const begun = yield* errorOf(
          verb((verbs) =>
            verbs.start(queueActor as ActorName, tenant, undefined, { id: "q", unserved: true })
          ),
        );
        assert.equal(begun._tag, "InvalidInput");
        yield* stage.work([hold], kept);
        const queue = stage.name("q");
        const forged = yield* stage.start(hold, undefined, { id: "forged", queue });
        const refused = yield* errorOf(signal(forged, "weir.turn/run 0"));
        assert.equal(refused._tag, "InvalidInput");
        yield* signal(forged, "go");
        yield* resultOf(forged);
      }));
  });
};
