/**
 * Schedules that the server has forgotten: one that falls due while there is no space to store what
 * it says never fires, also when space has returned. So whoever was refused, and is served again, looks
 * for those that are overdue and publishes them once more; of several who do, one succeeds. It does
 * not look while all is well.
 */
import * as Effect from "effect/Effect";
import * as Queue from "effect/Queue";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import type { AppendError, Log } from "../log.ts";
import { bellAddress, budgetOfBell } from "../budgets/places.ts";
import {
  type Address,
  addressOfSubject,
  everyScheduleFilter,
  type Layout,
  scheduleKey,
} from "../subjects.ts";
import type { Reader } from "./reader.ts";

/** The server fires within milliseconds, unless it has much to fire. */
const overdueMs = 2_000;
const tryAgain = Schedule.spaced("1 second");

export const make = (
  layout: Layout,
  reader: Reader,
  append: Log["Service"]["append"],
  regained: Queue.Dequeue<void>,
): Log["Service"]["healSchedules"] => {
  const addressOf = (shard: number, subject: string): Address | undefined => {
    const bell = budgetOfBell(subject);
    return bell === undefined
      ? addressOfSubject(layout, shard, subject)
      : bellAddress(layout, bell.tenant, bell.budget);
  };

  const publish = Effect.fnUntraced(function* (
    { entry, due, into }: Stream.Success<ReturnType<Reader["readSchedules"]>>,
  ) {
    const found = scheduleKey(entry.subject);
    const address = addressOf(entry.shard, entry.subject);
    if (found === undefined || address === undefined) return;
    yield* append(address, {
      ...found,
      body: entry.body,
      schedule: { at: due, into },
      guard: { after: entry.sequence },
    }).pipe(
      // It has fired after all, or another was faster.
      Effect.catchTags({
        AlreadyExists: () => Effect.void,
        SequenceConflict: () => Effect.void,
      }),
    );
  });

  const heal = Effect.forEach(
    Array.from({ length: layout.shards }, (_, shard) => shard),
    Effect.fnUntraced(function* (shard) {
      const { at } = yield* reader.tail(shard);
      for (const filter of everyScheduleFilter(layout, shard)) {
        yield* reader.readSchedules(filter).pipe(
          Stream.filter(({ due }) => due < at - overdueMs),
          Stream.runForEach(publish),
        );
      }
    }),
    { discard: true },
  );

  return Queue.take(regained).pipe(
    Effect.andThen(
      heal.pipe(
        Effect.tapError((error: AppendError | { readonly message: string }) =>
          Effect.logWarning("what is overdue cannot be looked for", error.message)
        ),
        Effect.retry(tryAgain),
        Effect.orDie,
      ),
    ),
    Effect.forever,
  );
};
