import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { InvalidInput } from "../../../schema/errors.ts";
import { Namespace } from "../../../schema/ids.ts";
import { layerMemory } from "../../../streams/log_memory.ts";
import * as LogStore from "../../../streams/outbox/log_store.ts";
import * as Manager from "../../../streams/outbox/manager.ts";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import { OutboxTransport } from "../../../streams/outbox/transport.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import { insert, newEvent, until } from "../../conformance/outbox/matter.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const store = LogStore.layer().pipe(
  Layer.provide(ServerClock.layer),
  Layer.provide(layerMemory({ layout })),
);
const transport = OutboxTransport.of({ publish: () => Effect.void });

/** Whether all is published by a manager with these options, or what it says of them. */
const publish = (options: Manager.ManagerOptions): Promise<void> =>
  Effect.gen(function* () {
    yield* insert(newEvent());
    yield* Manager.make(options);
    const { counts } = yield* OutboxStore;
    yield* until(counts, ({ pending, processing }) => pending + processing === 0);
  }).pipe(
    Effect.scoped,
    Effect.provideService(OutboxTransport, transport),
    Effect.provide(store),
    Effect.runPromise,
  );

const none = "10 secs" as Duration.Input;

/** What nothing would be published with, or nothing said why, and what is said of it. */
const refused: ReadonlyArray<readonly [Manager.ManagerOptions, RegExp]> = [
  [{ pollInterval: none }, /pollInterval "10 secs".* from 1 ms on/],
  [{ pollInterval: 0 }, /pollInterval "0"/],
  [{ lockTimeout: none }, /lockTimeout "10 secs".* from 100 ms to a hundred years/],
  [{ lockTimeout: 0 }, /lockTimeout "0"/],
  [{ lockTimeout: "99 millis" }, /lockTimeout "99 millis"/],
  [{ lockTimeout: Infinity }, /lockTimeout "Infinity"/],
  [{ publishTimeout: none }, /publishTimeout "10 secs"/],
  [{ publishTimeout: 0 }, /publishTimeout "0"/],
  [{ backoff: { first: none } }, /backoff.first "10 secs"/],
  [{ backoff: { first: -1 } }, /backoff.first "-1"/],
  [{ backoff: { max: Infinity } }, /backoff.max "Infinity"/],
  [{ backoff: { factor: NaN } }, /backoff.factor "NaN"/],
  [{ backoff: { factor: -2 } }, /backoff.factor "-2"/],
  [{ retention: none }, /retention "10 secs"/],
  [{ retention: -1 }, /retention "-1"/],
  [{ garbageInterval: none }, /garbageInterval "10 secs"/],
  [{ garbageInterval: 0 }, /garbageInterval "0"/],
  [{ drainTimeout: none }, /drainTimeout "10 secs"/],
];

/** At the bounds. */
const allowed: ReadonlyArray<Manager.ManagerOptions> = [
  { pollInterval: 1, lockTimeout: "100 millis", drainTimeout: 0 },
  { lockTimeout: "36525 days", backoff: { first: 0, factor: 0, max: 0 }, retention: 0 },
  { pollInterval: Infinity, publishTimeout: Infinity, drainTimeout: Infinity },
  { retention: Infinity, garbageInterval: Infinity },
];

describe("the options of who publishes", () => {
  it("with which nothing would be published are refused before anything is claimed", async () => {
    for (const [options, says] of refused) {
      await assert.rejects(publish(options), (error) => {
        assert.ok(error instanceof InvalidInput, String(error));
        assert.match(error.message, says);
        return true;
      });
    }
  });

  it("are taken up to their bounds, and what there is is published", async () => {
    for (const options of allowed) await publish(options);
  });
});
