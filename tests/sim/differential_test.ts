/** What the log in memory makes of a program, a server makes of it as well. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { layer, layerMemory } from "../../actors/layer.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { named, seed } from "../chaos/seed.ts";
import { leftovers, scratchServer } from "../fixtures/server.ts";
import { anyPlay, type Play, send, serve } from "./plays.ts";
import { remains, untilOver } from "./remains.ts";

/** What is left of a play when all has ended. */
const played = (play: Play) =>
  Effect.scoped(
    serve(play).pipe(
      Effect.andThen(send(play)),
      Effect.andThen(untilOver),
      Effect.andThen(remains),
    ),
  );

const rounds = process.env["WEIR_TEST_FULL"] === "1" ? 20 : 1;
/** So many at once that no worker is full: then some would be suspended, and others not. */
const count = 100;

describe("the same programs on two logs", () => {
  it(`leave the same records behind, ${rounds * count} of them (${named})`, async () => {
    const server = await scratchServer({ durability: "bounded" });
    try {
      for (let round = 0; round < rounds; round++) {
        const play = played(anyPlay(seed + round, count));
        const inMemory = await new VirtualClock(Date.UTC(2026, 0, 1)).run(
          Effect.provide(play, layerMemory()),
        );
        const onServer = await Effect.runPromise(
          Effect.provide(
            play,
            layer({ servers: server.url, durability: "bounded", namespace: `round${round}` }),
          ),
        );
        assert.deepEqual(onServer, inMemory, `round ${round}`);
        assert.ok(Object.keys(inMemory).length > count);
      }
    } finally {
      await server.stop();
    }
  });

  it("leave nothing else behind", async () => assert.deepEqual(await leftovers(), []));
});
