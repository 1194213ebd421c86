/** One log: what the engine records and what is appended, in one numbering. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { Unavailable } from "../../../schema/errors.ts";
import type { RecordedEvent } from "../../../schema/execution_event.ts";
import { executionStateOf } from "../../../schema/execution_state.ts";
import {
  EventId,
  ExecutionId,
  SignalId,
  Timestamp,
  WorkerInstanceId,
} from "../../../schema/ids.ts";
import { executionAddress, subjectOf } from "../../../streams/subjects.ts";
import { body, type Run, uniqueExecution, uniqueTenant } from "../subject_matter.ts";
import { engineOn } from "./engine.ts";
import {
  assertGapless,
  countSkipped,
  custom,
  customs,
  newStore,
  records,
  said,
  type Services,
  type Subject,
  testing,
} from "./matter.ts";

const due = Timestamp.make(1_900_000_000_000);
const worker = WorkerInstanceId.make("worker-2");

/** An event in a word. */
const word = (event: RecordedEvent): string =>
  event.type === "custom" && event.eventType !== "said"
    ? event.eventType
    : event.type === "custom"
    ? String(event.data)
    : event.type;

const words = ({ store, execution, tenant }: Subject) =>
  Effect.map(store.loadEvents(execution, tenant), (events) => {
    assertGapless(events, events.length);
    return events.map(({ event }) => word(event));
  });

const value = { type: "value", value: 1 } as const;
const claim = { kind: "claimed", worker, epoch: 2, attempt: 1, reclaims: 1 } as const;
const step = (key: string) => ({
  kind: "step" as const,
  key,
  result: value,
  tries: 1,
  durationMs: 5,
});

export const journalSuite = (name: string, run: Run<Services>): void => {
  const test = testing(run);

  describe(`${name}: the engine's journal`, () => {
    test("a run is told from start to end, waits included", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        const { write } = engine.owner();
        yield* engine.start({ input: { cents: 42 }, tags: { team: "checkout" } });
        yield* write(step("charge"));
        yield* write({ kind: "waiting", key: "approval", signal: "approval", due });
        const waiting = executionStateOf(yield* store.loadEvents(execution, tenant));
        assert.ok(waiting);
        assert.equal(waiting.status, "waiting");
        const [awaited] = waiting.waitingFor;
        assert.ok(awaited?.kind === "wait");
        assert.deepEqual([awaited.key, awaited.signal, awaited.due], ["approval", "approval", due]);
        const signalId = SignalId.make("s-1");
        const sequence = yield* engine.post({ kind: "signal", signalId, name: "approval" });
        yield* write({
          kind: "signal",
          signalId,
          name: "approval",
          effect: "satisfied",
          sequence,
          key: "approval",
          count: 1,
        }, sequence);
        yield* write({
          kind: "done",
          outcome: { type: "success", value: { paid: true } },
          attempt: 0,
          startedAt: Timestamp.make(0),
        }, sequence);
        assert.deepEqual(yield* words(subject), [
          "executionStarted",
          "stepStarted",
          "stepCompleted",
          "weir.waiting",
          "weir.mail.signal",
          "weir.signal",
          "executionCompleted",
        ]);
        const events = yield* store.loadEvents(execution, tenant);
        assert.ok(events.every(({ recordedBy }) => recordedBy === "engine"));
        const state = executionStateOf(events);
        assert.equal(state?.status, "success");
        assert.deepEqual(state.outcome, { type: "success", value: { paid: true } });
        assert.deepEqual(state.steps, { charge: value });
        assert.deepEqual(state.tags, { team: "checkout" });
        assert.equal(yield* store.countEvents(execution, tenant), 7);
        assert.deepEqual(yield* store.latestSequence(execution, tenant), Option.some(7));
        assert.equal(yield* store.executionExists(execution, tenant), true);
      }));

    test("what is appended is numbered among it, and what was numbered stays so", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        const { write } = engine.owner();
        const other = yield* newStore(surroundings.otherLog);
        yield* engine.start();
        assert.equal(yield* store.append(execution, tenant, custom("a")), 2);
        yield* write({ kind: "sleeping", key: "nap", due });
        assert.equal(yield* store.append(execution, tenant, custom("b")), 4);
        yield* write(step("charge"));
        assert.equal(yield* other.appendBatch(execution, tenant, customs("c", "d")), 7);
        yield* engine.post({ kind: "pause", reason: "lunch" });
        assert.equal(yield* store.append(execution, tenant, custom("e")), 10);
        const all = [
          "executionStarted",
          "a",
          "weir.sleeping",
          "b",
          "stepStarted",
          "stepCompleted",
          "c",
          "d",
          "executionPaused",
          "e",
        ];
        for (const each of [store, other, yield* newStore(log)]) {
          assert.deepEqual(yield* words({ ...subject, store: each }), all);
          assert.equal(yield* each.countEvents(execution, tenant), 10);
        }
        yield* engine.post({ kind: "resume" });
        assert.deepEqual(yield* words(subject), [...all, "executionResumed"]);
        assert.deepEqual(
          said(yield* store.loadEventsAfter(execution, 9, tenant)),
          ["e", { type: "executionResumed" }],
        );
      }));

    test("events that precede the start keep their numbers", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        yield* store.appendBatch(execution, tenant, customs("a", "b"));
        const engine = engineOn(log, address);
        yield* engine.start();
        assert.equal(yield* store.append(execution, tenant, custom("c")), 4);
        const later = yield* newStore(log);
        assert.equal(yield* later.append(execution, tenant, custom("d")), 5);
        assert.deepEqual(yield* words(subject), ["a", "b", "executionStarted", "c", "d"]);
      }));

    test("an append that a start overtakes is numbered behind it", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        yield* store.append(execution, tenant, custom("a"));
        const engine = engineOn(log, address);
        /** A start comes when the store is about to append. */
        const overtaken = {
          ...log,
          append: (...[to, message]: Parameters<typeof log.append>) =>
            Effect.andThen(Effect.orDie(engine.start()), log.append(to, message)),
        };
        const [writer, other] = [yield* newStore(overtaken), yield* newStore(log)];
        assert.equal(yield* writer.append(execution, tenant, custom("b")), 3);
        assert.deepEqual(yield* words(subject), ["a", "executionStarted", "b"]);
        assert.equal(yield* other.append(execution, tenant, custom("c")), 4);
      }));

    test("a batch that a start overtakes is stored whole behind it, or not at all", (subject) =>
      Effect.gen(function* () {
        const { log, store, tenant } = subject;
        for (const expected of [undefined, 1]) {
          const execution = uniqueExecution();
          const address = executionAddress(log.layout, tenant, execution);
          yield* store.append(execution, tenant, custom("a"));
          const engine = engineOn(log, address);
          let isStarted = false;
          const overtaken = {
            ...log,
            appendBatch: (...parameters: Parameters<typeof log.appendBatch>) =>
              Effect.suspend(() => {
                const start = isStarted ? Effect.void : Effect.orDie(engine.start());
                isStarted = true;
                return Effect.andThen(start, log.appendBatch(...parameters));
              }),
          };
          const writer = yield* newStore(overtaken);
          const batch = customs("b", "c", "d");
          const read = words({ ...subject, execution });
          if (expected === undefined) {
            assert.equal(yield* writer.appendBatch(execution, tenant, batch), 3);
            assert.deepEqual(yield* read, ["a", "executionStarted", "b", "c", "d"]);
          } else {
            const options = { expectedSequence: expected };
            const error = yield* Effect.flip(writer.appendBatch(execution, tenant, batch, options));
            assert.ok(error._tag === "SequenceConflict");
            assert.deepEqual([error.expected, error.actual], [1, 2]);
            assert.deepEqual(yield* read, ["a", "executionStarted"]);
          }
        }
      }));

    test("an expected sequence counts the engine's records too", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        const { write } = engine.owner();
        yield* engine.start();
        const at = (expectedSequence: number) =>
          store.append(execution, tenant, custom(expectedSequence), { expectedSequence });
        assert.equal(yield* at(1), 2);
        yield* write(step("charge"));
        for (const wrong of [0, 2, 3, 5]) {
          const error = yield* Effect.flip(at(wrong));
          assert.ok(error._tag === "SequenceConflict");
          assert.deepEqual([error.expected, error.actual], [wrong, 4]);
        }
        assert.equal(yield* at(4), 5);
        assert.equal(yield* store.countEvents(execution, tenant), 5);
      }));

    test("what the engine records at the last moment voids an append that did not expect it", (subject) =>
      Effect.gen(function* () {
        const { log, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        const { write } = engine.owner();
        yield* engine.start();
        const before = <A, E>(append: Effect.Effect<A, E>) =>
          Effect.andThen(
            Effect.orDie(write({ kind: "noted", key: "now", what: "now", value: 1 })),
            append,
          );
        const overtaken = {
          ...log,
          append: (...parameters: Parameters<typeof log.append>) =>
            before(log.append(...parameters)),
          appendBatch: (...parameters: Parameters<typeof log.appendBatch>) =>
            before(log.appendBatch(...parameters)),
        };
        const writer = yield* newStore(overtaken);
        const eventId = EventId.make("one");
        const single = writer.append(execution, tenant, custom("x"), {
          expectedSequence: 1,
          eventId,
        });
        const first = yield* Effect.flip(single);
        assert.ok(first._tag === "SequenceConflict");
        assert.deepEqual([first.expected, first.actual], [1, 2]);
        const batch = writer.appendBatch(execution, tenant, customs("x", "y", "z"), {
          expectedSequence: 2,
        });
        const second = yield* Effect.flip(batch);
        assert.ok(second._tag === "SequenceConflict");
        assert.deepEqual([second.expected, second.actual], [2, 3]);
        assert.deepEqual(
          yield* words(subject),
          ["executionStarted", "weir.noted", "weir.noted"],
        );
        assert.equal(yield* writer.append(execution, tenant, custom("a"), { eventId }), 5);
        assert.equal(yield* writer.append(execution, tenant, custom("a"), { eventId }), 5);
      }));

    test("an append whose number cannot be read may have been stored, and says so", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant } = subject;
        let isStored = false;
        const cut = new Unavailable({ operation: "read", reason: "it was cut", landed: "no" });
        const writer = yield* newStore({
          ...log,
          append: (to, message) =>
            Effect.tap(log.append(to, message), () =>
              Effect.sync(() => {
                isStored = message.kind === "event";
              })),
          last: (of, kind) =>
            Effect.suspend(() => isStored ? Effect.fail(cut) : log.last(of, kind)),
        });
        const options = { eventId: EventId.make("a") };
        const error = yield* Effect.flip(writer.append(execution, tenant, custom("a"), options));
        assert.ok(error._tag === "Unavailable");
        assert.equal(error.landed, "unknown");
        assert.equal(yield* store.append(execution, tenant, custom("a"), options), 1);
        isStored = false;
        assert.equal(yield* writer.append(execution, tenant, custom("a"), options), 1);
      }));

    test("repetitions are found out among the engine's records", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        const { write } = engine.owner();
        yield* engine.start();
        const single = { eventId: EventId.make("a") };
        const batch = { eventIds: [EventId.make("b"), EventId.make("c")] };
        assert.equal(yield* store.append(execution, tenant, custom("a"), single), 2);
        yield* write(step("charge"));
        assert.equal(yield* store.appendBatch(execution, tenant, customs("b", "c"), batch), 5);
        yield* write({ kind: "sleeping", key: "nap", due });
        yield* surroundings.forgetMessageIds;
        for (const each of [store, yield* newStore(log), yield* newStore(surroundings.otherLog)]) {
          assert.equal(yield* each.append(execution, tenant, custom("a"), single), 2);
          assert.equal(yield* each.appendBatch(execution, tenant, customs("b", "c"), batch), 5);
        }
        assert.equal(yield* store.countEvents(execution, tenant), 7);
      }));

    test("appends of two processes and an owner's records share one order", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        const { write } = engine.owner();
        const other = yield* newStore(surroundings.otherLog);
        yield* engine.start();
        const append = (each: typeof store, who: string) =>
          Effect.forEach(Array.from({ length: 20 }, (_, i) => `${who} ${i}`), (text) =>
            Effect.map(
              each.appendBatch(execution, tenant, customs(text, text)),
              (sequence) => ({ sequence, text }),
            ));
        const steps = Effect.forEach(
          Array.from({ length: 40 }, (_, i) => `step ${i}`),
          (key) => write(step(key)),
          { discard: true },
        );
        const [ana, ben] = yield* Effect.all([append(store, "ana"), append(other, "ben"), steps], {
          concurrency: "unbounded",
        });
        const events = yield* words(subject);
        assert.equal(events.length, 1 + 40 + 40 + 80);
        for (const { sequence, text } of [...ana, ...ben]) {
          assert.deepEqual(events.slice(sequence - 1, sequence + 1), [text, text]);
        }
      }));

    test("what a former owner writes late is void, and a repeated record counts once", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        const [former, next] = [engine.owner(), engine.owner()];
        const life = yield* engine.start();
        yield* former.write(step("one"));
        yield* next.write(claim);
        const late = { ...step("late"), life, index: 2, mail: life };
        yield* former.writeAsIs(late);
        yield* next.write(step("two"));
        yield* next.writeAsIs({ ...step("two"), life, index: 2, mail: life });
        yield* next.writeAsIs({ ...step("elsewhere"), life: life - 1, index: 3, mail: life });
        yield* next.write(step("three"));
        const events = yield* store.loadEvents(execution, tenant);
        const state = executionStateOf(events);
        assert.deepEqual(Object.keys(state?.steps ?? {}), ["one", "two", "three"]);
        assert.deepEqual([state?.attempt, state?.epoch, state?.reclaims], [1, 2, 1]);
        assert.equal(events.length, 1 + 2 + 1 + 2 + 2);
        yield* next.writeAsIs({ ...step("gap"), life, index: 5, mail: life });
        const error = yield* Effect.flip(store.loadEvents(execution, tenant));
        assert.equal(error._tag, "CorruptRecord");
      }));

    test("mail that is not for this life, or comes before the start, is not told", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        yield* engine.post({ kind: "cancel" });
        assert.equal(yield* store.executionExists(execution, tenant), false);
        assert.equal(yield* store.append(execution, tenant, custom("early")), 1);
        const life = yield* engine.start();
        yield* engine.post({ kind: "timer", key: "nap", due, life: life - 1 });
        yield* engine.post({ kind: "pause", life });
        yield* engine.post({ kind: "start", seed: "again" });
        assert.deepEqual(yield* words(subject), ["early", "executionStarted", "executionPaused"]);
      }));

    test("garbage in the mailbox and among the journal's records is passed over", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        yield* surroundings.publish(address, "mail", body("garbage"));
        yield* engine.start();
        yield* surroundings.publish(address, "mail", body(`{"v":1,"kind":"teleport"}`));
        yield* surroundings.publish(address, "log", body("garbage"));
        yield* surroundings.publish(address, "done", body(`{"v":1,"kind":"done"}`));
        const { value, skipped } = yield* countSkipped(store.loadEvents(execution, tenant));
        assert.equal(value.length, 1);
        assert.equal(skipped, 2);
        assert.equal(yield* store.append(execution, tenant, custom("a")), 2);
        yield* surroundings.publish(address, "event", body("garbage"));
        assert.equal(yield* store.append(execution, tenant, custom("b")), 3);
        assert.deepEqual(yield* words(subject), ["executionStarted", "a", "b"]);
      }));

    test("a copy of an appended event among the engine's records does not count", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        const engine = engineOn(log, address);
        yield* engine.start();
        yield* store.append(execution, tenant, custom("a"));
        yield* store.appendBatch(execution, tenant, customs("b", "c"));
        const entries = yield* records(subject);
        for (const { body, id } of entries) {
          yield* log.append(address, { kind: "event", body, id: `${id}-copy` });
        }
        assert.deepEqual(yield* words(subject), ["executionStarted", "a", "b", "c"]);
        assert.equal(yield* store.append(execution, tenant, custom("d")), 5);
        assert.equal(yield* (yield* newStore(log)).countEvents(execution, tenant), 5);
      }));

    test("a stranger's execution of the same id shows nothing of it", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, address } = subject;
        const stranger = uniqueTenant();
        yield* engineOn(log, address).start();
        assert.deepEqual(yield* store.loadEvents(execution, stranger), []);
        assert.equal(yield* store.executionExists(execution, stranger), false);
        assert.deepEqual(yield* store.listExecutions(stranger, 10, 0), []);
        assert.equal(yield* store.append(execution, stranger, custom("theirs")), 1);
      }));
  });

  describe(`${name}: the engine's executions in the list`, () => {
    test("they are listed among the others, newest first, each once", (subject) =>
      Effect.gen(function* () {
        const { log, store, tenant } = subject;
        const executions = Array.from({ length: 8 }, uniqueExecution);
        const announced: Array<{ readonly execution: ExecutionId; readonly sequence: number }> = [];
        for (const [i, execution] of executions.entries()) {
          const address = executionAddress(log.layout, tenant, execution);
          const engine = engineOn(log, address);
          if (i % 2 === 0) {
            yield* engine.post({ kind: "pause" });
            const sequence = yield* engine.start();
            yield* store.append(execution, tenant, custom("more"));
            yield* engine.post({ kind: "signal", signalId: SignalId.make("s"), name: "go" });
            announced.push({ execution, sequence });
          } else {
            yield* store.append(execution, tenant, custom("first"));
            const entry = yield* log.last(address, "index");
            if (i % 4 === 1) yield* engine.start();
            announced.push({ execution, sequence: Option.getOrThrow(entry).sequence });
          }
        }
        const listed = yield* store.listExecutions(tenant, 100, 0);
        const ids = listed.map(({ executionId }) => executionId);
        assert.deepEqual([...ids].sort(), [...executions].sort());
        const shardOf = (execution: ExecutionId) =>
          executionAddress(log.layout, tenant, execution).shard;
        for (let shard = 0; shard < log.layout.shards; shard++) {
          const own = announced.filter(({ execution }) => shardOf(execution) === shard);
          assert.deepEqual(
            ids.filter((execution) => shardOf(execution) === shard),
            own.sort((a, b) => b.sequence - a.sequence).map(({ execution }) => execution),
          );
        }
        const pages: Array<ExecutionId> = [];
        let page = yield* store.pageExecutions(tenant, { limit: 3 });
        for (;;) {
          pages.push(...page.executions.map(({ executionId }) => executionId));
          if (page.next === undefined) break;
          page = yield* store.pageExecutions(tenant, { limit: 3, from: page.next });
        }
        assert.deepEqual(pages, ids);
      }));

    test("mail without a start, and a name without an actor, announce nothing", (subject) =>
      Effect.gen(function* () {
        const { log, store, tenant, address } = subject;
        yield* engineOn(log, address).post({ kind: "pause" });
        const nameless = executionAddress(log.layout, tenant, ExecutionId.make("nobody's"));
        assert.ok(subjectOf(nameless, "mail").includes("._."));
        yield* engineOn(log, nameless).start();
        assert.deepEqual(yield* store.listExecutions(tenant, 10, 0), []);
      }));
  });
};
