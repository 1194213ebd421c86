/**
 * The budgets of all tenants as the log has them: read, recalled, and written as a whole or not at
 * all. What this process wrote last it knows without asking, and only a write shows whether that
 * still holds. It decides nothing.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { BudgetKey, BudgetName } from "../../schema/budget.ts";
import {
  budgetBell,
  budgetRecord,
  type SpendRecord,
  spendRecord,
  type WaiterRecord,
  waiterRecord,
} from "../../schema/budget_record.ts";
import type { ExecutionId, Tenant, Timestamp } from "../../schema/ids.ts";
import { type Appended, type AppendError, type Log, maxBatchSize } from "../log.ts";
import type { Entry, Message, ReadError } from "../log.ts";
import type { Address } from "../subjects.ts";
import { type Moved, recalled, settled } from "./facts.ts";
import * as Places from "./places.ts";
import { type BudgetState, hasMovedSpendings, type Held } from "./state.ts";
import { newDue, roused } from "./wait.ts";

/** A budget as it was read, and whether that is what the server said just now. */
export interface Read {
  readonly held: Held;
  readonly isFresh: boolean;
}

/** A name under which something may lie beside a budget. */
export type Recall = { readonly key: BudgetKey } | { readonly execution: ExecutionId };

/** After so many records of a budget the older ones go. */
const recordsKept = 256;

/** How many budgets a process remembers. */
const mostRemembered = 1_024;

const nothing = new Uint8Array();

export type Shelf = ReturnType<typeof make>;

export const make = (log: Log["Service"]) => {
  const { layout } = log;
  const remembered = new Map<string, Held>();

  const idOf = (tenant: Tenant, name: BudgetName): string => `${tenant.length} ${tenant} ${name}`;

  const remember = (id: string, held: Held): void => {
    remembered.delete(id);
    remembered.set(id, held);
    const [oldest] = remembered.keys();
    if (remembered.size > mostRemembered) remembered.delete(oldest!);
  };

  const forget = (tenant: Tenant, names: Iterable<BudgetName>): void => {
    for (const name of names) remembered.delete(idOf(tenant, name));
  };

  const heldBy = (entry: Entry): Effect.Effect<Held, ReadError> =>
    entry.removed
      ? Effect.succeed({ revision: entry.sequence, records: 0, state: undefined, events: [] })
      : Effect.map(
        budgetRecord.decode(entry.body, entry),
        ({ kind: _, events: __, records, ...state }) => ({
          revision: entry.sequence,
          records,
          state,
          events: [],
        }),
      );

  /** As the leader has it. */
  const look = (tenant: Tenant, name: BudgetName): Effect.Effect<Held, ReadError> =>
    Effect.flatMap(
      log.last(Places.budgetAddress(layout, tenant, name), "budget"),
      Option.match({
        onNone: () => Effect.succeed({ revision: 0, records: 0, state: undefined, events: [] }),
        onSome: heldBy,
      }),
    );

  const read = (tenant: Tenant, name: BudgetName): Effect.Effect<Read, ReadError> => {
    const known = remembered.get(idOf(tenant, name));
    return known === undefined
      ? Effect.map(look(tenant, name), (held) => ({ held, isFresh: true }))
      : Effect.succeed({ held: known, isFresh: false });
  };

  /** What lies beside a budget under these names. */
  const recall = (tenant: Tenant, name: BudgetName, held: Held, names: ReadonlyArray<Recall>) =>
    Effect.forEach(names, (asked) => {
      const [what, key] = "key" in asked
        ? ["keys", asked.key] as const
        : ["spendings", asked.execution] as const;
      return Effect.flatMap(
        log.last(Places.spendAddress(layout, tenant, name, what), "spend", key),
        (found): Effect.Effect<readonly [Recall, SpendRecord] | undefined, ReadError> =>
          Option.isNone(found) || found.value.removed ? Effect.undefined : Effect.map(
            spendRecord.decode(found.value.body, found.value),
            (record) => [asked, record] as const,
          ),
      );
    }, { concurrency: "unbounded" }).pipe(Effect.map((found): Held => ({
      ...held,
      state: found.reduce(
        (state, beside) => beside && state ? recalled(state, ...beside) : state,
        held.state,
      ),
    })));

  const movedMessage = (tenant: Tenant, name: BudgetName, moved: Moved): Message => {
    const [what, key] = "key" in moved
      ? ["keys", moved.key] as const
      : ["spendings", moved.execution] as const;
    const of = Places.spendAddress(layout, tenant, name, what);
    const at = { kind: "spend", of, key, replaces: true } as const;
    if (moved.record === undefined) {
      return { ...at, body: nothing, removes: true, ttlSeconds: 1 };
    }
    const body = spendRecord.encode(moved.record);
    return "key" in moved ? { ...at, body, ttlSeconds: moved.ttlSeconds } : { ...at, body };
  };

  const waiterMessage = (tenant: Tenant, name: BudgetName, waiter: WaiterRecord): Message => ({
    kind: "spend",
    of: Places.spendAddress(layout, tenant, name, "waiters"),
    key: Places.waiterKey(waiter),
    body: waiterRecord.encode(waiter),
    replaces: true,
  });

  /** Has those who wait told: now, or at a time. */
  const bellMessage = (tenant: Tenant, name: BudgetName, due?: Timestamp): Message => {
    const at = { kind: "gc", of: Places.bellAddress(layout, tenant, name) } as const;
    if (due === undefined) return { ...at, body: budgetBell.encode({ kind: "bell" }) };
    const body = budgetBell.encode({ kind: "bell", due });
    return { ...at, key: String(due), body, schedule: { at: due, into: "gc" } };
  };

  const stateMessage = (of: Address, held: Held, state: BudgetState | undefined): Message => {
    const at = { kind: "budget", of, guard: { after: held.revision } } as const;
    if (state === undefined) return { ...at, body: nothing, removes: true, replaces: true };
    const records = held.records + 1;
    const body = budgetRecord.encode({ kind: "budget", events: held.events, ...state, records });
    return { ...at, body, ...(records % recordsKept === 0 ? { replaces: true } : {}) };
  };

  /** Removes what is beside a budget and counts no more. */
  const clear = (
    tenant: Tenant,
    name: BudgetName,
    { before, next, revision }: {
      readonly before: BudgetState | undefined;
      readonly next: BudgetState | undefined;
      readonly revision: number;
    },
  ): Effect.Effect<void, ReadError> => {
    const isOver = next === undefined || next.life !== before?.life;
    const stale = (["keys", "spendings"] as const).filter((what) =>
      before !== undefined &&
      (what === "keys"
        ? before.keysMovedAt !== undefined && isOver
        : hasMovedSpendings(before) && (isOver || !hasMovedSpendings(next)))
    );
    return Effect.forEach(stale, (what) => {
      const filter = Places.spendFilter(Places.spendAddress(layout, tenant, name, what));
      return log.purge(filter, { upTo: revision });
    }, { discard: true });
  };

  /** Stores what has happened to some budgets, if it is still so that it can happen. */
  const write = (
    tenant: Tenant,
    changed: ReadonlyArray<readonly [name: BudgetName, before: BudgetState | undefined, Held]>,
    now: number,
  ): Effect.Effect<Effect.Effect<void, ReadError>, AppendError> => {
    const waiting = changed.flatMap(([name, , { waiters = [] }]) =>
      waiters.map((waiter) => waiterMessage(tenant, name, waiter))
    );
    // Each has its record, and may have a bell and a time for another.
    let room = maxBatchSize - 3 * changed.length - waiting.length;
    const parts = changed.map(([name, before, held]) => {
      const { revision } = held;
      const { state: next, rings } = roused(name, before, held);
      const { state, moved } = next === undefined
        ? { state: undefined, moved: [] }
        : settled(next, { now, revision, room });
      room -= moved.length;
      const due = newDue(before, state);
      const bells = [
        ...(due === undefined ? [] : [bellMessage(tenant, name, due)]),
        ...(rings ? [bellMessage(tenant, name)] : []),
      ];
      const of = Places.budgetAddress(layout, tenant, name);
      return { name, before, held, state, moved, bells, of };
    });
    const messages = [
      ...parts.map(({ of, held, state }) => stateMessage(of, held, state)),
      ...parts.flatMap(({ name, moved }) => moved.map((one) => movedMessage(tenant, name, one))),
      ...waiting,
      // Behind those whom they are about.
      ...parts.flatMap(({ bells }) => bells),
    ];
    const to = parts[0]!.of;
    const appended: Effect.Effect<Appended, AppendError> = messages.length === 1
      ? log.append(to, messages[0]!)
      : log.appendBatch(to, messages);
    return Effect.map(appended, ({ sequence }) => {
      const cleared = parts.map(({ name, before, held, state }, index) => {
        const revision = sequence + index;
        const records = state === undefined ? 0 : held.records + 1;
        remember(idOf(tenant, name), { revision, records, state, events: [] });
        return clear(tenant, name, { before, next: state, revision });
      });
      return Effect.all(cleared, { discard: true });
    });
  };

  /** All budgets of a tenant by name, each as it was read. */
  const list = Effect.fnUntraced(function* (tenant: Tenant) {
    const last = new Map<BudgetName, Entry>();
    yield* Stream.runForEach(
      log.read(Places.budgetFilter(layout, tenant)),
      (entry) =>
        Effect.sync(() => {
          const name = Places.budgetOfSubject(entry.subject);
          if (name !== undefined) last.set(name, entry);
        }),
    );
    return yield* Effect.forEach(
      [...last].sort(([a], [b]) => a < b ? -1 : 1),
      ([name, entry]) => Effect.map(heldBy(entry), (held) => [name, held] as const),
    );
  });

  return { heldBy, look, read, recall, write, forget, list };
};
