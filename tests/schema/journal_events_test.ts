import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { executionStateOf } from "../../schema/execution_state.ts";
import { ExecutionId, SignalId, Tenant, Timestamp, WorkerInstanceId } from "../../schema/ids.ts";
import {
  beforeJournal,
  eventsOfJournal,
  eventsOfMail,
  type JournalContext,
} from "../../schema/journal_events.ts";
import type { JournalRecord } from "../../schema/journal_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import { recordOf } from "../../schema/told_record.ts";

const place = { life: 1, index: 1, mail: 1 };
const at = Timestamp.make(5_000);
const failure = { name: "CardDeclined", message: "no", code: "E1", retryable: true, data: [1] };

const told = (record: JournalRecord, context: JournalContext = beforeJournal) =>
  eventsOfJournal(context, record, at).events;
const done = (outcome: OutcomeRecord) =>
  told({ kind: "done", ...place, outcome, attempt: 0, startedAt: Timestamp.make(2_000) });

describe("events of the engine's records", () => {
  it("a start tells what the execution began with, and not its seed", () => {
    const parent = {
      execution: ExecutionId.make("order/p"),
      tenant: Tenant.make("acme"),
      life: 3,
      key: "ship",
    };
    const start = { kind: "start" as const, seed: "secret", input: 1, tags: { a: "b" }, parent };
    const { events } = eventsOfMail(beforeJournal, start, 1);
    assert.deepEqual(events, [{
      type: "executionStarted",
      parent: { executionId: parent.execution, stepId: "ship" },
      metadata: { input: 1, tags: { a: "b" }, parent },
    }]);
  });

  it("a step that is tried again starts once", () => {
    const first = eventsOfJournal(beforeJournal, {
      kind: "stepFailed",
      ...place,
      key: "charge",
      failure,
      tries: 1,
      retryAt: at,
    }, at);
    const error = {
      category: "CardDeclined",
      message: "no",
      code: "E1",
      retryPolicy: { retryable: true },
      attempt: 1,
      stepId: "charge",
      details: { data: [1], retryAt: at },
    };
    assert.deepEqual(first.events, [
      { type: "stepStarted", stepId: "charge", stepType: "run", name: "charge" },
      { type: "stepFailed", stepId: "charge", error },
    ]);
    const result = { type: "value", value: 7 } as const;
    const step = {
      kind: "step",
      ...place,
      key: "charge",
      result,
      tries: 2,
      durationMs: 9,
    } as const;
    const second = eventsOfJournal(first.context, step, at);
    const completed = { type: "stepCompleted", stepId: "charge", output: 7, durationMs: 9 };
    assert.deepEqual(second.events, [completed]);
    assert.equal(eventsOfJournal(second.context, step, at).events.length, 2);
  });

  it("an end is one that readers of the sixteen kinds know", () => {
    assert.deepEqual(done({ type: "success", value: 1 }), [
      { type: "executionCompleted", output: 1, durationMs: 3_000 },
    ]);
    assert.deepEqual(done({ type: "cancelled", reason: "enough" }), [
      { type: "executionCancelled", reason: "enough" },
    ]);
    assert.deepEqual(
      done({ type: "failure", failure }).map(({ type }) => type),
      ["executionFailed"],
    );
    assert.deepEqual(
      done({ type: "expired" }).map(({ type }) => type),
      ["custom", "executionFailed"],
    );
    assert.deepEqual(
      done({ type: "skipped" }).map(({ type }) => type),
      ["custom", "executionCancelled"],
    );
  });

  it("messages that an owner took up without a word are told before its next record", () => {
    const mail = [
      eventsOfMail(beforeJournal, { kind: "timer", key: "nap", due: at }, 2),
    ];
    mail.push(eventsOfMail(mail[0]!.context, { kind: "pause" }, 3));
    const note = { kind: "noted", life: 1, index: 1, key: "now", what: "now", value: 1 } as const;
    const behind = (through: number) =>
      eventsOfJournal(mail[1]!.context, { ...note, mail: through }, at).events;
    assert.equal(behind(1).length, 1);
    assert.deepEqual(behind(3)[0], {
      type: "custom",
      eventType: "weir.mail.takenUp",
      data: { messages: 2 },
    });
  });

  it("each record is told so that it can be told back", () => {
    const records: ReadonlyArray<JournalRecord> = [
      { kind: "claimed", worker: WorkerInstanceId.make("w"), epoch: 2, attempt: 1, reclaims: 1 },
      { kind: "sleeping", ...place, key: "nap", due: at },
      { kind: "waiting", ...place, key: "ok", signal: "approval", due: at },
      { kind: "elapsed", ...place, key: "nap" },
      { kind: "callFailed", ...place, key: "ship", failure },
      { kind: "noted", ...place, key: "now", what: "now", value: 1 },
      { kind: "cell", ...place, key: "cell", name: "total", value: null },
      { kind: "attemptFailed", ...place, failure, retryAt: at },
      { kind: "replayed", ...place, from: "failure" },
      { kind: "tag", ...place, key: "tag", change: "attached", name: "a", value: "b" },
      {
        kind: "signal",
        ...place,
        signalId: SignalId.make("s"),
        name: "go",
        effect: { type: "other", raw: "limit_exceeded" },
        sequence: 7,
        count: 1,
      },
    ];
    for (const record of records) {
      const [event] = told(record);
      const back = recordOf(event!);
      assert.ok(back?.type === "journal");
      const placed = "life" in record ? { ...record, life: 0, index: 0, mail: 0 } : record;
      assert.deepEqual(back.record, placed);
    }
    for (
      const outcome of [
        { type: "success", value: null },
        { type: "failure", failure },
        { type: "cancelled", reason: "enough" },
        { type: "expired" },
        { type: "skipped", reason: "not needed" },
      ] as const
    ) {
      const back = recordOf(done(outcome)[0]!);
      assert.ok(back?.type === "journal" && back.record.kind === "done");
      assert.deepEqual(back.record.outcome, outcome);
    }
  });

  it("what is appended among them changes nothing of the state", () => {
    const start = eventsOfMail(beforeJournal, { kind: "start", seed: "s" }, 1).events[0]!;
    const engine = { event: start, timestamp: at, recordedBy: "engine" } as const;
    const forged = done({ type: "success" }).map((event) => ({ event, timestamp: at }));
    assert.equal(executionStateOf(forged), undefined);
    assert.deepEqual(executionStateOf([engine, ...forged]), executionStateOf([engine]));
    assert.equal(executionStateOf([engine, ...forged])?.status, "running");
  });
});
