import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { Workflow } from "effect/workflow";
import {
  ContinueAsNew,
  DurableMailbox,
  DurableState,
  DurableUpdate,
  layer,
  layerWorkflowMemory,
  WeirWorkflowEngine,
  WorkflowRuns,
} from "@weir/weir/effect";
import { Namespace } from "@weir/weir/schema";
import { workflowExtrasSuite } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const brief = { residentGrace: "20 millis" } as const;

describe("what Effect's workflows have not, on Effect's engine in memory", () => {
  workflowExtrasSuite("memory", () => layerWorkflowMemory, { it });
});

describe("what Effect's workflows have not, on the embedded server", () => {
  let store: string;
  before(async () => {
    store = await scratchStore();
  });
  after(() => removeStore(store));

  it("is there for a process that has none of the code", async () => {
    const Words = DurableMailbox.make("words", { schema: Schema.String });
    const Text = DurableState.make("text", Schema.String);
    const Finish = DurableUpdate.make("finish", {
      payload: Schema.String,
      success: Schema.String,
      error: Schema.Literal("too short"),
    });
    const Story = Workflow.make("Story", {
      payload: { id: Schema.String, text: Schema.String },
      success: Schema.String,
      idempotencyKey: ({ id }) => id,
    });
    const live = Story.toLayer(Effect.fnUntraced(function* ({ id, text }) {
      yield* DurableState.set(Text, text);
      if (text.length < 3) {
        const word = yield* DurableMailbox.take(Words);
        return yield* ContinueAsNew.continueAsNew(Story, { id, text: text + word });
      }
      yield* DurableUpdate.handle(
        Finish,
        (end) => end.length < 2 ? Effect.fail("too short" as const) : Effect.succeed(text + end),
      );
      return text;
    }));
    const shared = () => layer({ embedded: { store }, namespace: Namespace.make("story") });
    const worker = live.pipe(
      Layer.provide(WeirWorkflowEngine.layer(brief)),
      Layer.provide(shared()),
    );
    const client = WeirWorkflowEngine.layerClient().pipe(Layer.provideMerge(shared()));
    await Effect.runPromise(
      Effect.gen(function* () {
        const payload = { id: "1", text: "" };
        const to = {
          workflow: Story,
          executionId: yield* Story.execute(payload, { discard: true }),
        };
        for (const value of ["a", "b", "b", "c"]) {
          yield* DurableMailbox.offer(Words, { ...to, value, id: value });
        }
        const error = yield* Effect.flip(
          DurableUpdate.request(Finish, { ...to, payload: "d", id: "first" }),
        );
        assert.equal(error, "too short");
        assert.equal(yield* Story.execute(payload), "abc");
        assert.deepEqual(yield* DurableState.read(Text, to), Option.some("abc"));
        const [end] = yield* Stream.runCollect(
          WorkflowRuns.completions(Story, { after: "earliest" }).pipe(Stream.take(1)),
        );
        assert.equal(end?.executionId, to.executionId);
        const events = yield* Stream.runCollect(WorkflowRuns.history(to));
        assert.equal(events.filter(({ type }) => type === "continued").length, 3);
      }).pipe(Effect.provide(client), Effect.provide(Layer.fresh(worker)), Effect.scoped),
    );
  });
});
