/**
 * What happened to an execution, in the words of `schema/work_event.ts`, read from its records as they
 * are. Nothing is stored for it, so it is there for whatever has ever run.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { type Cursor, encodeCursor } from "../../schema/cursor.ts";
import { Timestamp } from "../../schema/ids.ts";
import type { RecordedWorkEvent } from "../../schema/work_event.ts";
import { readMoment, recordKinds } from "../../streams/execution_records.ts";
import { beforeStart } from "../../streams/journal.ts";
import type { Entry, Log } from "../../streams/log.ts";
import { readOn } from "../../streams/readable_record.ts";
import { beforeWork, tellWork } from "../core/tell_work.ts";
import type { Executions, Named } from "../executions.ts";
import type { Means, Presence } from "./present.ts";

/** Behind which record of its shard an event stands. */
const cursorOf = (log: Log["Service"], { shard, sequence, at }: Entry): Cursor =>
  encodeCursor({
    incarnation: log.incarnation,
    shards: Array.from(
      { length: log.layout.shards },
      (_, i) => i === shard ? { sequence, at } : { sequence: 0, at: 0 },
    ),
  });

export const makeWorkHistory = (
  { log }: Means,
  { present }: Presence,
): Executions["Service"]["workHistory"] =>
(of: Named) => {
  const entries = Effect.flatMap(
    present(of),
    ({ address }) => readMoment(log, address, [...recordKinds, "lease"]),
  );
  const beginning = { position: beforeStart, context: beforeWork(of) };
  return Stream.unwrap(Effect.map(entries, (entries) =>
    Stream.fromIterable(entries).pipe(
      Stream.mapAccumEffect(() => beginning, ({ position, context }, entry) =>
        Effect.map(readOn(position, entry), (step) => {
          const none: ReadonlyArray<RecordedWorkEvent> = [];
          const next = { position: step.position, context };
          if (step.record === undefined) {
            return [next, [none]] as const;
          }
          const at = Timestamp.make(entry.at);
          const told = tellWork(context, step.record, at, entry.sequence);
          const cursor = cursorOf(log, entry);
          return [
            { ...next, context: told.context },
            [told.events.map((event) => ({ ...event, cursor }))],
          ] as const;
        })),
      Stream.flattenIterable,
    )));
};
