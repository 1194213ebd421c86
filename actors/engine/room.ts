/**
 * Waiting for room in the budgets that an execution is bound to. Its place among those who wait is
 * taken before it is recorded that it waits, in the same step in which the budget is looked at; a
 * signal says that there is room, and then it looks again. Whoever takes over after a crash finds
 * that it waits, or takes the same place anew.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import type { Amounts, BudgetName } from "../../schema/budget.ts";
import type { ClerkError } from "../../streams/budgets/clerk.ts";
import { attemptNote, type Lack, lackNote, roomKey, roomSignal } from "../core/state.ts";
import type { Host, Perform } from "./host.ts";
import type { OperationError } from "./operations.ts";

export interface Room {
  /** For an attempt to begin; a request to cancel it ends the wait and is still to be told. */
  readonly toBegin: Effect.Effect<void, OperationError>;
  /** For what has begun to go on; says whether it had to wait. */
  readonly of: (
    budgets: ReadonlyArray<BudgetName>,
    needs?: Amounts,
  ) => Effect.Effect<boolean, OperationError>;
  /**
   * What there is nothing left of, now or as it was when this was asked before; where something was
   * begun, there was something left.
   */
  readonly lack: (
    before: string,
    budgets: ReadonlyArray<BudgetName>,
    isBegun: boolean,
  ) => Effect.Effect<Lack | undefined, OperationError>;
  /** Says what a budget has nothing left of, and if it has again, as long as this run of the code lasts. */
  readonly watch: (budget: BudgetName, tell: (lack: Lack | undefined) => void) => void;
}

export const roomFor = (host: Host, perform: Perform): Room => {
  const { bound, execution, life, tenant } = host;
  const names = bound.map(({ name }) => name);
  /** One wait at a time is recorded. */
  const alone = Semaphore.makeUnsafe(1);

  /** Asks the budgets until they answer. */
  const asking = <A>(ask: Effect.Effect<A, ClerkError>): Effect.Effect<A, ClerkError> =>
    Effect.suspend(() => {
      let found: Exit.Exit<A, ClerkError> = Exit.die("nothing was asked");
      return ask.pipe(
        Effect.retry({
          while: (error) => error.retryable && !host.cancelled.aborted,
          schedule: Schedule.spaced("1 second"),
        }),
        Effect.exit,
        Effect.map((exit) => void (found = exit)),
        host.whileBusy,
        Effect.andThen(Effect.suspend(() => found)),
      );
    });

  const look = (budgets: ReadonlyArray<BudgetName>, needs: Amounts | undefined) =>
    Effect.suspend(() => {
      const { turn } = host.roomTurn();
      const { route } = host.asParent("");
      const waiter = { execution, life, turn, ...(route === undefined ? {} : { route }) };
      return Effect.map(
        asking(host.budgets.wait(tenant, budgets, waiter, needs)),
        (awaited) => ({ turn, ...awaited }),
      );
    });

  const wait = (turn: string, signal: string, leavesCancel: boolean) =>
    perform(roomKey(turn), "wait", (key, known) => {
      if (known === undefined) host.submit({ kind: "waiting", key, signal });
      return undefined;
    }, leavesCancel);

  const all = Effect.fnUntraced(function* (
    budgets: ReadonlyArray<BudgetName>,
    needs: Amounts | undefined,
    leavesCancel: boolean,
  ): Effect.fn.Return<boolean, OperationError> {
    for (let waits = 0;; waits++) {
      if (host.isCancelled()) return yield* host.cancelledError();
      const known = host.roomTurn();
      if (known.signal !== undefined) {
        yield* wait(known.turn, known.signal, leavesCancel);
        continue;
      }
      const found = yield* look(budgets, needs);
      if (found.outcome === "open") return waits > 0;
      yield* wait(found.turn, roomSignal(found.turn, found), leavesCancel);
    }
  });

  const of: Room["of"] = (budgets, needs) =>
    Effect.suspend(() => {
      // What undoes a cancelled execution does not wait.
      if (budgets.length === 0 || host.isCancelled()) return Effect.succeed(false);
      return Effect.callback<boolean, OperationError>((resume) => {
        // What is recorded as waiting is awaited, also if the caller has lost patience.
        host.fork(
          Effect.suspend(() => all(budgets, needs, false)).pipe(
            alone.withPermits(1),
            Effect.exit,
            Effect.map((exit) => resume(exit)),
          ),
        );
      });
    });

  const toBegin = Effect.suspend(() => {
    const hasBegun = host.operation(attemptNote(host.attemptName()))?.settled !== undefined;
    if (names.length === 0 || hasBegun) return Effect.void;
    return Effect.asVoid(all(names, undefined, true));
  });

  const lack: Room["lack"] = Effect.fnUntraced(function* (before, budgets, isBegun) {
    if (budgets.length === 0) return undefined;
    const name = lackNote(host.round, before);
    const isNoted = host.program.next(name) !== undefined;
    if (!isNoted && (isBegun || host.isCancelled())) return undefined;
    const found = isNoted ? undefined : yield* asking(host.budgets.lack(tenant, budgets));
    if (!isNoted && found === undefined) return undefined;
    const [, result] = yield* perform(name, "note", (key) => {
      host.submit({ kind: "noted", key, what: "exhausted", value: { ...found } });
      return undefined;
    });
    return result.type === "value" ? result.value as unknown as Lack : undefined;
  });

  const watch: Room["watch"] = (budget, tell) =>
    void host.fork(
      host.budgets.watch(tenant, budget).pipe(
        Stream.runForEach((lack) => Effect.sync(() => tell(lack))),
        Effect.retry(Schedule.spaced("1 second")),
        Effect.ignore,
      ),
    );

  return { toBegin, of, lack, watch };
};
