/**
 * Ledgers: what was decided, seen or done, in order, for as long as the namespace is kept. All
 * entries of one ledger are under one subject; nothing here changes or deletes one, and an entry
 * whose id is taken is not appended again, however late. It does not judge what is written.
 */
import { randomUUID } from "node:crypto";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { type LedgerEntry, ledgerEntry } from "../schema/access_event.ts";
import {
  LedgerEntryId,
  LedgerKey,
  type LedgerKind,
  type Principal,
} from "../schema/access_names.ts";
import { InvalidInput, PayloadTooLarge } from "../schema/errors.ts";
import { parse, type Tenant } from "../schema/ids.ts";
import { ledgerMark, ledgerRecord } from "../schema/ledger_record.ts";
import {
  entryIdAddress,
  ledgerAddress,
  ledgerFilter,
  ledgerKeyOf,
  ledgerMarkAddress,
  ledgerMarksFilter,
} from "./access/subjects.ts";
import { type AppendError, type Entry, Log, type ReadError } from "./log.ts";
import type { Address } from "./subjects.ts";

/** An entry on its way into a ledger. */
export interface NewLedgerEntry {
  readonly kind: LedgerKind;
  readonly payload: Schema.Json;
  readonly by?: Principal;
  /** Makes a repeated append harmless; drawn at random, if left out. */
  readonly id?: LedgerEntryId;
}

/** An entry that is in its ledger. */
export interface AppendedEntry {
  readonly id: LedgerEntryId;
  readonly sequence: number;
  /** Whether this call appended it; otherwise it was there before. */
  readonly appended: boolean;
}

export interface ReadLedgerOptions {
  /** Exclusive: the sequence of the last entry that is known already. */
  readonly after?: number;
  /** How many at most, from 1 to 1,000; 100 if left out. */
  readonly limit?: number;
}

export class Ledgers extends Context.Service<Ledgers, {
  /** Appends an entry, unless one has its id already: then it says where that one is. */
  readonly append: (
    tenant: Tenant,
    key: LedgerKey,
    entry: NewLedgerEntry,
  ) => Effect.Effect<AppendedEntry, AppendError | ReadError>;
  readonly read: (
    tenant: Tenant,
    key: LedgerKey,
    options?: ReadLedgerOptions,
  ) => Effect.Effect<ReadonlyArray<LedgerEntry>, InvalidInput | ReadError>;
  /** The keys of a tenant's ledgers. */
  readonly keys: (tenant: Tenant) => Effect.Effect<ReadonlyArray<LedgerKey>, ReadError>;
  /** What is in a ledger and what will be; ends only with an error. */
  readonly follow: (
    tenant: Tenant,
    key: LedgerKey,
    options?: { readonly after?: number },
  ) => Stream.Stream<LedgerEntry, InvalidInput | ReadError>;
}>()("@weir/weir/streams/Ledgers") {}

/** So that an entry is always a message of its own, which any NATS client can read. */
export const maxPayloadBytes = 64 * 1024;
const defaultLimit = 100;
const maxLimit = 1_000;

const isSequence = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

const refuse = (what: string, value: unknown, rule: string) =>
  Effect.fail(new InvalidInput({ what, value: String(value), rule }));

const checkAfter = (after: number): Effect.Effect<number, InvalidInput> =>
  isSequence(after)
    ? Effect.succeed(after)
    : refuse("after", after, "expected the sequence of an entry, or 0");

const entryOf = (entry: Entry): Effect.Effect<LedgerEntry, ReadError> =>
  Effect.map(ledgerRecord.decode(entry.body, entry), (record) => ledgerEntry(record, entry));

/** Somebody appended it, or marked it, first. */
const isTaken = ({ _tag }: AppendError): boolean =>
  _tag === "AlreadyExists" || _tag === "SequenceConflict";

const make = Effect.gen(function* () {
  const log = yield* Log;
  /** The ledgers of which this process knows that they are marked. */
  const marked = new Set<string>();

  /** Comes before the first entry: a ledger that is marked and empty is harmless. */
  const mark = (ledger: Address, key: LedgerKey) =>
    Effect.suspend(() =>
      marked.has(ledger.tail) ? Effect.void : log.append(ledgerMarkAddress(ledger), {
        kind: "ledger",
        guard: { after: 0 },
        body: ledgerMark.encode({ kind: "ledger", key }),
      }).pipe(
        Effect.catchIf(isTaken, () => Effect.void),
        Effect.andThen(Effect.sync(() => marked.add(ledger.tail))),
      )
    );

  /** The sequence of an id's entry, which is right before the mark of it. */
  const known = (ledger: Address, id: LedgerEntryId) =>
    Effect.map(
      log.last(entryIdAddress(ledger, id), "ledger"),
      (mark) => Option.getOrThrow(mark).sequence - 1,
    );

  const append: Ledgers["Service"]["append"] = Effect.fn("Ledgers.append")(
    function* (tenant, key, { kind, payload, by, id: given }) {
      const ledger = ledgerAddress(log.layout, tenant, key);
      const id = given ?? LedgerEntryId.make(randomUUID());
      const record = {
        kind: "entry",
        tenant,
        key,
        id,
        entry: kind,
        ...(by === undefined ? {} : { by }),
        payload,
      } as const;
      const body = ledgerRecord.encode(record);
      if (body.length > maxPayloadBytes) {
        return yield* new PayloadTooLarge({
          sizeBytes: body.length,
          limitBytes: maxPayloadBytes,
          isFixed: true,
        });
      }
      yield* mark(ledger, key);
      const entry = { kind: "ledger", body } as const;
      if (given === undefined) {
        const { sequence } = yield* log.append(ledger, entry);
        return { id, sequence, appended: true };
      }
      const taken = {
        kind: "ledger",
        of: entryIdAddress(ledger, id),
        guard: { after: 0 },
        body: ledgerMark.encode({ kind: "entryId", id }),
      } as const;
      return yield* log.appendBatch(ledger, [entry, taken]).pipe(
        Effect.map(({ sequence }) => ({ id, sequence, appended: true })),
        Effect.catchIf(
          isTaken,
          () => Effect.map(known(ledger, id), (sequence) => ({ id, sequence, appended: false })),
        ),
      );
    },
  );

  const read: Ledgers["Service"]["read"] = Effect.fn("Ledgers.read")(
    function* (tenant, key, { after = 0, limit = defaultLimit } = {}) {
      if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
        return yield* refuse("limit", limit, `expected 1 to ${maxLimit}`);
      }
      const filter = ledgerFilter(ledgerAddress(log.layout, tenant, key));
      const entries = log.read(filter, { after: yield* checkAfter(after) });
      return [...yield* Stream.runCollect(Stream.mapEffect(Stream.take(entries, limit), entryOf))];
    },
  );

  const keys: Ledgers["Service"]["keys"] = Effect.fn("Ledgers.keys")(function* (tenant) {
    const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);
    const found = yield* Effect.forEach(shards, (shard) =>
      Stream.runCollect(Stream.mapEffect(
        log.read(ledgerMarksFilter(log.layout, shard, tenant)),
        ({ subject }) => Effect.orDie(parse(LedgerKey, "ledger key", ledgerKeyOf(subject))),
      )));
    return found.flatMap((keys) => [...keys]).sort();
  });

  const follow: Ledgers["Service"]["follow"] = (tenant, key, { after = 0 } = {}) =>
    Stream.unwrap(Effect.map(checkAfter(after), (after) =>
      Stream.mapEffect(
        log.follow(ledgerFilter(ledgerAddress(log.layout, tenant, key)), { after }),
        entryOf,
      )));

  return Ledgers.of({ append, read, keys, follow });
});

export const layer: Layer.Layer<Ledgers, never, Log> = Layer.effect(Ledgers, make);
