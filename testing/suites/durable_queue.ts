/** What is asked of a `WorkflowEngine` and a `PersistedQueueStore` that carry `DurableQueue` together. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as PersistedQueue from "effect/persistence/PersistedQueue";
import * as Schema from "effect/Schema";
import * as DurableQueue from "effect/workflow/DurableQueue";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { cases, type SuiteOptions } from "./suite.ts";
import {
  act,
  Approval,
  approve,
  assertDeclined,
  byId,
  Declined,
  Id,
  note,
  parked,
} from "./workflow_engine/program.ts";
import * as DurableDeferred from "effect/workflow/DurableDeferred";

const Labels = DurableQueue.make({
  name: "labels",
  payload: { of: Schema.String, at: Schema.Date },
  success: Schema.Struct({ label: Schema.String, at: Schema.Date }),
  error: Declined,
  idempotencyKey: ({ of }) => of,
});
const at = new Date(1_700_000_000_000);

const Ships = Workflow.make("Ships", {
  payload: Id,
  success: Schema.Array(Schema.String),
  error: Declined,
  idempotencyKey: byId,
});

export const durableQueueSuite = (
  name: string,
  makeLayer: () => Layer.Layer<WorkflowEngine | PersistedQueue.PersistedQueueStore, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases<WorkflowEngine | PersistedQueue.PersistedQueueStore>(name, makeLayer, options);

  test(
    "what a workflow has processed is done by a worker once, and given to it",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const live = Layer.mergeAll(
        Ships.toLayer(Effect.fnUntraced(function* ({ id }) {
          yield* act(ran, "begin");
          const labels = yield* Effect.forEach(
            [`${id}/a`, `${id}/b`],
            (of) => DurableQueue.process(Labels, { of, at }),
            { concurrency: "unbounded" },
          );
          yield* DurableDeferred.await(Approval);
          return labels.map(({ label, at }) => `${label} ${at.getTime() === 1_700_000_000_000}`);
        })),
        DurableQueue.worker(
          Labels,
          ({ of, at }) => Effect.as(note(ran, of), { label: `label of ${of}`, at }),
          { concurrency: 2 },
        ),
      ).pipe(Layer.provideMerge(PersistedQueue.layer));
      yield* Effect.gen(function* () {
        const id = yield* Ships.execute({ id: "1" }, { discard: true });
        yield* parked(Ships.poll(id));
        yield* approve(Ships, { id: "1" }, "ana");
        const result = yield* Ships.execute({ id: "1" });
        assert.deepEqual(result, ["label of 1/a true", "label of 1/b true"]);
        assert.deepEqual(ran.sort(), ["1/a", "1/b", "begin"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an error of the worker is the workflow's to handle",
    Effect.gen(function* () {
      const live = Layer.mergeAll(
        Ships.toLayer(Effect.fnUntraced(function* ({ id }) {
          yield* DurableQueue.process(Labels, { of: id, at });
          return [];
        })),
        DurableQueue.worker(Labels, () => Effect.fail(new Declined({ code: 6 }))),
      ).pipe(Layer.provideMerge(PersistedQueue.layer));
      const exit = yield* Effect.exit(Ships.execute({ id: "1" }).pipe(Effect.provide(live)));
      assertDeclined(exit, 6);
    }),
  );
};
