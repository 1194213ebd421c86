/** The page store in memory, for tests and simulation. It forgets everything with its scope. */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { type ForgetMark, PageStore, type StoredPage } from "./page_store.ts";

interface Shard {
  readonly pages: Map<string, StoredPage>;
  readonly marks: Map<number, ForgetMark>;
}

const make = Effect.sync(() => {
  const shards = new Map<number, Shard>();
  let sequence = 0;

  const at = (index: number): Shard => {
    let shard = shards.get(index);
    if (shard === undefined) {
      shard = { pages: new Map(), marks: new Map() };
      shards.set(index, shard);
    }
    return shard;
  };

  return PageStore.of({
    prepare: () => Effect.void,
    read: (shard, keys) =>
      Effect.sync(() => {
        const { pages } = at(shard);
        const found = new Map<string, StoredPage>();
        for (const key of keys) {
          const page = pages.get(key);
          if (page !== undefined) found.set(key, page);
        }
        return found;
      }),
    write: (shard, writes) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { pages } = at(shard);
        if (writes.some(({ key, revision }) => (pages.get(key)?.revision ?? 0) !== revision)) {
          return undefined;
        }
        for (const { key, body } of writes) {
          if (body === undefined) pages.delete(key);
          else pages.set(key, { body, revision: ++sequence, at: now });
        }
        return sequence;
      }),
    clear: (shard) => Effect.sync(() => at(shard).pages.clear()),
    mark: (shard, life) =>
      Effect.sync(() => {
        at(shard).marks.set(life, { life, sequence: ++sequence });
      }),
    marks: (shard) => Effect.sync(() => [...at(shard).marks.values()]),
    unmark: (shard, upTo) =>
      Effect.sync(() => {
        const { marks } = at(shard);
        for (const { life, sequence } of [...marks.values()]) {
          if (sequence <= upTo.sequence) marks.delete(life);
        }
      }),
  });
});

export const layerMemory: Layer.Layer<PageStore> = Layer.effect(PageStore, make);
