/**
 * Writes what this release makes of a play: `deno run -A tests/compatibility/record.ts`, before a
 * release, once. What an earlier one has written is never written again.
 */
import { writeFile } from "node:fs/promises";
import * as Effect from "effect/Effect";
import { layerMemory } from "../../actors/layer.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import configuration from "../../deno.json" with { type: "json" };
import { anyPlay, send, serve } from "../sim/plays.ts";
import { untilOver } from "../sim/remains.ts";
import { written } from "./recording.ts";

const release = configuration.version;
const play = anyPlay(1, 24);
const recorded = await new VirtualClock(Date.UTC(2026, 0, 1)).run(
  Effect.scoped(
    serve(play).pipe(
      Effect.andThen(send(play)),
      Effect.andThen(untilOver),
      Effect.andThen(written),
    ),
  ).pipe(Effect.provide(layerMemory())),
);
const recording = { release, play, written: recorded };
const file = new URL(`histories/${release}.json`, import.meta.url);
await writeFile(file, `${JSON.stringify(recording, undefined, 1)}\n`, { flag: "wx" });
console.log(`${file.pathname}: ${recorded.length} records`);
