/**
 * A reader of the four families, who keeps one cursor and nothing else: it follows the lease history,
 * goes away, and comes back to all that has happened meanwhile. What it then gets is checked against
 * a reading from the very beginning.
 */
import * as Effect from "effect/Effect";
import type { FamilyReaders, Weir } from "@weir/weir";
import { decodeCursor } from "@weir/weir/schema";
import type { Claims } from "./claims.ts";
import { until } from "./until.ts";

/** What each family has to tell of an order that was taken over, at least and first. */
const expected = {
  leaseHistory: ["expired", "reclaimed"],
  completions: ["success"],
  signalDeliveries: ["satisfied"],
  instanceTags: ["attached"],
} as const satisfies Readonly<Record<keyof FamilyReaders, ReadonlyArray<string>>>;

interface Told {
  readonly cursor: string;
  readonly executionId: string;
  /** What happened, in a word. */
  readonly what: unknown;
}

/** All that a family has told behind a cursor; a tick says that there is no more. */
const toldSince = async (
  weir: Weir,
  family: keyof FamilyReaders,
  after: string,
): Promise<ReadonlyArray<Told>> => {
  const told: Array<Told> = [];
  for await (const event of weir[family]({ after, ticks: "300 millis" })) {
    if ("outcome" in event) told.push({ ...event, what: event.outcome });
    else if ("effect" in event) told.push({ ...event, what: event.effect });
    else if (event.type === "tick") break;
    else if ("executionId" in event) told.push({ ...event, what: event.type });
  }
  return told;
};

const place = (cursor: string): number => Effect.runSync(decodeCursor(cursor)).shards[0]!.sequence;

/** Follows who owns what, from the beginning. */
export const followLeases = (weir: Weir) => {
  const seen = new Set<string>();
  const events = weir.leaseHistory({ after: "earliest" })[Symbol.asyncIterator]();
  let cursor = "";
  const following = (async () => {
    for (let next = await events.next(); next.done !== true; next = await events.next()) {
      seen.add(next.value.executionId);
      cursor = next.value.cursor;
    }
  })();
  // It is told when the cursor is asked for.
  following.catch(() => undefined);
  return {
    /** Goes away once it has seen this execution, with the cursor of the last event that it saw. */
    leaveAfter: async (execution: string): Promise<string> => {
      await until(`a reader sees who owns ${execution}`, () => seen.has(execution) || undefined);
      await events.return?.();
      await following;
      return cursor;
    },
  };
};

/** Reads all four on from the cursor, and claims that nothing of these executions was missed. */
export const comeBack = async (
  weir: Weir,
  cursor: string,
  { executions, takenOver, name, claims }: {
    readonly executions: ReadonlySet<string>;
    readonly takenOver: string;
    readonly name: string;
    readonly claims: Claims;
  },
): Promise<void> => {
  const toldOf = async (family: keyof FamilyReaders, after: string) =>
    (await toldSince(weir, family, after)).filter(({ executionId }) => executions.has(executionId));
  const resumed = await Promise.all(
    (Object.keys(expected) as ReadonlyArray<keyof FamilyReaders>).map(async (family) => {
      const [missed, all] = await Promise.all([
        toldOf(family, cursor),
        toldOf(family, "earliest"),
      ]);
      return { family, missed, all };
    }),
  );
  for (const { family, missed, all } of resumed) {
    const events = missed.filter(({ executionId }) => executionId === takenOver)
      .map(({ what }) => what);
    claims.check(
      `${family}: ${missed.length} events; of ${name} ${events.join(", ")}`,
      {
        cursors: missed.map(({ cursor }) => cursor),
        begins: events.slice(0, expected[family].length),
      },
      {
        cursors: all.map(({ cursor }) => cursor).filter((each) => place(each) > place(cursor)),
        begins: expected[family],
      },
    );
  }
};
