/** What is told of work: one execution that goes through everything, event by event. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { beforeWork, tellWork, type WorkContext } from "../../../actors/core/tell_work.ts";
import { Executions, type Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { Timestamp } from "../../../schema/ids.ts";
import type { RecordedWorkEvent } from "../../../schema/work_event.ts";
import { readMoment, recordKinds } from "../../../streams/execution_records.ts";
import { beforeStart } from "../../../streams/journal.ts";
import { Log } from "../../../streams/log.ts";
import { type ReadableRecord, readOn } from "../../../streams/readable_record.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import type { Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  verb,
  wake,
} from "./stage.ts";

const go = defineSignal<number>("go");
const next = defineSignal<number>("next");

const toldOf = (of: Named) =>
  Effect.flatMap(
    Executions,
    (executions) =>
      Effect.map(Stream.runCollect(executions.workHistory(of)), (events) => Array.from(events)),
  );

/** An event in a few words, without what differs from run to run. */
const inShort = (event: RecordedWorkEvent): string => {
  switch (event.kind) {
    case "runStateChanged":
      return `${event.previousState} > ${event.newState}`;
    case "runSuspended":
      return `running > suspended: ${event.reason}`;
    case "runResumed":
      return "suspended > ready";
    case "runCanceled":
      return "> canceled";
    case "attemptStarted":
      return `attempt ${event.attemptId}`;
    case "attemptFinished": {
      const { result, error, output } = event;
      const said = error ?? (output === undefined ? undefined : JSON.stringify(output));
      return `${result}${said === undefined ? "" : `: ${said}`}`;
    }
    default:
      return event.kind;
  }
};

/** What each record tells; heartbeats come as time passes. */
const byRecord = (events: ReadonlyArray<RecordedWorkEvent>): ReadonlyArray<string> => {
  const records = new Map<number, Array<string>>();
  for (const event of events) {
    if (event.kind === "leaseHeartbeat") continue;
    records.set(event.sequence, [...records.get(event.sequence) ?? [], inShort(event)]);
  }
  return [...records.values()].map((words) => words.join("; "));
};

/** Waits until an event of that kind is the last. */
const untilLast = (of: Named, kind: RecordedWorkEvent["kind"]) =>
  until(`${kind} is told`, Effect.map(toldOf(of), (events) => events.at(-1)?.kind === kind));

/** The records of an execution as readers have them. */
const readable = (of: Named) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = executionAddress(log.layout, of.tenant, of.execution);
    let position = beforeStart;
    const records: Array<{
      readonly record: ReadableRecord;
      readonly at: Timestamp;
      readonly sequence: number;
    }> = [];
    for (const entry of yield* readMoment(log, address, [...recordKinds, "lease"])) {
      const step = yield* readOn(position, entry);
      position = step.position;
      if (step.record === undefined) continue;
      const { sequence } = entry;
      records.push({ record: step.record, at: Timestamp.make(entry.at), sequence });
    }
    return records;
  });

export const toldAsWorkSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: told as work`, () => {
    test("one execution goes through everything, and each transition is told once", (stage) =>
      Effect.gen(function* () {
        let flaky = 0;
        const order = stage.actor("order", async (ctx) => {
          await ctx.wait(go);
          await ctx.run("flaky", () => {
            if (flaky++ === 0) throw new Error("not yet");
          }, { retry: { attempts: 1 } });
          await ctx.wait(next);
          return "done";
        }, { retry: { attempts: 2, delay: "1 second", jitter: false } });
        const before = stage.actor("before", (ctx) => ctx.wait(go));
        yield* stage.work([order, before], { residentGrace: atOnce });
        const first = yield* stage.start(before);
        const started = yield* stage.start(order, { cents: 1 }, {
          id: "o-1",
          after: [first.execution],
          priority: 3,
          tags: { "team.name": "x" },
          description: "golden",
        });
        yield* untilStatus(started, "suspended");
        yield* wake(first, "go");
        yield* wake(started, "go");
        yield* wake(started, "next");
        assert.equal(yield* resultOf(started), "done");
        yield* untilLast(started, "leaseReleased");

        const events = yield* toldOf(started);
        const [created] = events;
        assert.ok(created?.kind === "taskCreated");
        assert.deepEqual(created.taskSpec, {
          id: started.execution,
          payload: { cents: 1 },
          runPolicy: { type: "once" },
          constraints: {},
          metadata: { tags: { "team.name": "x" }, priority: 3, description: "golden" },
        });
        assert.deepEqual(byRecord(events), [
          "taskCreated; dependencyDeclared; runCreated",
          // It is looked at, and waits for the other.
          "leaseAcquired",
          "leaseReleased",
          // The other has succeeded.
          "scheduled > ready",
          "leaseAcquired; ready > leased; attempt 2.0; leased > running",
          "leaseReleased; suspended; running > suspended: wait go",
          "suspended > ready; leaseAcquired; ready > leased; attempt 3.0; leased > running",
          "failure: Error: not yet; running > retryWait",
          "leaseReleased",
          "retryWait > ready",
          "leaseAcquired; ready > leased; attempt 4.1; leased > running",
          "leaseReleased; suspended; running > suspended: wait next",
          "suspended > ready; leaseAcquired; ready > leased; attempt 5.1; leased > running",
          'success: "done"; running > completed',
          "leaseReleased",
        ]);
      }));

    test("what has ended and runs again is another run of the same task", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(go));
        yield* stage.work([waits], { residentGrace: atOnce });
        const started = yield* stage.start(waits, undefined, { id: "o-1" });
        yield* wake(started, "go");
        yield* resultOf(started);
        yield* untilLast(started, "leaseReleased");
        const behind = yield* verb((verbs) => verbs.retry(started, { from: "start" }));
        yield* untilLast(started, "runSuspended");
        yield* verb((verbs) => verbs.cancel(started, { reason: "enough" }));
        yield* errorOf(resultOf(started, behind));
        yield* untilLast(started, "leaseReleased");
        const events = yield* toldOf(started);
        assert.deepEqual(
          events.flatMap((event) =>
            event.kind === "runCreated" ? [[event.run.id, event.run.taskId]] : []
          ),
          [
            [started.execution, started.execution],
            [`${started.execution}#2`, started.execution],
          ],
        );
        assert.deepEqual(byRecord(events).slice(4), [
          "success; running > completed",
          "leaseReleased",
          "leaseAcquired",
          "runCreated; scheduled > ready; ready > leased; attempt 3.1; leased > running",
          "leaseReleased; suspended; running > suspended: wait go",
          "suspended > ready; leaseAcquired; ready > leased; attempt 4.1; leased > running",
          "taskCanceled; failure: Cancelled: enough; > canceled",
          "leaseReleased",
        ]);
      }));

    test("what an owner that is gone had begun has failed, and another begins", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(go));
        yield* stage.work([waits], { residentGrace: "1 minute" });
        const started = yield* stage.start(waits);
        yield* until(
          "it waits",
          Effect.map(describe(started), ({ waitingFor }) => waitingFor.length > 0),
        );
        yield* verb((verbs) => verbs.revokeLease(started));
        yield* signal(started, "go", 1);
        assert.equal(yield* resultOf(started), 1);
        const told = byRecord(yield* toldOf(started));
        assert.deepEqual(told.slice(0, 5), [
          "taskCreated; runCreated; scheduled > ready",
          "leaseAcquired; ready > leased; attempt 1.0; leased > running",
          "leaseExpired; failure: OwnerLost: the lease was revoked by operator; " +
          "running > retryWait; retryWait > ready",
          "leaseAcquired; ready > leased; attempt 2.1; leased > running",
          "success: 1; running > completed",
        ]);
      }));

    test("what takes too long, and what has no time left, has timed out", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(go));
        yield* stage.work([waits], { residentGrace: "1 minute" });
        const late = yield* stage.start(waits, undefined, { timeout: "50 millis" });
        yield* errorOf(resultOf(late));
        const expired = yield* stage.start(waits, undefined, { deadline: "50 millis" });
        yield* errorOf(resultOf(expired));
        for (const [of, error] of [[late, "AttemptTimedOut"], [expired, "Expired"]] as const) {
          const told = byRecord(yield* toldOf(of)).find((words) => words.startsWith("timeout"));
          assert.match(told!, new RegExp(`^timeout: ${error}: .*; running > failed$`));
        }
      }));

    test("a schedule is a task without a run of its own, and its runs are runs of it", (stage) =>
      Effect.gen(function* () {
        const quick = stage.actor("quick", () => 1);
        yield* stage.work([quick]);
        const policy = { type: "repeat", count: 2, interval: "10 millis" } as const;
        const schedule = yield* stage.start(quick, "input", { id: "daily", policy });
        yield* resultOf(schedule);
        assert.deepEqual(byRecord(yield* toldOf(schedule)), ["taskCreated"]);
        for (const number of [1, 2]) {
          const { execution, tenant } = schedule;
          const of = stage.follow(`${execution}~${number}` as Named["execution"], tenant);
          const [created, ...rest] = yield* toldOf(of);
          assert.ok(created?.kind === "runCreated");
          assert.deepEqual([created.run.id, created.run.taskId], [of.execution, execution]);
          assert.ok(rest.every(({ kind }) => kind !== "taskCreated"));
        }
      }));

    test("whoever reads on from anywhere tells the same", (stage) =>
      Effect.gen(function* () {
        const twice = stage.actor("twice", async (ctx) => {
          await ctx.wait(go);
          await ctx.run("step", () => 1);
          await ctx.wait(next);
        });
        yield* stage.work([twice], { residentGrace: atOnce });
        const started = yield* stage.start(twice);
        yield* wake(started, "go");
        yield* wake(started, "next");
        yield* resultOf(started);
        const records = yield* readable(started);
        const tell = (from: WorkContext, some: typeof records) => {
          let context = from;
          const events = some.flatMap(({ record, at, sequence }) => {
            const told = tellWork(context, record, at, sequence);
            context = told.context;
            return told.events;
          });
          return { context, events };
        };
        const beginning = beforeWork(started);
        const whole = tell(beginning, records);
        for (let i = 0; i <= records.length; i++) {
          const read = tell(beginning, records.slice(0, i));
          assert.deepEqual(read.events, whole.events.slice(0, read.events.length));
          const rest = tell(read.context, records.slice(i));
          assert.deepEqual([...read.events, ...rest.events], whole.events);
        }
        const served = yield* toldOf(started);
        assert.deepEqual(
          served.slice(0, whole.events.length).map(({ cursor: _, ...event }) => event),
          whole.events,
        );
        assert.ok(served.every(({ cursor }) => cursor !== undefined));
      }));
  });
};
