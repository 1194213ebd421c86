/** `weir events`: what happened in one execution, as the event store tells it. */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { ExecutionNotFound } from "../../schema/execution_errors.ts";
import type { StoredEvent } from "../../schema/stored_event.ts";
import { EventStore } from "../../streams/event_store.ts";
import { id, named } from "../flags.ts";
import { type Column, json, makeList } from "../report.ts";
import { existing } from "../root.ts";
import { iso } from "../screen.ts";

const columns: ReadonlyArray<Column<StoredEvent>> = [
  { title: "SEQUENCE", of: ({ sequence }) => String(sequence) },
  { title: "TIME", of: ({ timestamp }) => iso(timestamp) },
  { title: "EVENT", of: ({ event: { type } }) => type },
  { title: "DETAILS", of: ({ event: { type: _, ...rest } }) => json(rest) },
];

export const events = Command.make("events", {
  id,
  after: Flag.Int("after").pipe(
    Flag.withMetavar("sequence"),
    Flag.withDescription("Those behind this one"),
    Flag.withDefault(0),
  ),
}, ({ id, after }) =>
  Effect.gen(function* () {
    const store = yield* EventStore;
    const { execution, tenant } = yield* named(id);
    const print = yield* makeList(columns);
    if (!(yield* store.executionExists(execution, tenant))) {
      return yield* new ExecutionNotFound({ execution });
    }
    yield* store.events(execution, tenant, { after }).pipe(
      Stream.grouped(256),
      Stream.runForEach(print),
    );
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Print the events of an execution"),
    Command.withExamples([{ command: "weir events order/o-1 --after 3" }]),
  );
