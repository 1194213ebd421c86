/**
 * Following one cell of an execution: what it holds now, and each value that it is given, until the
 * execution has ended. Nothing is polled, and no value is left out.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { journalRecord } from "../../schema/journal_record.ts";
import { readRecords } from "../../streams/execution_records.ts";
import { executionFilter } from "../../streams/subjects.ts";
import { readAll, unread } from "../engine/history.ts";
import type { Executions } from "../executions.ts";
import type { Means, Presence } from "./present.ts";

export const makeCells = (
  { log, completions }: Means,
  { present }: Presence,
): Executions["Service"]["cell"] =>
(of, name) =>
  Stream.unwrap(Effect.gen(function* () {
    const { address, life } = yield* present(of);
    const { sequence: through } = yield* log.tail(address.shard);
    const entries = yield* readRecords(log, address, { through });
    const before = entries.filter(({ sequence }) => sequence <= through);
    const cells = Object.fromEntries((yield* readAll(unread, before)).state.cells);
    const filter = executionFilter(address, "log");
    let seen = through;
    let end = 0;
    const ended = Effect.map(completions.wait(address, life), ({ sequence }) => {
      end = sequence;
    });
    const live = log.follow(filter, { after: through }).pipe(
      Stream.interruptWhen(ended),
      Stream.tap(({ sequence }) => Effect.sync(() => seen = sequence)),
    );
    // The end may be heard before what was written in front of it.
    const rest = Stream.unwrap(Effect.suspend(() =>
      Effect.map(log.readThrough(filter, { after: seen, through: end }), Stream.fromIterable)
    ));
    const given = Stream.concat(live, rest).pipe(
      Stream.mapEffect((entry) =>
        journalRecord.decode(entry.body, entry)
      ),
      Stream.filter((record) => record.kind === "cell" && record.name === name),
      Stream.map((record) => record.kind === "cell" ? record.value : undefined),
      Stream.filter((value) => value !== undefined),
    );
    return Object.hasOwn(cells, name) ? Stream.concat(Stream.make(cells[name]!), given) : given;
  }));
