/** The state that the events tell, against the state that the engine derives from its records. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Result from "effect/Result";
import fc from "fast-check";
import { beforeTakingUp, type Command, decide } from "../../../actors/core/decide.ts";
import { shown } from "../../../actors/core/describe.ts";
import { receive, record as evolve, takeUp } from "../../../actors/core/evolve.ts";
import { type ExecutionState, initial } from "../../../actors/core/state.ts";
import { executionStateOf } from "../../../schema/execution_state.ts";
import type { ExecutionEvent } from "../../../schema/execution_event.ts";
import { type Timestamp, WorkerInstanceId } from "../../../schema/ids.ts";
import {
  beforeJournal,
  eventsOfJournal,
  eventsOfMail,
  type Told,
} from "../../../schema/journal_events.ts";
import type { JournalRecord } from "../../../schema/journal_record.ts";
import type { MailRecord } from "../../../schema/mail_record.ts";
import { anyCommand, anyMail, anyStart, at } from "./histories.ts";

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

/** What is meant for another life is told nobody. */
const mail = anyMail.filter(({ life }) => life === undefined);

const action = fc.oneof(
  { arbitrary: mail.map((mail) => ({ type: "mail" as const, mail })), weight: 3 },
  { arbitrary: fc.constant({ type: "takeUp" as const }), weight: 3 },
  { arbitrary: anyCommand.map((command) => ({ type: "command" as const, command })), weight: 5 },
  { arbitrary: fc.nat(5).map((attempt) => ({ type: "claim" as const, attempt })), weight: 1 },
);

it("the state that the events tell is the one that the records give, whatever happens", () => {
  fc.assert(
    fc.property(anyStart, fc.array(action, { maxLength: 60, size: "max" }), (start, actions) => {
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
