/**
 * Those who wait for budgets, each in a record beside the budget, until they have been told that there
 * is room. Whoever tells them removes the record; who gives up does so himself. Who waits, and when
 * there is room, is decided in `wait.ts`.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import type { Amounts, BudgetName } from "../../schema/budget.ts";
import { type WaiterRecord, waiterRecord } from "../../schema/budget_record.ts";
import type { Tenant, Timestamp } from "../../schema/ids.ts";
import type { AppendError, Log, ReadError } from "../log.ts";
import type { Bell } from "../retention.ts";
import type { ServerClock } from "../server_clock.ts";
import type { Clerk, ClerkError } from "./clerk.ts";
import type { Awaited, Elapsed, ExhaustedDimension, Waiter } from "./command.ts";
import { subjectOf } from "../subjects.ts";
import { budgetAddress, spendAddress, spendFilter, waiterKey } from "./places.ts";
import { atTime } from "./state.ts";
import { lackOf } from "./wait.ts";

/** One who waits, and where his record is. */
export interface Waiting {
  readonly waiter: WaiterRecord;
  readonly sequence: number;
}

export const makeWaiting = (
  log: Log["Service"],
  clock: ServerClock["Service"],
  clerk: Clerk,
) => ({
  /** The first of these of which there is nothing left. */
  lack: Effect.fnUntraced(function* (tenant: Tenant, budgets: ReadonlyArray<BudgetName>) {
    const now = yield* clock.now;
    const found = yield* Effect.forEach(
      budgets,
      (budget) =>
        Effect.map(clerk.shelf.look(tenant, budget), (held) => lackOf(budget, atTime(held, now))),
      { concurrency: "unbounded" },
    );
    return found.find((lack) => lack !== undefined);
  }),

  /** What a budget has nothing left of now, and whenever it changes; ends only with an error. */
  watch: (
    tenant: Tenant,
    budget: BudgetName,
  ): Stream.Stream<ExhaustedDimension | undefined, ReadError> =>
    Stream.unwrap(Effect.gen(function* () {
      const held = yield* clerk.shelf.look(tenant, budget);
      const { shard, ...rest } = budgetAddress(log.layout, tenant, budget);
      const filter = { shard, subject: subjectOf({ shard, ...rest }, "budget") };
      return Stream.concat(
        Stream.make(held),
        Stream.mapEffect(log.follow(filter, { after: held.revision }), clerk.shelf.heldBy),
      ).pipe(
        Stream.mapEffect((held) => Effect.map(clock.now, (now) => atTime(held, now))),
        Stream.map((held) => lackOf(budget, held)),
      );
    })),

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
