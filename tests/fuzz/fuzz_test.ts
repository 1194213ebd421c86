import { describe, it } from "node:test";
import { cliTarget, httpTarget } from "./door_targets.ts";
import { check, inputs, kept, shown, type Target } from "./fuzzing.ts";
import { recordTargets } from "./record_targets.ts";
import { textTargets } from "./text_targets.ts";

/** The gate has the same inputs each time; `deno task fuzz` goes on with others. */
const seed = 2_026;

const holds = async (target: Target): Promise<void> => {
  const reject = (error: unknown, input: Uint8Array) => {
    throw new Error(`${target.name} reads ${shown(input)} badly: ${error}`, { cause: error });
  };
  for (const input of kept(target)) {
    await check(target, input).catch((error) => reject(error, input));
  }
  let left = target.cases ?? 1_000;
  for (const input of inputs(target, seed)) {
    await check(target, input).catch((error) => reject(error, input));
    if (--left === 0) return;
  }
};

describe("what others wrote is read, or refused by name, soon and in proportion", () => {
  for (const target of [...recordTargets(), ...textTargets, cliTarget]) {
    it(target.name, () => holds(target));
  }
  it("http", async () => {
    await using target = await httpTarget();
    await holds(target);
  });
});
