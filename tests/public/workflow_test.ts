import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import { Activity, DurableDeferred, Workflow } from "effect/workflow";
import { Executions, layer, layerMemory, WeirWorkflowEngine } from "@weir/weir/effect";
import { ExecutionId, Namespace, Tenant } from "@weir/weir/schema";
import { layerPersistedQueueStore } from "@weir/weir/persistence";
import { durableQueueSuite, workflowEngineSuite } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const brief = { residentGrace: "20 millis" } as const;

describe("Effect's workflows in memory", () => {
  workflowEngineSuite(
    "memory",
    () => WeirWorkflowEngine.layer(brief).pipe(Layer.provide(layerMemory())),
    { it },
  );
});

describe("Effect's workflows on the embedded server", () => {
  let store: string;
  let used = 0;
  before(async () => {
    store = await scratchStore();
  });
  after(() => removeStore(store));

  const services = () =>
    layer({ embedded: { store }, namespace: Namespace.make(`workflows${used++}`) });
  workflowEngineSuite(
    "server",
    () => WeirWorkflowEngine.layer(brief).pipe(Layer.provide(services())),
    { it },
  );
  durableQueueSuite(
    "server",
    () =>
      Layer.merge(WeirWorkflowEngine.layer(brief), layerPersistedQueueStore()).pipe(
        Layer.provide(services()),
      ),
    { it },
  );

  it("fail, and do not hang, when somebody sends what no deferred is done with", async () => {
    const Approval = DurableDeferred.make("approval", { success: Schema.String });
    const Order = Workflow.make("Order", {
      payload: { id: Schema.String },
      success: Schema.String,
      idempotencyKey: ({ id }) => id,
    });
    const live = Order.toLayer(() => DurableDeferred.await(Approval));
    const engine = WeirWorkflowEngine.layer(brief).pipe(Layer.provideMerge(services()));
    const exit = await Effect.runPromise(
      Effect.gen(function* () {
        const id = yield* Order.execute({ id: "o-1" }, { discard: true });
        const of = { execution: ExecutionId.make(`Order/${id}`), tenant: Tenant.make("default") };
        yield* (yield* Executions).signal(of, "deferred approval", "nonsense");
        return yield* Effect.exit(Order.execute({ id: "o-1" }));
      }).pipe(Effect.provide(live.pipe(Layer.provideMerge(engine)))),
    );
    assert.match(String(exit), /not an exit/);
  });

  it("are executions like others, which a client of another process starts and wakes", async () => {
    const Approval = DurableDeferred.make("approval", { success: Schema.String });
    const Order = Workflow.make("Order", {
      payload: { id: Schema.String },
      success: Schema.String,
      idempotencyKey: ({ id }) => id,
    });
    const live = Order.toLayer(Effect.fnUntraced(function* ({ id }) {
      const receipt = yield* Activity.make({
        name: "charge",
        success: Schema.String,
        execute: Effect.succeed(`receipt of ${id}`),
      });
      return `${receipt}, approved by ${yield* DurableDeferred.await(Approval)}`;
    }));
    const namespace = Namespace.make("shared");
    const shared = () => layer({ embedded: { store }, namespace });
    const worker = live.pipe(
      Layer.provide(WeirWorkflowEngine.layer(brief)),
      Layer.provide(shared()),
    );
    const client = WeirWorkflowEngine.layerClient().pipe(Layer.provideMerge(shared()));
    await Effect.runPromise(
      Effect.gen(function* () {
        const payload = { id: "o-1" };
        const id = yield* Order.execute(payload, { discard: true });
        const of = {
          execution: ExecutionId.make(`Order/${id}`),
          tenant: Tenant.make("default"),
        };
        const executions = yield* Executions;
        const found = yield* Effect.repeat(executions.describe(of), {
          until: ({ status }) => status === "suspended",
        });
        assert.deepEqual(found.waitingFor.map(({ kind }) => kind), ["wait", "wait"]);
        const token = yield* DurableDeferred.tokenFromPayload(Approval, {
          workflow: Order,
          payload,
        });
        yield* DurableDeferred.succeed(Approval, { token, value: "ana" });
        assert.equal(yield* Order.execute(payload), "receipt of o-1, approved by ana");
        assert.equal((yield* executions.describe(of)).status, "completed");
      }).pipe(
        Effect.provide(client),
        Effect.provide(Layer.fresh(worker)),
        Effect.scoped,
      ),
    );
  });
});
