import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { leftovers, scratchServer } from "../fixtures/server.ts";
import { playRound } from "./endurance.ts";
import { chance, named, seed } from "./seed.ts";

const rounds = process.env["WEIR_TEST_FULL"] === "1" ? 10 : 1;

describe("whatever happens to workers and server", () => {
  for (let round = 0; round < rounds; round++) {
    it(`random programs end as they should (round ${round}, ${named})`, async () => {
      const server = await scratchServer({ durability: "bounded" });
      const happened: Array<string> = [];
      try {
        const ended = await playRound({
          server,
          namespace: "endurance",
          seed: seed + round,
          chance: chance(`endurance ${round}`),
          executions: 40,
          misfortunes: 12,
          say: (what) => void happened.push(what),
        });
        assert.ok(ended >= 40);
      } catch (cause) {
        throw new Error(`after this: ${happened.join("; ")}`, { cause });
      } finally {
        await server.stop();
      }
    });
  }

  it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
});
