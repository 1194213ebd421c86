/** What the suites of the families write, as owners and others do, and how they read it back. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { type Cursor, decodeCursor, encodeCursor } from "../../../schema/cursor.ts";
import { type ExecutionId, type Tenant, Timestamp } from "../../../schema/ids.ts";
import { type JournalRecord, journalRecord } from "../../../schema/journal_record.ts";
import { type MailRecord, mailRecord } from "../../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../../schema/outcome_record.ts";
import {
  Families,
  type Family,
  type FamilyEvents,
  type ReadFamilyOptions,
} from "../../../streams/families.ts";
import { familyFilters } from "../../../streams/families/family.ts";
import { floorKinds } from "../../../schema/floor_record.ts";
import { raiseFloors } from "../../../streams/floor.ts";
import { type Lease, Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import {
  type Address,
  executionAddress,
  executionFilter,
  type Kind,
} from "../../../streams/subjects.ts";
import { body, tenant, uniqueExecution, uniqueWorker } from "../subject_matter.ts";

export type Services = Families | Log | Leases;
export type Test = (title: string, effect: () => Effect.Effect<unknown, unknown, Services>) => void;

/** One execution that the test owns. */
export interface Owned {
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  readonly address: Address;
  readonly lease: Lease;
}

export const place = (execution: ExecutionId, of: Tenant = tenant) =>
  Effect.map(Log, ({ layout }) => executionAddress(layout, of, execution));

export const own = (of: Tenant = tenant, execution = uniqueExecution()) =>
  Effect.gen(function* () {
    const address = yield* place(execution, of);
    const leases = yield* Leases;
    const lease = yield* leases.acquire(address, { worker: uniqueWorker(), ttl: "30 seconds" });
    return { tenant: of, execution, address, lease } satisfies Owned;
  });

/** A record as a client would send it. */
export const mail = (address: Address, record: MailRecord) =>
  Effect.flatMap(
    Log,
    (log) => log.append(address, { kind: "mail", body: mailRecord.encode(record) }),
  );

const numbers = { life: 1, index: 1, mail: 1 };
type Unnumbered<R> = R extends unknown ? Omit<R, "life" | "index" | "mail"> : never;

/** A record as its owner writes it, under its fence. */
export const journal = (
  { address, lease }: Owned,
  record: Unnumbered<Extract<JournalRecord, { readonly kind: "done" | "signal" | "tag" }>>,
) =>
  Effect.flatMap(Log, (log) =>
    log.append(address, {
      kind: record.kind,
      body: journalRecord.encode({ ...numbers, ...record }),
      guard: lease.fence,
    }));

/** The end of an execution. */
export const end = (owned: Owned, outcome: OutcomeRecord = { type: "success" }) =>
  journal(owned, { kind: "done", outcome, attempt: 0, startedAt: Timestamp.make(1) });

/** Whatever body under a kind, with an owner's id. */
export const raw = ({ address, lease }: Owned, kind: Kind, record: unknown) =>
  Effect.flatMap(Log, (log) =>
    log.append(address, {
      kind,
      body: body(typeof record === "string" ? record : JSON.stringify(record)),
      id: lease.fence.nextId(),
    }));

export const tag = (owned: Owned, change: "attached" | "cleared", name: string, value?: string) =>
  journal(owned, {
    kind: "tag",
    key: name,
    change,
    name,
    ...(value === undefined ? {} : { value }),
  });

/** Where the log ends now, as a cursor. */
export const here: Effect.Effect<Cursor, unknown, Log> = Effect.gen(function* () {
  const log = yield* Log;
  const shards = yield* Effect.forEach(
    Array.from({ length: log.layout.shards }, (_, shard) => shard),
    (shard) => log.tail(shard),
  );
  return encodeCursor({ incarnation: log.incarnation, shards });
});

/** The first so many events. */
export const take = <F extends Family>(family: F, count: number, options: ReadFamilyOptions) =>
  Effect.flatMap(Families, (families) =>
    families.read(family, options).pipe(
      Stream.take(count),
      Stream.runCollect,
      Effect.timeout("30 seconds"),
    ));

/** Everything up to where the log ended when this was called, as a tick says that is behind it. */
export const readAll = <F extends Family>(family: F, options: ReadFamilyOptions) =>
  Effect.gen(function* () {
    const families = yield* Families;
    const { layout } = yield* Log;
    const { shards: ends } = yield* decodeCursor(yield* here);
    const shards = familyFilters(family, layout, options).map(({ shard }) => shard);
    const isBehind = ({ type, cursor }: { readonly type?: unknown; readonly cursor: Cursor }) =>
      Effect.gen(function* () {
        if (type !== "tick") return true;
        const { shards: at } = yield* decodeCursor(cursor);
        return shards.some((shard) => at[shard]!.sequence < ends[shard]!.sequence);
      });
    const events = yield* families.read(family, { ...options, ticks: "50 millis" }).pipe(
      Stream.takeWhileEffect(isBehind),
      Stream.filter((event) => !("type" in event && event.type === "tick")),
      Stream.runCollect,
      Effect.timeout("60 seconds"),
    );
    return events as ReadonlyArray<FamilyEvents[F]>;
  });

/** The error that reading ends with, and what was read before. */
export const failing = <F extends Family>(family: F, options: ReadFamilyOptions) =>
  Effect.gen(function* () {
    const families = yield* Families;
    const seen: Array<FamilyEvents[F]> = [];
    const outcome = yield* families.read(family, options).pipe(
      Stream.runForEach((event) => Effect.sync(() => seen.push(event))),
      Effect.result,
      Effect.timeout("60 seconds"),
    );
    if (Result.isSuccess(outcome)) return assert.fail("it has not failed");
    return { error: outcome.failure, seen };
  });

/** Events without what differs from run to run. */
export const bare = (events: ReadonlyArray<object>): ReadonlyArray<object> =>
  events.map((event) => {
    const { cursor: _, at: __, tenant: ___, executionId: ____, ...rest } = event as Record<
      string,
      unknown
    >;
    return rest;
  });

/** Raises the floors to all that executions have, as the janitor does before it removes any of it. */
export const raiseAll = (addresses: ReadonlyArray<Address>) =>
  Effect.gen(function* () {
    const log = yield* Log;
    for (const address of addresses) {
      const last = yield* log.lastSequences(address, floorKinds);
      yield* raiseFloors(log, address.shard, {
        lease: last.get("lease") ?? 0,
        done: last.get("done") ?? 0,
        signal: last.get("signal") ?? 0,
        tag: last.get("tag") ?? 0,
      });
    }
  });

/** Removes all that executions have. */
export const removeAll = (addresses: ReadonlyArray<Address>) =>
  Effect.gen(function* () {
    const log = yield* Log;
    yield* raiseAll(addresses);
    for (const address of addresses) {
      const { sequence: upTo } = yield* log.tail(address.shard);
      for (const kind of [...floorKinds, "mail", "log"] as const) {
        yield* log.purge(executionFilter(address, kind), { upTo });
      }
    }
  });

export const until = <E, R>(what: string, look: Effect.Effect<boolean, E, R>) =>
  look.pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`it never came: ${what}`)),
    }),
  );
