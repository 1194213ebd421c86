/**
 * `deno task sim`: one simulation, as often as one likes. What is wrong it tells as shortly as it can,
 * with the command that repeats it.
 */
import { randomInt } from "node:crypto";
import process from "node:process";
import { parseArgs } from "node:util";
import { isName, simulations } from "./simulations.ts";
import { firstViolation, inShort } from "./simulate.ts";

const usage = `deno task sim [--of ${Object.keys(simulations).join("|")}] [--seed S] [--runs N] ` +
  "[--first N] [--unshrunk]";

const { values } = parseArgs({
  options: {
    of: { type: "string", default: "owners" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    runs: { type: "string", default: "10000" },
    first: { type: "string", default: "0" },
    unshrunk: { type: "boolean", default: false },
  },
});

const whole = (name: "seed" | "runs" | "first"): number => {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} is a whole number, not ${values[name]}\n${usage}`);
  process.exit(2);
};

const { of } = values;
if (!isName(of)) {
  console.error(`there is no simulation ${of}\n${usage}`);
  process.exit(2);
}
const { simulation } = simulations[of];
const seed = whole("seed");
const count = whole("runs");
const first = whole("first");
const began = performance.now();
const perSecond = (done: number): string =>
  (done / Math.max(0.001, (performance.now() - began) / 1000)).toFixed(0);

/** Of this process's own time, which others on the machine do not slow down. */
const perSecondOfOwn = (done: number): string => {
  const { user, system } = process.cpuUsage();
  return (done / ((user + system) / 1e6)).toFixed(0);
};

let shownAt = 0;
const onRun = (done: number): void => {
  if (performance.now() - shownAt < 1_000) return;
  shownAt = performance.now();
  process.stderr.write(`\r${of}, seed ${seed}: ${done} of ${count}, ${perSecond(done)}/s `);
};
const found = await firstViolation(simulation, { seed, first, count, onRun });
process.stderr.write("\n");
if (found === undefined) {
  console.error(`${perSecondOfOwn(count)} per second of processor time`);
  console.log(`${count} schedules, 0 violations, ${perSecond(count)}/s`);
} else {
  const runs = found.run - first + 1;
  console.log(
    `a violation in schedule ${found.run}, ${runs} of ${count}, with seed ${seed}:\n`,
  );
  console.log(values.unshrunk ? found.problem : await inShort(simulation, found));
  console.log(`\nagain: deno task sim --of ${of} --seed ${seed} --first ${found.run} --runs 1`);
  process.exitCode = 1;
}
