/** `weir history`: every record of one execution, in the order of the log. */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import * as Command from "effect/cli/Command";
import { Executions, type HistoryEntry } from "../../actors/executions.ts";
import { id, named } from "../flags.ts";
import { type Column, json, makeList } from "../report.ts";
import { layer } from "../root.ts";
import { iso } from "../screen.ts";

const columns: ReadonlyArray<Column<HistoryEntry>> = [
  { title: "SEQUENCE", of: ({ sequence }) => String(sequence) },
  { title: "TIME", of: ({ at }) => iso(at) },
  { title: "RECORD", of: ({ record }) => record.kind },
  { title: "DETAILS", of: ({ record: { kind: _, ...rest } }) => json(rest) },
];

export const history = Command.make("history", { id }, ({ id }) =>
  Effect.gen(function* () {
    const executions = yield* Executions;
    const print = yield* makeList(columns);
    yield* executions.history(yield* named(id)).pipe(
      Stream.grouped(256),
      Stream.runForEach(print),
    );
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Print every record of an execution"),
    Command.withExamples([
      { command: "weir history order/o-1 --json | jq .record.kind" },
    ]),
  );
