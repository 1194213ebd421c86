/** What is found, in which order, and how pages hold still. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { type Cursor, decodeCursor, encodeCursor } from "../../../schema/cursor.ts";
import { ActorName, type ExecutionId, type Tenant } from "../../../schema/ids.ts";
import {
  ExecutionIndex,
  type ExecutionQuery,
  type ExecutionStatus,
  type ListedExecution,
} from "../../../streams/execution_index.ts";
import { Log } from "../../../streams/log.ts";
import type { Run } from "../subject_matter.ts";
import {
  claim,
  eventually,
  idsOf,
  listAll,
  newTenant,
  projecting,
  run,
  type Services,
  start,
  startAll,
  type Subject,
  write,
} from "./matter.ts";

type Filter = Pick<ExecutionQuery, "status" | "actor" | "tag">;

const statuses = [undefined, "waiting", "active", "completed", "failed", "expired"] as const;
const actors = [undefined, "order", "refund", "unused"] as const;
const tags = [
  undefined,
  { name: "team" },
  { name: "team", value: "checkout" },
  { name: "team", value: "search" },
  { name: "canary" },
  { name: "unused" },
] as const;

/** Every combination of these. */
const filters: ReadonlyArray<Filter> = statuses.flatMap((status) =>
  actors.flatMap((actor) =>
    tags.map((tag): Filter => ({
      ...(status === undefined ? {} : { status }),
      ...(actor === undefined ? {} : { actor: ActorName.make(actor) }),
      ...(tag === undefined ? {} : { tag }),
    }))
  )
);

const isFound = ({ status, actor, tag }: Filter, listed: ListedExecution): boolean =>
  (status === undefined || listed.status === status) &&
  (actor === undefined || listed.actor === actor) &&
  (tag === undefined ||
    (!("value" in tag)
      ? listed.tags[tag.name] !== undefined
      : listed.tags[tag.name] === tag.value));

/** Executions of all sorts, `status` by what was done with each. */
const variety = (tenant: Tenant, count: number) =>
  Effect.forEach(Array.from({ length: count }, (_, i) => i), (i) =>
    Effect.gen(function* () {
      const actor = i % 3 === 0 ? "refund" : "order";
      const subject = yield* start(tenant, `${actor}/${tenant}-${i}`, {
        tags: {
          ...(i % 2 === 0 ? { team: i % 4 === 0 ? "checkout" : "search" } : {}),
          ...(i % 5 === 0 ? { canary: "" } : {}),
        },
      });
      if (i % 7 === 1) yield* claim(subject);
      else if (i % 7 === 2) {
        yield* run(subject, { type: "failure", failure: { name: "A", message: "b" } });
      } else if (i % 7 > 2) yield* run(subject);
      const status: ExecutionStatus = i % 7 === 0
        ? "waiting"
        : i % 7 === 1
        ? "active"
        : i % 7 === 2
        ? "failed"
        : "completed";
      return { subject, status };
    }));

/** By the time of the start; of one millisecond, shard by shard. */
const newestFirst = (listed: ReadonlyArray<ListedExecution>, subjects: ReadonlyArray<Subject>) => {
  const shardOf = new Map(subjects.map(({ execution, address }) => [execution, address.shard]));
  return [...listed].sort((a, b) =>
    b.startedAt - a.startedAt ||
    shardOf.get(a.execution)! - shardOf.get(b.execution)! ||
    b.life - a.life
  );
};

export const querySuite = (name: string, runTest: Run<Services>): void => {
  const test = (title: string, effect: () => Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => runTest(Effect.asVoid(projecting(Effect.suspend(effect)))));
  const refused = (query: object) =>
    Effect.gen(function* () {
      const index = yield* ExecutionIndex;
      return (yield* Effect.flip(index.list(query as ExecutionQuery)))._tag;
    });

  describe(`${name}: queries`, () => {
    for (const count of [30, 400]) {
      test(`every combination of filters finds what it should, of ${count} executions`, () =>
        Effect.gen(function* () {
          const tenant = newTenant();
          const made = yield* variety(tenant, count);
          const expected = new Map(made.map(({ subject, status }) => [subject.execution, status]));
          const shown = Effect.map(
            listAll({ tenant }),
            (all) => new Map(all.map(({ execution, status }) => [execution, status])),
          );
          yield* eventually(Effect.map(shown, (map) => [...map].sort()), [...expected].sort());
          const all = yield* listAll({ tenant });
          assert.deepEqual(all, newestFirst(all, made.map(({ subject }) => subject)));
          for (const filter of filters) {
            assert.deepEqual(
              idsOf(yield* listAll({ tenant, ...filter }, 7 + count / 10)),
              idsOf(all.filter((each) => isFound(filter, each))),
              JSON.stringify(filter),
            );
          }
        }));
    }

    test("tags that come and go are followed", () =>
      Effect.gen(function* () {
        const tenant = newTenant();
        const subject = yield* start(tenant, undefined, { tags: { stage: "one" } });
        const lease = yield* claim(subject);
        const tag = (change: "attached" | "cleared", tag: string, value?: string) =>
          write(subject, lease, {
            kind: "tag",
            key: tag,
            change,
            name: tag,
            ...(value === undefined ? {} : { value }),
          });
        const tagsShown = Effect.map(listAll({ tenant }), ([only]) => only?.tags);
        const count = (tag: ExecutionQuery["tag"]) =>
          Effect.map(
            listAll({ tenant, ...(tag === undefined ? {} : { tag }) }),
            (all) => all.length,
          );
        yield* tag("attached", "stage", "two");
        yield* tag("attached", "flag");
        yield* eventually(tagsShown, { stage: "two", flag: "" });
        assert.equal(yield* count({ name: "stage", value: "one" }), 0);
        assert.equal(yield* count({ name: "stage", value: "two" }), 1);
        assert.equal(yield* count({ name: "flag" }), 1);
        yield* tag("cleared", "stage");
        yield* eventually(tagsShown, { flag: "" });
        assert.equal(yield* count({ name: "stage" }), 0);
      }));

    test("tags beyond all measure are left out, and hold nothing up", () =>
      Effect.gen(function* () {
        const tenant = newTenant();
        const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`t${i}`, "v"]));
        yield* start(tenant, "order/many", { tags: many });
        yield* start(tenant, "order/long", { tags: { long: "x".repeat(100_000), short: "y" } });
        const shown = Effect.map(
          listAll({ tenant }),
          (all) => all.map(({ tags }) => Object.keys(tags).length),
        );
        yield* eventually(Effect.map(shown, (counts) => [...counts].sort()), [1, 32]);
      }));

    test("executions that begin meanwhile do not move the pages", () =>
      Effect.gen(function* () {
        const index = yield* ExecutionIndex;
        const tenant = newTenant();
        const first = yield* startAll(tenant, 25);
        yield* eventually(Effect.map(listAll({ tenant }), (all) => all.length), 25);
        const pages: Array<ReadonlyArray<ExecutionId>> = [];
        let from: Cursor | undefined;
        do {
          const page = yield* index.list({
            tenant,
            limit: 10,
            ...(from === undefined ? {} : { from }),
          });
          pages.push(idsOf(page.executions));
          from = page.next;
          const before = (yield* listAll({ tenant })).length;
          yield* startAll(tenant, 3);
          yield* eventually(Effect.map(listAll({ tenant }), (all) => all.length), before + 3);
        } while (from !== undefined);
        assert.deepEqual(pages.map((page) => page.length), [10, 10, 5]);
        assert.deepEqual(new Set(pages.flat()), new Set(idsOf(first)));
      }));

    test("a full last page says that it is the last", () =>
      Effect.gen(function* () {
        const index = yield* ExecutionIndex;
        const tenant = newTenant();
        yield* startAll(tenant, 4);
        yield* eventually(Effect.map(listAll({ tenant }), (all) => all.length), 4);
        assert.equal((yield* index.list({ tenant, limit: 4 })).next, undefined);
      }));

    test("a tenant sees nothing of another's", () =>
      Effect.gen(function* () {
        const [tenant, other] = [newTenant(), newTenant()];
        const mine = yield* start(tenant, "order/same", { tags: { shared: "yes" } });
        yield* start(other, "order/same", { tags: { shared: "yes" } });
        const found = Effect.map(listAll({ tenant: other, tag: { name: "shared" } }), (all) =>
          all.length);
        yield* eventually(found, 1);
        const own = yield* listAll({ tenant, tag: { name: "shared" } });
        assert.deepEqual(
          own.map(({ life }) =>
            life
          ),
          [mine.life],
        );
        assert.deepEqual(yield* listAll({ tenant: newTenant() }), []);
      }));

    test("an execution whose id names no actor is listed without one", () =>
      Effect.gen(function* () {
        const tenant = newTenant();
        yield* start(tenant, "no actor here");
        yield* eventually(
          Effect.map(listAll({ tenant }), (all) => all.map(({ actor }) => actor)),
          [undefined],
        );
      }));

    test("what cannot be asked is refused", () =>
      Effect.gen(function* () {
        const tenant = newTenant();
        for (const limit of [0, -1, 1.5, 1_001, NaN, "10", undefined]) {
          assert.equal(yield* refused({ tenant, limit }), "InvalidInput");
        }
        assert.equal(yield* refused({ tenant, limit: 1, status: "done" }), "InvalidInput");
        assert.equal(yield* refused({ tenant, limit: 1, actor: "a/b" }), "InvalidInput");
        assert.equal(yield* refused({ tenant, limit: 1, tag: "team" }), "InvalidInput");
        assert.equal(yield* refused({ tenant: "", limit: 1 }), "InvalidInput");
        assert.equal(yield* refused({ limit: 1 }), "InvalidInput");
      }));

    test("a cursor of something else is refused", () =>
      Effect.gen(function* () {
        const { incarnation, layout } = yield* Log;
        const tenant = newTenant();
        const shards = Array.from({ length: layout.shards }, () => ({ sequence: 1, at: 1 }));
        const foreign = [
          "nonsense!",
          "",
          "AAAA",
          encodeCursor({ incarnation: "0".repeat(16), shards }),
          encodeCursor({ incarnation, shards: [...shards, ...shards] }),
        ];
        for (const from of foreign) {
          assert.equal(yield* refused({ tenant, limit: 1, from }), "InvalidCursor", from);
        }
        const own = encodeCursor({ incarnation, shards });
        assert.equal((yield* decodeCursor(own)).incarnation, incarnation);
        assert.deepEqual(
          yield* (yield* ExecutionIndex).list({ tenant, limit: 1, from: own }).pipe(
            Effect.map(({ executions }) => executions),
          ),
          [],
        );
      }));
  });
};
