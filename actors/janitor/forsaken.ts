/**
 * What nobody will ever act on: mail for a life that is over and gone, and the traces of a worker who
 * was offered it. It is removed by whoever meets it, up to what was seen, and only where no start
 * lies in the mailbox. Mail that names no life may be meant for one that is to come, and has time.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { floorKinds } from "../../schema/floor_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { noFloors, raiseFloors } from "../../streams/floor.ts";
import type { Entry, Log } from "../../streams/log.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import { type Found, plainKinds } from "./removal.ts";

/** How long mail waits for the start that it was sent before. */
const patienceMs = 60 * 60 * 1_000;

/** Nothing is removed because of a start that only this process cannot read. */
const readMail = (entry: Entry) =>
  mailRecord.decode(entry.body, entry).pipe(
    Effect.asSome,
    Effect.catch((error) =>
      error._tag === "UnsupportedRecordVersion" && error.kind === "start"
        ? Effect.fail(error)
        : Effect.succeedNone
    ),
  );

/** The mail of an execution, and the sequence of its start; 0 if it has none. */
export const readMailbox = Effect.fnUntraced(function* (
  log: Log["Service"],
  address: Address,
  through: number,
) {
  const entries = yield* log.readThrough(executionFilter(address, "mail"), { through });
  const mail = yield* Effect.forEach(
    entries,
    (entry) => Effect.map(readMail(entry), (record) => ({ entry, record })),
  );
  const start = mail.find(({ record }) => record._tag === "Some" && record.value.kind === "start");
  return { mail, life: start?.entry.sequence ?? 0 };
});

/** The sequence of an execution's start, which nearly always comes first; 0 if it has none. */
export const lifeOf = Effect.fnUntraced(function* (
  log: Log["Service"],
  address: Address,
  through: number,
) {
  const first = Option.getOrUndefined(yield* log.first(address, "mail"));
  const record = first === undefined ? Option.none() : yield* readMail(first);
  if (Option.isSome(record) && record.value.kind === "start" && first!.sequence <= through) {
    return first!.sequence;
  }
  return (yield* readMailbox(log, address, through)).life;
});

/** The families' records among what was found. */
export const floorsOf = (found: Found, upTo = Infinity) => {
  const floors = { ...noFloors };
  for (const kind of floorKinds) {
    floors[kind] = Math.min(found.get(kind) ?? 0, upTo);
  }
  return floors;
};

/** Removes what is left of an execution that has no start, until nothing is, or one is there. */
export const removeForsaken = Effect.fnUntraced(function* (log: Log["Service"], address: Address) {
  for (;;) {
    const found = yield* log.lastSequences(address, plainKinds);
    const upTo = Math.max(0, ...found.values());
    if (upTo === 0) return;
    const { mail, life } = yield* readMailbox(log, address, found.get("mail") ?? 0);
    if (life !== 0) return;
    yield* raiseFloors(log, address.shard, floorsOf(found));
    const { at } = yield* log.tail(address.shard);
    for (const { entry, record } of mail) {
      const isLate = record._tag === "Some" && record.value.life !== undefined;
      if (isLate || entry.at < at - patienceMs) yield* log.remove(entry.shard, entry.sequence);
    }
    for (const kind of found.keys()) {
      if (kind !== "mail") yield* log.purge(executionFilter(address, kind), { upTo });
    }
    // What is left now is mail that has time, or came a moment ago.
    if (mail.length > 0 && found.size === 1) return;
  }
});
