/** `weir history`: every record of one execution, in the order of the log, or what they tell of work. */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Executions, type HistoryEntry } from "../../actors/executions.ts";
import type { RecordedWorkEvent } from "../../schema/work_event.ts";
import { id, named } from "../flags.ts";
import { type Column, json, makeList } from "../report.ts";
import { existing } from "../root.ts";
import { iso } from "../screen.ts";

const columns: ReadonlyArray<Column<HistoryEntry>> = [
  { title: "SEQUENCE", of: ({ sequence }) => String(sequence) },
  { title: "TIME", of: ({ at }) => iso(at) },
  { title: "RECORD", of: ({ record }) => record.kind },
  { title: "DETAILS", of: ({ record: { kind: _, ...rest } }) => json(rest) },
];

/** What an event says beside its place. */
const detailsOf = ({
  kind: _kind,
  sequence: _sequence,
  ordinal: _ordinal,
  at: _at,
  executionId: _executionId,
  tenant: _tenant,
  cursor: _cursor,
  ...details
}: RecordedWorkEvent) => details;

const workColumns: ReadonlyArray<Column<RecordedWorkEvent>> = [
  { title: "SEQUENCE", of: ({ sequence, ordinal }) => `${sequence}.${ordinal}` },
  { title: "TIME", of: ({ at }) => iso(at) },
  { title: "EVENT", of: ({ kind }) => kind },
  { title: "DETAILS", of: (event) => json(detailsOf(event)) },
];

const work = Flag.Boolean("work").pipe(
  Flag.withDescription("Tell of tasks, runs, attempts and leases instead"),
  Flag.withDefault(false),
);

export const history = Command.make(
  "history",
  { id, work },
  ({ id, work }) =>
    Effect.gen(function* () {
      const executions = yield* Executions;
      const of = yield* named(id);
      if (work) {
        const print = yield* makeList(workColumns);
        return yield* executions.workHistory(of).pipe(
          Stream.grouped(256),
          Stream.runForEach(print),
        );
      }
      const print = yield* makeList(columns);
      yield* executions.history(of).pipe(Stream.grouped(256), Stream.runForEach(print));
    }).pipe(Effect.provide(existing)),
).pipe(
  Command.withDescription("Print every record of an execution"),
  Command.withExamples([
    { command: "weir history order/o-1 --json | jq .record.kind" },
    { command: "weir history order/o-1 --work" },
  ]),
);
