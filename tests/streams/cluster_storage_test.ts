/** The storages of Effect's cluster on the log, by the suites that Effect's own in memory pass. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { layerMemory as layerMessagesInMemory } from "effect/cluster/MessageStorage";
import { layerMemory as layerRunnersInMemory } from "effect/cluster/RunnerStorage";
import * as ShardingConfig from "effect/cluster/ShardingConfig";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import * as Storage from "../../streams/cluster/storage.ts";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { messageStorageSuite } from "../../testing/suites/message_storage.ts";
import { runnerStorageSuite } from "../../testing/suites/runner_storage.ts";
import type { SuiteOptions } from "../../testing/suites/suite.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const virtually: SuiteOptions = {
  it,
  run: (effect) => new VirtualClock(Date.now()).run(effect),
};

const config = ShardingConfig.layer();

describe("Effect's own storages in memory", () => {
  messageStorageSuite(
    "Effect",
    () => layerMessagesInMemory.pipe(Layer.provide(config)),
    virtually,
  );
  runnerStorageSuite("Effect", () => layerRunnersInMemory, virtually);
});

describe("storages on the log in memory, 3 shards", () => {
  const layer = () =>
    Storage.layer().pipe(
      Layer.provide(config),
      Layer.provide(ServerClock.layer),
      Layer.provide(
        layerMemory({ layout: { namespace: Namespace.make("memory"), shards: 3, parts: 4 } }),
      ),
    );
  messageStorageSuite("memory", layer, virtually);
  runnerStorageSuite("memory", layer, virtually);
});

describe("storages on JetStream, 2 shards", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const layer = () =>
    Storage.layer().pipe(
      Layer.provide(config),
      Layer.provide(ServerClock.layer),
      Layer.provide(layerJetStream({ namespace: `t${randomUUID().slice(24)}`, shards: 2 })),
      Layer.provide(Connection.layer({ servers: server.url })),
    );
  messageStorageSuite("JetStream", layer, { it });
  runnerStorageSuite("JetStream", layer, { it });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
