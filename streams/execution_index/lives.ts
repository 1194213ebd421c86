/**
 * The current life of executions, for records that do not name it: known from the starts that a
 * projector has passed, or else looked up in the mailbox, which keeps its start as long as anything.
 * It serves one run of a projector through one shard.
 */
import * as Cache from "effect/Cache";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { mailRecord } from "../../schema/mail_record.ts";
import type { Entry, Log, Place } from "../log.ts";
import { type Address, executionFilter } from "../subjects.ts";
import type { Change } from "./fold.ts";
import type { CardChange } from "./plan.ts";

const rememberedLives = 65_536;
const lookUpsAtOnce = 16;

const isStart = (entry: Entry) =>
  mailRecord.decode(entry.body, entry).pipe(
    Effect.map(({ kind }) => kind === "start"),
    Effect.catchTag("CorruptRecord", () => Effect.succeed(false)),
  );

/** The sequence of an execution's start, or nothing if it has none that can be read. */
const lookUp = Effect.fnUntraced(function* (log: Log["Service"], address: Address) {
  const first = yield* Effect.catchTag(
    log.first(address, "mail"),
    "CorruptRecord",
    () => Effect.undefined,
  );
  if (first !== undefined) {
    if (Option.isNone(first)) return undefined;
    if (yield* isStart(first.value)) return first.value.sequence;
  }
  // Something was sent before the start was, or has lost its payload.
  const through = (yield* log.lastSequences(address, ["mail"])).get("mail") ?? 0;
  const filter = executionFilter(address, "mail");
  const mail = yield* log.readThrough(filter, { through, withLost: true });
  return (yield* Effect.filter(mail, isStart))[0]?.sequence;
});

export const make = Effect.fnUntraced(function* (log: Log["Service"]) {
  /** By the tail of the address, which is all that differs within a shard. */
  const addresses = new Map<string, Address>();
  const lives = yield* Cache.make({
    capacity: rememberedLives,
    lookup: (tail: string) => lookUp(log, addresses.get(tail)!),
  });

  /** Those whose start is in none of these changes before they are needed. */
  const fetch = Effect.fnUntraced(function* (changes: ReadonlyArray<Change>) {
    const begun = new Set<string>();
    for (const { address, begins, life } of changes) {
      if (begins) begun.add(address.tail);
      else if (life === undefined && !begun.has(address.tail)) {
        addresses.set(address.tail, address);
      }
    }
    yield* Effect.forEach(addresses.keys(), (tail) => Cache.get(lives, tail), {
      concurrency: lookUpsAtOnce,
      discard: true,
    });
  });

  /** The changes, each with its life; without those that mean none that there is. */
  const settle = Effect.fnUntraced(function* (changes: ReadonlyArray<Change>) {
    yield* fetch(changes);
    const begun = new Map<string, number>();
    const settled: Array<CardChange & Place> = [];
    for (const { sequence, at, address, begins, life, apply } of changes) {
      if (begins) begun.set(address.tail, sequence);
      const meant = life ?? begun.get(address.tail) ?? (yield* Cache.get(lives, address.tail));
      if (meant !== undefined && meant <= sequence) {
        settled.push({ sequence, at, life: meant, apply });
      }
    }
    for (const [tail, life] of begun) yield* Cache.set(lives, tail, life);
    addresses.clear();
    return settled;
  });

  return { settle };
});

export type Lives = Effect.Success<ReturnType<typeof make>>;
