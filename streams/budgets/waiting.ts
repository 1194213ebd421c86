/**
 * Those who wait for budgets, each in a record beside the budget, until they have been told that there
 * is room. Whoever tells them removes the record; who gives up does so himself. Who waits, and when
 * there is room, is decided in `wait.ts`.
 */
import * as Effect from "effect/Effect";
import type { Amounts, BudgetName } from "../../schema/budget.ts";
import { type WaiterRecord, waiterRecord } from "../../schema/budget_record.ts";
import type { Tenant, Timestamp } from "../../schema/ids.ts";
import type { AppendError, Log, ReadError } from "../log.ts";
import type { Bell } from "../retention.ts";
import type { Clerk, ClerkError } from "./clerk.ts";
import type { Awaited, Elapsed, Waiter } from "./command.ts";
import { spendAddress, spendFilter, waiterKey } from "./places.ts";

/** One who waits, and where his record is. */
export interface Waiting {
  readonly waiter: WaiterRecord;
  readonly sequence: number;
}

export const makeWaiting = (log: Log["Service"], clerk: Clerk) => ({
  /** Has an execution told when there is enough, unless there is now. */
  wait: (
    tenant: Tenant,
    budgets: ReadonlyArray<BudgetName>,
    waiter: Waiter,
    needs?: Amounts,
  ): Effect.Effect<Awaited, ClerkError> =>
    clerk.do(tenant, {
      type: "await",
      budgets,
      waiter,
      ...(needs === undefined ? {} : { needs }),
    }),

  elapse: (
    tenant: Tenant,
    budget: BudgetName,
    due: Timestamp,
  ): Effect.Effect<Elapsed, ClerkError> =>
    clerk.do(tenant, { type: "elapse", budgets: [budget], due }),

  /** Those who waited when a bell was rung. */
  calledBy: Effect.fnUntraced(function* ({ tenant, budget, sequence: through }: Bell) {
    const filter = spendFilter(spendAddress(log.layout, tenant, budget, "waiters"));
    const entries = yield* log.readThrough(filter, { through });
    const found: Array<Waiting> = [];
    for (const entry of entries) {
      if (entry.removed || entry.sequence > through) continue;
      const waiter = yield* waiterRecord.decode(entry.body, entry);
      found.push({ waiter, sequence: entry.sequence });
    }
    return found;
  }) satisfies (bell: Bell) => Effect.Effect<ReadonlyArray<Waiting>, ReadError>,
});

/** Takes back that an execution waits. */
export const giveUp = (
  log: Log["Service"],
  tenant: Tenant,
  budget: BudgetName,
  waiter: Waiter,
): Effect.Effect<void, AppendError> => {
  const to = spendAddress(log.layout, tenant, budget, "waiters");
  return Effect.asVoid(log.append(to, {
    kind: "spend",
    key: waiterKey(waiter),
    body: new Uint8Array(),
    removes: true,
    replaces: true,
    ttlSeconds: 1,
  }));
};

export type WaitingRoom = ReturnType<typeof makeWaiting>;
