/** Workflows behind what others call from elsewhere. */
import assert from "node:assert/strict";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import * as HttpApi from "effect/http-api/HttpApi";
import * as HttpApiTest from "effect/http-api/HttpApiTest";
import * as HttpServer from "effect/http/HttpServer";
import * as RpcTest from "effect/rpc/RpcTest";
import * as Workflow from "effect/workflow/Workflow";
import * as WorkflowProxy from "effect/workflow/WorkflowProxy";
import * as WorkflowProxyServer from "effect/workflow/WorkflowProxyServer";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import type { Case } from "../suite.ts";
import { byId, Declined, Id, parked } from "./program.ts";

export const proxyCases = (test: Case<WorkflowEngine>): void => {
  test(
    "a workflow is executed, started and resumed by remote calls",
    Effect.gen(function* () {
      const state = { isBroken: true };
      const Remote = Workflow.make("Remote", {
        payload: { id: Schema.String, at: Schema.Date },
        success: Schema.Date,
        error: Declined,
        idempotencyKey: byId,
      });
      const Mends = Workflow.make("Mends", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
        annotations: Context.make(Workflow.SuspendOnFailure, true),
      });
      const live = Layer.merge(
        Remote.toLayer(({ id, at }) =>
          id === "2" ? Effect.fail(new Declined({ code: 2 })) : Effect.succeed(at)
        ),
        Mends.toLayer(() => state.isBroken ? Effect.die("out of order") : Effect.succeed("mended")),
      );
      const workflows = [Remote, Mends] as const;
      yield* Effect.gen(function* () {
        const client = yield* RpcTest.makeClient(WorkflowProxy.toRpcGroup(workflows));
        const at = new Date(1_700_000_000_000);
        assert.deepEqual(yield* client.Remote({ id: "1", at }), at);
        const error = yield* Effect.flip(client.Remote({ id: "2", at }));
        assert.ok(error instanceof Declined);
        const executionId = yield* client.MendsDiscard({ id: "1" });
        assert.equal(executionId, yield* Mends.executionId({ id: "1" }));
        yield* parked(Mends.poll(executionId));
        state.isBroken = false;
        yield* client.MendsResume({ executionId });
        assert.equal(yield* client.Mends({ id: "1" }), "mended");
      }).pipe(
        Effect.provide(WorkflowProxyServer.layerRpcHandlers(workflows)),
        Effect.provide(live),
        Effect.scoped,
      );
    }),
  );

  test(
    "a workflow is executed, started and resumed over HTTP",
    Effect.gen(function* () {
      const state = { isBroken: true };
      const Mends = Workflow.make("Mends", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
        annotations: Context.make(Workflow.SuspendOnFailure, true),
      });
      const Declines = Workflow.make("Declines", {
        payload: Id,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Layer.merge(
        Mends.toLayer(() => state.isBroken ? Effect.die("out of order") : Effect.succeed("mended")),
        Declines.toLayer(() => new Declined({ code: 2 })),
      );
      const workflows = [Mends, Declines] as const;
      const api = HttpApi.make("api").add(WorkflowProxy.toHttpApiGroup("workflows", workflows));
      yield* Effect.gen(function* () {
        const { workflows: client } = yield* HttpApiTest.groups(api, ["workflows"]);
        const executionId = yield* client.MendsDiscard({ payload: { id: "1" } });
        assert.equal(executionId, yield* Mends.executionId({ id: "1" }));
        yield* parked(Mends.poll(executionId));
        state.isBroken = false;
        yield* client.MendsResume({ payload: { executionId } });
        assert.equal(yield* client.Mends({ payload: { id: "1" } }), "mended");
        const error = yield* Effect.flip(client.Declines({ payload: { id: "1" } }));
        assert.ok(error instanceof Declined && error.code === 2, `${error}`);
      }).pipe(
        Effect.provide(WorkflowProxyServer.layerHttpApi(api, "workflows", workflows)),
        Effect.provide(HttpServer.layerServices),
        Effect.provide(live),
        Effect.scoped,
      );
    }),
  );
};
