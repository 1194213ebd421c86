/**
 * One change of the index in the making: the pages as its leader has them, what becomes of them, and
 * the revisions that must still hold when it is written. A draft that is thrown away has changed
 * nothing.
 */
import * as Effect from "effect/Effect";
import type { CorruptRecord, UnsupportedRecordVersion } from "../../schema/errors.ts";
import { isEmpty } from "./life_list.ts";
import { decodePage, encodePage, type Page } from "./page.ts";
import type { PageStore, PageWrite, StoreError } from "./page_store.ts";

export interface Draft {
  /** Fetches pages that were not fetched before. */
  readonly load: (
    keys: ReadonlyArray<string>,
  ) => Effect.Effect<void, StoreError | CorruptRecord | UnsupportedRecordVersion>;
  /** A page that was loaded, as it is to be. */
  readonly get: (key: string) => Page | undefined;
  /** Changes a page that was loaded; an empty one goes. */
  readonly put: (key: string, page: Page) => void;
  /** What is changed, in the order in which it was. */
  readonly writes: () => ReadonlyArray<PageWrite>;
}

interface Loaded {
  readonly revision: number;
  readonly page: Page | undefined;
}

export const make = (store: PageStore["Service"], shard: number): Draft => {
  const loaded = new Map<string, Loaded>();
  const changed = new Map<string, Page>();

  const load = Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
    const missing = [...new Set(keys)].filter((key) => !loaded.has(key));
    const found = yield* store.read(shard, missing, "leader");
    for (const key of missing) {
      const stored = found.get(key);
      const page = stored && (yield* decodePage(key, stored));
      loaded.set(key, { revision: stored?.revision ?? 0, page });
    }
  });

  const writeOf = ([key, page]: readonly [string, Page]): ReadonlyArray<PageWrite> => {
    const { revision } = loaded.get(key)!;
    if (!isEmpty(page)) return [{ key, revision, body: encodePage(page) }];
    return revision === 0 ? [] : [{ key, revision, body: undefined }];
  };

  return {
    load,
    get: (key) => changed.get(key) ?? loaded.get(key)?.page,
    put: (key, page) => {
      changed.set(key, page);
    },
    writes: () => [...changed].flatMap(writeOf),
  };
};
