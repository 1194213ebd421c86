/**
 * Reading a list, newest first, from any life downwards: only nodes are read in which the status that
 * is asked for occurs, a few at first and more if a reader goes on. So a page costs what it holds,
 * however long the list is and however rare the status.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import {
  branchLevel,
  childrenIn,
  leafLevel,
  type Level,
  nodeKey,
  rootKey,
  rowsIn,
  startOf,
} from "./life_list.ts";
import { decodePage, type Page } from "./page.ts";
import type { PageStore, StoreError } from "./page_store.ts";

export interface Walk {
  readonly shard: number;
  readonly list: string;
  /** The statuses asked for, one bit each. */
  readonly mask: number;
  /** Only lives below this. */
  readonly below: number;
}

/** The most nodes that are read at once. */
const maxWindow = 16;

/** Reads pages, of which those that do not exist are left out. */
export const readPages = Effect.fnUntraced(
  function* (store: PageStore["Service"], shard: number, keys: ReadonlyArray<string>) {
    const found = yield* store.read(shard, keys, "any");
    const pages = new Map<string, Page>();
    for (const [key, stored] of found) {
      const page = yield* decodePage(key, stored);
      if (page !== undefined) pages.set(key, page);
    }
    return pages as ReadonlyMap<string, Page>;
  },
);

const livesIn = (page: Page | undefined, { mask, below }: Walk): ReadonlyArray<number> =>
  [...rowsIn(page)]
    .filter(([life, code]) => life < below && (mask >> code & 1) === 1)
    .map(([life]) => life)
    .sort((a, b) => b - a);

const childrenOf = (
  page: Page | undefined,
  level: Level,
  { mask, below }: Walk,
): ReadonlyArray<number> =>
  [...childrenIn(page)]
    .filter(([index, codes]) => (codes & mask) !== 0 && startOf(level, index) < below)
    .map(([index]) => index)
    .sort((a, b) => b - a);

/** The nodes of a level, newest first, read in windows that widen. */
const nodes = (
  store: PageStore["Service"],
  { shard, list }: Walk,
  level: Level,
  indices: ReadonlyArray<number>,
): Stream.Stream<Page | undefined, StoreError> =>
  Stream.paginate({ from: 0, width: 1 }, ({ from, width }) => {
    const keys = indices.slice(from, from + width).map((index) => nodeKey(list, level, index));
    const to = from + keys.length;
    const next = to < indices.length
      ? Option.some({ from: to, width: Math.min(width * 2, maxWindow) })
      : Option.none();
    return keys.length === 0 ? Effect.succeed([[], Option.none()]) : Effect.map(
      readPages(store, shard, keys),
      (pages) => [keys.map((key) => pages.get(key)), next] as const,
    );
  });

/** The lives on a list that have one of the statuses, newest first. */
export const newestLives = (
  store: PageStore["Service"],
  walk: Walk,
): Stream.Stream<number, StoreError> =>
  Stream.unwrap(Effect.gen(function* () {
    const key = rootKey(walk.list);
    const root = (yield* readPages(store, walk.shard, [key])).get(key);
    if (root?.kind !== "branch") return Stream.fromIterable(livesIn(root, walk));
    return nodes(store, walk, branchLevel, childrenOf(root, branchLevel, walk)).pipe(
      Stream.flatMap((branch) =>
        nodes(store, walk, leafLevel, childrenOf(branch, leafLevel, walk))
      ),
      Stream.flatMap((leaf) => Stream.fromIterable(livesIn(leaf, walk))),
    );
  }));
