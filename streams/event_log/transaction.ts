/**
 * What a program does with one store as if nobody else did anything meanwhile. Its writes are kept in
 * memory until it has ended well, are stored in one step, and are nobody's before; if another process
 * was first, it runs again from its beginning. It covers what it writes to the store, and nothing of
 * any database.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import type { Entry, RemoteEntry } from "effect/eventlog/EventJournal";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Scope from "effect/Scope";
import * as Semaphore from "effect/Semaphore";
import type { EventLogEntriesRecord } from "../../schema/event_log_record.ts";
import type { AppendError, ReadError } from "../log.ts";
import { randomMessageId } from "../message_id.ts";
import { idText } from "./bytes.ts";
import { numbered, recordOf } from "./entries.ts";
import { Overtaken, type StoreLog } from "./store_log.ts";
import { failing } from "./stores.ts";

type Store = StoreLog<EventLogEntriesRecord>;
type OpenStore = (storeId: string) => Effect.Effect<Store, never, Scope.Scope>;

/** The store that a transaction is about, which nobody else of this process writes to. */
interface Held {
  readonly storeId: string;
  readonly store: Store;
}

/** How the transaction found it. */
interface Found extends Held {
  readonly head: number;
  readonly sequence: number;
}

interface Transaction {
  readonly scope: Scope.Scope;
  /** One after the other, whatever the program does at once. */
  readonly turn: Semaphore.Semaphore;
  readonly written: Array<Entry>;
  held: Held | undefined;
  found: Found | undefined;
  isOpen: boolean;
}

type Program<A, E, R> = (transaction: Transaction) => Effect.Effect<A, E, R>;

/** What a program sees of the store within a transaction. */
export interface View {
  readonly store: Store;
  /** What it has written itself. */
  readonly written: ReadonlyArray<RemoteEntry>;
}

export interface Transactions {
  readonly within: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>;
  /** Writes within the transaction that there is, or else within one of its own. */
  readonly write: (
    storeId: string,
    entries: ReadonlyArray<Entry>,
  ) => Effect.Effect<ReadonlyArray<RemoteEntry>>;
  /** Looks at a store, within a transaction or outside. */
  readonly view: <A, E>(
    storeId: string,
    look: (view: View) => Effect.Effect<A, E>,
  ) => Effect.Effect<A, E | ReadError>;
}

/** How often a transaction runs again before it is given up, and whoever sent it may do so anew. */
const attempts = 20;
const pause = Schedule.jittered(Schedule.exponential("2 millis", 1.5));

const fail = (error: unknown) => failing(Effect.fail(error));
const isOvertaken = (error: unknown): error is Overtaken => error instanceof Overtaken;

export const make = (open: OpenStore): Transactions => {
  // Another event log may be written to within a transaction of this one.
  const Current = Context.Service<Transaction>(
    `@weir/weir/streams/event_log/Transaction/${randomMessageId()}`,
  );
  const current = Effect.map(
    Effect.serviceOption(Current),
    Option.filter(({ isOpen }: Transaction) => isOpen),
  );

  const hold = Effect.fnUntraced(function* (transaction: Transaction, storeId: string) {
    const { held } = transaction;
    if (held?.storeId === storeId) return held;
    if (held !== undefined) {
      return yield* Effect.die(
        new Error(
          `A transaction is about one store: it has begun with ${held.storeId}, and cannot take ` +
            `${storeId} along. Write to that one when it has ended.`,
        ),
      );
    }
    const store = yield* open(storeId);
    yield* Effect.acquireRelease(store.turn.take(1), () => store.turn.release(1), {
      interruptible: true,
    });
    return transaction.held = { storeId, store };
  });

  /** From here on nobody of this process comes in between, and another process is noticed. */
  const find = Effect.fnUntraced(function* (transaction: Transaction, storeId: string) {
    const held = yield* hold(transaction, storeId);
    if (transaction.found !== undefined) return transaction.found;
    yield* held.store.refresh;
    const { head, sequence } = held.store.index;
    return transaction.found = { ...held, head, sequence };
  });

  const inTurn = <A, E>(
    transaction: Transaction,
    storeId: string,
    use: (found: Found) => Effect.Effect<A, E>,
  ) =>
    transaction.turn.withPermit(
      Effect.flatMap(Scope.provide(find(transaction, storeId), transaction.scope), use),
    );

  const numberedIn = ({ head }: Found, entries: ReadonlyArray<Entry>, after: number) =>
    entries.map((entry, i) => numbered(head + after + i + 1, entry));

  const add = (
    { written, isOpen }: Transaction,
    found: Found,
    entries: ReadonlyArray<Entry>,
  ): Effect.Effect<ReadonlyArray<RemoteEntry>> => {
    const known = new Set(written.map(({ id }) => idText(id)));
    for (const { id, idString } of entries) {
      const text = idText(id);
      if (known.has(text) || (found.store.index.numberOf(text) ?? Infinity) <= found.head) {
        return Effect.die(
          new Error(`The entry ${idString} is stored already. Do not write it again.`),
        );
      }
      known.add(text);
    }
    if (!isOpen) return Effect.die(new Error("The transaction has ended. Await what it writes."));
    const before = written.length;
    written.push(...entries);
    return Effect.succeed(numberedIn(found, entries, before));
  };

  const commit = (
    { found, written }: Transaction,
  ): Effect.Effect<void, Overtaken | AppendError> => {
    if (found === undefined || written.length === 0) return Effect.void;
    return found.store.write(found.sequence, recordOf(found.head + 1, written));
  };

  const begin = <A, E, R>(program: Program<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Scope.make(),
      (scope) => {
        const transaction: Transaction = {
          scope,
          turn: Semaphore.makeUnsafe(1),
          written: [],
          held: undefined,
          found: undefined,
          isOpen: true,
        };
        return program(transaction).pipe(
          Effect.provideService(Current, transaction),
          Effect.ensuring(Effect.sync(() => transaction.isOpen = false)),
          Effect.tap(() =>
            Effect.catchIf(commit(transaction), (error) => !isOvertaken(error), fail)
          ),
        );
      },
      Scope.close,
    ).pipe(
      Effect.retry({ while: isOvertaken, schedule: pause, times: attempts }),
      Effect.catchIf(isOvertaken, fail),
    ) as Effect.Effect<A, E, R>;

  /** What failed within another has not written anything. */
  const nest = <A, E, R>(transaction: Transaction, program: Program<A, E, R>) =>
    Effect.suspend(() => {
      const before = transaction.written.length;
      return Effect.onError(
        program(transaction),
        () => Effect.sync(() => transaction.written.length = before),
      );
    });

  const run = <A, E, R>(program: Program<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(
      current,
      (transaction) =>
        Option.isSome(transaction) ? nest(transaction.value, program) : begin(program),
    );

  return {
    within: (effect) => run(() => effect),
    write: (storeId, entries) =>
      entries.length === 0
        ? Effect.succeed([])
        : run((transaction) =>
          failing(inTurn(transaction, storeId, (found) => add(transaction, found, entries)))
        ),
    view: (storeId, look) =>
      Effect.flatMap(
        current,
        (transaction) =>
          Option.isSome(transaction)
            ? inTurn(transaction.value, storeId, (found) =>
              look({
                store: found.store,
                written: numberedIn(found, transaction.value.written, 0),
              }))
            : Effect.scoped(Effect.gen(function* () {
              const store = yield* open(storeId);
              yield* store.refresh;
              return yield* look({ store, written: [] });
            })),
      ),
  };
};
