/**
 * What is left of executions that have ended, as a set of records, without what differs between any two
 * runs: positions and times, who did it and how often somebody took it up, by which number a call goes,
 * who called first a child that several share, after which life of its parent a child is named, whether
 * an owner saw himself that a time had come, and whether a signal came before its wait, which is then
 * recorded as buffered, and spares the wait its record.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { type JournalRecord, journalRecord } from "../../schema/journal_record.ts";
import { type MailRecord, mailRecord } from "../../schema/mail_record.ts";
import { recordKinds } from "../../streams/execution_records.ts";
import { type Entry, Log } from "../../streams/log.ts";
import { addressOfSubject, kindOfSubject, shardRoot } from "../../streams/subjects.ts";
import { plainly } from "./programs.ts";

/** What must differ, by its name; a name that is no such thing anywhere is not used for another. */
const passing = new Set([
  "life",
  "index",
  "mail",
  "sequence",
  "count",
  "call", // where it stands
  "at",
  "due",
  "retryAt",
  "startedAt",
  "keepUntil",
  "durationMs", // when it was
  "attempt",
  "seed", // how often, and by which run
]);

const lasting = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(lasting);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, part]) =>
      passing.has(name) ? [] : [[name, lasting(part)] as const]
    ).sort(([a], [b]) => a < b ? -1 : 1),
  );
};

const shown = (record: JournalRecord | MailRecord): string | undefined => {
  switch (record.kind) {
    case "claimed":
    case "elapsed":
    case "join":
    case "timer":
    case "waiting":
      return undefined;
    case "start": {
      const { parent: _, ...alone } = record;
      return JSON.stringify(lasting(alone));
    }
    case "signal": {
      if (!("effect" in record) || record.effect === "deduped") break;
      const { effect: _, key: _key, ...taken } = record;
      return JSON.stringify(lasting(taken));
    }
    case "noted":
      return JSON.stringify(lasting(record.what === "now" ? { ...record, value: 0 } : record));
  }
  return JSON.stringify(lasting(record));
};

/** What is left of every execution: its records by kind, in an order that says nothing. */
export const remains = Effect.gen(function* () {
  const log = yield* Log;
  const left: Record<string, Array<string>> = {};
  for (let shard = 0; shard < log.layout.shards; shard++) {
    for (const kind of recordKinds) {
      const filter = { shard, subject: `${shardRoot(log.layout, shard)}.${kind}.>` };
      const entries: ReadonlyArray<Entry> = yield* Stream.runCollect(log.read(filter));
      for (const entry of entries) {
        const { label } = addressOfSubject(log.layout, shard, entry.subject)!;
        const record = yield* kindOfSubject(entry.subject) === "mail"
          ? mailRecord.decode(entry.body, entry)
          : journalRecord.decode(entry.body, entry);
        const text = shown(record as JournalRecord | MailRecord);
        if (text !== undefined) (left[`${plainly(label)} ${kind}`] ??= []).push(plainly(text));
      }
    }
  }
  return Object.fromEntries(
    Object.entries(left).map(([name, texts]) => [
      name,
      (name.endsWith(" signal") ? [...new Set(texts)] : texts).sort(),
    ]),
  );
});

const isOver = Effect.map(
  remains,
  (left) =>
    Object.keys(left).every((name) =>
      !name.endsWith(" mail") || left[name.replace(/ mail$/, " done")] !== undefined
    ),
);

export const untilOver = isOver.pipe(
  Effect.repeat({ until: (over) => over, schedule: Schedule.spaced("500 millis") }),
  Effect.timeout("3 minutes"),
  Effect.asVoid,
);
