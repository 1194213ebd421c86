/** The state that the events tell, against the state that the engine derives from its records. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Result from "effect/Result";
import type * as Schema from "effect/Schema";
import fc from "fast-check";
import { beforeTakingUp, type Command, decide } from "../../../actors/core/decide.ts";
import { shown } from "../../../actors/core/describe.ts";
import { receive, record as evolve, takeUp } from "../../../actors/core/evolve.ts";
import { type ExecutionState, initial } from "../../../actors/core/state.ts";
import { executionStateOf } from "../../../schema/execution_state.ts";
import type { ExecutionEvent } from "../../../schema/execution_event.ts";
import {
  ActorName,
  ExecutionId,
  SignalId,
  Tenant,
  Timestamp,
  WorkerInstanceId,
} from "../../../schema/ids.ts";
import {
  beforeJournal,
  eventsOfJournal,
  eventsOfMail,
  type Told,
} from "../../../schema/journal_events.ts";
import type { JournalRecord } from "../../../schema/journal_record.ts";
import type { MailRecord } from "../../../schema/mail_record.ts";

const at = (sequence: number) => Timestamp.make(1_700_000_000_000 + sequence);

/** An execution of which records and events are kept side by side. */
const simulation = () => {
  let state: ExecutionState = initial;
  let context = beforeJournal;
  let sequence = 0;
  let index = 0;
  const events: Array<{ event: ExecutionEvent; timestamp: Timestamp; recordedBy: "engine" }> = [];
  const tell = ({ events: told, context: next }: Told) => {
    context = next;
    for (const event of told) {
      events.push({ event, timestamp: at(sequence), recordedBy: "engine" });
    }
  };
  const post = (mail: MailRecord) => {
    sequence++;
    state = receive(state, { sequence, at: at(sequence), record: mail });
    tell(eventsOfMail(context, mail, sequence));
  };
  const write = (record: JournalRecord) => {
    sequence++;
    if (record.kind !== "claimed") assert.equal(record.index, ++index);
    state = evolve(state, record, at(sequence));
    tell(eventsOfJournal(context, record, at(sequence)));
  };
  return {
    post,
    write,
    /** What an owner does with the first message. */
    takeUp: () => {
      const record = beforeTakingUp(state);
      if (record === undefined) state = takeUp(state);
      else write(record);
    },
    command: (command: Command) => {
      const decided = decide(state, command);
      if (Result.isSuccess(decided)) write(decided.success);
    },
    events,
    /** What is known, with what nobody needs to decide. */
    rest: () => {
      let rest = state;
      while (rest.inbox.length > 0 && beforeTakingUp(rest) === undefined) rest = takeUp(rest);
      return rest;
    },
  };
};

const key = fc.constantFrom("a", "b", "c", "d");
/** With the ends of spawned children. */
const anyKey = fc.oneof(key, fc.constantFrom("weir.end/a", "weir.end/b"));
const name = fc.constantFrom("x", "y");
const failure = fc.constantFrom(
  { name: "CardDeclined", message: "no" },
  { name: "TimeoutError", message: "late", code: "E", retryable: false, data: { x: [1, null] } },
);
const due = fc.integer({ min: 1, max: 1_000 }).map((ms) => Timestamp.make(ms));
const json = fc.constantFrom<Schema.Json>(null, 0, "v", { deep: [true] });
const maybe = <Field extends string, Value>(field: Field, value: fc.Arbitrary<Value>) =>
  fc.option(value).map((value) => value === null ? {} : { [field]: value });

const outcome = fc.oneof(
  maybe("value", json).map((value) => ({ type: "success" as const, ...value })),
  failure.map((failure) => ({ type: "failure" as const, failure })),
  maybe("reason", fc.constant("enough")).map((reason) => ({
    type: "cancelled" as const,
    ...reason,
  })),
  fc.constant({ type: "expired" as const }),
  fc.constant({ type: "skipped" as const, reason: "not needed" }),
);
const child = { actor: ActorName.make("child"), tenant: Tenant.make("acme") };

const mail = fc.oneof<Array<fc.Arbitrary<MailRecord>>>(
  fc.tuple(name, fc.uuid(), maybe("key", fc.constantFrom("k", "l"))).map(([name, id, key]) => ({
    kind: "signal",
    name,
    signalId: SignalId.make(id),
    ...key,
  })),
  maybe("reason", fc.constant("why")).map((reason) => ({ kind: "cancel", ...reason })),
  fc.constant({ kind: "cancel", force: true }),
  fc.constant({
    kind: "cancel",
    parent: { execution: ExecutionId.make("order/p"), tenant: child.tenant, life: 1, key: "k" },
  }),
  maybe("reason", fc.constant("lunch")).map((reason) => ({ kind: "pause", ...reason })),
  fc.constant({ kind: "resume" }),
  fc.constantFrom<MailRecord>({ kind: "retry", from: "failure" }, { kind: "retry", from: "start" }),
  fc.tuple(fc.oneof(key, fc.constant("weir.deadline")), due).map(([key, due]) => ({
    kind: "timer",
    key,
    due,
  })),
  fc.tuple(anyKey, outcome).map(([key, outcome]) => ({
    kind: "child",
    key,
    execution: ExecutionId.make("child/1"),
    outcome,
  })),
);

const command = fc.oneof<Array<fc.Arbitrary<Command>>>(
  fc.tuple(key, maybe("value", json)).map(([key, value]) => ({
    kind: "step",
    key,
    result: { type: "value", ...value },
    tries: 1,
    durationMs: 3,
  })),
  fc.tuple(key, failure).map(([key, failure]) => ({
    kind: "step",
    key,
    result: { type: "failure", failure },
    tries: 2,
    durationMs: 3,
  })),
  fc.tuple(key, failure, due).map(([key, failure, retryAt]) => ({
    kind: "stepFailed",
    key,
    failure,
    tries: 1,
    retryAt,
  })),
  fc.tuple(key, due).map(([key, due]) => ({ kind: "sleeping", key, due })),
  fc.tuple(key, name, maybe("due", due)).map(([key, signal, due]) => ({
    kind: "waiting",
    key,
    signal,
    ...due,
  })),
  key.map((key) => ({ kind: "elapsed", key })),
  fc.tuple(key, fc.constantFrom("call", "spawn")).map(([key, verb]) => ({
    kind: "calling",
    key,
    verb,
    ...child,
    execution: ExecutionId.make("child/1"),
    onParentEnd: "cancel",
  })),
  fc.tuple(anyKey, failure).map(([key, failure]) => ({ kind: "callFailed", key, failure })),
  fc.tuple(key, json).map(([key, value]) => ({ kind: "noted", key, what: "now", value })),
  fc.tuple(key, name, maybe("value", json)).map(([key, name, value]) => ({
    kind: "cell",
    key,
    name,
    ...value,
  })),
  fc.tuple(key, name, fc.boolean()).map(([key, name, attached]) => ({
    kind: "tag",
    key,
    name,
    ...(attached ? { change: "attached", value: "v" } : { change: "cleared" }),
  })),
  fc.tuple(failure, due).map(([failure, retryAt]) => ({ kind: "attemptFailed", failure, retryAt })),
  outcome.map((outcome) => ({ kind: "done", outcome })),
);

const action = fc.oneof(
  { arbitrary: mail.map((mail) => ({ type: "mail" as const, mail })), weight: 3 },
  { arbitrary: fc.constant({ type: "takeUp" as const }), weight: 3 },
  { arbitrary: command.map((command) => ({ type: "command" as const, command })), weight: 5 },
  { arbitrary: fc.nat(5).map((attempt) => ({ type: "claim" as const, attempt })), weight: 1 },
);

const start = fc.constantFrom<MailRecord>(
  { kind: "start", seed: "s" },
  {
    kind: "start",
    seed: "s",
    input: [1],
    tags: { x: "initial", z: "kept" },
    parent: { execution: ExecutionId.make("order/p"), tenant: child.tenant, life: 1, key: "k" },
  },
);

it("the state that the events tell is the one that the records give, whatever happens", () => {
  fc.assert(
    fc.property(start, fc.array(action, { maxLength: 60, size: "max" }), (start, actions) => {
      const execution = simulation();
      assert.equal(executionStateOf(execution.events), undefined);
      execution.post(start);
      let epoch = 1;
      for (const action of actions) {
        switch (action.type) {
          case "mail":
            execution.post(action.mail);
            break;
          case "takeUp":
            execution.takeUp();
            break;
          case "command":
            execution.command(action.command);
            break;
          case "claim": {
            const { attempt } = action;
            const worker = WorkerInstanceId.make("w");
            epoch++;
            execution.write({ kind: "claimed", worker, epoch, attempt, reclaims: 1 });
          }
        }
        assert.deepEqual(executionStateOf(execution.events), shown(execution.rest()));
      }
    }),
    { numRuns: 300 },
  );
});
