import assert from "node:assert/strict";
import { it } from "node:test";
import * as Clock from "effect/Clock";
import * as Digest from "effect/crypto/Digest";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { VirtualClock } from "../../testing/virtual_clock.ts";

const start = Date.UTC(2026, 0, 1);

/** So much that a thread is busy with it for many turns of the event loop. */
const much = new Uint8Array(32 * 1024 * 1024);

it("time waits for what Web Crypto computes, since it names executions", async () => {
  const ended = await new VirtualClock(start).run(
    Effect.gen(function* () {
      const sleep = yield* Effect.forkChild(Effect.sleep("1 hour"));
      const digest = yield* (yield* Digest.Digest).digest(Digest.sha256, much);
      assert.equal(digest.length, 32);
      const now = yield* Clock.currentTimeMillis;
      yield* Fiber.interrupt(sleep);
      return now;
    }).pipe(Effect.provide(Digest.layerWebCrypto)),
  );
  assert.equal(ended, start);
});
