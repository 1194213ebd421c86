/** What a listing costs: the other parts of its contract are in the event store's suite. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { type ExecutionId, Namespace, type Tenant } from "../../schema/ids.ts";
import { addToIndex } from "../../streams/event_index.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { executionAddress } from "../../streams/subjects.ts";
import { custom, newStore } from "../conformance/event_store/matter.ts";
import { uniqueExecution, uniqueTenant } from "../conformance/subject_matter.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };

/** The log, how often its index is read, and how much at most at once. */
const counting = (log: Log["Service"]) => {
  const counts = { reads: 0, most: 0 };
  const read: Log["Service"]["read"] = (filter, options) => {
    if (!filter.subject.includes(".index.*")) return log.read(filter, options);
    counts.reads++;
    let entries = 0;
    return log.read(filter, options).pipe(
      Stream.tap(() => Effect.sync(() => counts.most = Math.max(counts.most, ++entries))),
    );
  };
  return { log: Log.of({ ...log, read }), counts };
};

const announce = (log: Log["Service"], tenant: Tenant, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, uniqueExecution),
    (execution: ExecutionId) => addToIndex(log, executionAddress(layout, tenant, execution)),
    { discard: true },
  );

const test = (title: string, effect: (log: Log["Service"]) => Effect.Effect<unknown, unknown>) =>
  it(title, () =>
    Effect.runPromise(
      Effect.asVoid(Effect.flatMap(Log, effect)).pipe(Effect.provide(layerMemory({ layout }))),
    ));

test("the farther back the executions are, the wider are the steps to them", (memory) =>
  Effect.gen(function* () {
    const { log, counts } = counting(memory);
    const store = yield* newStore(log);
    const [tenant, stranger] = [uniqueTenant(), uniqueTenant()];
    const execution = uniqueExecution();
    yield* store.append(execution, tenant, custom("a"));
    yield* announce(log, stranger, 20_000);
    const listed = yield* store.listExecutions(tenant, 10, 0);
    assert.deepEqual(listed.map(({ executionId }) => executionId), [execution]);
    assert.ok(counts.reads <= 5, `${counts.reads} reads`);
  }));

test("a wide step into a crowd is taken again in narrower ones", (memory) =>
  Effect.gen(function* () {
    const { log, counts } = counting(memory);
    const store = yield* newStore(log);
    const [tenant, stranger] = [uniqueTenant(), uniqueTenant()];
    const executions = Array.from({ length: 6_000 }, uniqueExecution);
    for (const execution of executions) yield* store.append(execution, tenant, custom("a"));
    yield* announce(log, stranger, 6_000);
    const listed = yield* store.listExecutions(tenant, 10, 0);
    assert.deepEqual(
      listed.map(({ executionId }) => executionId),
      executions.reverse().slice(0, 10),
    );
    assert.equal(counts.reads, 4);
    assert.ok(counts.most < 5_000, `${counts.most} entries at once`);
  }));
