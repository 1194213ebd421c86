/**
 * `deno task fuzz`: goes on with what the gate begins, with other inputs, for as long as it is told.
 * What is read badly is kept in `tests/fuzz/corpus`, so that the gate reads it for ever.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { cliTarget, httpTarget } from "../tests/fuzz/door_targets.ts";
import { check, inputs, keep, shown } from "../tests/fuzz/fuzzing.ts";
import { recordTargets } from "../tests/fuzz/record_targets.ts";
import { textTargets } from "../tests/fuzz/text_targets.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    minutes: { type: "string", default: "10" },
    target: { type: "string" },
  },
});
const seed = Number(values.seed);
const until = performance.now() + Number(values.minutes) * 60_000;
const turnMs = 500;

await using http = await httpTarget();
const all = [...recordTargets(), ...textTargets, cliTarget, http]
  .filter(({ name }) => values.target === undefined || name === values.target);
const each = all.map((target) => ({ target, source: inputs(target, seed), read: 0 }));
console.log(`${all.length} targets, seed ${seed}, ${values.minutes} minutes`);

let failed = 0;
while (performance.now() < until) {
  for (const one of each) {
    const turnEnds = performance.now() + turnMs;
    while (performance.now() < turnEnds) {
      const input = one.source.next().value as Uint8Array;
      one.read++;
      try {
        await check(one.target, input);
      } catch (error) {
        failed++;
        console.log(
          `${one.target.name}: ${shown(input)}\n  ${error}\n  ${keep(one.target, input)}`,
        );
        break;
      }
    }
  }
}
for (const { target, read } of each) console.log(`${target.name.padEnd(28)} ${read}`);
console.log(`${each.reduce((sum, { read }) => sum + read, 0)} inputs, ${failed} read badly`);
process.exit(failed === 0 ? 0 : 1);
