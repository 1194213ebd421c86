/**
 * Leaving a state behind, and taking it up: replay then reads what came later instead of everything.
 * A snapshot is believed only if it is whole and the log has the very record that it claims to end
 * with; otherwise the log alone is read.
 */
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import { Timestamp } from "../../schema/ids.ts";
import { journalRecord } from "../../schema/journal_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import { type StateRecord, stateRecord } from "../../schema/state_record.ts";
import { readRecords } from "../../streams/execution_records.ts";
import { type Fence, nonceOfId } from "../../streams/fence.ts";
import type { JournalError } from "../../streams/journal.ts";
import type { AppendError, Entry, Log, ReadError } from "../../streams/log.ts";
import type { Address } from "../../streams/subjects.ts";
import { contentOf, stateOf } from "../core/snapshot.ts";
import type { ExecutionState } from "../core/state.ts";
import { type History, readAll, unread } from "./history.ts";

/** Journal records that make a snapshot worth its while. */
export const snapshotEvery = 64;

/** The last snapshot that an owner knows of. */
export interface Left {
  /** Where the stream has it, and how many journal records it covers. */
  readonly sequence: number;
  readonly index: number;
  /** The one before it. */
  readonly previous: number | undefined;
}

const checksum = (content: Omit<StateRecord, "checksum">): string =>
  createHash("sha256").update(JSON.stringify(content, sorted)).digest("base64url");

/** Objects with their fields in one order, so that decoding and encoding again changes nothing. */
const sorted = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value as Record<string, Schema.Json>).sort(byName))
    : value;

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : a > b ? 1 : 0;

/** Leaves the state behind the journal record at a sequence; two are kept. */
export const leave = Effect.fnUntraced(function* (
  log: Log["Service"],
  address: Address,
  fence: Fence,
  state: ExecutionState,
  last: number,
  before: Left | undefined,
): Effect.fn.Return<Left, AppendError> {
  const content = contentOf(state, last, before?.sequence);
  const { sequence } = yield* log.append(address, {
    kind: "snap",
    body: stateRecord.encode({ ...content, checksum: checksum(content) }),
    guard: fence,
  });
  if (before?.previous !== undefined) {
    yield* Effect.ignore(log.remove(address.shard, before.previous));
  }
  return { sequence, index: state.index, previous: before?.sequence };
});

/** A history as far as a snapshot tells it, and whether the log confirms that. */
const open = Effect.fnUntraced(function* (
  log: Log["Service"],
  address: Address,
  entry: Entry,
) {
  const record = yield* stateRecord.decode(entry.body, entry);
  const { checksum: claimed, ...content } = record;
  const nonce = entry.id === undefined ? undefined : nonceOfId(entry.id);
  if (nonce === undefined || claimed !== checksum(content)) return undefined;
  const start = yield* log.first(address, "mail");
  if (Option.isNone(start)) return undefined;
  const first = yield* mailRecord.decode(start.value.body, start.value);
  if (first.kind !== "start" || start.value.sequence !== record.life) return undefined;
  const at = Timestamp.make(start.value.at);
  return {
    history: {
      state: stateOf(content, { sequence: record.life, at, record: first }),
      position: { life: record.life, starts: 1, index: record.index, nonce },
      mail: record.mail,
      journal: record.sequence,
    },
    record,
    nonce,
    left: { sequence: entry.sequence, index: record.index, previous: record.previous },
  };
});

/** Everything that an owner must know, read at least up to its own claim. */
export const readHistory = Effect.fnUntraced(function* (
  log: Log["Service"],
  address: Address,
  through: number,
): Effect.fn.Return<
  { readonly history: History; readonly left: Left | undefined },
  JournalError | ReadError
> {
  const whole = Effect.map(
    Effect.flatMap(readRecords(log, address, { through }), (entries) => readAll(unread, entries)),
    (history) => ({ history, left: undefined }),
  );
  const last = yield* log.last(address, "snap");
  if (Option.isNone(last) || last.value.sequence > through) return yield* whole;
  const opened = yield* Effect.catchTag(
    open(log, address, last.value),
    "CorruptRecord",
    () => Effect.undefined,
  );
  if (opened === undefined) return yield* whole;
  const { history, record, nonce, left } = opened;
  const entries = yield* readRecords(log, address, {
    after: record.sequence - 1,
    mailAfter: record.mail,
    through,
  });
  const end = entries.find(({ sequence }) => sequence === record.sequence);
  const owner = end === undefined ? undefined : yield* ownerOf(end, record);
  if (owner === undefined) return yield* whole;
  const later = entries.filter((entry) => entry !== end);
  const behind = later.findIndex(({ sequence }) => sequence > left.sequence);
  const from = { ...history, position: { ...history.position, nonce: owner } };
  const then = yield* readAll(from, behind === -1 ? later : later.slice(0, behind));
  // Whoever left it must have been the owner where it stands, and have written nothing in between.
  if (then.position.nonce !== nonce || then.journal !== record.sequence) return yield* whole;
  return { history: yield* readAll(then, behind === -1 ? [] : later.slice(behind)), left };
});

/** The owner who wrote the record that a snapshot ends with, if it is the one that the log has. */
const ownerOf = (entry: Entry, { life, index }: StateRecord) =>
  journalRecord.decode(entry.body, entry).pipe(
    Effect.map((record) =>
      record.kind !== "claimed" && record.index === index && record.life === life &&
        entry.id !== undefined
        ? nonceOfId(entry.id)
        : undefined
    ),
    Effect.catchTag("CorruptRecord", () => Effect.undefined),
  );
