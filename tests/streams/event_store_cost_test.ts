/** What the events of the engine's executions cost to number and to list. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { ExecutionId, Namespace, SignalId } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { executionAddress } from "../../streams/subjects.ts";
import { engineOn } from "../conformance/event_store/engine.ts";
import { custom, newStore } from "../conformance/event_store/matter.ts";
import { uniqueExecution, uniqueTenant } from "../conformance/subject_matter.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };

/** The log, and how many records were read of it. */
const counting = (log: Log["Service"]) => {
  const counts = { entries: 0 };
  const read: Log["Service"]["read"] = (filter, options) =>
    Stream.tap(log.read(filter, options), () => Effect.sync(() => counts.entries++));
  return { log: Log.of({ ...log, read }), counts };
};

const test = (title: string, effect: (log: Log["Service"]) => Effect.Effect<unknown, unknown>) =>
  it(title, () =>
    Effect.runPromise(
      Effect.asVoid(Effect.flatMap(Log, effect)).pipe(Effect.provide(layerMemory({ layout }))),
    ));

test("an append to a long run reads what is new, not what it knows", (memory) =>
  Effect.gen(function* () {
    const { log, counts } = counting(memory);
    const store = yield* newStore(log);
    const [execution, tenant] = [uniqueExecution(), uniqueTenant()];
    const engine = engineOn(log, executionAddress(layout, tenant, execution));
    const { write } = engine.owner();
    const note = (i: number) => write({ kind: "noted", key: `now ${i}`, what: "now", value: i });
    yield* engine.start();
    for (let i = 0; i < 1_000; i++) yield* note(i);
    yield* store.append(execution, tenant, custom("first"));
    counts.entries = 0;
    for (let i = 1_000; i < 1_010; i++) {
      yield* note(i);
      yield* store.append(execution, tenant, custom(i));
      yield* store.countEvents(execution, tenant);
    }
    assert.ok(counts.entries <= 10 * 6 + 1_100, `${counts.entries} records`);
    counts.entries = 0;
    yield* note(1_010);
    yield* store.append(execution, tenant, custom("last"));
    yield* store.latestSequence(execution, tenant);
    assert.ok(counts.entries <= 8, `${counts.entries} records`);
  }));

test("a page of started executions costs the mail that is behind them, not all of it", (memory) =>
  Effect.gen(function* () {
    const { log, counts } = counting(memory);
    const store = yield* newStore(log);
    const tenant = uniqueTenant();
    const executions = Array.from({ length: 20_000 }, (_, i) => ExecutionId.make(`order/o-${i}`));
    for (const execution of executions) {
      const engine = engineOn(log, executionAddress(layout, tenant, execution));
      yield* engine.start();
      yield* engine.post({ kind: "signal", signalId: SignalId.make("s"), name: "go" });
    }
    counts.entries = 0;
    const { executions: page } = yield* store.pageExecutions(tenant, { limit: 10 });
    assert.deepEqual(
      page.map(({ executionId }) => executionId),
      executions.reverse().slice(0, 10),
    );
    assert.ok(counts.entries < 1_200, `${counts.entries} records`);
  }));
