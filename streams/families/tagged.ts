/**
 * Which events are of executions that had a tag when they came to be: a tag that an execution began
 * with, or was given since, until it was cleared. It is decided by whoever reads, from the records
 * themselves, of which those that cannot be read say nothing. What is remembered of an execution is
 * checked against the life that it has now.
 */
import * as Cache from "effect/Cache";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { journalRecord } from "../../schema/journal_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { nonceOfId } from "../fence.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import type { FamilyFilter } from "../families.ts";
import { addressOfSubject, executionFilter, type Filter } from "../subjects.ts";

export type TagFilter = NonNullable<FamilyFilter["tag"]>;

/** What is known of an execution's tag. */
interface Known {
  /** The first record of its mailbox, which is another in another life; 0 if nothing is known. */
  mail: number;
  /** Up to where the tag is known. */
  through: number;
  /** What the tag says there, if it is attached. */
  value: string | undefined;
}

const remembered = 10_000;

/** Whether an entry belongs to an execution that had the tag. */
export type IsTagged = (entry: Entry) => Effect.Effect<boolean, ReadError>;

export const make = Effect.fnUntraced(function* (
  log: Log["Service"],
  { name, value }: TagFilter,
): Effect.fn.Return<IsTagged> {
  const executions = yield* Cache.make({
    capacity: remembered,
    lookup: (_place: string) =>
      Effect.sync((): Known => ({ mail: 0, through: 0, value: undefined })),
  });
  const isWanted = (held: string | undefined) =>
    held !== undefined && (value === undefined || held === value);

  /** What the tag said at the beginning of the life that an entry belongs to, and where that was. */
  const atStart = (mail: Filter, upTo: number) =>
    log.read(mail, { upTo }).pipe(
      Stream.mapEffect((entry) =>
        Effect.map(Effect.option(mailRecord.decode(entry.body, entry)), (record) => {
          const start = Option.getOrUndefined(record);
          return start?.kind === "start"
            ? { through: entry.sequence, value: start.tags?.[name] }
            : undefined;
        })
      ),
      Stream.filter((start) => start !== undefined),
      Stream.runHead,
      Effect.map(Option.getOrElse(() => ({ through: 0, value: undefined }))),
    );

  /** What the tag says behind a record, if that is an owner's word about it. */
  const behind = Effect.fnUntraced(function* (entry: Entry, held: string | undefined) {
    if (entry.id === undefined || nonceOfId(entry.id) === undefined) return held;
    const record = Option.getOrUndefined(
      yield* Effect.option(journalRecord.decode(entry.body, entry)),
    );
    if (record?.kind !== "tag" || record.name !== name) return held;
    return record.change === "attached" ? record.value ?? "" : undefined;
  });

  return Effect.fnUntraced(function* (entry: Entry) {
    const { shard, subject, sequence: through } = entry;
    const address = addressOfSubject(log.layout, shard, subject);
    if (address === undefined) return false;
    const known = yield* Cache.get(executions, `${shard}.${address.tail}`);
    const mail = executionFilter(address, "mail");
    const first = Option.getOrUndefined(yield* log.next(mail, 0))?.sequence ?? 0;
    if (first !== known.mail || known.through > through) {
      Object.assign(known, { mail: first }, yield* atStart(mail, through));
    }
    const changes = yield* log.readThrough(executionFilter(address, "tag"), {
      after: known.through,
      through,
    });
    // Of a change itself the state before it counts as well, or nobody would see a tag cleared.
    let isTagged = false;
    for (const change of changes) {
      if (change.sequence > through) break;
      isTagged = change.sequence === through && isWanted(known.value);
      known.value = yield* behind(change, known.value);
    }
    known.through = through;
    return isTagged || isWanted(known.value);
  }, Effect.catchTag("CorruptRecord", () => Effect.succeed(false)));
});
