import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { because, publicStatus, type Reason, shown } from "../../../actors/core/describe.ts";
import { takeUpRest } from "../../../actors/core/take_up.ts";
import { executionStateOf } from "../../../schema/execution_state.ts";
import type { ExecutionEvent } from "../../../schema/execution_event.ts";
import type { Timestamp } from "../../../schema/ids.ts";
import { beforeJournal, eventsOfJournal, eventsOfMail } from "../../../schema/journal_events.ts";
import {
  actions,
  anyStart,
  callOf,
  failure,
  replay,
  Stage,
  start,
  type StreamEntry,
} from "./histories.ts";
import { Timestamp as Time } from "../../../schema/ids.ts";

/** The events that readers are shown of a stream. */
const eventsOf = (entries: ReadonlyArray<StreamEntry>) => {
  const events: Array<{ event: ExecutionEvent; timestamp: Timestamp; recordedBy: "engine" }> = [];
  let context = beforeJournal;
  for (const entry of entries) {
    const timestamp = entry.type === "mail" ? entry.mail.at : entry.at;
    const told = entry.type === "mail"
      ? eventsOfMail(context, entry.mail.record, entry.mail.sequence)
      : eventsOfJournal(context, entry.record, entry.at);
    context = told.context;
    for (const event of told.events) events.push({ event, timestamp, recordedBy: "engine" });
  }
  return events;
};

/** What may keep an execution of a status from going on. */
const reasons: Readonly<Record<string, ReadonlyArray<Reason>>> = {
  waiting: ["worker"],
  delayed: ["delay", "retry"],
  paused: ["operator"],
  active: ["none", "retry", "timer", "signal", "child"],
  suspended: ["retry", "timer", "signal", "child"],
};

describe("a description", () => {
  it("is the state that the events tell, however late the owner read and took up", () => {
    fc.assert(
      fc.property(anyStart, actions, (start, actions) => {
        const stage = new Stage(start);
        for (const action of actions) stage.act(action);
        // What is for another life reaches neither readers nor owners.
        const own = stage.entries.filter((entry) =>
          entry.type === "journal" || entry.mail.record.life === undefined
        );
        assert.deepEqual(executionStateOf(eventsOf(own)), shown(takeUpRest(replay(own))));
      }),
      { numRuns: 200 },
    );
  });

  it("always has a status, a reason that goes with it, and words for it", () => {
    fc.assert(
      fc.property(
        anyStart,
        actions,
        fc.boolean(),
        fc.nat(2_000),
        (start, actions, isOwned, now) => {
          const stage = new Stage(start);
          for (const action of actions) {
            stage.act(action);
            const status = publicStatus(stage.state, isOwned, now);
            const { reason, why } = because(status, shown(stage.state));
            const expected = stage.state.done === undefined ? reasons[status] : ["none"];
            assert.ok(expected?.includes(reason), `${status}: ${reason}`);
            assert.notEqual(why, "");
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it("names what is awaited in the order in which it began, with its deadline", () => {
    const stage = new Stage(start);
    stage.command({ kind: "waiting", key: "ok", signal: "approval", due: Time.make(5_000) });
    stage.command({ kind: "sleeping", key: "nap", due: Time.make(9_000) });
    stage.command(callOf("ship"));
    stage.command({ kind: "stepFailed", key: "charge", failure, tries: 1, retryAt: Time.make(3) });
    const { waitingFor } = shown(stage.state);
    assert.deepEqual(waitingFor.map(({ key, kind }) => [key, kind]), [
      ["ok", "wait"],
      ["nap", "sleep"],
      ["ship", "call"],
      ["charge", "run"],
    ]);
    assert.deepEqual(because("suspended", shown(stage.state)), {
      reason: "signal",
      why: "it waits for the signal approval until 1970-01-01T00:00:05.000Z, and 3 more",
    });
  });

  it("shows a tag that was taken off again as gone, also one that the start brought", () => {
    const stage = new Stage({ ...start, tags: { "team.name": "core", "kept.one": "yes" } });
    stage.command({ kind: "tag", key: "untag", change: "cleared", name: "team.name" });
    assert.deepEqual(shown(stage.state).tags, { "kept.one": "yes" });
  });
});
