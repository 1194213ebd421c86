import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import type { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { removalSuite } from "../conformance/log_suite/removal.ts";
import { scheduleSuite } from "../conformance/log_suite/schedules.ts";
import { wholeReadSuite } from "../conformance/log_suite/whole_reads.ts";
import type { Run } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchCluster, scratchCluster } from "../fixtures/server.ts";

const name = "JetStream, three replicas";

describe(name, () => {
  let cluster: ScratchCluster;
  let runtime: ManagedRuntime.ManagedRuntime<Log, unknown>;
  before(async () => {
    cluster = await scratchCluster({ durability: "bounded" });
    runtime = ManagedRuntime.make(
      layerJetStream({ replicas: 3 }).pipe(
        Layer.provide(Connection.layer({ servers: cluster.urls, durability: "bounded" })),
      ),
    );
  });
  after(async () => {
    await runtime.dispose();
    await cluster.stop();
  });
  const run: Run<Log> = (effect) => runtime.runPromise(effect);
  scheduleSuite(name, run);
  wholeReadSuite(name, run);
  removalSuite(name, run);
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
