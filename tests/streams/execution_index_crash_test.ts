/** A projector that dies at any write, before or after it lands, leaves an index that comes right. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { Namespace } from "../../schema/ids.ts";
import * as ExecutionIndex from "../../streams/execution_index.ts";
import { Feed } from "../../streams/execution_index/feed.ts";
import { layerMemory as layerFeed } from "../../streams/execution_index/feed_memory.ts";
import { PageStore } from "../../streams/execution_index/page_store.ts";
import { layerMemory as layerStore } from "../../streams/execution_index/page_store_memory.ts";
import { progressKey } from "../../streams/execution_index/progress.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as Sessions from "../../streams/session.ts";
import {
  claim,
  eventually,
  listAll,
  newTenant,
  run,
  start,
} from "../conformance/execution_index/matter.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const tenant = newTenant();
const statuses = ["waiting", "active", "completed"] as const;

/** Everything up to a sequence, and then silence. */
const feedUpTo = (feed: Feed["Service"], sequence: number) =>
  Feed.of({
    ...feed,
    follow: (shard, after) =>
      feed.follow(shard, after).pipe(
        Stream.map((facts) => facts.filter((fact) => fact.sequence <= sequence)),
      ),
  });

/** A store in which writes count, and one of them is the last thing that its projector does. */
const mortal = (
  store: PageStore["Service"],
  death: { readonly write: number; readonly when: "before" | "after" } | undefined,
) => {
  let writes = 0;
  const keys = new Set<string>();
  return {
    keys,
    writes: () => writes,
    store: PageStore.of({
      ...store,
      // Whoever wrote it last is dead, and has been for long.
      read: (shard, wanted, from) =>
        Effect.map(store.read(shard, wanted, from), (found) => {
          const progress = found.get(progressKey);
          return progress === undefined
            ? found
            : new Map(found).set(progressKey, { ...progress, at: 0 });
        }),
      write: (shard, pages) =>
        Effect.gen(function* () {
          for (const { key } of pages) keys.add(key);
          const dies = ++writes === death?.write;
          if (dies && death?.when === "before") return yield* Effect.die("dead");
          const revision = yield* store.write(shard, pages);
          return dies ? yield* Effect.die("dead") : revision;
        }),
    }),
  };
};

const indexOn = (feed: Feed["Service"], store: PageStore["Service"]) =>
  Effect.map(
    Layer.build(ExecutionIndex.layer.pipe(
      Layer.provide([Layer.succeed(Feed, feed), Layer.succeed(PageStore, store)]),
    )),
    (context) => context,
  );

/** What can be found, by all that can be asked. */
const found = Effect.gen(function* () {
  const tags = Array.from({ length: 5 }, (_, i) => ({ name: `tag${i}` }));
  const queries = [
    { tenant },
    ...statuses.map((status) => ({ tenant, status })),
    ...tags.map((tag) => ({ tenant, tag })),
    ...[0, 100, 299, 320].map((i) => ({ tenant, tag: { name: "tag0", value: `${i}` } })),
  ];
  return yield* Effect.forEach(queries, (query) => listAll(query, 50));
});

describe("a projector that dies", () => {
  it("leaves an index that comes right, whichever write it dies at", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const feed = yield* Feed;
      const begin = (i: number) =>
        start(tenant, `order/o-${i}`, {
          tags: Object.fromEntries(Array.from({ length: 5 }, (_, t) => [`tag${t}`, `${i}`])),
        });
      const numbers = (from: number, to: number) =>
        Array.from({ length: to - from }, (_, i) => from + i);
      const first = yield* Effect.forEach(numbers(0, 250), begin);
      const early = (yield* log.tail(0)).sequence;
      yield* Effect.forEach(first.slice(0, 120), (subject) => run(subject));
      yield* Effect.forEach(first.slice(120, 200), claim);
      const second = yield* Effect.forEach(numbers(250, 340), begin);
      yield* Effect.forEach(second.slice(0, 30), (subject) => run(subject));
      const late = (yield* log.tail(0)).sequence;

      const attempt = (death: Parameters<typeof mortal>[1]) =>
        Effect.gen(function* () {
          const store = yield* PageStore;
          const readAll = (keys: ReadonlySet<string>) =>
            Effect.map(store.read(0, [...keys].sort(), "any"), (pages) =>
              [...pages].filter(([key]) => key !== progressKey)
                .map(([key, { body }]) => [key, new TextDecoder().decode(body)]));
          const settled = (upTo: number, store: PageStore["Service"], done: string) =>
            Effect.gen(function* () {
              const context = yield* indexOn(feedUpTo(feed, upTo), store);
              return yield* Effect.gen(function* () {
                const index = yield* ExecutionIndex.ExecutionIndex;
                const projector = yield* Effect.forkChild(index.project);
                const states = Effect.map(
                  listAll({ tenant }),
                  (all) => {
                    const count = (status: string) =>
                      all.filter((each) =>
                        each.status === status
                      ).length;
                    return statuses.map(count).join(" ");
                  },
                );
                if (done === "") yield* Fiber.await(projector);
                else yield* eventually(states, done);
                yield* Fiber.interrupt(projector);
                return yield* found;
              }).pipe(Effect.provideContext(context));
            });
          const undisturbed = mortal(store, undefined);
          yield* settled(early, undisturbed.store, "250 0 0");
          const dying = mortal(store, death);
          if (death !== undefined) yield* settled(late, dying.store, "");
          const last = mortal(store, undefined);
          const result = yield* settled(late, last.store, "110 80 150");
          const keys = new Set([...undisturbed.keys, ...dying.keys, ...last.keys]);
          return { result, pages: yield* readAll(keys), writes: last.writes() };
        }).pipe(Effect.provide(Layer.fresh(layerStore)));

      const { result, pages, writes } = yield* attempt(undefined);
      assert.ok(writes > 3, `${writes} writes are few`);
      assert.ok(pages.length > 1_000, `${pages.length} pages are few`);
      for (const when of ["before", "after"] as const) {
        for (let write = 1; write < writes; write++) {
          const disturbed = yield* attempt({ write, when });
          assert.deepEqual(disturbed.result, result, `${when} write ${write}`);
          assert.deepEqual(
            new Map(disturbed.pages as never),
            new Map(pages as never),
            `${when} write ${write}`,
          );
        }
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.mergeAll(Leases.layer, layerFeed).pipe(
          Layer.provideMerge(Sessions.layer),
          Layer.provideMerge(layerMemory({ layout })),
        ),
      ),
      Effect.runPromise,
    ));

  it("leaves the first part of a large commit to whoever comes next", () =>
    Effect.gen(function* () {
      const feed = yield* Feed;
      const store = yield* PageStore;
      const tenant = newTenant();
      // More than fits into one write.
      const tags = { large: "\u0001".repeat(500) };
      const count = 3_000;
      yield* Effect.forEach(
        Array.from({ length: count }),
        () => start(tenant, undefined, { tags }),
      );
      let commits = 0;
      let clears = 0;
      const failing = PageStore.of({
        ...store,
        clear: (shard) => {
          clears++;
          return store.clear(shard);
        },
        write: (shard, pages) => {
          const isCommit = pages.length > 1 && pages.some(({ key }) => key === progressKey);
          return isCommit && ++commits === 2
            ? Effect.fail(new Unavailable({ operation: "write", reason: "gone", landed: "no" }))
            : store.write(shard, pages);
        },
      });
      yield* Effect.gen(function* () {
        const index = yield* ExecutionIndex.ExecutionIndex;
        const projector = yield* Effect.forkChild(index.project);
        yield* eventually(Effect.map(listAll({ tenant }), (all) => all.length), count);
        yield* Fiber.interrupt(projector);
      }).pipe(Effect.provideContext(yield* indexOn(feed, failing)));
      assert.ok(commits > 2, `${commits} commits are few`);
      // Before anything was indexed.
      assert.equal(clears, 1);
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.mergeAll(Leases.layer, layerFeed, layerStore).pipe(
          Layer.provideMerge(Sessions.layer),
          Layer.provideMerge(layerMemory({ layout })),
        ),
      ),
      Effect.runPromise,
    ));
});
