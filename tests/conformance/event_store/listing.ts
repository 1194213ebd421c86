/** Which executions a tenant has, and how pages of them hold still while others come. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { Cursor, decodeCursor, encodeCursor } from "../../../schema/cursor.ts";
import type { ExecutionId, Tenant } from "../../../schema/ids.ts";
import { addToIndex } from "../../../streams/event_index.ts";
import type { EventStore, ListedExecution } from "../../../streams/event_store.ts";
import type { Log } from "../../../streams/log.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import { body, type Run, uniqueExecution, uniqueTenant } from "../subject_matter.ts";
import { custom, customs, newStore, type Services, testing } from "./matter.ts";

type Store = EventStore["Service"];

/** Begins executions, one after another. */
const begin = (store: Store, tenant: Tenant, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, uniqueExecution),
    (execution) => Effect.as(store.append(execution, tenant, custom("start")), execution),
  );

/** Newest first by the log's time; of one millisecond, shard by shard. */
const newestFirst = (
  log: Log["Service"],
  tenant: Tenant,
  executions: ReadonlyArray<ExecutionId>,
) =>
  Effect.map(
    Effect.forEach(executions, (execution) =>
      Effect.map(
        log.last(executionAddress(log.layout, tenant, execution), "index"),
        (entry) => ({ execution, ...Option.getOrThrow(entry) }),
      )),
    (entries) =>
      entries
        .sort((a, b) => b.at - a.at || a.shard - b.shard || b.sequence - a.sequence)
        .map(({ execution }) => execution),
  );

const names = (listed: ReadonlyArray<ListedExecution>): ReadonlyArray<ExecutionId> =>
  listed.map(({ executionId }) => executionId);

/** All pages from the beginning, with something happening after each. */
const allPages = (
  store: Store,
  tenant: Tenant,
  limit: number,
  between: Effect.Effect<unknown, unknown> = Effect.void,
) =>
  Effect.gen(function* () {
    const pages: Array<ReadonlyArray<ExecutionId>> = [];
    let from: Cursor | undefined;
    do {
      const page = yield* store.pageExecutions(
        tenant,
        from === undefined ? { limit } : { limit, from },
      );
      pages.push(names(page.executions));
      assert.ok(pages.length <= 100, "the pages do not end");
      from = page.next;
      yield* between;
    } while (from !== undefined);
    return pages;
  });

export const listingSuite = (name: string, run: Run<Services>): void => {
  const test = testing(run);

  describe(`${name}: listing`, () => {
    test("executions are listed newest first, however many events they have", (subject) =>
      Effect.gen(function* () {
        const { log, store, tenant } = subject;
        const executions = yield* begin(store, tenant, 5);
        yield* store.appendBatch(executions[0]!, tenant, customs("more", "and more"));
        const listed = yield* store.listExecutions(tenant, 10, 0);
        assert.deepEqual(names(listed), yield* newestFirst(log, tenant, executions));
        for (const { executionId, createdAt } of listed) {
          const [first] = yield* store.loadEvents(executionId, tenant);
          assert.ok(createdAt <= first!.timestamp);
        }
      }));

    test("limit and offset cut the list, and the list stays in order", (subject) =>
      Effect.gen(function* () {
        const { log, store, tenant } = subject;
        const begun = yield* begin(store, tenant, 7);
        const sorted = yield* newestFirst(log, tenant, begun);
        const list = (limit: number, offset: number) =>
          Effect.map(store.listExecutions(tenant, limit, offset), names);
        assert.deepEqual(yield* list(3, 0), sorted.slice(0, 3));
        assert.deepEqual(yield* list(3, 3), sorted.slice(3, 6));
        assert.deepEqual(yield* list(3, 6), sorted.slice(6));
        assert.deepEqual(yield* list(3, 7), []);
        assert.deepEqual(yield* list(0, 0), []);
        const all = yield* newestFirst(log, tenant, [...begun, ...yield* begin(store, tenant, 2)]);
        assert.deepEqual(yield* list(3, 2), all.slice(2, 5));
        assert.deepEqual(yield* list(100, 0), all);
        assert.deepEqual(all.filter((execution) => sorted.includes(execution)), sorted);
      }));

    test("executions begun at once by two processes have one order for everybody", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, tenant } = subject;
        const other = yield* newStore(surroundings.otherLog);
        const executions = Array.from({ length: 30 }, uniqueExecution);
        yield* Effect.forEach(
          executions,
          (execution, i) => (i % 2 === 0 ? store : other).append(execution, tenant, custom(i)),
          { concurrency: "unbounded" },
        );
        const listed = yield* store.listExecutions(tenant, 100, 0);
        assert.deepEqual([...names(listed)].sort(), executions.sort());
        assert.deepEqual(yield* other.listExecutions(tenant, 100, 0), listed);
        const parts = yield* Effect.forEach(
          [0, 10, 20],
          (offset) => other.listExecutions(tenant, 10, offset),
        );
        assert.deepEqual(parts.flat(), listed);
      }));

    test("limits and offsets that cannot be are refused", ({ store, tenant }) =>
      Effect.gen(function* () {
        const refused = [
          store.listExecutions(tenant, -1, 0),
          store.listExecutions(tenant, 1.5, 0),
          store.listExecutions(tenant, 1001, 0),
          store.listExecutions(tenant, NaN, 0),
          store.listExecutions(tenant, 1, -1),
          store.listExecutions(tenant, 1, Infinity),
          store.pageExecutions(tenant, { limit: 0 }),
          store.pageExecutions(tenant, { limit: 1001 }),
        ];
        for (const list of refused) {
          const error = yield* Effect.flip<unknown, { readonly _tag: string }, never>(list);
          assert.equal(error._tag, "InvalidInput");
        }
      }));

    test("an execution whose writer died before its first event is not listed", (subject) =>
      Effect.gen(function* () {
        const { log, store, tenant, execution, address } = subject;
        const older = yield* begin(store, tenant, 1);
        yield* addToIndex(log, address);
        const begun = [...older, ...yield* begin(store, tenant, 1)];
        const sorted = yield* newestFirst(log, tenant, begun);
        assert.deepEqual(names(yield* store.listExecutions(tenant, 10, 0)), sorted);
        assert.deepEqual(yield* allPages(store, tenant, 1), sorted.map((each) => [each]));
        yield* store.append(execution, tenant, custom("a"));
        const all = yield* newestFirst(log, tenant, [...begun, execution]);
        assert.deepEqual(names(yield* store.listExecutions(tenant, 10, 0)), all);
      }));

    test("what other hands put into the index lists nothing, and nothing twice", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, tenant, execution, address } = subject;
        yield* surroundings.publish(address, "index", body("before its time"));
        const [other] = yield* begin(store, tenant, 1);
        yield* surroundings.publish(
          executionAddress(log.layout, tenant, other!),
          "index",
          body("again"),
        );
        yield* surroundings.publish(
          { ...address, tail: address.tail.replace(/[^.]*$/, "=") },
          "index",
          body("no name"),
        );
        const tooLong = `${address.tail.replace(/[^.]*$/, "")}${"x".repeat(300)}`;
        for (const kind of ["index", "event"] as const) {
          yield* surroundings.publish({ ...address, tail: tooLong }, kind, body("a long name"));
        }
        assert.deepEqual(names(yield* store.listExecutions(tenant, 10, 0)), [other]);
        yield* store.append(execution, tenant, custom("a"));
        const listed = names(yield* store.listExecutions(tenant, 10, 0));
        assert.deepEqual([...listed].sort(), [other!, execution].sort());
      }));
  });

  describe(`${name}: pages`, () => {
    test("pages join to the list, and the last one says so", ({ log, store, tenant }) =>
      Effect.gen(function* () {
        assert.deepEqual(yield* store.pageExecutions(tenant, { limit: 3 }), { executions: [] });
        const executions = yield* newestFirst(log, tenant, yield* begin(store, tenant, 6));
        for (const limit of [1, 2, 4, 6, 7]) {
          const pages = yield* allPages(store, tenant, limit);
          assert.deepEqual(pages.flat(), executions);
          assert.equal(pages.length, Math.ceil(6 / limit));
        }
      }));

    test("pages do not drift while executions begin and go on", ({ log, store, tenant }) =>
      Effect.gen(function* () {
        const executions = yield* newestFirst(log, tenant, yield* begin(store, tenant, 20));
        const between = Effect.andThen(
          begin(store, tenant, 3),
          store.append(executions.at(-1)!, tenant, custom("more")),
        );
        assert.deepEqual((yield* allPages(store, tenant, 3, between)).flat(), executions);
      }));

    test("a thousand executions of others in between cost nothing but time", (subject) =>
      Effect.gen(function* () {
        const { log, store, tenant } = subject;
        const stranger = uniqueTenant();
        const strangers = Effect.forEach(
          Array.from({ length: 600 }, uniqueExecution),
          (execution) => addToIndex(log, executionAddress(log.layout, stranger, execution)),
          { concurrency: 64, discard: true },
        );
        const oldest = yield* begin(store, tenant, 2);
        yield* strangers;
        const middle = yield* begin(store, tenant, 1);
        yield* strangers;
        yield* store.append(oldest[0]!, tenant, custom("more"));
        const sorted = yield* newestFirst(log, tenant, [...oldest, ...middle]);
        assert.deepEqual(names(yield* store.listExecutions(tenant, 10, 0)), sorted);
        assert.deepEqual((yield* allPages(store, tenant, 1)).flat(), sorted);
        assert.deepEqual(yield* store.listExecutions(stranger, 10, 0), []);
      }));

    test("a cursor of elsewhere is refused, and says why", ({ store, log, tenant }) =>
      Effect.gen(function* () {
        yield* begin(store, tenant, 3);
        const { next } = yield* store.pageExecutions(tenant, { limit: 1 });
        const position = yield* decodeCursor(next!);
        const beyond = position.shards.map(({ at }) => ({ sequence: 1e9, at }));
        const cursors: ReadonlyArray<readonly [string, Cursor]> = [
          ["malformed", Cursor.make("AwE")],
          ["foreign", Cursor.make("AgEAAAAAAAAAAAAB")],
          ["other-incarnation", encodeCursor({ ...position, incarnation: "0123456789abcdef" })],
          [
            "shard-mismatch",
            encodeCursor({
              incarnation: log.incarnation,
              shards: [...position.shards, { sequence: 1, at: 1 }],
            }),
          ],
          ["newer-than-tail", encodeCursor({ ...position, shards: beyond })],
        ];
        for (const [reason, from] of cursors) {
          const error = yield* Effect.flip(store.pageExecutions(tenant, { limit: 1, from }));
          assert.ok(error._tag === "InvalidCursor");
          assert.deepEqual([error.reason, error.of], [reason, "list"]);
        }
      }));
  });
};
