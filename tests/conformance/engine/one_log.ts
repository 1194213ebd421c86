/** One log: what the engine records and what is appended are one history, in one numbering. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { EventStore } from "../../../streams/event_store.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import {
  atOnce,
  engineTests,
  gate,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
} from "./stage.ts";

const go = defineSignal<number>("go");

const note = (text: string) => ({ type: "custom" as const, eventType: "note", data: text });

export const oneLogSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: one log`, () => {
    test("what is appended stands where it came, among what the engine records", (stage) =>
      Effect.gen(function* () {
        const store = yield* EventStore;
        const begun = gate();
        const { open, passed } = gate();
        const order = stage.actor("order", async (ctx) => {
          await ctx.run("charge", () => "receipt");
          await ctx.run("ship", () => {
            begun.open();
            return passed;
          });
          return ctx.wait(go);
        });
        yield* stage.work([order], { residentGrace: atOnce });
        const started = yield* stage.start(order, { cents: 42 });
        const { execution, tenant } = started;
        yield* Effect.promise(() => begun.passed);
        const first = yield* store.append(execution, tenant, note("during"));
        open();
        yield* untilStatus(started, "suspended");
        const second = yield* store.appendBatch(execution, tenant, [note("a"), note("b")]);
        yield* signal(started, "go", 1);
        yield* resultOf(started);
        const third = yield* store.append(execution, tenant, note("after"));
        const events = yield* store.loadEvents(execution, tenant);
        assert.deepEqual(events.map(({ sequence }) => sequence), events.map((_, i) => i + 1));
        const noteAt = (sequence: number) => {
          const { event } = events[sequence - 1]!;
          return event.type === "custom" ? event.data : event.type;
        };
        assert.deepEqual([first, second, second + 1, third].map(noteAt), [
          "during",
          "a",
          "b",
          "after",
        ]);
        assert.equal(third, events.length);
        const types = events.map(({ event }) => event.type).filter((type) => type !== "custom");
        assert.deepEqual(types, [
          "executionStarted",
          "stepStarted",
          "stepCompleted",
          "stepStarted",
          "stepCompleted",
          "executionCompleted",
        ]);
        assert.deepEqual(
          yield* store.loadEventsAfter(execution, first, tenant),
          events.slice(first),
        );
        assert.equal(yield* store.countEvents(execution, tenant), events.length);
        assert.deepEqual(yield* store.loadEvents(execution, uniqueTenant()), []);
      }));

    test("an event once seen keeps its number and its content", (stage) =>
      Effect.gen(function* () {
        const store = yield* EventStore;
        const waits = stage.actor("waits", async (ctx) => {
          for (let i = 0; i < 4; i++) {
            await ctx.run("step", () => i);
            await ctx.wait(go, { timeout: "40 millis" });
          }
        });
        yield* stage.work([waits], { residentGrace: atOnce });
        const started = yield* stage.start(waits);
        const load = store.loadEvents(started.execution, started.tenant);
        let seen = yield* load;
        const look = Effect.gen(function* () {
          const events = yield* load;
          assert.deepEqual(events.slice(0, seen.length), seen);
          seen = events;
          return events.at(-1)?.event.type === "executionCompleted";
        });
        yield* until("it has ended", look);
        yield* resultOf(started);
      }));
  });
};
