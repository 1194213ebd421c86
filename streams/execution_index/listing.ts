/**
 * A page of executions, newest first, from what the index holds. Each shard keeps its own order and
 * a page ends at one life in each, so that the next page goes on there whatever happens meanwhile.
 * It reads no log: what a page costs does not depend on how long the histories are.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import {
  type Cursor,
  decodeCursor,
  encodeCursor,
  ofList,
  type ShardPosition,
} from "../../schema/cursor.ts";
import { InvalidCursor } from "../../schema/errors.ts";
import { executionIdentity, Timestamp } from "../../schema/ids.ts";
import type { ExecutionPage, ExecutionQuery, ListedExecution } from "../execution_index.ts";
import type { Log } from "../log.ts";
import { type Card, statusOf } from "./card.ts";
import { belongsTo, type Facet, listOf } from "./facet.ts";
import { bitOf } from "./life_list.ts";
import { newestLives, readPages } from "./list_walk.ts";
import type { PageStore } from "./page_store.ts";
import { cardKey, cardsIn } from "./plan.ts";
import { progressKey, progressRecord } from "./progress.ts";
import { codeOf, type ExecutionStatus, statuses } from "./status.ts";

const anyStatus = (1 << statuses.length) - 1;

const listed = (card: Card): ListedExecution => {
  const { actor } = executionIdentity(card.execution);
  return {
    execution: card.execution,
    tenant: card.tenant,
    life: card.life,
    status: statusOf(card),
    startedAt: Timestamp.make(card.startedAt),
    ...(card.endedAt === undefined ? {} : { endedAt: Timestamp.make(card.endedAt) }),
    ...(actor === undefined ? {} : { actor }),
    tags: card.tags,
  };
};

interface Shown {
  readonly shard: number;
  readonly card: Card;
}

/** The newest of several shards; of the same millisecond, the lower shard's comes first. */
const merge = (
  perShard: ReadonlyArray<ReadonlyArray<Card>>,
  count: number,
): ReadonlyArray<Shown> => {
  const taken = perShard.map(() => 0);
  const merged: Array<Shown> = [];
  while (merged.length < count) {
    const heads = perShard.flatMap((cards, shard) => {
      const card = cards[taken[shard]!];
      return card === undefined ? [] : [{ shard, card }];
    });
    if (heads.length === 0) break;
    const newest = heads.reduce((a, b) => b.card.startedAt > a.card.startedAt ? b : a);
    merged.push(newest);
    taken[newest.shard]!++;
  }
  return merged;
};

export const make = (log: Log["Service"], store: PageStore["Service"]) => {
  const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);

  const progressOf = Effect.fnUntraced(function* (shard: number) {
    const stored = (yield* store.read(shard, [progressKey], "any")).get(progressKey);
    const progress = stored && (yield* progressRecord.decode(stored.body, {
      subject: progressKey,
      sequence: stored.revision,
    }));
    return progress?.incarnation === log.incarnation ? progress : undefined;
  });

  /** The cards of lives, in their order, as far as they are what was asked for. */
  const cardsOf = Effect.fnUntraced(function* (
    shard: number,
    lives: ReadonlyArray<number>,
    isWanted: (card: Card) => boolean,
  ) {
    const pages = yield* readPages(store, shard, [...new Set(lives.map(cardKey))]);
    return lives.flatMap((life) => {
      const card = cardsIn(pages.get(cardKey(life))).get(life);
      return card !== undefined && isWanted(card) ? [card] : [];
    });
  });

  const newest = (
    shard: number,
    facet: Facet,
    status: ExecutionStatus | undefined,
    below: number,
    count: number,
  ) => {
    const mask = status === undefined ? anyStatus : bitOf(codeOf(status));
    // A list and a card are read one after the other, and the execution may have moved in between.
    const isWanted = (card: Card) =>
      belongsTo(facet, card) && (status === undefined || statusOf(card) === status);
    return newestLives(store, { shard, list: listOf(facet), mask, below }).pipe(
      Stream.grouped(count),
      Stream.mapEffect((lives) => cardsOf(shard, lives, isWanted)),
      Stream.flattenIterable,
      Stream.take(count),
      Stream.runCollect,
    );
  };

  const positions = Effect.fnUntraced(function* (from: Cursor) {
    const { incarnation, shards } = yield* decodeCursor(from);
    const refuse = (reason: InvalidCursor["reason"], detail: string) =>
      Effect.fail(new InvalidCursor({ reason, detail }));
    if (incarnation !== log.incarnation) {
      return yield* refuse("other-incarnation", "its streams were deleted since");
    }
    if (shards.length !== log.layout.shards) {
      const detail = `it is of ${shards.length} shards, and there are ${log.layout.shards}`;
      return yield* refuse("shard-mismatch", detail);
    }
    return shards;
  }, Effect.mapError(ofList));

  return Effect.fnUntraced(function* (query: ExecutionQuery) {
    const { status, limit, from } = query;
    const given = from === undefined ? undefined : yield* positions(from);
    const progress = yield* Effect.forEach(shards, progressOf, { concurrency: 8 });
    const below = shards.map((shard): ShardPosition =>
      given?.[shard] ?? { sequence: (progress[shard]?.position ?? 0) + 1, at: 0 }
    );
    const found = yield* Effect.forEach(
      shards,
      (shard) =>
        progress[shard] === undefined
          ? Effect.succeed([])
          : newest(shard, query, status, below[shard]!.sequence, limit + 1),
      { concurrency: 8 },
    );
    const merged = merge(found, limit + 1);
    const shown = merged.slice(0, limit);
    const asOf = Timestamp.make(Math.min(...progress.map((each) => each?.asOf ?? 0)));
    const page = { executions: shown.map(({ card }) => listed(card)), asOf };
    if (merged.length === shown.length) return page satisfies ExecutionPage;
    const lowest = below.map((start, shard): ShardPosition => {
      const last = shown.findLast((each) => each.shard === shard);
      return last === undefined ? start : { sequence: last.card.life, at: last.card.startedAt };
    });
    const next = encodeCursor({ incarnation: log.incarnation, shards: lowest });
    return { ...page, next } satisfies ExecutionPage;
  });
};
