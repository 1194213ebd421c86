/**
 * What earlier releases have written, in the hands of this one: it goes on from wherever they stopped,
 * comes to the same ends, and leaves behind what they would have left.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import type * as Layer from "effect/Layer";
import configuration from "../../deno.json" with { type: "json" };
import { layerMemory } from "../../actors/layer.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { chance, named } from "../chaos/seed.ts";
import { send, serve } from "../sim/plays.ts";
import { remains, untilOver } from "../sim/remains.ts";
import { parseRecording, type Recording, restore } from "./recording.ts";

const folder = new URL("histories/", import.meta.url);
const files = (await readdir(folder)).sort();
const stride = process.env["WEIR_TEST_FULL"] === "1" ? 1 : 23;
const first = chance("where a release stops")(stride);

const within = <A, E>(
  { written }: Recording,
  effect: Effect.Effect<A, E, Layer.Success<ReturnType<typeof layerMemory>>>,
) => new VirtualClock(written[0]!.at).run(Effect.provide(effect, layerMemory()));

/** Who takes over begins another attempt, after which the children are called that it starts. */
const withoutAttempts = (left: Readonly<Record<string, ReadonlyArray<string>>>) => {
  const without = (text: string) => text.replaceAll(/~\d+/g, "");
  const found: Record<string, Array<string>> = {};
  for (const [name, texts] of Object.entries(left)) {
    (found[without(name)] ??= []).push(...texts.map(without));
  }
  for (const texts of Object.values(found)) texts.sort();
  return found;
};

describe("what a release has written", () => {
  it("is there, of the present one as well", () => {
    assert.ok(files.includes(`${configuration.version}.json`), files.join(", "));
  });

  for (const file of files) {
    it(`is gone on with wherever it stops: ${file}, each ${stride}th record (${named})`, async () => {
      const recording = parseRecording(await readFile(new URL(file, folder), "utf8"));
      const { play, written } = recording;
      const whole = await within(
        recording,
        Effect.andThen(restore(recording, written.length), remains),
      );
      assert.ok(Object.keys(whole).length > 100);
      for (let count = first; count < written.length; count += stride) {
        const left = await within(
          recording,
          Effect.scoped(Effect.gen(function* () {
            const { failures, sentTo } = yield* restore(recording, count);
            yield* serve(play, { identity: "later", failedBefore: failures });
            yield* send(play, sentTo);
            yield* untilOver;
            return yield* remains;
          })),
        );
        assert.deepEqual(withoutAttempts(left), withoutAttempts(whole), `behind record ${count}`);
      }
    });
  }
});
