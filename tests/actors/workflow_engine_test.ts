/** Effect's workflows on Weir, by a suite that Effect's own engine in memory passes. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { randomUUID } from "node:crypto";
import * as Layer from "effect/Layer";
import { layerMemory as layerEffect } from "effect/workflow/WorkflowEngine";
import { layer as layerEngine, layerMemory } from "../../actors/layer.ts";
import * as WeirWorkflowEngine from "../../actors/workflow_engine.ts";
import { workflowEngineSuite } from "../../testing/suites/workflow_engine.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

describe("Effect's own engine in memory", () => {
  workflowEngineSuite("Effect", () => layerEffect, { it });
});

describe("workflows in memory", () => {
  workflowEngineSuite(
    "memory",
    () =>
      WeirWorkflowEngine.layer({ residentGrace: "20 millis" }).pipe(Layer.provide(layerMemory())),
    { it },
  );
});

describe("workflows on JetStream", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());
  workflowEngineSuite(
    "JetStream",
    () =>
      WeirWorkflowEngine.layer({ residentGrace: "20 millis" }).pipe(
        Layer.provide(
          layerEngine({ servers: server.url, namespace: `t${randomUUID().slice(24)}` as never }),
        ),
      ),
    { it },
  );
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
